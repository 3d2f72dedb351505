"""Where a person comes in by logging in at an issuer, and goes; whose form it was that is sent."""

from __future__ import annotations

import hmac
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from screens.house.errors import FreshLoginNeeded, LoginFailed, NotLoggedIn, PageError, TooOften
from screens.house.forms import OwnForm, PageForm, is_number, read_form, read_own
from screens.house.issuers import LoginIssuer
from screens.house.login import BACK_WITHIN, Leaving, LogIn
from screens.house.marks import PersonMarks
from screens.house.origin import SAFE
from screens.house.pace import AddressPaces, Pace
from screens.house.reading import Readings
from screens.house.services import ConsentRegistry
from screens.house.sessions import COOKIE, PageSessions, cookie
from screens.house.shell import go, has_page

FRESH = timedelta(minutes=2)
HOW: Mapping[str, Mapping[str, str]] = {
    "quiet": {"prompt": "none"},
    "fresh": {"prompt": "login", "max_age": str(int(FRESH.total_seconds()))},
}
"""How one may be asked to log in: without a question, if the issuer knows who it is; asked anew."""


@dataclass
class PersonVisit:
    """Somebody who is logged in. The token never leaves the server."""

    token: str = field(repr=False)
    """At the registry."""
    whose: str
    """Stands in every form of theirs; means nothing elsewhere."""
    issuer: int
    came_at: datetime | None
    """When they showed their issuer who they are, where it says so."""
    pace: Pace = field(repr=False, compare=False)


@dataclass(frozen=True)
class Away:
    """Somebody on the way to an issuer. ``how``: one of :data:`HOW`, or nothing."""

    leaving: Leaving
    issuer: int
    how: str


Visiting = TypeVar("Visiting", bound=PersonVisit)
Sent = TypeVar("Sent", bound=OwnForm)


