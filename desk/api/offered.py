"""What is lent here and what it costs at most, for everybody: no token is asked for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from desk.api.shared import TheDesk, refusals
from desk.commands.offer import dearest, offered

router = APIRouter(tags=["products"])
_PUBLIC = {status: said for status, said in refusals(404).items() if status not in {401, 403}}


@router.get("/v1/products", response_model=None, responses=_PUBLIC)
def get_products(desk: TheDesk) -> Response:
    """What can be applied for today: names, amounts in fen, terms in days."""
    return JSONResponse({"items": offered(desk)}, headers={"Cache-Control": "no-cache"})


@router.get("/v1/products/{product}/quote", response_model=None, responses=_PUBLIC)
def get_quote(
    product: str,
    desk: TheDesk,
    amount: Annotated[int, Query(gt=0, le=10**13)],
    term_days: Annotated[int, Query(ge=1, le=36_500)],
) -> Response:
    """What an amount for a term would cost at most, everybody counted, beside the cap of the day.
    Nobody is named, so nothing is kept of who asks."""
    found = dearest(desk, product, amount, term_days)
    return JSONResponse(found.payload(), headers={"Cache-Control": "no-cache"})
