"""Book what happens to a loan: money that came, grace, a fee, a write-off.

Each event has the lender's own id and acts once. What arrives late is booked back by a correction,
which is the only way back: what was known on a day stays known. What the lender grants is granted
on the day on which it is booked, and never put back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Row, select

from desk.accounts import account_of, book, etag_of, events_of, held_loan
from desk.office import Desk, InHand
from desk.storage.idempotency import ActsOnce, made_before, remember
from desk.storage.tables import account_events
from lending.account.balances import Account
from lending.account.events import Concession, Corrected, LoanEvent, Repaid
from lending.account.events import Payer as Payers
from protocol.errors import Malformed, PreconditionFailed


@dataclass(frozen=True)
class Received:
    """Money that came for a loan. ``id``: of the transfer; ``on``: its value date."""

    id: str
    amount: int
    on: date
    payer: Payers = "borrower"
    prepays: bool = False


@dataclass(frozen=True)
class Booking:
    """Who books, on what they read, once."""

    by: str
    if_match: str | None = None
    once: ActsOnce | None = None


def repay(desk: Desk, loan: str, received: Received, booking: Booking) -> bool:
    """Book a repayment; returns whether it is new.

    Raises:
        NotFound; PreconditionFailed; Malformed: the day is to come, or the key was used otherwise;
        Conflict: the id belongs to another event. AccountError: the loan cannot take it.
    """

    def made(_: Account) -> LoanEvent:
        return Repaid(
            id=received.id,
            day=received.on,
            amount=received.amount,
            payer=received.payer,
            prepays=received.prepays,
        )

    return happen(desk, loan, received.on, made, booking)


def happen(
    desk: Desk,
    loan: str,
    day: date,
    event: Callable[[Account], LoanEvent],
    booking: Booking,
) -> bool:
    """Let something happen to a loan on ``day``; returns whether it is new.

    Args:
        event: what happens, given the loan as of that day. It may refuse.

    Raises:
        NotFound; PreconditionFailed; Malformed: the day is to come, or past though something is
            granted, or the key was used otherwise; Conflict; AccountError: as :func:`repay`.
    """

    def record(hand: InHand) -> bool:
        if made_before(hand.connection, booking.once, hand.moment) is not None:
            return False
        row = held_loan(hand.connection, loan)
        if booking.if_match not in {None, "*", etag_of(hand.connection, loan)}:
            raise PreconditionFailed("the loan has changed since it was read; read it again")
        today = desk.day(hand.moment)
        if day > today:
            raise Malformed(f"{day} is still to come; what happened is booked on its day")
        account = account_of(hand.connection, row, day)
        new = book(hand, row, _in_order(hand, row, event(account), today), booking.by)
        remember(hand.connection, booking.once, loan, hand.moment)
        return new

    return desk.write(record)


def _in_order(hand: InHand, loan: Row[Any], event: LoanEvent, today: date) -> LoanEvent:
    """The event, or, where something later was booked already, a correction that puts it in its
    place. A retry of either is the same again."""
    late = f"{event.id}/late"
    known = hand.connection.scalar(
        select(account_events.c.happened_on).where(account_events.c.event_id == late)
    )
    last = events_of(hand.connection, loan.id)[-1]
    is_known = hand.connection.scalar(
        select(account_events.c.number).where(account_events.c.event_id == event.id)
    )
    if is_known is None and isinstance(event, Concession) and event.day < today:
        raise Malformed(
            f"{event.day} is past; what is granted is granted on the day on which it is booked: "
            f"book it for {today}"
        )
    if is_known is not None or (known is None and event.day >= last.day):
        return event
    return Corrected(id=late, day=known or today, instead=(event,))
