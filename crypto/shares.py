"""Additive shares of whole numbers between two servers, with a tag that shows every alteration.

A value x is cut into two shares that add up to it modulo the prime 2^127 - 1; each alone is
uniformly random. Beside it a *tag*, a times x for a secret coefficient a that neither server knows,
is cut likewise. Sums of shares are shares of sums, and so for tags: whoever holds a adds the two
answers up and accepts only where the tag is a times the value. A server that adds, drops, repeats
or alters anything in its share changes value and tag by numbers d and e of its choice, and is
believed only where e = a d: for d other than 0 that is one a in 2^127 - 2.

This is the information-theoretic MAC of SPDZ (Damgård, Pastro, Smart & Zakarias 2012,
https://eprint.iacr.org/2011/535) in its simplest setting: whoever has the value deals
the shares, and the one who opens them holds the coefficient. Over a prime field, because modulo
2^64 half of all d have more than one such a (Cramer et al. 2018, https://eprint.iacr.org/2018/482).

>>> key = CheckKey.generate()
>>> a = key.coefficient("somebody")
>>> one, other = split((2, 5_000_00), a)
>>> more, rest = split((1, 700_00), a)
>>> combine(one + more, other + rest, a)
(3, 570000)
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crypto.errors import ShareError
from crypto.keys import b64, unb64

PRIME = (1 << 127) - 1
ELEMENT_SIZE = 16
KEY_SIZE = SEED_SIZE = 32
_WIDE = 32
"""Bytes of which one element is made: reduced modulo the prime they are uniform to 2^-128."""


@dataclass(frozen=True, repr=False)
class CheckKey:
    """What those have in common who deal and open shares, and no server knows; 32 bytes."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_SIZE:
            raise ShareError(f"a key for shares has {KEY_SIZE} bytes")

    @classmethod
    def generate(cls) -> CheckKey:
        """From the operating system's randomness."""
        return cls(secrets.token_bytes(KEY_SIZE))

    def handle(self, name: str) -> str:
        """What the servers call somebody: 64 hexadecimal digits, the same for all who hold this key
        and know ``name``, and which nobody else can test a guess of."""
        return hmac.digest(self.secret, b"tahini/shares/handle/1\n" + name.encode(), "sha256").hex()

    def coefficient(self, handle: str) -> int:
        """The coefficient of this handle's tags, from 1 to the prime less 1."""
        wide = _derived(self.secret, b"tahini/shares/coefficient/1\n" + handle.encode(), _WIDE)
        return 1 + int.from_bytes(wide) % (PRIME - 1)


@dataclass(frozen=True, repr=False)
class AdditiveShare:
    """One server's share of a vector, and of its tags."""

    values: tuple[int, ...]
    tags: tuple[int, ...]

    def __add__(self, other: AdditiveShare) -> AdditiveShare:
        return AdditiveShare(_added(self.values, other.values), _added(self.tags, other.tags))

    def __neg__(self) -> AdditiveShare:
        return AdditiveShare(
            tuple(-one % PRIME for one in self.values), tuple(-t % PRIME for t in self.tags)
        )

    @classmethod
    def zero(cls, length: int) -> AdditiveShare:
        return cls((0,) * length, (0,) * length)

    @classmethod
    def mask(cls, seed: bytes, length: int) -> AdditiveShare:
        """A uniformly random share from a seed of 32 bytes that is used once."""
        if len(seed) != SEED_SIZE:
            raise ShareError(f"the seed of a mask has {SEED_SIZE} bytes")
        stream = _derived(seed, b"tahini/shares/mask/1", 2 * length * _WIDE)
        drawn = [
            int.from_bytes(stream[at : at + _WIDE]) % PRIME for at in range(0, len(stream), _WIDE)
        ]
        return cls(tuple(drawn[:length]), tuple(drawn[length:]))

    def text(self) -> str:
        """Base64url of values and tags, 16 bytes each."""
        return b64(b"".join(one.to_bytes(ELEMENT_SIZE) for one in self.values + self.tags))

    @classmethod
    def of_text(cls, text: str, length: int) -> AdditiveShare:
        """Inverse of :meth:`text`; raises ShareError."""
        try:
            raw = unb64(text)
        except ValueError as error:
            raise ShareError("a share is not base64url") from error
        if len(raw) != 2 * length * ELEMENT_SIZE:
            raise ShareError(f"a share of {length} numbers has {2 * length * ELEMENT_SIZE} bytes")
        read = tuple(
            int.from_bytes(raw[at : at + ELEMENT_SIZE]) for at in range(0, len(raw), ELEMENT_SIZE)
        )
        if max(read) >= PRIME:
            raise ShareError("a share holds a number that is no element of its field")
        return cls(read[:length], read[length:])


def split(values: Sequence[int], coefficient: int) -> tuple[AdditiveShare, AdditiveShare]:
    """Two shares of whole numbers from 0 to below the prime; each alone is uniformly random.

    Raises:
        ShareError: a number is outside.
    """
    if not values or not all(0 <= value < PRIME for value in values):
        raise ShareError("only whole numbers from 0 to below the prime can be shared")
    one = AdditiveShare(
        *(tuple(secrets.randbelow(PRIME) for _ in values) for _ in ("values", "tags"))
    )
    tagged = AdditiveShare(tuple(values), _tags(values, coefficient))
    return one, tagged + -one


def combine(one: AdditiveShare, other: AdditiveShare, coefficient: int) -> tuple[int, ...]:
    """The numbers that two shares are of.

    Raises:
        ShareError: the tags are not theirs: one of the two shares was altered.
    """
    total = one + other
    if total.tags != _tags(total.values, coefficient):
        raise ShareError("the two shares do not belong together: one of them was altered")
    return total.values


def _tags(values: Sequence[int], coefficient: int) -> tuple[int, ...]:
    return tuple(value * coefficient % PRIME for value in values)


def _added(some: Sequence[int], more: Sequence[int]) -> tuple[int, ...]:
    if len(some) != len(more):
        raise ShareError("shares of different lengths cannot be added")
    return tuple((a + b) % PRIME for a, b in zip(some, more, strict=True))


def _derived(secret: bytes, info: bytes, size: int) -> bytes:
    """HKDF-SHA256 (RFC 5869)."""
    return HKDF(SHA256(), size, None, info).derive(secret)
