"""Sessions: one signature at the start, a MAC on every request after.

A caller that sends thousands of requests signs one offer with an ephemeral X25519 key in it; the
service answers with its own, signed too. Both derive a key from the exchange and the whole
transcript (signed Diffie-Hellman, as in STS and SIGMA), so only the two that signed can know it,
and it protects nothing from before or after. Each request then carries HMAC-SHA256 over method,
target, body hash and a counter that is used once.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass, field
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crypto.errors import SignatureError
from crypto.keys import b64, unb64

KEY_SIZE = 32
WINDOW = 4096
"""How far counters may arrive out of order."""


@dataclass(frozen=True)
class Ephemeral:
    """One side's key of one exchange."""

    _scalar: bytes = field(default_factory=lambda: os.urandom(KEY_SIZE), repr=False)

    @cached_property
    def _private(self) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(self._scalar)

    @cached_property
    def public(self) -> str:
        return b64(self._private.public_key().public_bytes_raw())

    def agree(self, other: str, offer: str, answer: str) -> bytes:
        """The session key: HKDF-SHA256 of the shared secret, salted with the hash of both signed
        documents.

        Raises:
            SignatureError: ``other`` is not an X25519 key, or one of small order.
        """
        transcript = hashlib.sha256(offer.encode() + b"\0" + answer.encode()).digest()
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(unb64(other)))
        except ValueError as error:
            raise SignatureError("not a key that a session can be agreed on with") from error
        return HKDF(SHA256(), KEY_SIZE, transcript, b"tahini/session/v1").derive(shared)


def request_mac(key: bytes, method: str, target: str, body: bytes, counter: int) -> str:
    """The MAC of one request, base64url."""
    text = f"{method}\n{target}\n{counter}\n{hashlib.sha256(body).hexdigest()}"
    return b64(hmac.digest(key, text.encode(), "sha256"))


@dataclass
class CounterWindow:
    """Lets every counter through once: the newest :data:`WINDOW` are remembered, older ones are
    refused."""

    _newest: int = 0
    _seen: set[int] = field(default_factory=set)

    def admit(self, counter: int) -> None:
        """Raises SignatureError when the counter was used, or is too old to know."""
        if counter <= self._newest - WINDOW or counter in self._seen:
            raise SignatureError("this request was made before; a request of a session acts once")
        self._seen.add(counter)
        if counter > self._newest:
            self._newest = counter
            if len(self._seen) > 2 * WINDOW:
                self._seen = {known for known in self._seen if known > counter - WINDOW}
