"""A loan of mine: what was paid, what is due when, what is late; and more time for it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from screens.counter.forms import ExtendForm
from screens.counter.visit import CounterDoor
from screens.house.errors import PageError
from screens.house.forms import is_number, new_once
from screens.house.services import ServiceAnswer
from screens.house.shell import Look, go


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

    async def _price(self, request: Request, days: int) -> ServiceAnswer:
        path = f"/v1/me/loans/{request.path_params['loan']}/extension?days={days}"
        return await self.door.at_desk(request).read(path)

    async def _priced_page(
        self, request: Request, days: int, problem: str | None = None
    ) -> Response:
        loan = await self._loan(request)
        if days not in loan["extensions"]:
            raise PageError("not-found", 404)
        price = await self._price(request, days)
        return self.look.page(
            request,
            "extend.html",
            200 if problem is None else 409,
            tab="/",
            loan=loan,
            found=price.body,
            priced=_hash(price.body),
            seen=price.etag or "",
            problem=problem,
            once=new_once(),
        )

    async def extend(self, request: Request) -> Response:
        """``POST /loans/{loan}/extend``: granted at the price that was shown, or shown again."""
        visit = self.door.visitor(request)
        form = await self.door.form(request, ExtendForm)
        if _hash((await self._price(request, form.days)).body) == form.priced:
            visit.confirmed.add(form.once)
        if form.once not in visit.confirmed:  # tapped twice: it cost what was shown the first time
            return await self._priced_page(request, form.days, "changed-since")
        desk, loan = self.door.at_desk(request), request.path_params["loan"]
        path, seen = f"/v1/me/loans/{loan}/extensions", {"If-Match": form.seen}
        await desk.act("POST", path, form.once, {"days": form.days}, **seen)
        return go(f"/loans/{loan}")


def _hash(price: Any) -> str:
    """SHA-256 of a price with its plan, whatever the order of its fields; hex."""
    return hashlib.sha256(json.dumps(price, sort_keys=True).encode()).hexdigest()
