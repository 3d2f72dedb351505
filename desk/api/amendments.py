"""What is changed of a loan: another plan for it, money given back, a wrong entry taken back."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field

from desk.api.loans import OF_LOAN, OfLoan
from desk.api.shared import DeskBody, EventId, Fen, refusals
from desk.commands.correct import Instead, Reversal, correct, refund
from desk.commands.repay import BackReason, Received
from desk.commands.restructure import Plan, restructure
from lending.account.allocation import THIRD_PARTIES
from lending.account.events import ContractDue

router = APIRouter(tags=["loans"])
MOST_DUES = 120
"""Ten years of months, as the longest product has: what a plan costs is worked out while nobody
else can write."""
NoneOrFen = Annotated[int, Field(strict=True, ge=0, le=10**13)]
Booked = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}(/instead)?$")]
"""The id of an event, or of what a correction put in place."""


class PlannedDue(DeskBody):
    """``fees``: the lender's; then what others get."""

    due: date
    principal: NoneOrFen
    interest: NoneOrFen
    fees: NoneOrFen = 0
    guarantor: NoneOrFen = 0
    insurer: NoneOrFen = 0
    platform: NoneOrFen = 0

    @property
    def contractual(self) -> ContractDue:
        asked = ((who, getattr(self, who)) for who in THIRD_PARTIES)
        others = tuple((who, amount) for who, amount in asked if amount)
        return ContractDue(self.due, self.principal, self.interest, self.fees, others)


class NewRestructuring(DeskBody):
    """``schedule``: its principal is all that is outstanding, its last due repays a part of it."""

    event: EventId
    on: date
    schedule: tuple[PlannedDue, ...] = Field(min_length=1, max_length=MOST_DUES)


class NewRefund(DeskBody):
    event: EventId
    amount: Fen
    on: date
    reason: BackReason | None = None


class RightInstead(DeskBody):
    amount: Fen
    on: date


class NewCorrection(DeskBody):
    """``corrects``: the event that was booked wrongly; ``instead``: its right amount and day, if it
    was at all."""

    event: EventId
    corrects: Booked
    instead: RightInstead | None = None
    reason: BackReason | None = None


@router.post(OF_LOAN + "restructurings", responses=refusals(404, 409, 412), status_code=201)
def post_restructuring(body: NewRestructuring, change: OfLoan) -> Response:
    """Another plan for a borrower in difficulty, under the cap over the whole life: forborne,
    watched, and the contractual clock runs on."""
    dues = tuple(one.contractual for one in body.schedule)
    new = restructure(change.desk, change.loan, Plan(body.event, body.on, dues), change.booking())
    return change.shown(new)


@router.post(OF_LOAN + "refunds", responses=refusals(404, 409, 412), status_code=201)
def post_refund(body: NewRefund, change: OfLoan) -> Response:
    """Book that money which is held, and owed to nobody, went back to who paid it."""
    paid = Received(body.event, body.amount, body.on)
    new = refund(change.desk, change.loan, paid, change.booking(body.reason))
    return change.shown(new)


@router.post(OF_LOAN + "corrections", responses=refusals(404, 409, 412), status_code=201)
def post_correction(body: NewCorrection, change: OfLoan) -> Response:
    """Take back a repayment, a recovery or a refund that was booked wrongly, from today on."""
    right = None if body.instead is None else Instead(body.instead.amount, body.instead.on)
    new = correct(
        change.desk,
        change.loan,
        Reversal(body.event, body.corrects, right),
        change.booking(body.reason),
    )
    return change.shown(new)
