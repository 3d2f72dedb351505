"""Take everything with me; be forgotten."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from screens.house.errors import PageError
from screens.house.forms import OwnForm, new_once
from screens.house.shell import Look
from screens.portal.visit import PortalDoor

FORMATS = {"json": "application/json", "html": "text/html"}


@dataclass(frozen=True)
class LeavingPages:
    """Pages about all that the registry holds of me."""

    look: Look
    door: PortalDoor

    async def export(self, request: Request) -> Response:
        """``GET /export``: what the files hold, and two links."""
        self.door.borrower(request)
        return self.look.page(request, "export.html", tab="/export")

    async def file(self, request: Request) -> Response:
        """``GET /export/my-consents.{format}``: the registry's own file, unchanged."""
        form = request.path_params["format"]
        if form not in FORMATS:
            raise PageError("not-found", 404)
        language = self.look.language(request)
        found = await self.door.borrower(request).download(f"/v1/me/export?format={form}", language)
        disposition = f'attachment; filename="my-consents.{form}"'
        return Response(
            found, media_type=FORMATS[form], headers={"Content-Disposition": disposition}
        )

    async def ask_erasure(self, request: Request) -> Response:
        """``GET /erase``: what ends, what cannot be read ever again, what stays."""
        self.door.borrower(request)
        fresh, again = self.door.is_fresh(request), self.door.again(request, "/erase", "fresh")
        return self.look.page(
            request, "erase.html", tab="/export", once=new_once(), fresh=fresh, again=again
        )

    async def erase(self, request: Request) -> Response:
        """``POST /erase``, in a log-in that has just been made: and the visit is over."""
        borrower, form = await self.door.sent(request, OwnForm)
        with self.door.fresh(request, "/erase"):
            await borrower.act("DELETE", "/v1/me", form.once)
        answer = self.door.closed(request, "/erased")
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
        return answer

    async def erased(self, request: Request) -> Response:
        """``GET /erased``."""
        return self.look.page(request, "erased.html")
