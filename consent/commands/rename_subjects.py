"""New names for a lender's borrowers, after the naming keys were rotated. Consents, places and budgets stay theirs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from consent.documents import Party
from consent.errors import Conflict
from consent.registry import Registry
from consent.rolls import Roll, keep_roll
from consent.schema import Pseudonym
from consent.storage.database import upsert
from consent.storage.tables import AssignmentRow, SubjectRow
from consent.subjects import IN_CHUNK, find_subjects
from crypto.documents import canonical_json
from crypto.pseudonyms import sealed_ledger_pseudonym

MAX_BATCH = 50_000


class Renaming(BaseModel):
    """One person's name until now, and the names under the new keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pseudonym: Pseudonym
    new_pseudonym: Pseudonym
    new_ledger_pseudonym: Pseudonym


Renamings = Annotated[list[Renaming], Field(min_length=1, max_length=MAX_BATCH)]


def rename_subjects(registry: Registry, lender: Party, renamings: Sequence[Renaming]) -> int:
    """Rename all or none of these borrowers of the lender's; returns how many.

    Everybody who is counted as one person with somebody renamed here gets the new ledger name too, wherever they
    borrow: lenders rename at different times, and a person must not become two in between.

    Raises:
        Conflict: one of them is not the lender's (any more), or a new name is taken.
    """
    names = [renaming.pseudonym for renaming in renamings]
    if len(set(names)) != len(names) or len({renaming.new_pseudonym for renaming in renamings}) != len(names):
        raise Conflict("a name stands twice in the batch; nobody was renamed")
    with registry.write() as session:
        subjects = find_subjects(registry, session, names)
        if len(subjects) != len(names) or any(subject.lender != lender.id for subject in subjects.values()):
            raise Conflict("somebody in the batch is not enrolled by this lender; nobody was renamed")
        _refuse_taken(session, renamings)
        ids = {subject.id: name for name, subject in subjects.items()}
        before = _ledger_names(session, list(ids))
        by_name = {renaming.pseudonym: renaming for renaming in renamings}
        session.connection().execute(
            update(SubjectRow.__table__)  # type: ignore[arg-type]
            .where(SubjectRow.__table__.c.id == bindparam("who"))
            .values(pseudonym=bindparam("new")),
            [{"who": i, "new": by_name[name].new_pseudonym} for i, name in ids.items()],
        )
        registry.keys.rename(session, [(s.id, by_name[name].new_pseudonym, s.data_key) for name, s in subjects.items()])
        sealed = {
            before[i]: sealed_ledger_pseudonym(registry.ledger_key, by_name[name].new_ledger_pseudonym)
            for i, name in ids.items()
        }
        _count_as_before(session, {old: new for old, new in sealed.items() if old != new})
        session.expire_all()
        in_order = select(SubjectRow.pseudonym).where(SubjectRow.lender == lender.id).order_by(SubjectRow.number)
        keep_roll(session, lender.id, Roll().called(session.scalars(in_order)))
        body = canonical_json({"sha256": hashlib.sha256(canonical_json(sorted(names))).hexdigest()})
        entry = registry.sealed_to_auditor("subjects.renamed", lender.id, {"count": len(names)}, body)
        registry.log.append(session, [entry])
    return len(names)


def _refuse_taken(session: Session, renamings: Sequence[Renaming]) -> None:
    wanted = [renaming.new_pseudonym for renaming in renamings]
    for start in range(0, len(wanted), IN_CHUNK):
        part = wanted[start : start + IN_CHUNK]
        if session.scalar(select(SubjectRow.id).where(SubjectRow.pseudonym.in_(part)).limit(1)) is not None:
            raise Conflict("one of the new names is taken already; nobody was renamed")


def _ledger_names(session: Session, ids: Sequence[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for start in range(0, len(ids), IN_CHUNK):
        rows = session.execute(
            select(SubjectRow.id, SubjectRow.ledger_pseudonym).where(SubjectRow.id.in_(ids[start : start + IN_CHUNK]))
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
        update(table).where(table.c.ledger_pseudonym == bindparam("old")).values(ledger_pseudonym=bindparam("new")),  # type: ignore[arg-type]
        pairs,
    )
    names = list(renamed)
    rows = []
    for start in range(0, len(names), IN_CHUNK):
        held = session.scalars(
            select(AssignmentRow).where(AssignmentRow.ledger_pseudonym.in_(names[start : start + IN_CHUNK]))
        )
        rows += [{"ledger_pseudonym": renamed[row.ledger_pseudonym], "subject_id": row.subject_id} for row in held]
    if rows:
        upsert(session, AssignmentRow, ("ledger_pseudonym",), (), rows)
