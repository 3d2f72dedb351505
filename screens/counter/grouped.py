"""What the lender thinks of me: the groups of customers that I am in, why, what for and until when;
and a button that takes me out of one."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from screens.counter.forms import ObjectForm
from screens.counter.visit import CounterDoor
from screens.house.forms import new_once
from screens.house.shell import Look, go


@dataclass(frozen=True)
class GroupPages:
    """Pages about portraits."""

    look: Look
    door: CounterDoor

    async def groups(self, request: Request) -> Response:
        """``GET /groups``: every group that I am in, and those that I objected to."""
        found = (await self.door.at_desk(request).read("/v1/me/portraits")).body
        return self.look.page(
            request,
            "groups.html",
            tab="/groups",
            groups=found["items"],
            objections=found["objections"],
            once=new_once,
        )

    async def object_to(self, request: Request) -> Response:
        """``POST /groups``: I object to one; no reason is asked, and it ends at once."""
        form = await self.door.form(request, ObjectForm)
        path = f"/v1/me/portraits/{form.group}/objection"
        await self.door.at_desk(request).act("POST", path, form.once)
        return go("/groups")
