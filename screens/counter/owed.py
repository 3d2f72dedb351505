"""A loan of mine: what was paid, what is due when, what is late; and more time for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from screens.counter.forms import ExtendForm
from screens.counter.visit import CounterDoor
from screens.house.errors import PageError
from screens.house.forms import is_number, new_once
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
        loan = await self._loan(request)
        asked, found, seen = request.query_params.get("days"), None, ""
        if asked is not None:
            if not is_number(asked) or int(asked) not in loan["extensions"]:
                raise PageError("not-found", 404)
            path = f"/v1/me/loans/{loan['id']}/extension?days={int(asked)}"
            answer = await self.door.at_desk(request).read(path)
            found, seen = answer.body, answer.etag or ""
        return self.look.page(
            request, "extend.html", tab="/", loan=loan, found=found, seen=seen, once=new_once()
        )

    async def extend(self, request: Request) -> Response:
        """``POST /loans/{loan}/extend``."""
        desk, loan = self.door.at_desk(request), request.path_params["loan"]
        form = await self.door.form(request, ExtendForm)
        path = f"/v1/me/loans/{loan}/extensions"
        sent = {"If-Match": form.seen}
        await desk.act("POST", path, form.once, {"days": form.days}, **sent)
        return go(f"/loans/{loan}")
