"""A registry's home folder: what is in it, how it is made, and the registry that is opened from it.

It holds ``registry.key`` (signs documents), ``log.key`` (signs checkpoints), ``root-keys/`` (what
subjects' data keys are wrapped under; or ``keystore.json``, which says where else), ``ledger.key``
(what ledger pseudonyms are stored under), ``consortium.jws`` (who belongs, and which checkpoints
are believed) and ``registry.db`` (or ``database.url``, a PostgreSQL database).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from auditlog.database import Database
from auditlog.entries import Sealer
from auditlog.lease import Lease
from auditlog.ledger import Ledger
from auditlog.log import AuditLog
from auditlog.sequencer import Sequencer
from auditlog.witnesses import Witnesses
from consent.keys.backup import finish_forgetting
from consent.keys.datakeys import DataKeys
from consent.keys.keystore import FileKeyStore, KeyStore
from consent.notices import Catalogue
from consent.registry import Registry
from consent.storage.migrating import migrate
from crypto.errors import KeyFileError, SignatureError
from crypto.keys import (
    RecipientPublicKey,
    SigningKey,
    load_signing_key,
    read_secret,
    save_signing_key,
    write_secret,
)
from protocol.lawfulness import Constitution, require
from protocol.parties import Consortium, Party
from protocol.schema import now

KEY_FILE, LOG_KEY_FILE, ROOT_KEYS, KEYSTORE_FILE = (
    "registry.key",
    "log.key",
    "root-keys",
    "keystore.json",
)
LEDGER_KEY_FILE, CA_FILE = "ledger.key", "ca.crt"
LEDGER_KEY_SIZE = 32
CONSORTIUM_FILE, DATABASE_FILE, DATABASE_URL_FILE = "consortium.jws", "registry.db", "database.url"


class VaultSettings(BaseModel):
    """``keystore.json`` of a registry whose root key lives in Vault."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["vault"]
    url: str
    mount: str = "transit"
    key: str


def open_keystore(home: Path) -> KeyStore:
    """The key store of the registry in ``home``; raises KeyFileError or SealError."""
    settings = home / KEYSTORE_FILE
    if not settings.exists():
        return FileKeyStore(home / ROOT_KEYS)
    from consent.keys.vault import VaultKeyStore  # only where it is used

    try:
        vault = VaultSettings.model_validate_json(settings.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise KeyFileError(f"{settings} does not name a key store") from error
    return VaultKeyStore.from_environment(vault.url, vault.mount, vault.key)


def create_home(home: Path) -> tuple[SigningKey, SigningKey]:
    """Make a registry's keys; returns (document key, log key). The consortium is founded with
    :func:`found`."""
    home.mkdir(parents=True, mode=0o700)
    key, log_key = SigningKey.generate(), SigningKey.generate()
    save_signing_key(home / KEY_FILE, key)
    save_signing_key(home / LOG_KEY_FILE, log_key)
    FileKeyStore.create(home / ROOT_KEYS)
    write_secret(home / LEDGER_KEY_FILE, secrets.token_bytes(LEDGER_KEY_SIZE))
    return key, log_key


def _ledger_key(home: Path) -> bytes:
    """A registry of 0.2 has none yet: its lenders name everybody anew, and find the key here."""
    path = home / LEDGER_KEY_FILE
    if not path.exists():
        write_secret(path, secrets.token_bytes(LEDGER_KEY_SIZE))
    key = read_secret(path)
    if len(key) != LEDGER_KEY_SIZE:
        raise KeyFileError(f"{path} does not hold a key of {LEDGER_KEY_SIZE} bytes")
    return key


def found(home: Path, consortium: Consortium, database: str | None = None) -> str:
    """Sign the consortium, create the database (at ``database``, a PostgreSQL URL, or in ``home``).

    Returns the signed document that every party pins.

    Raises:
        Conflict: it claims a jurisdiction, and its parties do not state what that asks of them
            (:mod:`protocol.lawfulness`). Malformed: such a statement cannot be read.
    """
    require(Constitution(consortium, now().date()))
    token = consortium.sign(load_signing_key(home / KEY_FILE))
    (home / CONSORTIUM_FILE).write_text(token, encoding="utf-8")
    if database is not None:
        write_secret(home / DATABASE_URL_FILE, database.encode())
    else:
        (home / DATABASE_FILE).touch(mode=0o600)
    opened = open_database(home)
    try:
        migrate(opened)
    finally:
        opened.close()
    return token


def open_database(home: Path) -> Database:
    """The database of the registry in ``home``; raises KeyFileError or StorageFailed."""
    if (home / DATABASE_URL_FILE).exists():
        return Database(read_secret(home / DATABASE_URL_FILE).decode().strip())
    return Database(home / DATABASE_FILE)


def recipients(parties: Iterable[Party]) -> dict[str, RecipientPublicKey]:
    """Whom bodies can be sealed to."""
    return {
        p.id: RecipientPublicKey.from_text(p.recipient_key)
        for p in parties
        if p.recipient_key is not None
    }


def authority_in(home: Path) -> Path | None:
    """The certificate authority that witnesses are believed by, if the home holds one; else the
    system's are."""
    path = home / CA_FILE
    return path if path.exists() else None


def open_registry(home: Path, lease: Lease | None = None) -> Registry:
    """Open the registry in ``home``; ``lease`` is given where several processes write under one
    name.

    Raises:
        KeyFileError, SignatureError: its keys or its consortium document are not in order.
        StorageFailed: its database does not open.
    """
    key = load_signing_key(home / KEY_FILE)
    try:
        token = (home / CONSORTIUM_FILE).read_text(encoding="utf-8")
    except OSError as error:
        raise KeyFileError(
            f"{home} is not the home of a registry that was founded ({error.strerror})"
        ) from error
    consortium = Consortium.verify(token, key.public)
    log_key = load_signing_key(home / LOG_KEY_FILE)
    if log_key.public != consortium.log.verifier.key:
        raise SignatureError(
            f"the log's key in {home} is not the one that the consortium document names"
        )
    keys = DataKeys(open_keystore(home))
    database = open_database(home)
    migrate(database)
    log = AuditLog(consortium.log_origin, log_key, consortium.policy, now, lease or Lease())
    witnesses = Witnesses.of(consortium.policy, authority=authority_in(home))
    ledger = Ledger(
        database=database,
        log=log,
        sequencer=Sequencer(database, log, witnesses),
        sealer=Sealer(recipients(consortium.parties)),
    )
    registry = Registry(
        home=home,
        ledger=ledger,
        keys=keys,
        signing_key=key,
        consortium_token=token,
        consortium=consortium,
        catalogue=Catalogue(key.public),
        ledger_key=_ledger_key(home),
    )
    finish_forgetting(registry)
    return registry


@contextmanager
def opened(home: Path) -> Iterator[Registry]:
    """The registry in ``home``, closed again on the way out."""
    registry = open_registry(home)
    try:
        yield registry
    finally:
        registry.close()
