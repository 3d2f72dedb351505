"""Take back what was booked wrongly, and give back what is held for the borrower.

Only money is taken back: a repayment, a recovery or a refund that never was, or was of another
amount or day. From today on the loan is as if it had been booked right; what was known before stays
known, and the wrong entry stays readable. Whose money it was is not changed: money of a guarantor
is not made the borrower's, which alone moves the contractual clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from desk.commands.repay import Booking, Received, happen, require_not_long_ago, require_value_date
from desk.office import Desk
from lending.account.balances import Account
from lending.account.events import (
    Corrected,
    LoanEvent,
    Recovered,
    Refunded,
    Repaid,
    SettledEarly,
)
from protocol.errors import Conflict

INSTEAD = "/instead"
"""What the id of a correction ends with, where it names what it put in place."""


@dataclass(frozen=True)
class Instead:
    """What it should have been: of so much, on that day."""

    amount: int
    on: date


@dataclass(frozen=True)
class Reversal:
    """``id``: of the correction; ``corrects``: of the event that was booked wrongly."""

    id: str
    corrects: str
    instead: Instead | None = None


def correct(desk: Desk, loan: str, asked: Reversal, booking: Booking) -> bool:
    """Take one event back, and put another in its place if it was of another amount or day; returns
    whether that is new.

    Raises:
        NotFound, PreconditionFailed, Malformed: as of :func:`desk.commands.repay.happen`, of the
        day that is put in place too. Conflict: it is not there, or is no money. AccountError: what
        was booked after it cannot have happened without it.
    """

    def made(account: Account) -> LoanEvent:
        earlier = next((one for one in account.events if one.id == asked.id), None)
        wrong = _named(account).get(asked.corrects)
        if not isinstance(wrong, Repaid | SettledEarly | Recovered | Refunded):
            raise Conflict(
                f"{asked.corrects} is no repayment, recovery or refund of this loan: nothing else "
                "is taken back"
            )
        if asked.instead is not None and earlier is None:
            require_value_date(asked.instead.on, account.contract.starts, account.day)
            if asked.instead.on < wrong.day:
                require_not_long_ago(asked.instead.on, account.day, booking.reason)
        return Corrected(
            id=asked.id,
            day=account.day if earlier is None else earlier.day,
            corrects=(asked.corrects,),
            instead=_instead(asked, wrong),
        )

    return happen(desk, loan, None, made, booking)


def _named(account: Account) -> dict[str, LoanEvent]:
    """Everything that was ever booked, by id; whether it still counts is the fold's to say."""
    found: dict[str, LoanEvent] = {}
    for event in account.events:
        found[event.id] = event
        if isinstance(event, Corrected):
            found |= {one.id: one for one in event.instead}
    return found


def _instead(asked: Reversal, wrong: LoanEvent) -> tuple[LoanEvent, ...]:
    said = asked.instead
    if said is None:
        return ()
    if isinstance(wrong, SettledEarly):  # what it took is of its own day and amount
        right: LoanEvent = Repaid(
            id=asked.id + INSTEAD, day=said.on, amount=said.amount, prepays=True
        )
    else:
        right = replace(wrong, id=asked.id + INSTEAD, day=said.on, amount=said.amount)
    return (right,)


def refund(desk: Desk, loan: str, paid: Received, booking: Booking) -> bool:
    """Give back what is held, and owed to nobody; returns whether that is new.

    Raises:
        NotFound, PreconditionFailed, Malformed, Conflict: as of
        :func:`desk.commands.repay.happen`. AccountError: less is held.
    """
    event = Refunded(id=paid.id, day=paid.on, amount=paid.amount)
    return happen(desk, loan, paid.on, lambda _: event, booking)
