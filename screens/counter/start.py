"""My applications and loans."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from screens.counter.visit import CounterDoor
from screens.house.shell import Look


@dataclass(frozen=True)
class StartPage:
    """The first page."""

    look: Look
    door: CounterDoor

    async def start(self, request: Request) -> Response:
        """``GET /``: what I owe, what I asked for; or what this is, and the way in."""
        if self.door.visit(request) is None:
            return self.look.page(request, "welcome.html", issuers=self.door.issuers)
        desk = self.door.at_desk(request)
        applications = (await desk.read("/v1/me/applications")).body["items"]
        loans = (await desk.read("/v1/me/loans")).body["items"]
        return self.look.page(
            request, "start.html", tab="/", applications=applications, loans=loans
        )
