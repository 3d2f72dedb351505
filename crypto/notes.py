"""Signed notes, checkpoints and offline proofs, byte for byte as C2SP writes them.

- signed-note: https://c2sp.org/signed-note (Ed25519, signature type 0x01)
- tlog-checkpoint: https://c2sp.org/tlog-checkpoint
- tlog-proof: https://c2sp.org/tlog-proof
"""

from __future__ import annotations

import binascii
import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from crypto.errors import ProofError, SignatureError
from crypto.keys import PublicKey, SigningKey
from crypto.merkle import HASH_SIZE, leaf_hash, verify_inclusion

ED25519 = 0x01
MAX_NOTE_BYTES = 1 << 20
MAX_SIGNATURES = 64
PROOF_HEADER = "c2sp.org/tlog-proof@v1"
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
_SIGNATURE_LINE = re.compile(r"— (\S+) (\S+)")


def _b64decode(text: str, what: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignatureError(f"{what} is not base64") from error


@dataclass(frozen=True)
class Verifier:
    """Whose signature on a note is believed: a key name and an Ed25519 key."""

    name: str
    key: PublicKey

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([ED25519]) + self.key.raw).digest()[:4]

    @property
    def vkey(self) -> str:
        """``<name>+<key id>+<base64(type || key)>``, as other tlog clients take it."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(bytes([ED25519]) + self.key.raw).decode()}"

    @classmethod
    def from_vkey(cls, vkey: str) -> Verifier:
        parts = vkey.split("+", 2)
        material = _b64decode(parts[2], "the verifier key") if len(parts) == 3 else b""
        if len(material) != 33 or material[0] != ED25519:
            raise SignatureError("not an Ed25519 verifier key")
        verifier = cls(parts[0], PublicKey(material[1:]))
        if verifier.vkey != vkey:
            raise SignatureError("the verifier key's id does not belong to its key")
        return verifier


def sign_note(text: str, name: str, key: SigningKey) -> str:
    """The signed note over ``text`` (which ends in a newline)."""
    if not text.endswith("\n") or any(ord(c) < 0x20 and c != "\n" for c in text):
        raise SignatureError("a note's text ends in a newline and holds no control characters")
    if not name or "+" in name or any(c.isspace() for c in name):
        raise SignatureError(f"not a key name: {name!r}")
    signature = Verifier(name, key.public).key_id + key.sign(text.encode())
    return f"{text}\n— {name} {b64encode(signature).decode()}\n"


def open_note(note: str, verifiers: Sequence[Verifier]) -> tuple[str, list[str]]:
    """Return the text and the names of the known keys that signed it.

    Signatures of unknown keys are ignored; a known key whose signature fails spoils the whole note.

    Raises:
        SignatureError: malformed, no known signature, or a known one that does not verify.
    """
    if len(note) > MAX_NOTE_BYTES or any(ord(c) < 0x20 and c != "\n" for c in note):
        raise SignatureError("not a signed note")
    text, separator, tail = note.rpartition("\n\n")
    lines = tail.split("\n")
    if not separator or lines[-1] != "" or not 1 <= len(lines) - 1 <= MAX_SIGNATURES:
        raise SignatureError("not a signed note")
    text += "\n"
    signed_by: list[str] = []
    for line in lines[:-1]:
        match = _SIGNATURE_LINE.fullmatch(line)
        if not match:
            raise SignatureError("a signature line of the note is malformed")
        name, signature = match[1], _b64decode(match[2], "a signature of the note")
        if len(signature) < 5:
            raise SignatureError("a signature of the note is truncated")
        for verifier in verifiers:
            if (verifier.name, verifier.key_id) == (name, signature[:4]):
                verifier.key.verify(signature[4:], text.encode())
                if name not in signed_by:
                    signed_by.append(name)
    if not signed_by:
        raise SignatureError("the note is not signed by any key that is trusted here")
    return text, signed_by


@dataclass(frozen=True)
class Checkpoint:
    """A log's tree head: who, how many entries, which root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or not all(lines[:-1]) or not _DECIMAL.fullmatch(lines[1]):
            raise SignatureError("not a checkpoint")
        root = _b64decode(lines[2], "the root hash")
        if len(root) != HASH_SIZE:
            raise SignatureError("the root hash of the checkpoint is not 32 bytes long")
        return cls(lines[0], int(lines[1]), root)


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> str:
    return sign_note(checkpoint.text, checkpoint.origin, key)


def open_checkpoint(note: str, log: Verifier) -> Checkpoint:
    """The checkpoint in ``note``, if ``log`` signed it and it speaks of that log.

    Raises:
        SignatureError: not signed by the log, another origin, or malformed.
    """
    text, _ = open_note(note, [log])
    checkpoint = Checkpoint.parse(text)
    if checkpoint.origin != log.name:
        raise SignatureError(f"the checkpoint is of log {checkpoint.origin!r}, not of {log.name!r}")
    return checkpoint


@dataclass(frozen=True)
class InclusionProof:
    """A ``.tlog-proof``: an entry's index, its path, and the signed checkpoint it leads to."""

    index: int
    path: tuple[bytes, ...]
    checkpoint_note: str

    @property
    def text(self) -> str:
        hashes = [b64encode(value).decode() for value in self.path]
        return "\n".join([PROOF_HEADER, f"index {self.index}", *hashes, "", self.checkpoint_note])

    @classmethod
    def parse(cls, text: str) -> InclusionProof:
        head, separator, note = text.partition("\n\n")
        lines = head.split("\n")
        if len(lines) > 1 and lines[1].startswith("extra "):
            del lines[1]
        if not separator or len(lines) < 2 or lines[0] != PROOF_HEADER or not lines[1].startswith("index "):
            raise ProofError("not a tlog-proof")
        number = lines[1].removeprefix("index ")
        if not _DECIMAL.fullmatch(number) or len(lines) > 66:
            raise ProofError("not a tlog-proof")
        path = tuple(_b64decode(line, "a hash of the proof") for line in lines[2:])
        return cls(int(number), path, note)

    def verify(self, entry: bytes, log: Verifier) -> Checkpoint:
        """``entry`` stands in the log at ``index``; returns the checkpoint that says so.

        Raises:
            ProofError, SignatureError: it does not.
        """
        checkpoint = open_checkpoint(self.checkpoint_note, log)
        verify_inclusion(leaf_hash(entry), self.index, checkpoint.size, self.path, checkpoint.root)
        return checkpoint
