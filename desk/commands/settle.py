"""Repay a whole loan before its end: what that takes on a day, and the money that did it.

A borrower may repay at any time. What is charged for it is what the product said when the loan was
made, and no more than the law of the day and its cap allow (:mod:`lending.account.early`).
"""

from __future__ import annotations

from datetime import date

from desk.accounts import account_of, etag_of, held_loan
from desk.commands.extend import contracted
from desk.commands.repay import Booking, Received, happen
from desk.office import Desk
from lending.account.balances import Account
from lending.account.early import EarlySettlement
from lending.account.events import LoanEvent, SettledEarly
from protocol.errors import Malformed


def settlement(desk: Desk, loan: str, on: date | None = None) -> tuple[EarlySettlement, str]:
    """What repays a loan on a day, or today, if nothing else is booked until then; and the loan's
    ETag. Nothing is booked.

    Raises:
        NotFound. Malformed: there was no loan on that day. AccountError: nothing of it falls due
        later, or it cannot be repaid any more. NotKept: the product that it was made under cannot
        be read.
    """
    product = contracted(desk, loan)
    with desk.reading() as hand:
        row = held_loan(hand.connection, loan)
        day = on or desk.day(hand.moment)
        if day < row.disbursed_on:
            raise Malformed(f"on {day} there was no loan yet: it was paid out {row.disbursed_on}")
        account = account_of(hand.connection, row, day)
        etag = etag_of(hand.connection, loan)
    return desk.lending.settlement(product, account), etag


def settle(desk: Desk, loan: str, received: Received, booking: Booking) -> bool:
    """Book the money that repaid a loan before its end; returns whether that is new. What is more
    than it took is held for the borrower.

    Raises:
        NotFound, PreconditionFailed, Malformed, Conflict: as of
        :func:`desk.commands.repay.happen`. AccountError: it is less than it takes, or nothing
        falls due later. NotKept: the product that it was made under cannot be read.
    """
    product = contracted(desk, loan)

    def made(account: Account) -> LoanEvent:
        earlier = next((one for one in account.events if one.id == received.id), None)
        if isinstance(earlier, SettledEarly) and earlier.amount == received.amount:
            return earlier  # a retry: it is booked already
        if earlier is not None:  # of another amount, or of something else: it is refused
            return SettledEarly(id=received.id, day=received.on, amount=received.amount)
        found = desk.lending.settlement(product, account)
        return found.event(received.id, received.amount)

    return happen(desk, loan, received.on, made, booking)
