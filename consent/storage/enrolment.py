"""A lender's borrowers in the order of their enrolment: the numbers under which states speak of
them.

Lender and registry each keep the same list. Its hash is in every state (``protocol.snapshots``), so
that a number never means two people.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from auditlog.database import upsert
from consent.storage.tables import RollRow
from protocol.enrolment import EnrolmentList


def read_enrolment_list(session: Session, lender: str) -> EnrolmentList:
    row = session.get(RollRow, lender)
    return EnrolmentList() if row is None else EnrolmentList(row.people, row.names_sha256)


def keep_enrolment_list(session: Session, lender: str, roll: EnrolmentList) -> None:
    """Within the caller's transaction."""
    row = {"lender": lender, "people": roll.people, "names_sha256": roll.names_sha256}
    upsert(session, RollRow, ("lender",), ("people", "names_sha256"), [row])
    session.expire_all()


def people_on_rolls(session: Session) -> dict[str, int]:
    """How many borrowers each lender has enrolled."""
    rows = session.execute(select(RollRow.lender, RollRow.people)).all()
    return {row.lender: row.people for row in rows}
