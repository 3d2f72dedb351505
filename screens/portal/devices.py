"""Keys of the person's devices: which count, add this one, end one, let nothing else say yes."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from screens.house.errors import PageError
from screens.house.forms import new_once
from screens.house.shell import Look, go
from screens.portal.forms import EndKeyForm, NewKeysForm, OnlyKeysForm
from screens.portal.shown import PortalParties
from screens.portal.visit import PortalDoor

MAX_LENDERS = 16


@dataclass(frozen=True)
class DevicePages:
    """Pages about keys."""

    look: Look
    door: PortalDoor
    names: PortalParties
    log_origin: str
    """The registry that a key is registered at, by the name of its log."""

    async def keys(self, request: Request) -> Response:
        """``GET /keys``: all of them, and a button where the log-in is fresh."""
        borrower = self.door.borrower(request)
        people = list((await borrower.called()).values())[:MAX_LENDERS]
        now = int(self.door.visits.clock().timestamp())
        return self.look.page(
            request,
            "keys.html",
            tab="/keys",
            keys=await borrower.whole("/v1/me/keys"),
            rules=await borrower.whole("/v1/me/only-keys"),
            people=people,
            about={"people": people, "origin": self.log_origin, "now": now},
            fresh=self.door.is_fresh(request),
            again=self.door.again(request, "/keys", "fresh"),
            names=self.names,
            once=new_once(),
        )

    async def add(self, request: Request) -> Response:
        """``POST /keys``: each statement is signed with the key that it registers."""
        borrower, form = await self.door.sent(request, NewKeysForm)
        tokens = form.statements.split()
        if not 0 < len(tokens) <= MAX_LENDERS:
            raise PageError("malformed", 422)
        with self.door.fresh(request, "/keys"):
            for number, token in enumerate(tokens):
                once = f"{form.once}-{number}"
                await borrower.act("POST", "/v1/me/keys", once, {"token": token})
        return go("/keys")

    async def end(self, request: Request) -> Response:
        """``POST /keys/end``: whoever lost a device must be able to, so nothing more is asked."""
        borrower, form = await self.door.sent(request, EndKeyForm)
        await borrower.act("DELETE", f"/v1/me/keys/{form.thumbprint}", form.once)
        return go("/keys")

    async def only(self, request: Request) -> Response:
        """``POST /keys/only``: only a key says yes at a lender, or a log-in too; the latter takes
        a fresh one."""
        borrower, form = await self.door.sent(request, OnlyKeysForm)
        wanted = form.only == "yes"
        rule = {"recipient": form.recipient, "only_keys": wanted}
        with nullcontext() if wanted else self.door.fresh(request, "/keys"):
            await borrower.act("PUT", "/v1/me/only-keys", form.once, rule)
        return go("/keys")
