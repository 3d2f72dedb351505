"""Secure aggregation: vectors that are uniformly random alone and exact in the sum.

Each pair of lenders agrees on a key (X25519, RFC 7748), derives a fresh 256-bit seed per release
and attempt (HKDF-SHA256, RFC 5869) and expands it with ChaCha20 (RFC 8439) to one 64-bit word per
coordinate. The lender whose name sorts first adds the words, the other subtracts them, modulo 2^64;
over all lenders they cancel.

What is masked are whole numbers whose sum cannot wrap (``privacy.sums``). The argument is that of
Bonawitz et al. 2017 (https://eprint.iacr.org/2017/281), section 4, without self-masks: there is no
recovery of dropouts here, so no mask is ever opened (docs/privacy.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from crypto.documents import canonical_json
from crypto.errors import MaskError

Words = NDArray[np.uint64]


def pair_seed(shared_secret: bytes, release: Mapping[str, object], low: str, high: str) -> bytes:
    """256-bit seed of one pair for one release attempt.

    Every field of ``release`` (campaign, release, attempt, roster of keys) is bound in, so that two
    releases, two attempts or two different views of the roster never share a mask.
    """
    info = b"tahini/mask/v1" + canonical_json({"release": dict(release), "pair": [low, high]})
    return HKDF(SHA256(), 32, None, info).derive(shared_secret)


def expand(seed: bytes, size: int) -> Words:
    """``size`` pseudorandom 64-bit words: the ChaCha20 key stream under ``seed``, used once."""
    stream = bytearray(8 * size)
    _expand_into(seed, bytes(8 * size), stream)
    return np.frombuffer(stream, dtype="<u8")


def _expand_into(seed: bytes, zeros: bytes, stream: bytearray) -> None:
    Cipher(ChaCha20(seed, bytes(16)), mode=None).encryptor().update_into(zeros, stream)


@dataclass(frozen=True)
class Masks:
    """One lender's pairwise seeds for one release attempt; made before any data is touched."""

    signs_and_seeds: tuple[tuple[bool, bytes], ...] = field(repr=False)

    @classmethod
    def of(
        cls,
        me: str,
        private: X25519PrivateKey,
        peers: Mapping[str, X25519PublicKey],
        release: Mapping[str, object],
    ) -> Masks:
        """Agree with every peer.

        Args:
            me: this lender's name; must not be among ``peers``.
            peers: every *other* lender of the roster, by name.
            release: what this release attempt is; see :func:`pair_seed`.

        Raises:
            MaskError: there is nobody to hide among, or a peer's key is not one.
        """
        if not peers or me in peers:
            raise MaskError("masking needs at least one other lender: a sum of one hides nothing")
        pairs = []
        for name, public in peers.items():
            low, high = sorted((me, name))
            try:
                shared = private.exchange(public)
            except ValueError as error:
                raise MaskError(f"the mask key of {name!r} is of low order") from error
            pairs.append((me == low, pair_seed(shared, release, low, high)))
        return cls(tuple(pairs))

    def apply(self, words: Words) -> Words:
        """Add the masks to ``words``."""
        total = words.astype("<u8")
        zeros, stream = bytes(total.nbytes), bytearray(total.nbytes)
        mask = np.frombuffer(stream, dtype="<u8")
        for adds, seed in self.signs_and_seeds:
            _expand_into(seed, zeros, stream)
            (np.add if adds else np.subtract)(total, mask, out=total)
        return total


def unmask(contributions: Sequence[Words]) -> NDArray[np.int64]:
    """The exact sum of all lenders' masked vectors (each of the same length), as signed whole
    numbers."""
    if len({len(words) for words in contributions}) != 1:
        raise MaskError("the masked vectors differ in length")
    total = contributions[0].copy()
    for words in contributions[1:]:
        total += words
    return total.view(np.int64)
