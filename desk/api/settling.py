"""A loan repaid whole before its end: what that takes on a day, and the money that did it."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field

from desk.api.loans import OF_LOAN, Anybody, OfLoan, amounts_view
from desk.api.shared import DeskBody, DeskId, EventId, TheDesk, refusals, shown
from desk.commands.repay import BackReason, Received
from desk.commands.settle import settle, settlement
from lending.account.early import EarlySettlement

router = APIRouter(tags=["loans"])
OnDay = Annotated[
    date | None, Query(description="At the end of which day, one to come too; today if left out.")
]


class NewSettlement(DeskBody):
    """``event``: the lender's id of the transfer. ``amount``: what came; 0 where what is held is
    enough. ``reason``: why its value date is longer ago than ten days."""

    event: EventId
    amount: int = Field(strict=True, ge=0, le=10**13)
    on: date
    reason: BackReason | None = None


@router.get(OF_LOAN + "settlement", responses=refusals(404, 409))
def get_settlement(loan: DeskId, desk: TheDesk, caller: Anybody, on: OnDay = None) -> Response:
    """What repays the whole loan on a day, part by part, if nothing else is booked until then."""
    found, etag = settlement(desk, loan, on)
    return shown(settlement_view(found), 200, etag)


@router.post(OF_LOAN + "settlement", responses=refusals(404, 409, 412), status_code=201)
def post_settlement(body: NewSettlement, change: OfLoan) -> Response:
    """Book the money that repaid the whole loan before its end; the same event again changes
    nothing."""
    received = Received(body.event, body.amount, body.on)
    new = settle(change.desk, change.loan, received, change.booking(body.reason))
    return change.shown(new)


def settlement_view(found: EarlySettlement) -> dict[str, Any]:
    """Money in fen. ``agreed``: what the product said is charged; ``amount``: what of it may be."""
    cost = found.cost
    return {
        "on": found.on.isoformat(),
        "to_pay": found.to_pay,
        "owed": amounts_view(found.owed),
        "charges": [
            {"code": one.code, "payee": one.payee, "agreed": one.agreed, "amount": one.amount}
            for one in found.charges
        ],
        "rebate": found.rebate,
        "held": found.held,
        "saved": found.saved,
        "cost": None
        if cost is None
        else {
            "compound": str(cost.compound),
            "simple": str(cost.simple),
            "cap": None if cost.cap is None else str(cost.cap),
            "cap_source": cost.cap_source,
            "total": cost.total,
        },
        "sources": list(found.sources),
    }