@dataclass(frozen=True)
class LoginDoor(Generic[Visiting]):
    """Where visits begin and end; ``app`` names its cookies."""

    app: str
    registry: ConsentRegistry
    login: LogIn
    issuers: tuple[LoginIssuer, ...]
    visits: PageSessions[Visiting]
    leavings: PageSessions[Away]
    ways_in: AddressPaces
    per_minute: int
    """Pages and forms of one visit."""
    forgets: str = '"cache", "storage"'
    """What a browser is told to forget when a visit ends (Clear-Site-Data)."""
    marks: PersonMarks = field(default_factory=PersonMarks)

    @abstractmethod
    async def admitted(self, visit: PersonVisit, seconds: int) -> tuple[Visiting, int]:
        """What is kept of whoever has come, and for how long."""

    def routes(self) -> list[Route]:
        paced = self.ways_in.keeping
        return [
            Route("/login", paced(self.leave), methods=["GET"]),
            Route("/callback", paced(self.arrive), methods=["GET"]),
            Route("/logout", self.out, methods=["POST"]),
        ]

    # --- who is here

    def visit(self, request: Request) -> Visiting | None:
        return self.visits.find(request.cookies.get(cookie(self.app)))

    def visitor(self, request: Request) -> Visiting:
        """Who asks; a request counts once. Raises NotLoggedIn, TooOften."""
        found = self.visit(request)
        if found is None:
            back = request.url.path if request.method in SAFE or has_page(request) else "/"
            raise NotLoggedIn(way=self.again(request, back, "quiet"))
        if not getattr(request.state, "counted", False):
            if not found.pace.takes(self.visits.clock()):
                raise TooOften
            request.state.counted = True
        request.state.session = found
        return found

    async def form(self, request: Request, schema: type[Sent]) -> Sent:
        """A form of who asks; raises NotLoggedIn, TooOften, PageError: no form, or one that was
        shown to somebody else."""
        return await read_own(request, schema, self.visitor(request).whose)

    def is_fresh(self, request: Request) -> bool:
        """Whether who is here has just shown who they are."""
        visit = self.visit(request)
        came_at = None if visit is None else visit.came_at
        return came_at is not None and self.visits.clock() - came_at <= FRESH

    @contextmanager
    def fresh(self, request: Request, back: str) -> Iterator[None]:
        """What is done in here needs a log-in that has just been made: whoever finds a device
        unlocked does nothing for good. Raises FreshLoginNeeded: this app or the service knows of
        none; it names the way to the issuer and ``back``."""
        needed = FreshLoginNeeded(way=self.again(request, back, "fresh"))
        if not self.is_fresh(request):
            raise needed
        try:
            yield
        except PageError as error:
            if error.code == needed.code:
                raise needed from error
            raise

    def readings(self, layout: str) -> Readings:
        """Stamps of since when something was shown."""
        return Readings(layout, self.marks.secret)

    # --- in and out

    @property
    def _kept_issuer(self) -> str:
        """The cookie of where this browser logged in last: a number, to go the same way again."""
        return cookie(self.app, "issuer")

    async def leave(self, request: Request) -> Response:
        """``GET /login``: off to an issuer, as ``how`` says. A link and no form: a policy that lets
        forms go to this origin only would stop the way on."""
        query = request.query_params
        number, how = query.get("issuer", "0"), query.get("how", "")
        if not is_number(number) or int(number) >= len(self.issuers):
            raise PageError("not-found", 404)
        nonce = await self.registry.nonce()
        target, leaving = await self.login.leave(
            self.issuers[int(number)], nonce, query.get("back", "/"), HOW.get(how)
        )
        away = Away(leaving, int(number), how)
        kept = self.leavings.begin(away, self.leavings.clock() + BACK_WITHIN)
        answer = RedirectResponse(target, 303)
        answer.set_cookie(cookie(self.app, "login"), kept, **COOKIE)
        return answer

    async def arrive(self, request: Request) -> Response:
        """``GET /callback``: back from an issuer. Whatever session there was is over."""
        away = self.leavings.end(request.cookies.get(cookie(self.app, "login")))
        if away is None:
            raise LoginFailed
        query, moment = dict(request.query_params), self.visits.clock()
        mine = hmac.compare_digest(query.get("state", "").encode(), away.leaving.state.encode())
        if away.how == "quiet" and mine and "code" not in query:  # it must ask; so it is asked to
            return go(f"/login?{urlencode({'issuer': away.issuer, 'back': away.leaving.back_to})}")
        id_token, identity = await self.login.arrive(away.leaving, query, moment)
        if away.how == "fresh" and (identity.came_at is None or moment - identity.came_at > FRESH):
            raise LoginFailed
        token, seconds = await self.registry.access(id_token)
        whose = self.marks.of(away.leaving.issuer.issuer, identity.subject)
        visit = PersonVisit(token, whose, away.issuer, identity.came_at, Pace(self.per_minute))
        kept, seconds = await self.admitted(visit, seconds)
        self.visits.end(request.cookies.get(cookie(self.app)))
        ends = self.visits.clock() + timedelta(seconds=seconds)
        answer = go(away.leaving.back_to)
        answer.set_cookie(cookie(self.app), self.visits.begin(kept, ends), **COOKIE)
        answer.set_cookie(self._kept_issuer, str(away.issuer), max_age=31_536_000, **COOKIE)
        answer.delete_cookie(cookie(self.app, "login"), **COOKIE)
        return answer

    def again(self, request: Request, back: str, how: str) -> str:
        """The way to the issuer where this browser logged in last, and back to a page."""
        visit, kept = self.visit(request), request.cookies.get(self._kept_issuer, "0")
        number = int(kept) if is_number(kept) and int(kept) < len(self.issuers) else 0
        number = number if visit is None else visit.issuer
        return f"/login?{urlencode({'issuer': number, 'how': how, 'back': back})}"

    async def out(self, request: Request) -> Response:
        """``POST /logout``: the session ends here, and the browser forgets what it kept."""
        await read_form(request, PageForm)
        return self.closed(request, "/")

    def closed(self, request: Request, path: str) -> Response:
        """On to a page, logged out."""
        self.visits.end(request.cookies.get(cookie(self.app)))
        answer = go(path)
        answer.delete_cookie(cookie(self.app), **COOKIE)
        answer.headers["Clear-Site-Data"] = self.forgets
        return answer
