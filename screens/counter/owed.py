"""A loan of mine: what was paid, what is due when, what is late; and more time for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from screens.counter.forms import ExtendForm
from screens.counter.shown import REPAYABLE
from screens.counter.visit import CounterDoor
from screens.house.errors import PageError
from screens.house.forms import is_number, new_once
from screens.house.shell import Look, go

SOME_DAYS = (0, 1, 7, 14, 30, 60, 90, 180)


@dataclass(frozen=True)
class LoanPages:
    """Pages about loans."""

    look: Look
    door: CounterDoor

    async def loan(self, request: Request) -> Response:
        """``GET /loans/{loan}``: how it stands, in plain words, and its plan."""
        return self.look.page(request, "loan.html", tab="/", loan=await self._loan(request))

    async def _loan(self, request: Request) -> dict[str, Any]:
        desk = self.door.at_desk(request)
        return dict((await desk.read(f"/v1/me/loans/{request.path_params['loan']}")).body)

    async def repay(self, request: Request) -> Response:
        """``GET /loans/{loan}/repay``: what it takes to repay all of it, today or on a day to come.
        Money comes by the bank, so nothing is done here."""
        loan, asked = await self._loan(request), request.query_params.get("on")
        days = _days_to_repay(loan)
        if not days or asked not in {None, *days}:
            raise PageError("not-found", 404)
        path = f"/v1/me/loans/{loan['id']}/settlement" + (f"?on={asked}" if asked else "")
        found = await self.door.at_desk(request).read(path)
        return self.look.page(
            request, "repay.html", tab="/", loan=loan, found=found.body, days=days
        )

    async def ask_extension(self, request: Request) -> Response:
        """``GET /loans/{loan}/extend``: for how long; then what that costs over the whole life of
        the loan, before anything is done."""
        asked = request.query_params.get("days")
        if asked is None:
            loan = await self._loan(request)
            return self.look.page(request, "extend.html", tab="/", loan=loan, found=None)
        if not is_number(asked):
            raise PageError("not-found", 404)
        return await self._priced_page(request, int(asked))

    async def _priced_page(
        self, request: Request, days: int, problem: str | None = None
    ) -> Response:
        loan = await self._loan(request)
        if days not in loan["extensions"]:
            raise PageError("not-found", 404)
        path = f"/v1/me/loans/{loan['id']}/extension?days={days}"
        price = await self.door.at_desk(request).read(path)
        return self.look.page(
            request,
            "extend.html",
            200 if problem is None else 409,
            tab="/",
            loan=loan,
            found=price.body,
            problem=problem,
            once=new_once(),
        )

    async def extend(self, request: Request) -> Response:
        """``POST /loans/{loan}/extend``: granted at the price that was shown, or shown again."""
        form = await self.door.form(request, ExtendForm)
        desk, loan = self.door.at_desk(request), request.path_params["loan"]
        asked = {"days": form.days, "terms_sha256": form.priced}
        try:
            await desk.act("POST", f"/v1/me/loans/{loan}/extensions", form.once, asked)
        except PageError as error:
            if error.code != "price-changed":
                raise
            return await self._priced_page(request, form.days, error.code)
        return go(f"/loans/{loan}")


def _days_to_repay(loan: dict[str, Any]) -> list[str]:
    """Some days on which it can be repaid before its end, today first; none if it cannot be."""
    today, last = (date.fromisoformat(day) for day in (loan["as_of"], loan["dues"][-1]["due"]))
    if loan["status"] not in REPAYABLE:
        return []
    some = (today + timedelta(days=days) for days in SOME_DAYS)
    return [day.isoformat() for day in some if day < last]
