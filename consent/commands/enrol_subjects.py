"""Enrol a lender's borrowers by pseudonym, each with the key that will sign their decisions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from auditlog.database import bulk_insert
from consent.registry import Registry
from consent.storage.enrolment import count_enrolled, extend_enrolment_list
from consent.storage.subjects import IN_CHUNK, day_of
from consent.storage.tables import FormerNameRow, SubjectRow
from consent.storage.tombstones import Tombstones, known_again, take_places_again
from consent.transaction import reading, writing
from crypto.documents import canonical_json
from crypto.pseudonyms import sealed_ledger_pseudonym
from protocol.enrolment import Enrolment
from protocol.errors import Conflict
from protocol.parties import Party

_COLUMNS = {
    "id": "int8",
    "lender": "text",
    "number": "int4",
    "pseudonym": "text",
    "ledger_pseudonym": "text",
    "public_key": "text",
    "enrolled_at": "timestamp",
    "returned_at": "timestamp",
}


def second_of_two(names: Sequence[str]) -> int | None:
    """Where a name stands for the second time; None where no name does."""
    seen: set[str] = set()
    for at, name in enumerate(names):
        if name in seen:
            return at
        seen.add(name)
    return None


def enrol_subjects(registry: Registry, lender: Party, enrolments: Sequence[Enrolment]) -> int:
    """Enrol all or none; returns the number of the first: the others follow in order.

    Who was erased comes back with no consent, and must answer anew; the budget that they spent, and
    the place that was drawn for them, are theirs still.

    Raises:
        Conflict: one of them is enrolled already. KeysUnavailable: it cannot be told who was
            erased.
    """
    names = [enrolment.pseudonym for enrolment in enrolments]
    ledger_names = [
        sealed_ledger_pseudonym(registry.ledger_key, one.ledger_pseudonym) for one in enrolments
    ]
    with writing(registry) as transaction:
        session = transaction.session
        by = Tombstones.of(transaction)
        nobody: tuple[set[int], set[int]] = (set(), set())
        returned, known = (
            nobody if by is None else known_again(session, names, ledger_names, by, lender.id)
        )
        first = count_enrolled(session, lender.id)
        today = day_of(transaction.moment)
        first_id = (session.scalar(select(func.max(SubjectRow.id))) or 0) + 1
        rows = [
            (
                first_id + at,
                lender.id,
                first + at,
                enrolment.pseudonym,
                ledger_name,
                enrolment.public_key,
                today,
                transaction.moment if at in returned else None,
            )
            for at, (enrolment, ledger_name) in enumerate(
                zip(enrolments, ledger_names, strict=True)
            )
        ]
        _refuse_known(session, lender.id, names, ledger_names)
        bulk_insert(session, SubjectRow.__tablename__, _COLUMNS, rows)
        extend_enrolment_list(session, lender.id, names)
        if by is not None:
            again = [(first_id + at, ledger_names[at]) for at in sorted(known)]
            take_places_again(session, lender.id, again, by)
        registry.keys.create(session, [(first_id + at, name) for at, name in enumerate(names)])
        sha256 = hashlib.sha256(canonical_json(sorted(names))).hexdigest()
        transaction.log_sealed("subjects.enrolled", lender.id, {}, {"sha256": sha256})
    return first


def read_names(registry: Registry, lender: Party, first: int, limit: int) -> list[str]:
    """Pseudonyms on the lender's roll in the order of their numbers, at most ``limit``, from number
    ``first`` on."""
    with reading(registry) as view:
        mine = select(SubjectRow.pseudonym).where(SubjectRow.lender == lender.id)
        some = mine.where(SubjectRow.number >= first, SubjectRow.number < first + limit)
        return list(view.session.scalars(some.order_by(SubjectRow.number)))


def count_people(registry: Registry, lender: Party) -> int:
    """How many people are on the lender's roll."""
    with reading(registry) as view:
        return count_enrolled(view.session, lender.id)


def _refuse_known(
    session: Session, lender: str, names: Sequence[str], ledger_names: Sequence[str]
) -> None:
    """A name is enrolled once, and a person once at a lender: whoever withdrew does not come back
    as somebody else. Whoever was erased has neither name here any more."""
    for listed in (names, ledger_names):
        if (again := second_of_two(listed)) is not None:
            raise Conflict("this person stands twice in the batch; none of it was recorded").at(
                "subjects", again
            )
    for start in range(0, len(names), IN_CHUNK):
        part = names[start : start + IN_CHUNK]
        person = ledger_names[start : start + IN_CHUNK]
        known = (
            (part, select(SubjectRow.pseudonym).where(SubjectRow.pseudonym.in_(part))),
            (part, select(FormerNameRow.pseudonym).where(FormerNameRow.pseudonym.in_(part))),
            (
                person,
                select(SubjectRow.ledger_pseudonym).where(
                    SubjectRow.lender == lender, SubjectRow.ledger_pseudonym.in_(person)
                ),
            ),
        )
        for listed, question in known:
            if (name := session.scalar(question.limit(1))) is not None:
                at = start + listed.index(name)
                raise Conflict(
                    "this person is enrolled already; none of the batch was recorded"
                ).at("subjects", at)
