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
from typing import Protocol

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


class NoteKey(Protocol):
    """A public key that may sign notes: a log's (:class:`Verifier`) or a witness's
    (``crypto.cosignatures``)."""

    @property
    def name(self) -> str: ...

    @property
    def key_id(self) -> bytes: ...

    def check(self, signature: bytes, text: str) -> None:
        """Raises SignatureError unless ``signature`` (without the key id) is this key's over the
        note's text."""


class Trust(Protocol):
    """Whoever can say whether a checkpoint is to be believed: one log's key, or a whole
    ``crypto.policies.Policy``."""

    def open(self, note: str) -> Checkpoint:
        """The checkpoint in ``note``; raises SignatureError."""


def key_id(name: str, material: bytes) -> bytes:
    """First four bytes of SHA-256 over name, newline, and the key's type byte and bytes."""
    return hashlib.sha256(name.encode() + b"\n" + material).digest()[:4]


def encode_vkey(name: str, material: bytes) -> str:
    """``<name>+<key id>+<base64(type || key)>``, as other tlog clients take it."""
    return f"{name}+{key_id(name, material).hex()}+{b64encode(material).decode()}"


def decode_vkey(vkey: str) -> tuple[str, bytes]:
    """(name, type byte and key); raises SignatureError when the key id is not the key's, or it is
    no vkey at all."""
    parts = vkey.split("+", 2)
    material = _b64decode(parts[2], "the verifier key") if len(parts) == 3 else b""
    if not material or encode_vkey(parts[0], material) != vkey:
        raise SignatureError("not a verifier key, or its id does not belong to its key")
    check_key_name(parts[0])
    return parts[0], material


def check_key_name(name: str) -> None:
    """Raises SignatureError unless a note can carry a signature under this name."""
    if not name or "+" in name or any(c.isspace() or ord(c) < 0x20 for c in name):
        raise SignatureError(f"not a key name: {name!r}")


@dataclass(frozen=True)
class Verifier:
    """Whose signature on a note is believed: a key name and an Ed25519 key."""

    name: str
    key: PublicKey

    @property
    def _material(self) -> bytes:
        return bytes([ED25519]) + self.key.raw

    @property
    def key_id(self) -> bytes:
        return key_id(self.name, self._material)

    @property
    def vkey(self) -> str:
        return encode_vkey(self.name, self._material)

    @classmethod
    def from_vkey(cls, vkey: str) -> Verifier:
        name, material = decode_vkey(vkey)
        if len(material) != 33 or material[0] != ED25519:
            raise SignatureError("not an Ed25519 verifier key")
        return cls(name, PublicKey(material[1:]))

    def check(self, signature: bytes, text: str) -> None:
        self.key.verify(signature, text.encode())

    def open(self, note: str) -> Checkpoint:
        return open_checkpoint(note, self)


def sign_note(text: str, name: str, key: SigningKey) -> str:
    """The signed note over ``text`` (which ends in a newline)."""
    if not text.endswith("\n") or any(ord(c) < 0x20 and c != "\n" for c in text):
        raise SignatureError("a note's text ends in a newline and holds no control characters")
    check_key_name(name)
    signature = Verifier(name, key.public).key_id + key.sign(text.encode())
    return f"{text}\n{signature_line(name, signature)}"


def signature_line(name: str, signature: bytes) -> str:
    """``signature`` starts with the key id."""
    return f"— {name} {b64encode(signature).decode()}\n"


def open_note(note: str, verifiers: Sequence[NoteKey]) -> tuple[str, list[str]]:
    """Return the text and the names of the known keys that signed it, each name once.

    Raises:
        SignatureError: malformed, no known signature, or a known one that does not verify.
    """
    text, signed_by = signers(note, verifiers)
    return text, list(dict.fromkeys(key.name for key in signed_by))


def signers(note: str, verifiers: Sequence[NoteKey]) -> tuple[str, list[NoteKey]]:
    """Return the text and which of the known keys signed it.

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
    signed_by: list[NoteKey] = []
    for line in lines[:-1]:
        match = _SIGNATURE_LINE.fullmatch(line)
        if not match:
            raise SignatureError("a signature line of the note is malformed")
        name = match[1]
        signature = _b64decode(match[2], "a signature of the note")
        if len(signature) < 5:
            raise SignatureError("a signature of the note is truncated")
        for verifier in verifiers:
            if (verifier.name, verifier.key_id) == (name, signature[:4]):
                verifier.check(signature[4:], text)
                if verifier not in signed_by:
                    signed_by.append(verifier)
    if not signed_by:
        raise SignatureError("the note is not signed by any key that is trusted here")
    return text, signed_by


def own_line(signatures: str, key: NoteKey, text: str) -> str:
    """The one line among ``signatures`` that is ``key``'s over ``text``, verified; what else stands
    there is left out.

    Raises:
        SignatureError: there is none.
    """
    for line in signatures.split("\n")[:MAX_SIGNATURES]:
        match = _SIGNATURE_LINE.fullmatch(line)
        signature = _b64decode(match[2], "a signature of the note") if match else b""
        if match and (match[1], signature[:4]) == (key.name, key.key_id):
            key.check(signature[4:], text)
            return line + "\n"
    raise SignatureError(f"no line is signed by {key.name!r}")


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


def claimed_checkpoint(note: str) -> Checkpoint:
    """What ``note`` says *before* any signature is checked: only where that is done elsewhere.

    Raises:
        SignatureError: it holds no checkpoint.
    """
    return Checkpoint.parse(note.partition("\n\n")[0] + "\n")


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
        if (
            not separator
            or len(lines) < 2
            or lines[0] != PROOF_HEADER
            or not lines[1].startswith("index ")
        ):
            raise ProofError("not a tlog-proof")
        number = lines[1].removeprefix("index ")
        if not _DECIMAL.fullmatch(number) or len(lines) > 66:
            raise ProofError("not a tlog-proof")
        path = tuple(_b64decode(line, "a hash of the proof") for line in lines[2:])
        return cls(int(number), path, note)

    def verify(self, entry: bytes, trust: Trust) -> Checkpoint:
        """``entry`` stands in the log at ``index``; returns the checkpoint that says so.

        Raises:
            ProofError, SignatureError: it does not.
        """
        checkpoint = trust.open(self.checkpoint_note)
        verify_inclusion(leaf_hash(entry), self.index, checkpoint.size, self.path, checkpoint.root)
        return checkpoint
