"""Backups of the wrapped keys, which never bring back who was forgotten.

A backup holds group keys and data keys as they are wrapped in the database, nothing in clear: without the key store's
root key it is noise. Every forgetting destroys the root version that older backups need, so the registry writes the
backups it knows of anew, at once (:func:`refresh_backups`); an older copy is refused, with the reason.

Back up the database (or its write-ahead log) as you like: it is the log and the states. Back up the keys with
:func:`write_backup`. Restoring is database first, then keys.
"""

from __future__ import annotations

import json
import logging
import os
from base64 import b64decode, b64encode
from collections import Counter
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from consent.datakeys import StoredKey, check_groups
from consent.errors import Conflict
from consent.keystore import Wrapped
from consent.registry import Registry
from consent.storage.database import upsert
from consent.storage.tables import DataKeyRow, KeyGroupRow, SubjectRow
from crypto.errors import SealError

BACKUPS_FILE = "key-backups.json"
logger = logging.getLogger("tahini.keys")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BackedGroup(_Strict):
    id: int = Field(ge=1)
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
    with registry.database.read() as session:
        groups = session.scalars(select(KeyGroupRow).order_by(KeyGroupRow.id)).all()
        keys = session.execute(
            select(DataKeyRow, SubjectRow.pseudonym).join(SubjectRow, SubjectRow.id == DataKeyRow.subject_id)
        ).all()
        return KeyBackup(
            log_origin=registry.log.origin,
            groups=tuple(
                BackedGroup(id=g.id, root_version=g.root_version, wrapped=b64encode(g.wrapped).decode()) for g in groups
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


def known_backups(registry: Registry) -> list[Path]:
    file = registry.home / BACKUPS_FILE
    return [Path(name) for name in json.loads(file.read_text())] if file.exists() else []


def write_backup(registry: Registry, path: Path) -> KeyBackup:
    """Write a backup to ``path`` (replacing one) and keep it current after every forgetting from now on."""
    backup = take_backup(registry)
    _replace(path, backup.model_dump_json())
    known = known_backups(registry)
    if path.absolute() not in known:
        names = [str(item) for item in [*known, path.absolute()]]
        _replace(registry.home / BACKUPS_FILE, json.dumps(names))
    return backup


def refresh_backups(registry: Registry) -> None:
    """Write every known backup anew. One that cannot be reached stays as it is: blind, since its root key is gone."""
    for path in known_backups(registry):
        try:
            write_backup(registry, path)
        except OSError as error:
            logger.warning(
                "the key backup %s could not be renewed (%s) and can no longer be restored; run: tahini keys backup",
                path,
                error.strerror,
            )


def restore_backup(registry: Registry, path: Path) -> int:
    """Put back the data keys in ``path``, but for those that the log says were destroyed; returns how many.

    Rows of an older copy of the database that no key opens any more are removed.

    Raises:
        Conflict: not a backup of this registry, or older than the last forgetting: its root key was destroyed.
    """
    try:
        backup = KeyBackup.model_validate_json(path.read_text())
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise Conflict(f"{path} is not a backup of a registry's keys") from error
    if backup.log_origin != registry.log.origin:
        raise Conflict(f"{path} belongs to the registry of log {backup.log_origin!r}")
    wrapped = {g.id: Wrapped(g.root_version, b64decode(g.wrapped)) for g in backup.groups}
    check_groups(registry.keys.store, wrapped, str(path))
    with registry.database.write() as session:
        forgotten = _forgotten_keys(registry, session)
        people = {row.id: row.pseudonym for row in session.scalars(select(SubjectRow))}
        living = [
            key for key in backup.keys if key.key_id not in forgotten and people.get(key.subject_id) == key.pseudonym
        ]
        counted = Counter(key.group_id for key in living)
        groups = [
            {"id": i, "root_version": g.version, "wrapped": g.ciphertext, "members": counted[i]}
            for i, g in wrapped.items()
        ]
        rows = [
            {
                "subject_id": key.subject_id,
                "group_id": key.group_id,
                "key_id": key.key_id,
                "wrapped": b64decode(key.wrapped),
            }
            for key in living
        ]
        if groups:
            upsert(session, KeyGroupRow, ["id"], ["root_version", "wrapped", "members"], groups)
        if rows:
            upsert(session, DataKeyRow, ["subject_id"], ["group_id", "key_id", "wrapped"], rows)
        kept = {key.subject_id for key in living}
        for row in session.scalars(select(DataKeyRow).where(DataKeyRow.group_id.in_(list(wrapped)))).all():
            if row.subject_id not in kept and not _opens(registry, session, row, people[row.subject_id]):
                session.delete(row)
    return len(rows)


def _opens(registry: Registry, session: Session, row: DataKeyRow, pseudonym: str) -> bool:
    """Whether a key that the backup does not know is wrapped under its group's key: enrolled since, or blind?"""
    group = session.get_one(KeyGroupRow, row.group_id)
    try:
        registry.keys.unwrap([StoredKey(pseudonym, row.wrapped, group.id, Wrapped(group.root_version, group.wrapped))])
    except SealError:
        return False
    return True


def _forgotten_keys(registry: Registry, session: Session) -> set[str]:
    """Names of the keys that the log says were destroyed."""
    found = set()
    for leaf in registry.log.leaves(session, 0, registry.log.size(session)):
        if b'"subject.forgotten"' in leaf:
            fields = json.loads(leaf)
            if fields["type"] == "subject.forgotten":
                found.add(str(fields["key"]))
    return found


def _replace(path: Path, text: str) -> None:
    """Atomically, with mode 0600, durable when this returns."""
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
