"""Forget what ended long enough ago: the data keys of applications are destroyed, and with them
everything that was sealed, in every backup too (PIPL 19, 47; GDPR 5(1)(e)); and nobody's name
stands in the place of theirs, under a settled loan as well (征信业管理条例 16).

What is left names an outcome and amounts of nobody, and cannot be read further. A loan that is
still owed, and whatever waits for somebody, is kept; for a decision that is void nobody waits, nor
for an acceptance that has lapsed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Row, select

from desk.accounts import account_of
from desk.commands.erase import (
    KEEP_AT_LEAST,
    end_portraits_of_nobody,
    erase_due,
    forget,
)
from desk.lapsing import record_lapses
from desk.office import Desk, InHand
from desk.records import held
from desk.reviewing import OPEN, all_reviews
from desk.states import ApplicationStatus
from desk.storage.tables import NOBODY, applications, loans, reviews
from protocol.errors import Malformed

_WAIT = {ApplicationStatus.IN_REVIEW, ApplicationStatus.ACCEPTED}


@dataclass(frozen=True)
class Retained:
    """How many applications were forgotten now, and how many are still kept."""

    forgotten: int
    kept: int


def retain(desk: Desk, days: int, pseudonym: str | None = None) -> Retained:
    """Forget what ended more than ``days`` days ago: of everybody, or of one person who asked for
    it.

    Raises:
        Malformed: the law of the place has records kept longer, or ``days`` is below nought.
    """
    laws, place = desk.wording.laws, desk.wording.jurisdiction

    def end(hand: InHand) -> Retained:
        today = desk.day(hand.moment)
        least = laws.find(place, KEEP_AT_LEAST, today)
        if days < 0 or (least is not None and days < least.number):
            why = "no time" if least is None else f"{least.value} days ({least.article})"
            raise Malformed(f"records of an application are kept for {why}; name more days")
        named = ~applications.c.pseudonym.startswith(NOBODY)
        query = select(applications).where(applications.c.wrapped_key.is_not(None) | named)
        if pseudonym is not None:
            query = query.where(applications.c.pseudonym == pseudonym)
        record_lapses(hand)
        rows = hand.connection.execute(query).all()
        over = [row for row in rows if _over(desk, hand, row, today - timedelta(days=days))]
        for row in over:
            forget(hand, row, nameless=True)
        erase_due(desk, hand)
        end_portraits_of_nobody(hand)
        ended, readable = (sum(one.wrapped_key is not None for one in of) for of in (over, rows))
        return Retained(ended, readable - ended)

    return desk.write(end)


def _over(desk: Desk, hand: InHand, row: Row[Any], before: date) -> bool:
    """Whether an application and its loan ended before a day."""
    loan = hand.connection.execute(select(loans).where(loans.c.application == row.id)).one_or_none()
    if loan is not None:
        settled = account_of(hand.connection, loan, desk.day(hand.moment)).settled_on
        return settled is not None and settled < before
    found = held(hand.connection, row.id)
    if found.refused is None:
        if found.status in _WAIT:
            return False
        if hand.connection.execute(all_reviews(*OPEN).where(reviews.c.application == row.id)).all():
            return False
    return desk.day(found.decision.decided_at) < before
