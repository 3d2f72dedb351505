"""Borrowers' data keys: made, unwrapped, and destroyed so that no backup brings them back.

    root key, versioned, in the KeyStore  →  group keys  →  data keys of up to 256 borrowers each

To forget somebody: their row goes, their group gets a fresh group key under which the others' data
keys are wrapped anew, every group key is wrapped under a new version of the root key, and the old
version is destroyed. Whatever an old copy of the database holds is then wrapped under a key that
exists nowhere. The work is one group and the list of groups, not the list of people (Di Crescenzo
et al., "How to forget a secret", STACS 1999).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.orm import Session

from auditlog.database import bulk_insert
from consent.keys.keystore import KeyStore, Wrapped
from consent.storage.tables import DataKeyRow, KeyGroupRow, SubjectRow
from crypto.bodies import new_data_key, unwrap_key, wrap_key
from crypto.errors import SealError
from protocol.errors import NotFound

GROUP_SIZE = 256
_MAX_CACHED = 4096
_IN_CHUNK = 500
_COLUMNS = {"subject_id": "int8", "group_id": "int8", "key_id": "text", "wrapped": "bytea"}


def _group_context(group_id: int) -> bytes:
    return f"tahini/key-group/{group_id}".encode()


@dataclass(frozen=True)
class StoredKey:
    """A subject's data key as it lies in the database, with the group key it is wrapped under."""

    pseudonym: str
    wrapped: bytes = field(repr=False)
    group_id: int
    group: Wrapped = field(repr=False)


def _opened(group_key: bytes, key: StoredKey) -> bytes | None:
    try:
        return unwrap_key(group_key, key.wrapped, key.pseudonym.encode())
    except SealError:
        return None


