"""New names for a lender's borrowers, after the naming keys were rotated. Consents, places and
budgets stay theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Delete, bindparam, delete, func, select, update
from sqlalchemy.orm import Session

from auditlog.database import bulk_insert, upsert
from consent.commands.enrol_subjects import second_of_two
from consent.commands.prove_names import log_renamings
from consent.registry import Registry
from consent.storage.enrolment import keep_enrolment_list
from consent.storage.subjects import IN_CHUNK, find_subjects
from consent.storage.tables import AssignmentRow, FormerNameRow, SubjectRow
from consent.storage.tombstones import Tombstones
from consent.transaction import writing
from crypto.pseudonyms import sealed_ledger_pseudonym, version_of
from protocol.enrolment import EnrolmentList
from protocol.errors import Conflict, Malformed
from protocol.parties import Party
from protocol.schema import Pseudonym

MAX_BATCH = 50_000
MIN_OF_MANY = 1_000
"""A request renames so many people, or everybody who is left."""


class NameChange(BaseModel):
    """One person's name until now, and the names under the new keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pseudonym: Pseudonym
    new_pseudonym: Pseudonym
    new_ledger_pseudonym: Pseudonym


Renamings = Annotated[list[NameChange], Field(min_length=1, max_length=MAX_BATCH)]


def rename_subjects(registry: Registry, lender: Party, renamings: Sequence[NameChange]) -> int:
    """Rename all or none of these borrowers of the lender's; returns how many.

    The old names go on meaning the same people: what a borrower signs or logs in under stays good.
    Everybody who is counted as one person with somebody renamed here gets the new ledger name too,
    wherever they borrow: lenders rename at different times, and a person must not become two in
    between; and what such a person spent where they were erased stays theirs. The erased have no
    name that could be replaced.

    Raises:
        Malformed: not from one version of the naming keys to a later one, or a few people out of
            many.
        Conflict: one of them is not the lender's (any more), or a new name is taken.
    """
    names = [renaming.pseudonym for renaming in renamings]
    _check_batch(renamings)
    with writing(registry) as transaction:
        session = transaction.session
        ids = _ids(session, lender.id, names)
        _refuse_small(session, lender.id, renamings)
        by_id = {ids[renaming.pseudonym]: renaming for renaming in renamings}
        _refuse_taken(session, lender.id, by_id, registry.ledger_key)
        subjects = find_subjects(transaction, names)
        before = _ledger_names(session, list(by_id))
        session.connection().execute(
            update(SubjectRow.__table__)  # type: ignore[arg-type]
            .where(SubjectRow.__table__.c.id == bindparam("who"))
            .values(pseudonym=bindparam("new")),
            [{"who": i, "new": renaming.new_pseudonym} for i, renaming in by_id.items()],
        )
        former = [(renaming.pseudonym, i) for i, renaming in by_id.items()]
        bulk_insert(
            session,
            FormerNameRow.__tablename__,
            {"pseudonym": "text", "subject_id": "int8"},
            former,
        )
        registry.keys.rename(
            session, [(s.id, by_id[s.id].new_pseudonym, s.data_key) for s in subjects.values()]
        )
        sealed = {
            before[i]: sealed_ledger_pseudonym(registry.ledger_key, renaming.new_ledger_pseudonym)
            for i, renaming in by_id.items()
        }
        counted = {old: new for old, new in sealed.items() if old != new}
        if (by := Tombstones.of(transaction)) is not None:
            counted |= {by.ledger_name(old): by.ledger_name(new) for old, new in counted.items()}
        _count_as_before(session, counted)
        session.expire_all()
        in_order = (
            select(SubjectRow.pseudonym)
            .where(SubjectRow.lender == lender.id)
            .order_by(SubjectRow.number)
        )
        keep_enrolment_list(session, lender.id, EnrolmentList().extended(session.scalars(in_order)))
        log_renamings(
            transaction, lender, [(one.pseudonym, one.new_pseudonym) for one in renamings]
        )
    return len(names)


def _check_batch(renamings: Sequence[NameChange]) -> None:
    for field in ("pseudonym", "new_pseudonym", "new_ledger_pseudonym"):
        if (
            again := second_of_two([getattr(renaming, field) for renaming in renamings])
        ) is not None:
            raise Conflict("this name stands twice in the batch; nobody was renamed").at(
                "renamings", again, field
            )
    versions = {version_of(renaming.new_pseudonym) for renaming in renamings}
    versions |= {version_of(renaming.new_ledger_pseudonym) for renaming in renamings}
    if len(versions) != 1 or any(
        version_of(renaming.pseudonym) >= min(versions) for renaming in renamings
    ):
        raise Malformed(
            "people are renamed when the naming keys were rotated: from one version to one later "
            "version"
        )


