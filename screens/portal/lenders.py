"""My lenders: whom my log-in is linked to, a new link by an invitation, and what happened to data
about me."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from law.categories import DataCategory
from law.vocabulary import words as words_of
from screens.house.forms import new_once, read_form
from screens.house.problems import N_
from screens.house.shell import Look, go
from screens.portal.forms import EndLinkForm, LinkForm
from screens.portal.shown import PortalParties
from screens.portal.visit import PortalDoor

HAPPENED = {
    "leaked": N_("Data got out"),
    "tampered": N_("Data were changed without right"),
    "lost": N_("Data were lost"),
    "misused": N_("Data were used for something else"),
}


@dataclass(frozen=True)
class LenderPages:
    """Pages about links and incidents."""

    look: Look
    door: PortalDoor
    names: PortalParties

    async def lenders(self, request: Request) -> Response:
        """``GET /lenders``: whom my log-in is linked to."""
        found = (await self.door.borrower(request).read("/v1/me/links")).body["links"]
        return self.look.page(
            request, "lenders.html", tab="/lenders", links=found, names=self.names
        )

    async def end(self, request: Request) -> Response:
        """``POST /lenders``: my log-in speaks for me at this lender no more."""
        borrower, form = await self.door.sent(request, EndLinkForm)
        await borrower.act("DELETE", f"/v1/me/links/{form.link}", form.once)
        return go("/lenders")

    async def invitation(self, request: Request) -> Response:
        """``GET /link``: an invitation, which stands in the fragment and so reaches no server
        before the person says so. Whoever is not logged in yet sees it, too."""
        return self._invited(request)

    def _invited(self, request: Request, nothing: bool = False) -> Response:
        request.state.session = self.door.visit(request)
        status = 422 if nothing else 200
        known = {"lenders": self.names.signing, "nothing": nothing}
        return self.look.page(request, "link.html", status, once=new_once(), **known)

    async def link(self, request: Request) -> Response:
        """``POST /link``: hand it in, in a log-in that has just been made."""
        form = await read_form(request, LinkForm)
        if not form.invitation:
            return self._invited(request, nothing=True)
        borrower = self.door.borrower(request)
        ticket = {"ticket": form.invitation}
        with self.door.fresh(request, "/again"):
            await borrower.act("POST", "/v1/me/links", form.once, ticket)
        return go("/")

    async def incidents(self, request: Request) -> Response:
        """``GET /incidents``: what happened, what was done, what I can do, whom I can ask."""
        found = await self.door.borrower(request).whole("/v1/me/incidents")
        language = self.look.language(request)
        kinds = {str(one): words_of(one, language) for one in DataCategory}
        shown: dict[str, Any] = {"incidents": found[::-1], "happened": HAPPENED, "kinds": kinds}
        return self.look.page(
            request, "incidents.html", tab="/incidents", names=self.names, **shown
        )
