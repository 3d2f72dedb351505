"""A lender's borrowers in the order of their enrolment: the numbers under which states speak of them.

Lender and registry each keep the same list. Its hash is in every state (``consent.standing``), so that
a number never means two people.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from consent.storage.database import upsert
from consent.storage.tables import RollRow


@dataclass(frozen=True)
class Roll:
    """How many names, and the hash chain over them: ``h' = SHA-256(h || name)`` from 32 zero bytes on, in hex."""

    people: int = 0
    names_sha256: str = "00" * 32

    def called(self, names: Iterable[str]) -> Roll:
        """The roll with ``names`` at its end."""
        people, chain = self.people, bytes.fromhex(self.names_sha256)
        for name in names:
            people += 1
            chain = hashlib.sha256(chain + name.encode()).digest()
        return Roll(people, chain.hex())


def read_roll(session: Session, lender: str) -> Roll:
    row = session.get(RollRow, lender)
    return Roll() if row is None else Roll(row.people, row.names_sha256)


def keep_roll(session: Session, lender: str, roll: Roll) -> None:
    """Within the caller's transaction."""
    row = {"lender": lender, "people": roll.people, "names_sha256": roll.names_sha256}
    upsert(session, RollRow, ("lender",), ("people", "names_sha256"), [row])
    session.expire_all()
