"""Backups of the wrapped keys, which never bring back who was forgotten.

A backup holds group keys and data keys as they are wrapped in the database, nothing in clear:
without the key store's root key it is noise. Every forgetting destroys the root version that older
backups need, so the registry first writes the backups it knows of anew (:func:`forgetting`); an
older copy is refused, with the reason.

Back up the database (or its write-ahead log) as you like: it is the log and the states. Back up the
keys with :func:`write_backup`. Restoring is database first, then keys.
"""

from __future__ import annotations

import fcntl
import json
import logging
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from auditlog.database import upsert
from consent.keys.keystore import Wrapped
from consent.storage.tables import DataKeyRow, KeyGroupRow, SubjectRow
from crypto.keys import replace_file
from protocol.errors import Conflict

if TYPE_CHECKING:
    from consent.registry import Registry

BACKUPS_FILE, LOCK_FILE = "key-backups.json", "key-backups.lock"
logger = logging.getLogger("tahini.keys")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BackedGroup(_Strict):
    id: int
    root_version: int = Field(ge=1)
    wrapped: str


class BackedKey(_Strict):
    subject_id: int
    pseudonym: str
    group_id: int
    key_id: str
    wrapped: str


class KeyBackup(_Strict):
    """Everything below the root key, wrapped."""

    version: int = 1
    log_origin: str
    groups: tuple[BackedGroup, ...]
    keys: tuple[BackedKey, ...]


def take_backup(registry: Registry) -> KeyBackup:
    with registry.ledger.read() as session:
        groups = session.scalars(select(KeyGroupRow).order_by(KeyGroupRow.id)).all()
        keys = session.execute(
            select(DataKeyRow, SubjectRow.pseudonym).join(
                SubjectRow, SubjectRow.id == DataKeyRow.subject_id
            )
        ).all()
        return KeyBackup(
            log_origin=registry.ledger.log.origin,
            groups=tuple(
                BackedGroup(
                    id=g.id, root_version=g.root_version, wrapped=b64encode(g.wrapped).decode()
                )
                for g in groups
            ),
            keys=tuple(
                BackedKey(
                    subject_id=row.subject_id,
                    pseudonym=pseudonym,
                    group_id=row.group_id,
                    key_id=row.key_id,
                    wrapped=b64encode(row.wrapped).decode(),
                )
                for row, pseudonym in keys
            ),
        )


def _groups(backup: KeyBackup) -> dict[int, Wrapped]:
    return {
        group.id: Wrapped(group.root_version, b64decode(group.wrapped)) for group in backup.groups
    }


def known_backups(registry: Registry) -> list[Path]:
    file = registry.home / BACKUPS_FILE
    return (
        [Path(name) for name in json.loads(file.read_text(encoding="utf-8"))]
        if file.exists()
        else []
    )


def write_backup(registry: Registry, path: Path) -> KeyBackup:
    """Write a backup to ``path`` (replacing one) and keep it current after every forgetting from
    now on."""
    with _alone(registry):
        backup = _write(registry, path)
        known = known_backups(registry)
        if path.absolute() not in known:
            names = [str(item) for item in [*known, path.absolute()]]
            replace_file(registry.home / BACKUPS_FILE, json.dumps(names).encode())
    return backup


def _write(registry: Registry, path: Path) -> KeyBackup:
    """Raises Conflict when the keys do not open: a good backup is not replaced by a blind one."""
    backup = take_backup(registry)
    groups = _groups(backup)
    if len(registry.keys.group_keys(groups)) != len(groups):
        raise Conflict("the keys in the database do not open; nothing was backed up")
    replace_file(path, backup.model_dump_json().encode())
    return backup


def _refresh(registry: Registry) -> None:
    """Write every known backup anew. One that cannot be reached stays as it is, and is blind from
    now on."""
    for path in known_backups(registry):
        try:
            _write(registry, path)
        except (OSError, Conflict) as error:
            logger.warning(
                "the key backup %s could not be renewed (%s) and can no longer be restored; run: "
                "tahini keys backup",
                path,
                error,
            )


