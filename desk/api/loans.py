"""What was lent: paid out, paid back, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import Field
from sqlalchemy import select

from desk.accounts import account_of, etag_of, held_loan
from desk.api.shared import (
    Commanded,
    Cursor,
    DeskBody,
    DeskCommand,
    DeskId,
    EventId,
    Fen,
    IfMatch,
    Limit,
    TheDesk,
    WholeList,
    only,
    paged,
    refusals,
    shown,
)
from desk.callers import CallerRole, DeskCaller
from desk.commands.disburse import Payment, disburse
from desk.commands.extend import extend
from desk.commands.repay import BackReason, Booking, Received, happen, repay
from desk.office import Desk
from desk.storage.tables import account_events, loans
from lending.account.allocation import COMPONENTS, THIRD_PARTIES, Component, Payee
from lending.account.balances import Account
from lending.account.events import ChargedOff, GraceGranted, Recovered, Waived
from lending.account.rows import Balances
from lending.policy.pricing import Extending
from protocol.cursors import cursor_of, position

router = APIRouter(tags=["loans"])
OF_LOAN = "/v1/loans/{loan}/"
Servicing = Annotated[DeskCaller, only(CallerRole.SERVICING)]
Anybody = Annotated[DeskCaller, only(*CallerRole)]
AsOf = Annotated[date | None, Query(description="At the end of which day; today if left out.")]


class NewPayment(DeskBody):
    """``payment``: the lender's id of the transfer. ``amount``: what the borrower received.
    ``reason``: why its value date is longer ago than ten days."""

    payment: EventId
    amount: Fen
    on: date
    reason: BackReason | None = None


class NewRepayment(DeskBody):
    """``reason``: why its value date is longer ago than ten days."""

    event: EventId
    amount: Fen
    on: date
    payer: Literal["borrower", "guarantor", "insurer", "lender"] = "borrower"
    prepays: bool = False
    reason: BackReason | None = None


class NewGrace(DeskBody):
    event: EventId
    on: date
    until: date
    in_difficulty: bool = False


class NewExtension(DeskBody):
    """``on``: the day on which the borrower asked. What it costs follows from the product."""

    event: EventId
    on: date
    days: int = Field(strict=True, ge=1, le=3660)
    in_difficulty: bool = False


class NewWaiver(DeskBody):
    """``payee``: of fees, whoever lets go of theirs."""

    event: EventId
    on: date
    amount: Fen
    component: Component
    payee: Payee = "lender"
    in_difficulty: bool = False


class NewWriteOff(DeskBody):
    event: EventId
    on: date
    reason: BackReason | None = None


class NewRecovery(DeskBody):
    event: EventId
    amount: Fen
    on: date
    payer: Literal["borrower", "guarantor", "insurer", "lender"] = "borrower"
    reason: BackReason | None = None


@dataclass(frozen=True)
class LoanChange:
    """A request that something is booked on a loan, whatever it is."""

    desk: Desk
    loan: str
    caller: DeskCaller
    command: DeskCommand
    if_match: str | None

    def booking(self, reason: BackReason | None = None) -> Booking:
        """Raises Malformed: the Idempotency-Key is none."""
        return Booking(self.caller.name, self.if_match, self.command.once(self.caller), reason)

    def shown(self, new: bool) -> Response:
        return loan_shown(self.desk, self.loan, (201, not new))


async def _change(
    loan: DeskId,
    desk: TheDesk,
    caller: Servicing,
    command: Commanded,
    if_match: IfMatch = None,
) -> LoanChange:
    return LoanChange(desk, loan, caller, command, if_match)


OfLoan = Annotated[LoanChange, Depends(_change)]
of_loan = partial(router.post, responses=refusals(404, 409, 412), status_code=201)


@router.post(
    "/v1/applications/{application}/disbursement", responses=refusals(404, 409), status_code=201
)
def post_disbursement(
    application: DeskId, body: NewPayment, desk: TheDesk, caller: Servicing, command: Commanded
) -> Response:
    """Pay out, exactly once: the same payment again is answered with the loan that is there."""
    payment = Payment(body.payment, body.amount, body.on, body.reason)
    loan, again = disburse(desk, application, payment, caller.name, command.once(caller))
    return loan_shown(desk, loan, (201, again))


@router.get("/v1/loans", responses=refusals())
def get_loans(
    desk: TheDesk, caller: Anybody, cursor: Cursor = None, limit: Limit = 100
) -> WholeList:
    """All loans, the oldest first."""
    with desk.reading() as hand:
        rows = hand.connection.execute(
            select(loans)
            .where(loans.c.number > position(cursor))
            .order_by(loans.c.number)
            .limit(limit + 1)
        ).all()
    page, following = paged(rows, limit, lambda row: int(row.number))
    items = [
        {
            "id": row.id,
            "application": row.application,
            "principal": row.principal,
            "disbursed_on": row.disbursed_on.isoformat(),
        }
        for row in page
    ]
    return WholeList(items=items, next=None if following is None else cursor_of(following))


@router.get("/v1/loans/{loan}", responses=refusals(404))
def get_loan(loan: DeskId, desk: TheDesk, caller: Anybody, as_of: AsOf = None) -> Response:
    """How a loan stands at the end of a day, as it was known then."""
    return loan_shown(desk, loan, day=as_of)


@router.get("/v1/loans/{loan}/events", responses=refusals(404))
def get_events(loan: DeskId, desk: TheDesk, caller: Anybody) -> WholeList:
    """What happened to it, in order."""
    with desk.reading() as hand:
        held_loan(hand.connection, loan)
        rows = hand.connection.execute(
            select(account_events)
            .where(account_events.c.loan == loan)
            .order_by(account_events.c.number)
        ).all()
    items = [
        {
            "number": row.number,
            "event": row.event_id,
            "kind": row.kind,
            "on": row.happened_on.isoformat(),
            "recorded_at": row.recorded_at.isoformat(),
            "by": row.by,
            "reason": row.reason,
        }
        for row in rows
    ]
    return WholeList(items=items)


@of_loan(OF_LOAN + "repayments")
def post_repayment(body: NewRepayment, change: OfLoan) -> Response:
    """Book money that came; the same event again changes nothing."""
    received = Received(body.event, body.amount, body.on, body.payer, body.prepays)
    new = repay(change.desk, change.loan, received, change.booking(body.reason))
    return change.shown(new)


@of_loan(OF_LOAN + "graces")
def post_grace(body: NewGrace, change: OfLoan) -> Response:
    """Grant grace: the contractual clock runs on."""
    event = GraceGranted(
        id=body.event, day=body.on, until=body.until, in_difficulty=body.in_difficulty
    )
    new = happen(change.desk, change.loan, body.on, lambda _: event, change.booking())
    return change.shown(new)


@of_loan(OF_LOAN + "extensions")
def post_extension(body: NewExtension, change: OfLoan) -> Response:
    """Put off its end; asked for before it falls due, within product, law and cap."""
    asked = Extending(body.event, body.on, body.days, body.in_difficulty)
    new = extend(change.desk, change.loan, asked, change.booking())
    return change.shown(new)


@of_loan(OF_LOAN + "waivers")
def post_waiver(body: NewWaiver, change: OfLoan) -> Response:
    """Let go of a part of what is owed."""
    event = Waived(
        id=body.event,
        day=body.on,
        amount=body.amount,
        component=body.component,
        payee=body.payee,
        in_difficulty=body.in_difficulty,
    )
    new = happen(change.desk, change.loan, body.on, lambda _: event, change.booking())
    return change.shown(new)


@of_loan(OF_LOAN + "write-off")
def post_write_off(body: NewWriteOff, change: OfLoan) -> Response:
    """Write it off as an asset; the debt stays."""
    event = ChargedOff(id=body.event, day=body.on)
    new = happen(change.desk, change.loan, body.on, lambda _: event, change.booking(body.reason))
    return change.shown(new)


@of_loan(OF_LOAN + "recoveries")
def post_recovery(body: NewRecovery, change: OfLoan) -> Response:
    """Book money that came for a debt that was written off."""
    event = Recovered(id=body.event, day=body.on, amount=body.amount, payer=body.payer)
    new = happen(change.desk, change.loan, body.on, lambda _: event, change.booking(body.reason))
    return change.shown(new)


def loan_shown(
    desk: TheDesk,
    loan: str,
    answered: tuple[int, bool] = (200, False),
    day: date | None = None,
) -> Response:
    with desk.reading() as hand:
        row = held_loan(hand.connection, loan)
        account = account_of(hand.connection, row, day or desk.day(hand.moment))
        etag = etag_of(hand.connection, loan)
    status, again = answered
    body = {"id": loan, "application": row.application, **loan_view(account)}
    return shown(body, status, etag, again)


def loan_view(account: Account) -> dict[str, Any]:
    """A loan at the end of a day; money in fen."""
    contract = account.contract
    return {
        "as_of": account.day.isoformat(),
        "status": account.status.value,
        "principal": contract.principal,
        "matures": contract.matures.isoformat(),
        "owed": amounts_view(account.outstanding),
        "due": amounts_view(account.due),
        "held": account.held,
        "received": account.received,
        "refunded": account.refunded,
        "paid": amounts_view(account.paid),
        "waived": amounts_view(account.waived),
        "written_off": account.written_off,
        "days_past_due": {
            "contractual": account.dpd,
            "after_grace": account.past_due,
            "worst": account.worst_dpd,
        },
        "watched": account.watched,
        "settled_on": None if account.settled_on is None else account.settled_on.isoformat(),
        "schedule": [
            {
                "due": one.day.isoformat(),
                "principal": one.principal,
                "interest": one.interest,
                "fees": one.fees,
                "others": dict(one.others),
            }
            for one in contract.dues
        ],
    }


def amounts_view(found: Balances) -> dict[str, Any]:
    """What is the lender's by component, and what goes to whom else."""
    return {
        **{name: getattr(found, name) for name in COMPONENTS},
        "others": {name: getattr(found, name) for name in THIRD_PARTIES},
        "lender": found.lender,
        "total": found.total,
    }
