"""Keys: Ed25519 for signatures, the ML-KEM-768 + X25519 hybrid for sealed bodies, and the files
that hold them.

Private keys are written with mode 0600 and never leave the folder of the party that owns them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey
from joserfc.jwk import OKPKey

from crypto.errors import KeyFileError, SignatureError


def b64(data: bytes) -> str:
    """Base64url without padding (RFC 7515 section 2)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Inverse of :func:`b64`; raises ValueError on anything that is not its output."""
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64(data) != text:
        raise ValueError("not canonical base64url")
    return data


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 verification key, by its 32 raw bytes (RFC 8032)."""

    raw: bytes

    @classmethod
    def from_text(cls, text: str) -> PublicKey:
        try:
            raw = unb64(text)
        except ValueError as error:
            raise SignatureError(f"not a public key: {error}") from error
        if len(raw) != 32:
            raise SignatureError(f"an Ed25519 public key has 32 bytes, this one has {len(raw)}")
        return cls(raw)

    @property
    def text(self) -> str:
        return b64(self.raw)

    @cached_property
    def thumbprint(self) -> str:
        """SHA-256 of the raw key, base64url: the ``kid`` of every document it signs."""
        return b64(hashlib.sha256(self.raw).digest())

    @property
    def short(self) -> str:
        """Eight characters for messages to people."""
        return self.thumbprint[:8]

    @cached_property
    def jwk(self) -> OKPKey:
        return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": self.text})

    @cached_property
    def _public(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.raw)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Raises SignatureError unless ``signature`` is this key's over ``message``."""
        try:
            self._public.verify(signature, message)
        except (InvalidSignature, ValueError) as error:
            raise SignatureError(f"signature does not verify under key {self.short}") from error


@dataclass(frozen=True, repr=False)
class SigningKey:
    """An Ed25519 private key. Its ``repr`` never shows the secret."""

    seed: bytes

    @classmethod
    def generate(cls) -> SigningKey:
        return cls(os.urandom(32))

    @cached_property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @cached_property
    def public(self) -> PublicKey:
        return PublicKey(self._private.public_key().public_bytes_raw())

    @cached_property
    def jwk(self) -> OKPKey:
        return OKPKey.import_key(
            {"kty": "OKP", "crv": "Ed25519", "x": self.public.text, "d": b64(self.seed)}
        )

    def sign(self, message: bytes) -> bytes:
        return self._private.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey({self.public.short}…)"


@dataclass(frozen=True)
class RecipientPublicKey:
    """Whom a body can be sealed to: ML-KEM-768 encapsulation key followed by an X25519 key (1,216
    bytes)."""

    raw: bytes

    @property
    def text(self) -> str:
        return b64(self.raw)

    @classmethod
    def from_text(cls, text: str) -> RecipientPublicKey:
        return cls(unb64(text))

    def hpke(self) -> MLKEM768X25519PublicKey:
        return MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(self.raw[:1184]),
            X25519PublicKey.from_public_bytes(self.raw[1184:]),
        )


@dataclass(frozen=True, repr=False)
class RecipientKey:
    """The private half of :class:`RecipientPublicKey`: a 64-byte ML-KEM seed and a 32-byte X25519
    scalar."""

    mlkem_seed: bytes
    x25519_scalar: bytes

    @classmethod
    def generate(cls) -> RecipientKey:
        return cls(MLKEM768PrivateKey.generate().private_bytes_raw(), os.urandom(32))

    def _parts(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        return MLKEM768PrivateKey.from_seed_bytes(
            self.mlkem_seed
        ), X25519PrivateKey.from_private_bytes(self.x25519_scalar)

    def hpke(self) -> MLKEM768X25519PrivateKey:
        return MLKEM768X25519PrivateKey(*self._parts())

    @cached_property
    def public(self) -> RecipientPublicKey:
        mlkem, x25519 = self._parts()
        return RecipientPublicKey(
            mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        )

    def __repr__(self) -> str:
        return "RecipientKey(…)"


@contextmanager
def _written(path: Path, content: bytes) -> Iterator[Path]:
    """``content`` on the disk beside ``path``, mode 0600, for the caller to put in place; durable
    on leaving."""
    partial = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield partial
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_secret(path: Path, secret: bytes) -> None:
    """Create ``path`` with mode 0600 and the secret in it, whole or not at all; refuses to
    overwrite."""
    with _written(path, secret) as partial:
        os.link(partial, path)


def replace_file(path: Path, content: bytes) -> None:
    """Write ``path`` anew, whole or not at all, with mode 0600; durable when this returns."""
    with _written(path, content) as partial:
        partial.replace(path)


def sync_folder(folder: Path) -> None:
    """What was created, renamed or removed in ``folder`` is durable when this returns."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def new_home(home: Path) -> Iterator[Path]:
    """Where to make what shall stand at ``home``: it gets there whole when this is left, or not at
    all.

    Whatever is refused or fails on the way leaves nothing, so that the corrected command works.

    Raises:
        KeyFileError: something is at ``home`` already; what is made once is made in a new folder.
    """
    if home.exists() or home.is_symlink():
        raise KeyFileError(f"{home} exists already; it is made once, in a new folder")
    home.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{home.name}.", dir=home.parent))
    try:
        yield beside / home.name
        (beside / home.name).rename(home)
        sync_folder(home.parent)
    finally:
        shutil.rmtree(beside)


def read_secret(path: Path, size: int | None = None) -> bytes:
    """Read a secret, of exactly ``size`` bytes where one is given.

    Raises:
        KeyFileError: the file is missing, unreadable, of another size, or readable by others.
    """
    try:
        secret = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        raise KeyFileError(f"cannot read the key file {path}: {error.strerror}") from error
    if mode & 0o077:
        raise KeyFileError(f"the key file {path} can be read by others; run: chmod 600 {path}")
    if size is not None and len(secret) != size:
        raise KeyFileError(f"the key file {path} has {len(secret)} bytes, expected {size}")
    return secret


def save_signing_key(path: Path, key: SigningKey) -> None:
    write_secret(path, key.seed)


def load_signing_key(path: Path) -> SigningKey:
    return SigningKey(read_secret(path, 32))


def save_recipient_key(path: Path, key: RecipientKey) -> None:
    write_secret(path, key.mlkem_seed + key.x25519_scalar)


def load_recipient_key(path: Path) -> RecipientKey:
    secret = read_secret(path, 96)
    return RecipientKey(secret[:64], secret[64:])