@contextmanager
def forgetting(registry: Registry) -> Iterator[None]:
    """What is committed in here destroys keys: afterwards the backups are renewed, and only then
    the old root goes.

    Raises:
        KeyStoreUnavailable, KeyFileError: the old root is still there; the next start, or the next
        forgetting, ends it.
    """
    with _alone(registry):
        try:
            yield
        finally:
            _finish(registry)


def finish_forgetting(registry: Registry) -> None:
    """Destroy root versions that nothing is wrapped under: what a crash may have left of a
    forgetting."""
    with _alone(registry):
        _finish(registry)


def _finish(registry: Registry) -> None:
    with registry.ledger.read() as session:
        oldest = registry.keys.oldest_root(session)
    if oldest is not None and registry.keys.store.oldest() < oldest:
        _refresh(registry)
        registry.keys.store.destroy_before(oldest)
        registry.ledger.database.truncate_journal()


@contextmanager
def _alone(registry: Registry) -> Iterator[None]:
    """One process and thread at a time renews backups or destroys roots."""
    with (registry.home / LOCK_FILE).open("a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def restore_backup(registry: Registry, path: Path) -> int:
    """Put back the data keys in ``path`` that no longer open, but for those the log says were
    destroyed.

    A group that still opens in the database stays as it is, and nothing is ever deleted.
    Returns how many data keys were put back.

    Raises:
        Conflict: not a backup of this registry, or older than the last forgetting: its root key was
            destroyed.
    """
    try:
        backup = KeyBackup.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise Conflict(f"{path} is not a backup of a registry's keys") from error
    if backup.log_origin != registry.ledger.log.origin:
        raise Conflict(f"{path} belongs to the registry of log {backup.log_origin!r}")
    with _alone(registry), registry.ledger.database.write() as session:
        registry.ledger.log.lease.hold(session)
        held = _groups(backup)
        opened = registry.keys.group_keys(held)
        if len(opened) != len(held):
            raise Conflict(
                f"{path} was made before somebody was forgotten, or before a rotation: the root "
                "key that it needs was destroyed. Use a newer backup."
            )
        present = {
            row.id: Wrapped(row.root_version, row.wrapped)
            for row in session.scalars(select(KeyGroupRow)).all()
        }
        live = registry.keys.group_keys(present)
        rows = _missing(registry, session, backup, opened, live)
        counted = Counter(row["group_id"] for row in rows)
        groups = [
            {"id": i, "root_version": g.version, "wrapped": g.ciphertext, "members": counted[i]}
            for i, g in held.items()
            if i not in live
        ]
        if groups:
            upsert(session, KeyGroupRow, ["id"], ["root_version", "wrapped", "members"], groups)
        if rows:
            upsert(session, DataKeyRow, ["subject_id"], ["group_id", "key_id", "wrapped"], rows)
    return len(rows)


def _missing(
    registry: Registry,
    session: Session,
    backup: KeyBackup,
    opened: dict[int, bytes],
    live: dict[int, bytes],
) -> list[dict[str, Any]]:
    """Rows of the backup that belong to living people and whose group is either blind here or the
    very same."""
    forgotten = _forgotten_keys(registry, session)
    people = {row.id: row.pseudonym for row in session.scalars(select(SubjectRow))}
    there = {row.subject_id: row.group_id for row in session.scalars(select(DataKeyRow))}
    return [
        {
            "subject_id": key.subject_id,
            "group_id": key.group_id,
            "key_id": key.key_id,
            "wrapped": b64decode(key.wrapped),
        }
        for key in backup.keys
        if key.key_id not in forgotten
        and people.get(key.subject_id) == key.pseudonym
        and there.get(key.subject_id) not in live
        and live.get(key.group_id, opened[key.group_id]) == opened[key.group_id]
    ]


def _forgotten_keys(registry: Registry, session: Session) -> set[str]:
    """Names of the keys that the log says were destroyed."""
    found = set()
    for leaf in registry.ledger.log.leaves(session, 0, registry.ledger.log.size(session)):
        if b'"subject.forgotten"' in leaf:
            fields = json.loads(leaf)
            if fields["type"] == "subject.forgotten":
                found.add(str(fields["key"]))
    return found
