"""Bodies sealed to recipients such as the auditor, where the author trusts nobody between.

HPKE (RFC 9180) runs over the ML-KEM-768 + X25519 hybrid, so that what is recorded today stays
closed to tomorrow's computers. What is sealed under keys that somebody keeps is in
:mod:`crypto.bodies`.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from crypto.errors import SealError
from crypto.keys import RecipientKey, RecipientPublicKey

SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def seal_to(recipient: RecipientPublicKey, plaintext: bytes, context: bytes) -> bytes:
    """HPKE base mode; ``context`` is the HPKE info string."""
    return SUITE.encrypt(plaintext, recipient.hpke(), context)


def unseal_from(recipient: RecipientKey, ciphertext: bytes, context: bytes) -> bytes:
    """Inverse of :func:`seal_to`; raises SealError."""
    try:
        return SUITE.decrypt(ciphertext, recipient.hpke(), context)
    except (InvalidTag, ValueError) as error:
        raise SealError("the body is not sealed to this recipient, or was altered") from error


SMALLEST_BODY = 256


def pad(body: bytes) -> bytes:
    """Pad to a power of two (ISO/IEC 7816-4: one 0x80, then zeros), so that a length tells next to
    nothing."""
    size = max(SMALLEST_BODY, 1 << len(body).bit_length())
    return body + b"\x80" + b"\x00" * (size - len(body) - 1)


def unpad(padded: bytes) -> bytes:
    """Inverse of :func:`pad`; raises SealError."""
    body, mark, _ = padded.rstrip(b"\x00").rpartition(b"\x80")
    if not mark:
        raise SealError("the opened body is not padded as it should be")
    return body


def body_context(kind: str) -> bytes:
    """What every sealed body is bound to besides its key: the type of the entry it belongs to."""
    return f"tahini/log-body/v1/{kind}".encode()
