"""The registry as its commands see it: storage, log, keys, consortium, clock.

A registry's home folder holds ``registry.key`` (signs documents), ``log.key`` (signs checkpoints), ``kek.key`` (wraps
subjects' data keys), ``consortium.jws`` (who belongs) and ``registry.db``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from consent.documents import Consortium, Party, Role, now
from consent.errors import NotFound
from consent.log import AuditLog
from consent.storage import Database
from crypto.keys import RecipientPublicKey, SigningKey, load_signing_key, read_secret, save_signing_key, write_secret
from crypto.sealing import new_data_key, unwrap_key, wrap_key

KEY_FILE, LOG_KEY_FILE, KEK_FILE = "registry.key", "log.key", "kek.key"
CONSORTIUM_FILE, DATABASE_FILE = "consortium.jws", "registry.db"


@dataclass(frozen=True)
class KeyStore:
    """Subjects' data keys, wrapped under a key-encryption key that lives in a file of the registry's."""

    key_encryption_key: bytes = field(repr=False)

    def new(self, pseudonym: str) -> tuple[bytes, bytes]:
        """A fresh data key and its wrapped form."""
        data_key = new_data_key()
        return data_key, wrap_key(self.key_encryption_key, data_key, pseudonym.encode())

    def unwrap(self, pseudonym: str, wrapped: bytes) -> bytes:
        return unwrap_key(self.key_encryption_key, wrapped, pseudonym.encode())


@dataclass(frozen=True)
class Registry:
    database: Database
    log: AuditLog
    keys: KeyStore
    signing_key: SigningKey
    consortium_token: str
    consortium: Consortium
    clock: Callable[[], datetime] = now

    @property
    def me(self) -> Party:
        return self.consortium.one(Role.REGISTRY)

    @property
    def auditor_key(self) -> tuple[str, RecipientPublicKey]:
        """Who institutional bodies are sealed to."""
        auditor = self.consortium.one(Role.AUDITOR)
        if auditor.recipient_key is None:
            raise NotFound("the auditor has no recipient key; nothing can be sealed to it")
        return auditor.id, RecipientPublicKey.from_text(auditor.recipient_key)

    def at(self, clock: Callable[[], datetime]) -> Registry:
        """The same registry under another clock."""
        return replace(self, clock=clock)

    def close(self) -> None:
        self.database.close()


def create_home(home: Path) -> tuple[SigningKey, SigningKey]:
    """Make a registry's keys; returns (document key, log key). The consortium is founded with :func:`found`."""
    home.mkdir(parents=True, mode=0o700)
    key, log_key = SigningKey.generate(), SigningKey.generate()
    save_signing_key(home / KEY_FILE, key)
    save_signing_key(home / LOG_KEY_FILE, log_key)
    write_secret(home / KEK_FILE, new_data_key())
    return key, log_key


def found(home: Path, consortium: Consortium) -> str:
    """Sign the consortium, create the database; returns the signed document that every party pins."""
    token = consortium.sign(load_signing_key(home / KEY_FILE))
    (home / CONSORTIUM_FILE).write_text(token)
    (home / DATABASE_FILE).touch(mode=0o600)
    database = Database(home / DATABASE_FILE)
    database.migrate()
    database.close()
    return token


def open_registry(home: Path) -> Registry:
    """Open the registry in ``home``.

    Raises:
        KeyFileError, SignatureError: its keys or its consortium document are not in order.
    """
    key = load_signing_key(home / KEY_FILE)
    token = (home / CONSORTIUM_FILE).read_text()
    consortium = Consortium.verify(token, key.public)
    database = Database(home / DATABASE_FILE)
    database.migrate()
    return Registry(
        database=database,
        log=AuditLog(consortium.log_origin, load_signing_key(home / LOG_KEY_FILE)),
        keys=KeyStore(read_secret(home / KEK_FILE, 32)),
        signing_key=key,
        consortium_token=token,
        consortium=consortium,
    )
