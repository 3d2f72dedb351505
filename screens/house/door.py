"""Where a person comes in by logging in at an issuer, and goes; what is kept is the app's."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from screens.house.errors import LoginFailed, NotLoggedIn, PageError
from screens.house.forms import PageForm, is_number, read_form
from screens.house.login import Leaving, LogIn, LoginIssuer, own_path
from screens.house.services import ConsentRegistry
from screens.house.sessions import COOKIE, PageSessions, cookie
from screens.house.shell import go

Visiting = TypeVar("Visiting")


@dataclass(frozen=True)
class LoginDoor(Generic[Visiting]):
    """Where visits begin and end; ``app`` names its cookies."""

    app: str
    registry: ConsentRegistry
    login: LogIn
    issuers: tuple[LoginIssuer, ...]
    visits: PageSessions[Visiting]
    leavings: PageSessions[Leaving]

    @abstractmethod
    async def admitted(self, token: str, seconds: int) -> tuple[Visiting, int]:
        """What is kept of whoever has this access token of the registry, and for how long."""

    def routes(self) -> list[Route]:
        return [
            Route("/login", self.leave, methods=["GET"]),
            Route("/callback", self.arrive, methods=["GET"]),
            Route("/logout", self.out, methods=["POST"]),
        ]

    def visit(self, request: Request) -> Visiting | None:
        return self.visits.find(request.cookies.get(cookie(self.app)))

    def visitor(self, request: Request) -> Visiting:
        """Raises NotLoggedIn."""
        found = self.visit(request)
        if found is None:
            raise NotLoggedIn
        request.state.session = found
        return found

    async def leave(self, request: Request) -> Response:
        """``GET /login``: off to an issuer. A link and no form: a policy that lets forms go to this
        origin only would stop the way on."""
        number = request.query_params.get("issuer", "0")
        if not is_number(number) or int(number) >= len(self.issuers):
            raise PageError("not-found", 404)
        nonce = await self.registry.nonce()
        back_to = own_path(request.query_params.get("back", "/"))
        target, leaving = await self.login.leave(self.issuers[int(number)], nonce, back_to)
        kept = self.leavings.begin(leaving, self.leavings.clock() + timedelta(minutes=10))
        answer = RedirectResponse(target, 303)
        answer.set_cookie(cookie(self.app, "login"), kept, **COOKIE)
        return answer

    async def arrive(self, request: Request) -> Response:
        """``GET /callback``: back from an issuer. Whatever session there was is over."""
        leaving = self.leavings.end(request.cookies.get(cookie(self.app, "login")))
        if leaving is None:
            raise LoginFailed
        id_token = await self.login.arrive(leaving, dict(request.query_params))
        kept, seconds = await self.admitted(*await self.registry.access(id_token))
        self.visits.end(request.cookies.get(cookie(self.app)))
        ends = self.visits.clock() + timedelta(seconds=seconds)
        answer = go(leaving.back_to)
        answer.set_cookie(cookie(self.app), self.visits.begin(kept, ends), **COOKIE)
        answer.delete_cookie(cookie(self.app, "login"), **COOKIE)
        return answer

    async def out(self, request: Request) -> Response:
        """``POST /logout``: the session ends here, and the browser forgets what it kept."""
        await read_form(request, PageForm)
        return self.closed(request, "/")

    def closed(self, request: Request, path: str) -> Response:
        """On to a page, logged out."""
        self.visits.end(request.cookies.get(cookie(self.app)))
        answer = go(path)
        answer.delete_cookie(cookie(self.app), **COOKIE)
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
        return answer
