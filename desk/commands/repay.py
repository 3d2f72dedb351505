"""Book what happens to a loan: money that came, grace, a fee, a write-off.

Each event has the lender's own id and acts once. What arrives late is booked back by a correction,
which is the only way back: what was known on a day stays known. No value date is to come, before
the loan was paid out, or, without a reason that is kept, more than :data:`BACK_DAYS` ago: whoever
books chooses it, and it moves the contractual clock. What the lender grants is granted on the day
on which it is booked, and never put back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from sqlalchemy import Row, select

from desk.accounts import account_of, book, etag_of, events_of, held_loan
from desk.office import Desk, InHand
from desk.storage.idempotency import ActsOnce, made_before, remember
from desk.storage.tables import account_events
from lending.account.balances import Account
from lending.account.events import Concession, Corrected, LoanEvent, Repaid
from lending.account.events import Payer as Payers
from protocol.errors import Malformed, PreconditionFailed

BACK_DAYS = 10
"""Bank holidays, with the weekends beside them, are not longer (国庆, 春节: 8 days)."""
BackReason = Literal["bank-error", "lender-error", "court-order"]


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
    """Who books, on what they read, once. ``reason``: why it was longer ago than it may be."""

    by: str
    if_match: str | None = None
    once: ActsOnce | None = None
    reason: BackReason | None = None


def repay(desk: Desk, loan: str, received: Received, booking: Booking) -> bool:
    """Book a repayment; returns whether it is new.

    Raises:
        NotFound; PreconditionFailed; Malformed: the day cannot be, or the key was used otherwise;
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
    day: date | None,
    event: Callable[[Account], LoanEvent],
    booking: Booking,
) -> bool:
    """Let something happen to a loan on ``day``, or today; returns whether it is new.

    Args:
        event: what happens, given the loan as of that day. It may refuse.

    Raises:
        NotFound; PreconditionFailed; Malformed: the day cannot be, or is past though something is
            granted, or the key was used otherwise; Conflict; AccountError: as :func:`repay`.
    """

    def record(hand: InHand) -> bool:
        if made_before(hand.connection, booking.once, hand.moment) is not None:
            return False
        row = held_loan(hand.connection, loan)
        if booking.if_match not in {None, "*", etag_of(hand.connection, loan)}:
            raise PreconditionFailed("the loan has changed since it was read; read it again")
        today = desk.day(hand.moment)
        on = day or today
        require_value_date(on, row.disbursed_on, today)
        made = event(account_of(hand.connection, row, on))
        found = _in_order(hand, row, made, (today, booking.reason))
        new = book(hand, row, found, booking.by, booking.reason)
        remember(hand.connection, booking.once, loan, hand.moment)
        return new

    return desk.write(record)


def require_value_date(on: date, starts: date, today: date) -> None:
    """Raises Malformed where nothing can have happened to the loan on that day."""
    if on > today:
        raise Malformed(f"{on} is still to come; what happened is booked on its day")
    if on < starts:
        raise Malformed(
            f"on {on} there was no loan yet: it was paid out on {starts}; book what happened since"
        )


def require_not_long_ago(on: date, today: date, reason: BackReason | None) -> None:
    """Raises Malformed where it was longer ago than :data:`BACK_DAYS`, and nobody says why."""
    if reason is None and on < today - timedelta(days=BACK_DAYS):
        raise Malformed(
            f"{on} is more than {BACK_DAYS} days ago; a value date so old needs a reason, which is "
            "kept: bank-error, lender-error or court-order"
        )


def _in_order(
    hand: InHand, loan: Row[Any], event: LoanEvent, now: tuple[date, BackReason | None]
) -> LoanEvent:
    """The event, or, where something later was booked already, a correction that puts it in its
    place. A retry of either is the same again."""
    today, reason = now
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
    if is_known is None and known is None:
        require_not_long_ago(event.day, today, reason)
    if is_known is not None or (known is None and event.day >= last.day):
        return event
    return Corrected(id=late, day=known or today, instead=(event,))
