"""A lender's borrowers in the order of their enrolment: the numbers under which states speak of
them.

Lender and registry each keep the same list. Its hash is in every state (``protocol.snapshots``), so
that a number never means two people. An erasure puts a new name in the place of one in the middle:
then the hash is worked out when it is asked for, and kept in memory, because it is over all names
and nobody who writes may wait for that.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from auditlog.database import upsert
from consent.storage.tables import RollRow, SubjectRow
from protocol.enrolment import EnrolmentList

_MARK = "erased:"
"""Begins what stands in the place of the hash after an erasure: 16 random bytes say which one, so
that what is remembered of the list before it is never taken for the list after it."""
_WORKED_OUT: WeakKeyDictionary[Engine, dict[str, tuple[str, EnrolmentList]]] = WeakKeyDictionary()
"""By lender: the mark, and the list that was worked out last under it."""
_AT_ONCE = 10_000


def count_enrolled(session: Session, lender: str) -> int:
    """How many names are on the list, tombstones included."""
    row = session.get(RollRow, lender)
    return 0 if row is None else row.people


def read_enrolment_list(session: Session, lender: str) -> EnrolmentList:
    """The list with its hash; after an erasure the first call reads all names, about a second for a
    million."""
    row = session.get(RollRow, lender)
    if row is None:
        return EnrolmentList()
    if not row.names_sha256.startswith(_MARK):
        return EnrolmentList(row.people, row.names_sha256)
    known = _WORKED_OUT.setdefault(session.get_bind().engine, {})
    mark, found = known.get(lender, ("", EnrolmentList()))
    if mark != row.names_sha256:
        found = EnrolmentList()
    names = select(SubjectRow.pseudonym).where(
        SubjectRow.lender == lender, SubjectRow.number >= found.people
    )
    in_order = session.scalars(
        names.order_by(SubjectRow.number).execution_options(yield_per=_AT_ONCE)
    )
    found = found.extended(in_order)
    known[lender] = (row.names_sha256, found)
    return found


def keep_enrolment_list(session: Session, lender: str, roll: EnrolmentList) -> None:
    """Within the caller's transaction."""
    _keep(session, lender, roll.people, roll.names_sha256)


def extend_enrolment_list(session: Session, lender: str, names: Sequence[str]) -> int:
    """Put names at the list's end; returns the number of the first. Within the caller's
    transaction."""
    row = session.get(RollRow, lender)
    before = EnrolmentList() if row is None else EnrolmentList(row.people, row.names_sha256)
    if before.names_sha256.startswith(_MARK):
        _keep(session, lender, before.people + len(names), before.names_sha256)
    else:
        keep_enrolment_list(session, lender, before.extended(names))
    return before.people


def mark_erased(session: Session, lender: str) -> None:
    """A name in the middle is another now. Within the caller's transaction."""
    mark = _MARK + secrets.token_hex(16)
    session.execute(update(RollRow).where(RollRow.lender == lender).values(names_sha256=mark))
    session.expire_all()


def _keep(session: Session, lender: str, people: int, names_sha256: str) -> None:
    row = {"lender": lender, "people": people, "names_sha256": names_sha256}
    upsert(session, RollRow, ("lender",), ("people", "names_sha256"), [row])
    session.expire_all()


def people_on_rolls(session: Session) -> dict[str, int]:
    """How many borrowers each lender has enrolled."""
    rows = session.execute(select(RollRow.lender, RollRow.people)).all()
    return {row.lender: row.people for row in rows}
