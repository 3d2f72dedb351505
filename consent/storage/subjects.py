"""Finding enrolled borrowers, with the keys that belong to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any

from sqlalchemy import BindParameter, CompoundSelect, bindparam, select, union_all
from sqlalchemy.orm import Session

from auditlog.database import among
from consent.keys.datakeys import StoredKey
from consent.keys.keystore import Wrapped
from consent.storage.tables import DataKeyRow, FormerNameRow, KeyGroupRow, SubjectRow
from consent.transaction import Transaction
from crypto.errors import KeyFileError, KeyStoreUnavailable, SealError
from protocol.errors import KeysUnavailable

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
    returned_at: datetime | None = None
    """When this person came back after an erasure: no decision from before counts."""


def current_names(session: Session, names: Sequence[str]) -> dict[str, str]:
    """What those of ``names`` are called now that are former names of somebody."""
    found: dict[str, str] = {}
    for start in range(0, len(names), IN_CHUNK):
        rows = session.connection().execute(
            select(FormerNameRow.pseudonym, SubjectRow.pseudonym)
            .join(SubjectRow, SubjectRow.id == FormerNameRow.subject_id)
            .where(FormerNameRow.pseudonym.in_(names[start : start + IN_CHUNK]))
        )
        found.update((before, now) for before, now in rows)
    return found


_COLUMNS = (
    SubjectRow.id,
    SubjectRow.lender,
    SubjectRow.number,
    SubjectRow.pseudonym,
    SubjectRow.public_key,
    SubjectRow.returned_at,
    DataKeyRow.wrapped,
    KeyGroupRow.id.label("group_id"),
    KeyGroupRow.root_version,
    KeyGroupRow.wrapped.label("group_wrapped"),
)


def _called() -> CompoundSelect[Any]:
    """Whoever is called one of ``names``, or was: one question, so that neither shows in the
    work."""
    names: BindParameter[Any] = bindparam("names", expanding=True)
    now = select(SubjectRow.pseudonym.label("asked"), *_COLUMNS).where(
        SubjectRow.pseudonym.in_(names)
    )
    before = (
        select(FormerNameRow.pseudonym.label("asked"), *_COLUMNS)
        .join(FormerNameRow, FormerNameRow.subject_id == SubjectRow.id)
        .where(FormerNameRow.pseudonym.in_(names))
    )
    both = [
        some.join(DataKeyRow, DataKeyRow.subject_id == SubjectRow.id).join(
            KeyGroupRow, KeyGroupRow.id == DataKeyRow.group_id
        )
        for some in (now, before)
    ]
    return union_all(*both)


_CALLED = _called()


def find_subjects(transaction: Transaction, names: Sequence[str]) -> dict[str, Subject]:
    """The enrolled subjects among ``names``, former names included, whose keys have not been
    destroyed.

    Raises:
        KeysUnavailable: the key store does not answer.
    """
    found: dict[str, Subject] = {}
    for start in range(0, len(names), IN_CHUNK):
        asked = {"names": list(names[start : start + IN_CHUNK])}
        rows = transaction.session.connection().execute(_CALLED, asked).all()
        stored = [
            StoredKey(
                row.pseudonym,
                row.wrapped,
                row.group_id,
                Wrapped(row.root_version, row.group_wrapped),
            )
            for row in rows
        ]
        try:
            data_keys = transaction.registry.keys.unwrap(stored)
        except (SealError, KeyStoreUnavailable, KeyFileError) as error:
            raise KeysUnavailable(
                f"a borrower's data key cannot be used now ({error}); try again"
            ) from error
        for row, data_key in zip(rows, data_keys, strict=True):
            if data_key is not None:
                found[row.asked] = Subject(
                    row.id,
                    row.lender,
                    row.number,
                    row.pseudonym,
                    row.public_key,
                    data_key,
                    row.returned_at,
                )
    return found


def remembered(session: Session, subjects: Mapping[str, Subject]) -> dict[str, Subject]:
    """Those who were not forgotten between the reading of their keys and this transaction. One
    person may be there under a new name and a former one."""
    ids = sorted({subject.id for subject in subjects.values()})
    kept: set[int] = set()
    for start in range(0, len(ids), IN_CHUNK):
        some = among("subject_id", ids[start : start + IN_CHUNK])
        question = f"SELECT subject_id FROM data_keys WHERE {some}"  # noqa: S608 - numbers of our own
        kept.update(session.connection().exec_driver_sql(question).scalars())
    return {name: subject for name, subject in subjects.items() if subject.id in kept}


def day_of(moment: datetime) -> datetime:
    """Its first instant: what a row says of when something happened, and no more."""
    return datetime.combine(moment.date(), time(), moment.tzinfo)
