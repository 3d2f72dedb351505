"""Make every stored decision of a machine again, and compare: bit by bit, trace and reasons too.

A decision whose model, policy or law is not here any more cannot be made again; that is counted,
and no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, select

from crypto.errors import SealError
from desk.errors import RulesMissing
from desk.office import MACHINE, Desk
from desk.records import StoredDecision
from desk.storage.tables import applications, decisions
from lending.records import case_hash, decision_json, identical

AT_ONCE = 1000


@dataclass
class Replayed:
    """What came of it. ``differs``: decisions that come out otherwise, by id."""

    same: int = 0
    by_people: int = 0
    elsewhere: int = 0
    """Decided by versions that are not here."""
    forgotten: int = 0
    differs: list[str] = field(default_factory=list)

    @property
    def seen(self) -> int:
        return self.same + self.by_people + self.elsewhere + self.forgotten + len(self.differs)


def replay(desk: Desk, progress: Callable[[int], None] = lambda _: None) -> Replayed:
    """All decisions, in the order in which they were made."""
    found = Replayed()
    for rows in _pages(desk):
        for row in rows:
            _again(desk, row, found)
        progress(found.seen)
    return found


def _pages(desk: Desk) -> Iterator[list[Row[Any]]]:
    statement = (
        select(decisions, applications.c.number.label("place"), applications.c.wrapped_key)
        .join(applications, applications.c.id == decisions.c.application)
        .order_by(applications.c.number, decisions.c.number)
    )
    last = 0
    while True:
        page = statement.where(applications.c.number > last).limit(AT_ONCE)
        with desk.reading() as hand:
            rows = list(hand.connection.execute(page).all())
        # an application's decisions stay together: the next page begins after the last whole one
        if len(rows) == AT_ONCE and rows[0].place != rows[-1].place:
            rows = [row for row in rows if row.place != rows[-1].place]
        if not rows:
            return
        last = rows[-1].place
        yield rows


def _again(desk: Desk, row: Row[Any], found: Replayed) -> None:
    if row.by != MACHINE:
        found.by_people += 1
        return
    try:
        made = StoredDecision.opened(row, desk.at_rest.of(row.application, row.wrapped_key))
        again = desk.lending.decide(made.case)
    except SealError:
        found.forgotten += 1
        return
    except RulesMissing:
        found.elsewhere += 1
        return
    same = (
        row.case_hash == case_hash(made.case) == made.decision.case_hash
        and row.outcome == made.decision.outcome
        and identical(decision_json(again), decision_json(made.decision))
    )
    if same:
        found.same += 1
    else:
        found.differs.append(row.id)
