"""A lender's borrowers in the order of their enrolment: the numbers under which states speak of
them.

Lender and registry each keep the same list. Its hash is in every state (``protocol.snapshots``), so
that a number never means two people.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from auditlog.database import upsert
from consent.storage.tables import RollRow
from protocol.enrolment import Roll


def read_roll(session: Session, lender: str) -> Roll:
    row = session.get(RollRow, lender)
    return Roll() if row is None else Roll(row.people, row.names_sha256)


def keep_roll(session: Session, lender: str, roll: Roll) -> None:
    """Within the caller's transaction."""
    row = {"lender": lender, "people": roll.people, "names_sha256": roll.names_sha256}
    upsert(session, RollRow, ("lender",), ("people", "names_sha256"), [row])
    session.expire_all()
