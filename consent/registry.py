"""The registry as its commands see it: storage, log, keys, consortium, clock.

A registry's home folder holds ``registry.key`` (signs documents), ``log.key`` (signs checkpoints), ``root-keys/`` (what
subjects' data keys are wrapped under; or ``keystore.json``, which says where else), ``ledger.key`` (what ledger
pseudonyms are stored under), ``consortium.jws`` (who belongs, and which checkpoints are believed) and ``registry.db``
(or ``database.url``, a PostgreSQL database).
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy.orm import Session

from consent.catalogue import Catalogue
from consent.datakeys import DataKeys
from consent.documents import Consortium, Party, Role
from consent.entries import Entry, Sealer
from consent.errors import LogHeld, NotFound, StorageFailed
from consent.idempotency import Answered, Once, recall, remember
from consent.keybackup import finish_forgetting
from consent.keystore import FileKeyStore, KeyStore
from consent.log import AuditLog
from consent.schema import now
from consent.sequencer import Sequencer
from consent.storage.database import Database, migrate
from consent.storage.lease import Lease
from consent.witnesses import Witnesses
from crypto.errors import KeyFileError, SignatureError
from crypto.keys import RecipientPublicKey, SigningKey, load_signing_key, read_secret, save_signing_key, write_secret
from crypto.notes import InclusionProof

KEY_FILE, LOG_KEY_FILE, ROOT_KEYS, KEYSTORE_FILE = "registry.key", "log.key", "root-keys", "keystore.json"
LEDGER_KEY_FILE, CA_FILE = "ledger.key", "ca.crt"
LEDGER_KEY_SIZE = 32
CONSORTIUM_FILE, DATABASE_FILE, DATABASE_URL_FILE = "consortium.jws", "registry.db", "database.url"


logger = logging.getLogger("tahini.registry")
_WRITING: ContextVar[Session | None] = ContextVar("tahini_writing", default=None)
"""The transaction that a command which acts once runs in."""


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
    from consent.vault import VaultKeyStore  # only where it is used

    try:
        vault = VaultSettings.model_validate_json(settings.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise KeyFileError(f"{settings} does not name a key store") from error
    return VaultKeyStore.from_environment(vault.url, vault.mount, vault.key)


@dataclass(frozen=True)
class Registry:
    home: Path
    database: Database
    log: AuditLog
    sequencer: Sequencer
    keys: DataKeys
    sealer: Sealer
    signing_key: SigningKey = field(repr=False)
    consortium_token: str
    consortium: Consortium
    catalogue: Catalogue
    ledger_key: bytes = field(repr=False)
    """What ledger pseudonyms are stored under: without it a copy of the database does not say who is who."""
    clock: Callable[[], datetime] = now

    @property
    def me(self) -> Party:
        return self.consortium.one(Role.REGISTRY)

    def sealed_to_auditor(self, kind: str, actor: str, public: Mapping[str, Any], body: bytes) -> Entry:
        """An entry whose body the auditor can read."""
        auditor = self.consortium.one(Role.AUDITOR)
        if auditor.id not in self.sealer.recipients:
            raise NotFound("the auditor has no recipient key; nothing can be sealed to it")
        return self.sealer.entry(kind, actor, public, (auditor.id,), body)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A write transaction; the sequencer is told when it has committed. Within :meth:`once`, that transaction."""
        ambient = _WRITING.get()
        if ambient is not None:
            yield ambient
            return
        with self.database.write() as session:
            yield session
        self.sequencer.notify()

    def once(self, once: Once | None, do: Callable[[], tuple[int, Any]]) -> Answered:
        """Run a command and keep its answer, in one transaction; answer as before if it was run before.

        Args:
            do: returns status and a JSON body. What it writes with :meth:`write` is part of the transaction.
        """
        if once is None:
            return Answered(*do())
        with self.write() as session:
            earlier = recall(session, [once], self.clock()).get(once)
            if isinstance(earlier, Exception):
                raise earlier
            if earlier is not None:
                return earlier
            token = _WRITING.set(session)
            try:
                answered = Answered(*do())
            finally:
                _WRITING.reset(token)
            remember(session, [(once, answered)], self.clock())
        return answered

    def proved(self, index: int) -> tuple[bytes, InclusionProof]:
        """Leaf and inclusion proof of an entry, once it is under a published checkpoint.

        Raises:
            NotWitnessed: no quorum of witnesses has cosigned it in time. The entry is durable all the same.
        """
        self.sequencer.wait_for(index)
        with self.database.read() as session:
            return self.log.entry(session, index).leaf, self.log.prove_inclusion(session, index)

    def catch_up(self) -> None:
        """Return once everything that is logged now is under a published checkpoint; raises NotWitnessed."""
        with self.database.read() as session:
            size = self.log.size(session)
        if size:
            self.sequencer.wait_for(size - 1)

    def at(self, clock: Callable[[], datetime]) -> Registry:
        """The same registry under another clock."""
        log = replace(self.log, clock=clock)
        return replace(self, clock=clock, log=log, sequencer=Sequencer(self.database, log, self.sequencer.witnesses))

    def close(self) -> None:
        """Stop the sequencer, let another process write, close the database."""
        self.sequencer.stop()
        try:
            if self.log.lease.epoch:
                with self.database.write() as session:
                    self.log.lease.release(session)
        except (LogHeld, StorageFailed) as error:
            logger.info("whoever writes next waits until the lease is over: %s", error)
        finally:
            self.database.close()


def create_home(home: Path) -> tuple[SigningKey, SigningKey]:
    """Make a registry's keys; returns (document key, log key). The consortium is founded with :func:`found`."""
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
    """
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
    return {p.id: RecipientPublicKey.from_text(p.recipient_key) for p in parties if p.recipient_key is not None}


def authority_in(home: Path) -> Path | None:
    """The certificate authority that witnesses are believed by, if the home holds one; else the system's are."""
    path = home / CA_FILE
    return path if path.exists() else None


def open_registry(home: Path, lease: Lease | None = None) -> Registry:
    """Open the registry in ``home``; ``lease`` is given where several processes write under one name.

    Raises:
        KeyFileError, SignatureError: its keys or its consortium document are not in order.
        StorageFailed: its database does not open.
    """
    key = load_signing_key(home / KEY_FILE)
    try:
        token = (home / CONSORTIUM_FILE).read_text(encoding="utf-8")
    except OSError as error:
        raise KeyFileError(f"{home} is not the home of a registry that was founded ({error.strerror})") from error
    consortium = Consortium.verify(token, key.public)
    log_key = load_signing_key(home / LOG_KEY_FILE)
    if log_key.public != consortium.log.verifier.key:
        raise SignatureError(f"the log's key in {home} is not the one that the consortium document names")
    keys = DataKeys(open_keystore(home))
    database = open_database(home)
    migrate(database)
    log = AuditLog(consortium.log_origin, log_key, consortium.policy, now, lease or Lease())
    registry = Registry(
        home=home,
        database=database,
        log=log,
        sequencer=Sequencer(database, log, Witnesses.of(consortium.policy, authority=authority_in(home))),
        keys=keys,
        sealer=Sealer(recipients(consortium.parties)),
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
