"""What passes through the registry to or from the naming service, and must not be read there.
Pure."""

from __future__ import annotations

from crypto.keys import RecipientKey, RecipientPublicKey, b64, unb64
from crypto.sealing import pad, seal_to, unpad, unseal_from
from protocol.errors import Malformed


def sealed(token: str, recipient: RecipientPublicKey, operation: str) -> str:
    """A part or an answer that the registry hands on without reading it.

    Raises:
        Malformed: the recipient's key is none.
    """
    try:
        return b64(seal_to(recipient, pad(token.encode()), _context(operation)))
    except ValueError as error:
        raise Malformed("the key that is to open this is none") from error


def opened(text: str, recipient: RecipientKey, operation: str) -> str:
    """Inverse of :func:`sealed`; raises SealError, Malformed."""
    try:
        ciphertext = unb64(text)
    except ValueError as error:
        raise Malformed("what was handed on is not base64url") from error
    return unpad(unseal_from(recipient, ciphertext, _context(operation))).decode()


def _context(operation: str) -> bytes:
    return b"tahini/exposure/1\n" + operation.encode()