@dataclass(frozen=True)
class DataKeys:
    """All operations run inside the caller's transaction."""

    store: KeyStore
    _cache: dict[int, tuple[bytes, bytes]] = field(default_factory=dict, repr=False)
    """Unwrapped group keys by group, with the wrapped form they belong to."""

    def create(self, session: Session, subjects: Sequence[tuple[int, str]]) -> None:
        """A fresh data key for each (subject id, pseudonym)."""
        rows: list[tuple[int, int, str, bytes]] = []
        waiting = list(subjects)
        while waiting:
            group = self._open_group(session)
            key = self._group_keys([group])[group.id]
            taken = waiting[: GROUP_SIZE - group.members]
            waiting = waiting[GROUP_SIZE - group.members :]
            group.members += len(taken)
            rows += [
                (
                    subject,
                    group.id,
                    secrets.token_hex(16),
                    wrap_key(key, new_data_key(), pseudonym.encode()),
                )
                for subject, pseudonym in taken
            ]
        bulk_insert(session, DataKeyRow.__tablename__, _COLUMNS, rows)

    def _open_group(self, session: Session) -> KeyGroupRow:
        """The newest group if it has room, else a new one."""
        group = session.scalars(
            select(KeyGroupRow).order_by(KeyGroupRow.id.desc()).limit(1)
        ).one_or_none()
        if group is not None and group.members < GROUP_SIZE:
            return group
        number = max(group.id if group else 0, 0) + 1
        [wrapped] = self.store.wrap([(_group_context(number), new_data_key())])
        group = KeyGroupRow(
            id=number, root_version=wrapped.version, wrapped=wrapped.ciphertext, members=0
        )
        session.add(group)
        session.flush()
        return group

    def reserved(self, session: Session, number: int, *, make: bool = False) -> bytes | None:
        """A key of the registry's own, under the root key like a group's; None while it was not
        made.

        Args:
            number: below zero, where no group of borrowers is.

        Raises:
            SealError: what was restored is wrapped under a root key that was destroyed.
            KeyStoreUnavailable.
        """
        group = session.get(KeyGroupRow, number)
        if group is not None:
            return self._group_keys([group])[number]
        return self.renew_reserved(session, number) if make else None

    def renew_reserved(self, session: Session, number: int) -> bytes:
        """A fresh key in the place of the one of this number; returns it."""
        fresh = new_data_key()
        [wrapped] = self.store.wrap([(_group_context(number), fresh)])
        group = KeyGroupRow(
            id=number, root_version=wrapped.version, wrapped=wrapped.ciphertext, members=0
        )
        session.merge(group)
        session.flush()
        return fresh

    def _group_keys(self, groups: Sequence[KeyGroupRow]) -> dict[int, bytes]:
        return self._unwrap_groups(
            {group.id: Wrapped(group.root_version, group.wrapped) for group in groups}
        )

    def _unwrap_groups(self, groups: dict[int, Wrapped]) -> dict[int, bytes]:
        found = {
            i: known[1]
            for i, g in groups.items()
            if (known := self._cache.get(i)) and known[0] == g.ciphertext
        }
        missing = [i for i in groups if i not in found]
        if missing:
            keys = self.store.unwrap([(_group_context(i), groups[i]) for i in missing])
            if len(self._cache) + len(missing) > _MAX_CACHED:
                self._cache.clear()
            for i, key in zip(missing, keys, strict=True):
                found[i] = key
                self._cache[i] = (groups[i].ciphertext, key)
        return found

    def unwrap(self, keys: Sequence[StoredKey]) -> list[bytes | None]:
        """The data keys; None for one that its group's key does not open: it was destroyed.

        Raises:
            SealError: a group key was destroyed since it was read. KeyStoreUnavailable.
        """
        groups = self._unwrap_groups({key.group_id: key.group for key in keys})
        return [_opened(groups[key.group_id], key) for key in keys]

    def rename(self, session: Session, renamed: Sequence[tuple[int, str, bytes]]) -> None:
        """Wrap the data keys of (subject id, new pseudonym, data key) for their new names."""
        rows: list[tuple[int, int]] = []
        ids = [subject for subject, _, _ in renamed]
        for start in range(0, len(ids), _IN_CHUNK):
            part = select(DataKeyRow.subject_id, DataKeyRow.group_id).where(
                DataKeyRow.subject_id.in_(ids[start : start + _IN_CHUNK])
            )
            rows += [(row[0], row[1]) for row in session.execute(part)]
        groups = dict(rows)
        held = {
            group.id: group
            for group in session.scalars(
                select(KeyGroupRow).where(KeyGroupRow.id.in_(set(groups.values())))
            )
        }
        keys = self._group_keys(list(held.values()))
        table: Any = DataKeyRow.__table__
        session.connection().execute(
            update(table)
            .where(table.c.subject_id == bindparam("who"))
            .values(wrapped=bindparam("again")),
            [
                {"who": subject, "again": wrap_key(keys[groups[subject]], data_key, name.encode())}
                for subject, name, data_key in renamed
            ],
        )

    def destroy(self, session: Session, subject_id: int) -> str:
        """Destroy one subject's data key in the database; returns the key's name for the log.

        The caller wraps its transaction in ``consent.keys.backup.forgetting``, which destroys the
        old root afterwards.

        Raises:
            NotFound: the subject has no key (any more).
        """
        row = session.get(DataKeyRow, subject_id)
        if row is None:
            raise NotFound("no such subject")
        key_id, group_id = row.key_id, row.group_id
        session.execute(delete(DataKeyRow).where(DataKeyRow.subject_id == subject_id))
        session.expunge(row)
        self._rekey_group(session, group_id)
        self.rotate(session)
        return key_id

    def _rekey_group(self, session: Session, group_id: int) -> None:
        group = session.get_one(KeyGroupRow, group_id)
        old = self._group_keys([group])[group_id]
        new = new_data_key()
        members = session.execute(
            select(DataKeyRow.subject_id, SubjectRow.pseudonym, DataKeyRow.wrapped)
            .join(SubjectRow, SubjectRow.id == DataKeyRow.subject_id)
            .where(DataKeyRow.group_id == group_id)
        ).all()
        held = Wrapped(group.root_version, group.wrapped)
        for subject, pseudonym, wrapped in members:
            key = _opened(old, StoredKey(pseudonym, wrapped, group_id, held))
            if (
                key is None
                # destroyed before an older copy of the database was restored: there is nothing to
                # wrap
            ):
                continue
            again = wrap_key(new, key, pseudonym.encode())
            session.execute(
                update(DataKeyRow).where(DataKeyRow.subject_id == subject).values(wrapped=again)
            )
        [fresh] = self.store.wrap([(_group_context(group_id), new)])
        group.root_version = fresh.version
        group.wrapped = fresh.ciphertext
        group.members = len(members)
        self._cache.pop(group_id, None)
        session.flush()

    def rotate(self, session: Session) -> int:
        """Wrap every group key under a new root version; returns it. The caller destroys the older
        ones afterwards."""
        version = self.store.rotate()
        groups = session.scalars(select(KeyGroupRow).order_by(KeyGroupRow.id)).all()
        held = [
            (_group_context(group.id), Wrapped(group.root_version, group.wrapped))
            for group in groups
        ]
        for group, fresh in zip(groups, self.store.rewrap(held), strict=True):
            group.root_version, group.wrapped = fresh.version, fresh.ciphertext
        self._cache.clear()
        session.flush()
        return version

    def oldest_root(self, session: Session) -> int | None:
        """The oldest root version that anything is wrapped under; what is below it can be
        destroyed."""
        return session.scalar(select(func.min(KeyGroupRow.root_version)))

    def group_keys(self, groups: Mapping[int, Wrapped]) -> dict[int, bytes]:
        """Those of the groups' keys that still open. Raises KeyStoreUnavailable."""
        found = {}
        for number, wrapped in groups.items():
            try:
                [found[number]] = self.store.unwrap([(_group_context(number), wrapped)])
            except SealError:
                continue
        return found
