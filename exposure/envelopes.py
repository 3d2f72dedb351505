"""What passes through the registry to or from the naming service, and must not be read there.
Pure."""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto.bodies import NONCE_SIZE, open_enclosed
from crypto.keys import RecipientKey, RecipientPublicKey, b64, unb64
from crypto.sealing import pad, seal_to, unpad, unseal_from
from protocol.errors import Malformed


def sealed(token: str, recipient: RecipientPublicKey, operation: str) -> str:
    """A part, to the naming service's key."""
    return b64(seal_to(recipient, pad(token.encode()), _context(operation)))


def opened(text: str, recipient: RecipientKey, operation: str) -> str:
    """Inverse of :func:`sealed`; raises SealError, Malformed."""
    return unpad(unseal_from(recipient, _read(text), _context(operation))).decode()


def enclosed(token: str, key: str, operation: str) -> str:
    """An answer, with the key that came in the question's sealed part (AES-256-GCM)."""
    nonce = os.urandom(NONCE_SIZE)
    cipher = AESGCM(bytes.fromhex(key))
    return b64(nonce + cipher.encrypt(nonce, pad(token.encode()), _context(operation)))


def disclosed(text: str, key: str, operation: str) -> str:
    """Inverse of :func:`enclosed`; raises SealError, Malformed."""
    body = open_enclosed(bytes.fromhex(key), _read(text), _context(operation))
    return unpad(body).decode()


def _read(text: str) -> bytes:
    try:
        return unb64(text)
    except ValueError as error:
        raise Malformed("what was handed on is not base64url") from error


def _context(operation: str) -> bytes:
    return b"tahini/exposure/1\n" + operation.encode()
