"""Finding enrolled borrowers, with the keys that belong to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from consent.datakeys import StoredKey
from consent.errors import KeysUnavailable, NotAuthenticated
from consent.keystore import Wrapped
from consent.registry import Registry
from consent.storage.tables import DataKeyRow, FormerNameRow, KeyGroupRow, SubjectRow
from crypto.errors import KeyFileError, KeyStoreUnavailable, SealError

IN_CHUNK = 500
"""Names in one question to the database: SQLite takes a limited number of parameters."""


@dataclass(frozen=True)
class Subject:
    """A borrower whose data key is there."""

    id: int
    lender: str
    number: int
    pseudonym: str
    public_key: str
    """Empty for who only logs in."""
    data_key: bytes = field(repr=False)


def current_names(session: Session, names: Sequence[str]) -> dict[str, str]:
    """What those of ``names`` are called now that are former names of somebody."""
    found: dict[str, str] = {}
    for start in range(0, len(names), IN_CHUNK):
        rows = session.execute(
            select(FormerNameRow.pseudonym, SubjectRow.pseudonym)
            .join(SubjectRow, SubjectRow.id == FormerNameRow.subject_id)
            .where(FormerNameRow.pseudonym.in_(names[start : start + IN_CHUNK]))
        )
        found.update((before, now) for before, now in rows)
    return found


def find_subjects(registry: Registry, session: Session, names: Sequence[str]) -> dict[str, Subject]:
    """The enrolled subjects among ``names``, former names included, whose keys have not been destroyed.

    Raises:
        KeysUnavailable: the key store does not answer.
    """
    found = _find(registry, session, names)
    renamed = current_names(session, names)  # asked for all: whether a name is known must not show in the work
    if renamed:
        now = _find(registry, session, sorted(set(renamed.values())))
        found.update((before, now[name]) for before, name in renamed.items() if name in now)
    return found


def _find(registry: Registry, session: Session, names: Sequence[str]) -> dict[str, Subject]:
    found: dict[str, Subject] = {}
    for start in range(0, len(names), IN_CHUNK):
        rows = session.execute(
            select(
                SubjectRow.id,
                SubjectRow.lender,
                SubjectRow.number,
                SubjectRow.pseudonym,
                SubjectRow.public_key,
                DataKeyRow.wrapped,
                KeyGroupRow.id.label("group_id"),
                KeyGroupRow.root_version,
                KeyGroupRow.wrapped.label("group_wrapped"),
            )
            .join(DataKeyRow, DataKeyRow.subject_id == SubjectRow.id)
            .join(KeyGroupRow, KeyGroupRow.id == DataKeyRow.group_id)
            .where(SubjectRow.pseudonym.in_(names[start : start + IN_CHUNK]))
        ).all()
        stored = [
            StoredKey(row.pseudonym, row.wrapped, row.group_id, Wrapped(row.root_version, row.group_wrapped))
            for row in rows
        ]
        try:
            data_keys = registry.keys.unwrap(stored)
        except (SealError, KeyStoreUnavailable, KeyFileError) as error:
            raise KeysUnavailable(f"a borrower's data key cannot be used now ({error}); try again") from error
        for row, data_key in zip(rows, data_keys, strict=True):
            if data_key is not None:
                found[row.pseudonym] = Subject(row.id, row.lender, row.number, row.pseudonym, row.public_key, data_key)
    return found


def refuse_forgotten(session: Session, ids: Sequence[int]) -> None:
    """Between reading the keys and writing, somebody may have been forgotten; raises NotAuthenticated."""
    known = 0
    for start in range(0, len(ids), IN_CHUNK):
        part = ids[start : start + IN_CHUNK]
        known += session.scalar(select(func.count()).where(DataKeyRow.subject_id.in_(part))) or 0
    if known != len(ids):
        raise NotAuthenticated("a borrower of this request has been forgotten")
