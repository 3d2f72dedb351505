"""How a desk stands: what is in force, what waits, and what came of applications; counts only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Connection, func, select

from desk.errors import RulesMissing
from desk.lending_rules import ReleasedRules
from desk.office import Desk
from desk.reviewing import OPEN, all_reviews
from desk.storage.tables import (
    applications,
    decisions,
    letters,
    loans,
    outbox,
    silent_decisions,
)

LETTER_WITHIN = "reasons.days"
"""The row of the law tables: how long after an application its person is told, with reasons."""


@dataclass(frozen=True)
class DeskStanding:
    """``letters_waiting``: refusals and other offers of which no letter was handed out yet;
    ``letters_overdue``: those of them for which the law of the place gives no more time (Reg B
    1002.9(a)(1)). ``unlogged``: statements that wait for the log. ``policies``: by product, the
    hash of what is in force today, or why nothing is; ``challengers`` what is tried beside it.
    ``challenger_failures``: decisions beside which a challenger could say nothing. ``unassessed``:
    why nothing is decided for want of the lender's own assessment; None where nothing is wanting.
    ``stopped``: why the model may not be used, in which case nothing is scored and people decide;
    ``good_until``: the day by which it is to be looked at again (``desk.standing``). ``untried``:
    why the model that was to be tried in shadow scores nobody.
    """

    applications: dict[str, int]
    reviews_waiting: int
    letters_waiting: int
    letters_overdue: int
    loans: int
    unlogged: int
    policies: dict[str, str]
    challengers: dict[str, str]
    challenger_failures: int
    unassessed: str | None
    stopped: str | None
    good_until: str | None
    untried: str | None


def standing(desk: Desk, products: list[str]) -> DeskStanding:
    stopped = desk.heed_standing()
    good_until = None if desk.standing is None else desk.standing.good_until.date().isoformat()
    with desk.reading() as hand:
        connection, day = hand.connection, desk.day(hand.moment)
        row = desk.wording.laws.find(desk.wording.jurisdiction, LETTER_WITHIN, day)
        within = None if row is None else timedelta(days=int(row.number))
        by_status = connection.execute(
            select(applications.c.status, func.count().label("number")).group_by(
                applications.c.status
            )
        ).all()
        waiting = connection.scalar(select(func.count()).select_from(all_reviews(*OPEN).subquery()))
        untold = _untold(connection, desk)
        late = [within is not None and received + within < day for received in untold]
        lent = connection.scalar(select(func.count()).select_from(loans))
        undone = outbox.c.entry_index.is_(None), outbox.c.refused.is_(None)
        failed = connection.scalar(
            select(func.count()).where(silent_decisions.c.outcome == "failed")
        )
        unlogged = connection.scalar(select(func.count()).select_from(outbox).where(*undone))
    policies = {product: _in_force(desk, product, day) for product in products}
    tried = desk.tried_by(desk.lending)
    beside = {one: tried.challenger(one, policy, day) for one, policy in policies.items()}
    return DeskStanding(
        applications={row.status: row.number for row in by_status},
        reviews_waiting=waiting or 0,
        letters_waiting=len(untold),
        letters_overdue=sum(late),
        loans=lent or 0,
        unlogged=unlogged or 0,
        policies=policies,
        challengers={product: found for product, found in beside.items() if found is not None},
        challenger_failures=failed or 0,
        unassessed=desk.unassessed(),
        stopped=stopped,
        good_until=good_until,
        untried=_untried(desk, day),
    )


def _untried(desk: Desk, day: date) -> str | None:
    if desk.unfit is not None:
        return desk.unfit
    rules = desk.released
    if not isinstance(rules, ReleasedRules) or rules.tried is None:
        return None
    if rules is not desk.lending:
        return "the model in use is stopped, so there is nothing to compare with"
    barred = None if desk.trying is None else desk.trying.barred()
    return barred or rules.untried_because(day)


def _untold(connection: Connection, desk: Desk) -> list[date]:
    """When those applied whose newest decision refuses them, or offers something else, and whom
    nobody has told why."""
    newest = (
        select(decisions.c.application, func.max(decisions.c.number).label("number"))
        .group_by(decisions.c.application)
        .subquery()
    )
    rows = connection.execute(
        select(applications.c.received_at)
        .join(newest, newest.c.application == applications.c.id)
        .join(
            decisions,
            (decisions.c.application == newest.c.application)
            & (decisions.c.number == newest.c.number),
        )
        .outerjoin(letters, letters.c.decision == decisions.c.id)
        .join(outbox, (outbox.c.application == decisions.c.id) & (outbox.c.step == "use.scored"))
        .where(decisions.c.outcome.in_(["decline", "counter"]), letters.c.decision.is_(None))
        .where(outbox.c.refused.is_(None))  # of a void one there is nothing to tell
    )
    return [desk.day(received) for (received,) in rows]


def _in_force(desk: Desk, product: str, day: date) -> str:
    try:
        return desk.lending.versions(product, day).policy
    except RulesMissing as error:
        return str(error)
