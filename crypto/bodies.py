"""Bodies that are kept, sealed under a key that is kept elsewhere.

Two ways to seal, one for each kind of reader:

- *to a subject*: AES-256-GCM under a key derived from the borrower's own data key. GCM does not
  commit to its key (the same ciphertext can open under two keys), so a commitment derived beside
  the key is returned and goes into the log's leaf. Destroying the 32-byte data key makes every such
  body unreadable; that is how forgetting works.
- *to recipients*: an :class:`Envelope` holds one content key, sealed to each of a set of recipients
  (:mod:`crypto.sealing`), and serves many bodies.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crypto.documents import canonical_json
from crypto.errors import SealError
from crypto.keys import RecipientKey, RecipientPublicKey, b64, unb64
from crypto.sealing import seal_to, unseal_from

KEY_SIZE = 32
NONCE_SIZE = 12
SALT_SIZE = 16


@dataclass(frozen=True)
class SealedBody:
    """``ciphertext`` is salt || AES-256-GCM output; ``commitment`` (32 bytes) binds it to one data
    key."""

    ciphertext: bytes
    commitment: bytes


def _derive(data_key: bytes, salt: bytes) -> tuple[bytes, bytes, bytes]:
    """HKDF-SHA256 of the data key: (AES-256 key, GCM nonce, key commitment), fresh for every
    salt."""
    if len(data_key) != KEY_SIZE:
        raise SealError("a data key has 32 bytes; this one was destroyed or never was one")
    material = HKDF(SHA256(), 2 * KEY_SIZE + NONCE_SIZE, salt, b"tahini/sealed-body/v1").derive(
        data_key
    )
    return material[:KEY_SIZE], material[2 * KEY_SIZE :], material[KEY_SIZE : 2 * KEY_SIZE]


def new_data_key() -> bytes:
    return os.urandom(KEY_SIZE)


def seal(data_key: bytes, plaintext: bytes, context: bytes) -> SealedBody:
    """Seal ``plaintext`` under a subject's data key; ``context`` is authenticated but not
    stored."""
    salt = os.urandom(SALT_SIZE)
    key, nonce, commitment = _derive(data_key, salt)
    return SealedBody(salt + AESGCM(key).encrypt(nonce, plaintext, context), commitment)


def unseal(data_key: bytes, body: SealedBody, context: bytes) -> bytes:
    """Inverse of :func:`seal`.

    Raises:
        SealError: another key, another context, or altered.
    """
    salt = body.ciphertext[:SALT_SIZE]
    ciphertext = body.ciphertext[SALT_SIZE:]
    key, nonce, commitment = _derive(data_key, salt)
    if not hmac.compare_digest(commitment, body.commitment):
        raise SealError("the body is not sealed under this key")
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, context)
    except (InvalidTag, ValueError) as error:
        raise SealError("the sealed body was altered") from error


def wrap_key(key_encryption_key: bytes, data_key: bytes, context: bytes) -> bytes:
    """A subject's data key under the key-encryption key: nonce || AES-256-GCM."""
    nonce = os.urandom(NONCE_SIZE)
    return nonce + AESGCM(key_encryption_key).encrypt(nonce, data_key, context)


def unwrap_key(key_encryption_key: bytes, wrapped: bytes, context: bytes) -> bytes:
    """Inverse of :func:`wrap_key`; raises SealError."""
    try:
        return AESGCM(key_encryption_key).decrypt(
            wrapped[:NONCE_SIZE], wrapped[NONCE_SIZE:], context
        )
    except (InvalidTag, ValueError) as error:
        raise SealError("the wrapped data key does not open") from error


ENVELOPE_CONTEXT = b"tahini/envelope/v1"
MAX_ENVELOPE_BODIES = 1 << 24
"""Bodies under one content key; far below the 2^32 that AES-GCM with counted nonces allows."""


@dataclass
class Envelope:
    """One content key for one set of recipients, sealed to each once and used for many bodies.

    ``header`` is what is stored: canonical JSON of each recipient's HPKE ciphertext, and the key
    commitment (AES-GCM does not commit to its key, so two recipients could otherwise be shown two
    texts). Its SHA-256 is its name. Nonces are counted, and the key is fresh, so no nonce is used
    twice.
    """

    header: bytes
    key: bytes = field(repr=False)
    used: int = 0

    @cached_property
    def _cipher(self) -> AESGCM:
        return AESGCM(self.key)

    @classmethod
    def seal(cls, recipients: Mapping[str, RecipientPublicKey]) -> Envelope:
        """A fresh envelope for these recipients, by name."""
        secret = new_data_key()
        key, _, commitment = _derive(secret, ENVELOPE_CONTEXT)
        keys = {
            name: b64(seal_to(key_of, secret, ENVELOPE_CONTEXT))
            for name, key_of in recipients.items()
        }
        return cls(canonical_json({"commitment": b64(commitment), "keys": keys}), key)

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.header).hexdigest()

    def add(self, plaintext: bytes, context: bytes) -> bytes:
        """One more body: 12 bytes of nonce, then AES-256-GCM output."""
        if self.used >= MAX_ENVELOPE_BODIES:
            raise SealError("the envelope is full; seal a new one")
        nonce = self.used.to_bytes(NONCE_SIZE, "big")
        self.used += 1
        return nonce + self._cipher.encrypt(nonce, plaintext, context)


def open_envelope(header: bytes, name: str, recipient: RecipientKey) -> bytes:
    """The content key in an envelope that was sealed to ``recipient`` under ``name``.

    Raises:
        SealError: not sealed to this recipient, altered, or the key is not the one that was
            committed to.
    """
    try:
        fields = json.loads(header)
        sealed = unb64(fields["keys"][name])
        stated = unb64(fields["commitment"])
    except (ValueError, KeyError, TypeError) as error:
        raise SealError(f"the envelope is not sealed to {name!r}") from error
    key, _, commitment = _derive(unseal_from(recipient, sealed, ENVELOPE_CONTEXT), ENVELOPE_CONTEXT)
    if not hmac.compare_digest(commitment, stated):
        raise SealError("the envelope holds another key than it commits to")
    return key


def open_enclosed(key: bytes, body: bytes, context: bytes) -> bytes:
    """A body of an envelope whose content key is ``key``; raises SealError."""
    try:
        return AESGCM(key).decrypt(body[:NONCE_SIZE], body[NONCE_SIZE:], context)
    except (InvalidTag, ValueError) as error:
        raise SealError("the sealed body was altered, or belongs to another envelope") from error