def _refuse_small(session: Session, lender: str, renamings: Sequence[NameChange]) -> None:
    """Every request makes the whole roll's hash anew, so that it must be worth it."""
    version = f"v{version_of(renamings[0].new_pseudonym)}."
    if len(renamings) >= MIN_OF_MANY:
        return
    others = select(func.count()).where(
        SubjectRow.lender == lender,
        ~SubjectRow.pseudonym.startswith(version),
        SubjectRow.erased_at.is_(None),
    )
    if (session.scalar(others) or 0) != len(renamings):
        raise Malformed(f"rename at least {MIN_OF_MANY} people at once, or everybody who is left")


def _ids(session: Session, lender: str, names: Sequence[str]) -> dict[str, int]:
    """Id by name; raises Conflict."""
    found: dict[str, int] = {}
    for start in range(0, len(names), IN_CHUNK):
        rows = session.execute(
            select(SubjectRow.pseudonym, SubjectRow.id).where(
                SubjectRow.lender == lender,
                SubjectRow.erased_at.is_(None),
                SubjectRow.pseudonym.in_(names[start : start + IN_CHUNK]),
            )
        )
        found.update((name, i) for name, i in rows)
    for at, name in enumerate(names):
        if name not in found:
            raise Conflict("nobody on this lender's roll has this name; nobody was renamed").at(
                "renamings", at
            )
    return found


def _refuse_taken(
    session: Session, lender: str, renamings: Mapping[int, NameChange], ledger_key: bytes
) -> None:
    """No new name is anybody's, or was; and nobody else of this lender's is counted under a new
    ledger name."""
    counted = {
        sealed_ledger_pseudonym(ledger_key, r.new_ledger_pseudonym): i for i, r in renamings.items()
    }
    names = [r.new_pseudonym for r in renamings.values()]
    ledger_names = list(counted)
    for start in range(0, len(names), IN_CHUNK):
        part = names[start : start + IN_CHUNK]
        taken = (
            select(SubjectRow.pseudonym).where(SubjectRow.pseudonym.in_(part)),
            select(FormerNameRow.pseudonym).where(FormerNameRow.pseudonym.in_(part)),
        )
        others = session.execute(
            select(SubjectRow.id, SubjectRow.ledger_pseudonym).where(
                SubjectRow.lender == lender,
                SubjectRow.ledger_pseudonym.in_(ledger_names[start : start + IN_CHUNK]),
            )
        )
        at = next(
            (
                names.index(name)
                for question in taken
                for name in session.scalars(question.limit(1))
            ),
            None,
        )
        if at is None:
            at = next((ledger_names.index(name) for i, name in others if counted[name] != i), None)
        if at is not None:
            raise Conflict("a new name of this person is taken already; nobody was renamed").at(
                "renamings", at
            )


def _ledger_names(session: Session, ids: Sequence[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for start in range(0, len(ids), IN_CHUNK):
        rows = session.execute(
            select(SubjectRow.id, SubjectRow.ledger_pseudonym).where(
                SubjectRow.id.in_(ids[start : start + IN_CHUNK])
            )
        )
        found.update((row[0], row[1]) for row in rows)
    return found


def _count_as_before(session: Session, renamed: dict[str, str]) -> None:
    """Everybody under an old ledger name goes under the new one, and keeps their place."""
    if not renamed:
        return
    pairs = [{"old": old, "new": new} for old, new in renamed.items()]
    table = SubjectRow.__table__
    session.connection().execute(
        update(table)  # type: ignore[arg-type]
        .where(table.c.ledger_pseudonym == bindparam("old"))
        .values(ledger_pseudonym=bindparam("new")),
        pairs,
    )
    names = list(renamed)
    rows = []
    for start in range(0, len(names), IN_CHUNK):
        held = session.scalars(
            select(AssignmentRow).where(
                AssignmentRow.ledger_pseudonym.in_(names[start : start + IN_CHUNK])
            )
        )
        rows += [
            {"ledger_pseudonym": renamed[row.ledger_pseudonym], "subject_id": row.subject_id}
            for row in held
        ]
    if rows:
        upsert(session, AssignmentRow, ("ledger_pseudonym",), (), rows)
    for start in range(0, len(names), IN_CHUNK):
        session.connection().execute(_left_behind(names[start : start + IN_CHUNK]))


def _left_behind(names: Sequence[str]) -> Delete:
    """Places under names that nobody has any more, where nobody else would let them go: those that
    are nowhere, and tombstones'."""
    erased = select(SubjectRow.id).where(SubjectRow.erased_at.is_not(None))
    place = AssignmentRow.subject_id
    return delete(AssignmentRow).where(
        AssignmentRow.ledger_pseudonym.in_(names), place.is_(None) | place.in_(erased)
    )
