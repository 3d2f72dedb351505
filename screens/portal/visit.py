"""Who is here: logging in at an issuer, the session, logging out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from screens.house.errors import LoginFailed, NotLoggedIn, PageError
from screens.house.forms import read_form
from screens.house.login import Leaving, LogIn, LoginIssuer, own_path
from screens.house.sessions import COOKIE, PageSessions, cookie
from screens.house.shell import go
from screens.portal.forms import ButtonForm
from screens.portal.registry import Borrower, PortalRegistry

SESSION, LEAVING = cookie("portal"), cookie("portal", "login")


@dataclass(frozen=True)
class Visit:
    """A borrower who is logged in. The token never leaves the server."""

    token: str = field(repr=False)


@dataclass(frozen=True)
class PortalDoor:
    """Where visits begin and end."""

    registry: PortalRegistry
    login: LogIn
    issuers: tuple[LoginIssuer, ...]
    visits: PageSessions[Visit]
    leavings: PageSessions[Leaving]

    def visit(self, request: Request) -> Visit | None:
        return self.visits.find(request.cookies.get(SESSION))

    def borrower(self, request: Request) -> Borrower:
        """The borrower who asks; raises NotLoggedIn."""
        visit = self.visit(request)
        if visit is None:
            raise NotLoggedIn
        request.state.session = visit
        return self.registry.as_borrower(visit.token)

    async def leave(self, request: Request) -> Response:
        """``GET /login``: off to an issuer. A link and no form: a policy that lets forms go to this
        origin only would stop the way on."""
        number = request.query_params.get("issuer", "0")
        if not number.isdecimal() or int(number) >= len(self.issuers):
            raise PageError("not-found", 404)
        nonce = await self.registry.nonce()
        back_to = own_path(request.query_params.get("back", "/"))
        target, leaving = await self.login.leave(self.issuers[int(number)], nonce, back_to)
        kept = self.leavings.begin(leaving, self.leavings.clock() + timedelta(minutes=10))
        answer = RedirectResponse(target, 303)
        answer.set_cookie(LEAVING, kept, **COOKIE)
        return answer

    async def arrive(self, request: Request) -> Response:
        """``GET /callback``: back from an issuer. Whatever session there was is over."""
        leaving = self.leavings.end(request.cookies.get(LEAVING))
        if leaving is None:
            raise LoginFailed
        id_token = await self.login.arrive(leaving, dict(request.query_params))
        token, seconds = await self.registry.token(id_token)
        self.visits.end(request.cookies.get(SESSION))
        ends = self.visits.clock() + timedelta(seconds=seconds)
        answer = go(leaving.back_to)
        answer.set_cookie(SESSION, self.visits.begin(Visit(token), ends), **COOKIE)
        answer.delete_cookie(LEAVING, **COOKIE)
        return answer

    async def out(self, request: Request) -> Response:
        """``POST /logout``: the session ends here, and the browser forgets what it kept."""
        await read_form(request, ButtonForm)
        return self.closed(request, "/")

    def closed(self, request: Request, path: str) -> Response:
        """On to a page, logged out."""
        self.visits.end(request.cookies.get(SESSION))
        answer = go(path)
        answer.delete_cookie(SESSION, **COOKIE)
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
        return answer
