"""How a desk stands: what is in force, what waits, and what came of applications; counts only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import func, select

from desk.errors import RulesMissing
from desk.office import Desk
from desk.states import ReviewStatus
from desk.storage.tables import applications, loans, outbox, reviews


@dataclass(frozen=True)
class DeskStanding:
    """``unlogged``: statements that wait for the log. ``policies``: by product, the hash of what is
    in force today, or why nothing is."""

    applications: dict[str, int]
    reviews_waiting: int
    loans: int
    unlogged: int
    policies: dict[str, str]


def standing(desk: Desk, products: list[str]) -> DeskStanding:
    with desk.reading() as hand:
        connection, day = hand.connection, desk.day(hand.moment)
        by_status = connection.execute(
            select(applications.c.status, func.count().label("number")).group_by(
                applications.c.status
            )
        ).all()
        undecided = reviews.c.status != ReviewStatus.DECIDED.value
        waiting = connection.scalar(select(func.count()).where(undecided))
        lent = connection.scalar(select(func.count()).select_from(loans))
        undone = outbox.c.entry_index.is_(None), outbox.c.refused.is_(None)
        unlogged = connection.scalar(select(func.count()).select_from(outbox).where(*undone))
    return DeskStanding(
        applications={row.status: row.number for row in by_status},
        reviews_waiting=waiting or 0,
        loans=lent or 0,
        unlogged=unlogged or 0,
        policies={product: _in_force(desk, product, day) for product in products},
    )


def _in_force(desk: Desk, product: str, day: date) -> str:
    try:
        return desk.lending.versions(product, day).policy
    except RulesMissing as error:
        return str(error)
