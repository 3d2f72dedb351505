"""Witnesses' signatures on checkpoints: C2SP tlog-cosignature (https://c2sp.org/tlog-cosignature).

A cosignature says: at this time, this was the largest tree of this log that I had seen, and every
tree that I had seen before was part of it. Two kinds: Ed25519 (type 0x04) and ML-DSA-44 (FIPS 204,
type 0x06), which also holds against quantum computers.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from crypto.errors import KeyFileError, SignatureError
from crypto.keys import PublicKey, SigningKey
from crypto.notes import (
    Checkpoint,
    check_key_name,
    decode_vkey,
    encode_vkey,
    key_id,
    signature_line,
)

MAX_TIME = (1 << 63) - 1
KEY_FILE_MAGIC = b"tahini witness key\n"


class Kind(IntEnum):
    """Signature type byte of a cosignature."""

    ED25519 = 0x04
    ML_DSA_44 = 0x06


_PUBLIC_SIZE = {Kind.ED25519: 32, Kind.ML_DSA_44: 1312}


def signed_message(kind: Kind, name: str, text: str, timestamp: int) -> bytes:
    """What is signed: the note's text under a dated header (Ed25519), or ``cosigned_message``
    (ML-DSA-44)."""
    if not 0 < timestamp <= MAX_TIME:
        raise SignatureError("a cosignature is dated after 1970 and before 2^63")
    if kind is Kind.ED25519:
        return f"cosignature/v1\ntime {timestamp}\n{text}".encode()
    checkpoint = Checkpoint.parse(text)
    names = (name.encode(), checkpoint.origin.encode())
    if any(not 1 <= len(part) <= 255 for part in names):
        raise SignatureError("the name of a cosigner or log has between 1 and 255 bytes")
    cosigner, origin = (bytes([len(part)]) + part for part in names)
    numbers = (
        timestamp.to_bytes(8, "big"),
        (0).to_bytes(8, "big"),
        checkpoint.size.to_bytes(8, "big"),
    )
    return (
        b"subtree/v1\n\0"
        + cosigner
        + numbers[0]
        + origin
        + numbers[1]
        + numbers[2]
        + checkpoint.root
    )


@dataclass(frozen=True)
class Cosigner:
    """A witness as others know it: name, kind, public key bytes."""

    name: str
    kind: Kind
    raw: bytes

    @property
    def _material(self) -> bytes:
        return bytes([self.kind]) + self.raw

    @cached_property
    def key_id(self) -> bytes:
        return key_id(self.name, self._material)

    @property
    def vkey(self) -> str:
        return encode_vkey(self.name, self._material)

    @classmethod
    def from_vkey(cls, vkey: str) -> Cosigner:
        """Raises SignatureError unless it is a cosigner's key of a kind that is known here."""
        name, material = decode_vkey(vkey)
        kind = next((kind for kind in Kind if kind == material[0]), None)
        if kind is None or len(material) != 1 + _PUBLIC_SIZE[kind]:
            raise SignatureError(
                "not a witness's key: Ed25519 (type 04) and ML-DSA-44 (type 06) are known"
            )
        return cls(name, kind, material[1:])

    def check(self, signature: bytes, text: str) -> None:
        """``signature`` is a ``timestamped_signature``; raises SignatureError."""
        if len(signature) <= 8:
            raise SignatureError("a cosignature is truncated")
        message = signed_message(self.kind, self.name, text, int.from_bytes(signature[:8], "big"))
        if self.kind is Kind.ED25519:
            PublicKey(self.raw).verify(signature[8:], message)
            return
        try:
            MLDSA44PublicKey.from_public_bytes(self.raw).verify(signature[8:], message)
        except (InvalidSignature, ValueError) as error:
            raise SignatureError(f"the cosignature of {self.name!r} does not verify") from error


@dataclass(frozen=True, repr=False)
class CosigningKey:
    """A witness's private key: a 32-byte seed of either kind."""

    name: str
    kind: Kind
    seed: bytes

    @classmethod
    def generate(cls, name: str, kind: Kind = Kind.ED25519) -> CosigningKey:
        check_key_name(name)
        return cls(name, kind, os.urandom(32))

    @cached_property
    def _ml_dsa(self) -> MLDSA44PrivateKey:
        return MLDSA44PrivateKey.from_seed_bytes(self.seed)

    @cached_property
    def public(self) -> Cosigner:
        if self.kind is Kind.ED25519:
            return Cosigner(self.name, self.kind, SigningKey(self.seed).public.raw)
        return Cosigner(self.name, self.kind, self._ml_dsa.public_key().public_bytes_raw())

    def cosign(self, text: str, timestamp: int) -> str:
        """The signature line for the checkpoint with this text, dated ``timestamp`` (POSIX
        seconds)."""
        message = signed_message(self.kind, self.name, text, timestamp)
        signature = (
            SigningKey(self.seed).sign(message)
            if self.kind is Kind.ED25519
            else self._ml_dsa.sign(message)
        )
        return signature_line(
            self.name, self.public.key_id + timestamp.to_bytes(8, "big") + signature
        )

    @property
    def secret(self) -> bytes:
        """What a key file holds: a line that says what it is; then type byte, seed, name."""
        return KEY_FILE_MAGIC + bytes([self.kind]) + self.seed + self.name.encode()

    @classmethod
    def from_secret(cls, secret: bytes) -> CosigningKey:
        """Raises KeyFileError."""
        magic = secret[: len(KEY_FILE_MAGIC)]
        held = secret[len(KEY_FILE_MAGIC) :]
        if magic != KEY_FILE_MAGIC or len(held) < 34 or held[0] not in set(Kind):
            raise KeyFileError("the file does not hold a witness's key")
        try:
            return cls(held[33:].decode(), Kind(held[0]), held[1:33])
        except UnicodeDecodeError as error:
            raise KeyFileError("the file does not hold a witness's key") from error

    def __repr__(self) -> str:
        return f"CosigningKey({self.name}…)"
