"""Acceptances that lapsed: what was accepted is paid out within the days that its product names, or
not at all.

From that moment on nothing may be paid, whether anybody has looked or not. That it lapsed is kept,
append-only, by whatever comes first: an attempt to pay it out, or the daily ``tahini desk retain``.
"""

from __future__ import annotations

import logging
from datetime import datetime

from sqlalchemy import Connection, insert, select

from desk.errors import OfferLapsed
from desk.office import Desk, InHand
from desk.records import Held, held, move
from desk.states import ApplicationEvent, ApplicationStatus
from desk.storage.tables import acceptances, applications, lapses, offers
from desk.wording import TONGUES, lapse_sentence

logger = logging.getLogger("tahini.desk")
_STATUS = applications.c.status
_OVERDUE = (
    select(applications.c.id, acceptances.c.pay_by)
    .join(acceptances, acceptances.c.application == applications.c.id)
    .where(_STATUS == ApplicationStatus.ACCEPTED)
    .order_by(applications.c.number)
)


def pay_by(connection: Connection, application: str) -> datetime | None:
    """Until when an accepted offer may be paid out; None where none was accepted."""
    found: datetime | None = connection.scalar(
        select(acceptances.c.pay_by).where(acceptances.c.application == application)
    )
    return found


def lapsed_at(connection: Connection, found: Held, moment: datetime) -> datetime | None:
    """When the acceptance of an application lapsed; None where it has not by ``moment``."""
    if found.status not in {ApplicationStatus.ACCEPTED, ApplicationStatus.LAPSED}:
        return None
    until = pay_by(connection, found.application.id)
    return until if until is not None and moment > until else None


def record_lapses(hand: InHand) -> int:
    """Keep of every acceptance whose time is over that it lapsed; returns how many there were."""
    due = hand.connection.execute(_OVERDUE.where(acceptances.c.pay_by < hand.moment)).all()
    for row in due:
        move(hand, held(hand.connection, row.id), ApplicationEvent.LAPSE)
        said = {"application": row.id, "lapsed_at": row.pay_by, "recorded_at": hand.moment}
        hand.connection.execute(insert(lapses).values(said))
    if due:
        logger.info("%d accepted offers were not paid out in time and have lapsed", len(due))
    return len(due)


def refusal(desk: Desk, until: datetime) -> OfferLapsed:
    """What whoever would pay it out is told."""
    said = f"{until.astimezone(desk.ways.timezone):%Y-%m-%d %H:%M}"
    return OfferLapsed(
        f"the offer was accepted, but not paid out by {said}: it has lapsed, and nothing may be "
        "paid on it; apply again"
    )


def lapse_view(desk: Desk, connection: Connection, found: Held, until: datetime) -> dict[str, str]:
    """What the borrower is shown of it: when, and in words."""
    of_it = offers.c.decision == found.decision.id
    amount = connection.scalars(select(offers.c.amount).where(of_it)).one()
    texts: dict[str, str] = {
        tongue: lapse_sentence(amount, desk.day(until), tongue) for tongue in TONGUES
    }
    return {"at": until.isoformat(), **texts}
