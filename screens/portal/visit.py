"""Who is here: logging in at an issuer, the session, logging out."""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar
from urllib.parse import urlencode

import httpx
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from screens.house.errors import (
    FreshLoginNeeded,
    LoginFailed,
    NotLoggedIn,
    PageError,
    TooOften,
)
from screens.house.forms import is_number, read_form
from screens.house.id_tokens import Identity, identity_in
from screens.house.login import BACK_WITHIN, Leaving, LogIn, LoginIssuer, own_path
from screens.house.pace import Pace
from screens.house.sessions import COOKIE, PageSessions, cookie
from screens.house.shell import go
from screens.portal.forms import ButtonForm, OwnForm
from screens.portal.registry import Borrower, PortalRegistry

SESSION, LEAVING = cookie("portal"), cookie("portal", "login")
ISSUER = cookie("portal", "issuer")
"""Where this browser logged in last: a number, to go the same way again."""
FRESH = timedelta(minutes=2)
ASK_NOTHING = {"prompt": "none"}
ASK_AGAIN = {"prompt": "login", "max_age": str(int(FRESH.total_seconds()))}
Sent = TypeVar("Sent", bound=OwnForm)


@dataclass(frozen=True)
class Visit:
    """A borrower who is logged in. The token never leaves the server."""

    token: str = field(repr=False)
    whose: str
    """Stands in every form of theirs; means nothing elsewhere."""
    issuer: int
    came_at: datetime | None
    """When they showed their issuer who they are, where it says so."""
    pace: Pace = field(repr=False, compare=False)


@dataclass(frozen=True)
class Away:
    """Somebody on the way to an issuer."""

    leaving: Leaving
    issuer: int
    nonce: str = field(repr=False)
    quiet: bool
    fresh: bool


@dataclass(frozen=True)
class PortalDoor:
    """Where visits begin and end."""

    registry: PortalRegistry
    login: LogIn
    issuers: tuple[LoginIssuer, ...]
    http: httpx.AsyncClient
    """To the issuers."""
    visits: PageSessions[Visit]
    leavings: PageSessions[Away]
    per_minute: int
    """Pages and forms of one visit."""
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def visit(self, request: Request) -> Visit | None:
        return self.visits.find(request.cookies.get(SESSION))

    def borrower(self, request: Request) -> Borrower:
        """The borrower who asks; raises NotLoggedIn, TooOften."""
        visit = self.visit(request)
        if visit is None:
            raise NotLoggedIn
        if not visit.pace.takes(self.visits.clock()):
            raise TooOften
        request.state.session = visit
        return self.registry.as_borrower(visit.token)

    async def sent(self, request: Request, schema: type[Sent]) -> tuple[Borrower, Sent]:
        """The borrower who asks, and their form; raises NotLoggedIn, PageError: it was shown to
        somebody else."""
        borrower = self.borrower(request)
        form = await read_form(request, schema)
        if not hmac.compare_digest(form.whose, request.state.session.whose):
            raise PageError("another-person", 409)
        return borrower, form

    def is_fresh(self, request: Request) -> bool:
        """Whether who is here has just shown who they are."""
        visit = self.visit(request)
        came_at = None if visit is None else visit.came_at
        return came_at is not None and self.visits.clock() - came_at <= FRESH

    def require_fresh(self, request: Request) -> None:
        """Raises FreshLoginNeeded: whoever finds a device unlocked does nothing for good."""
        if not self.is_fresh(request):
            raise FreshLoginNeeded

    # --- whose a form is

    def _whose(self, issuer: LoginIssuer, identity: Identity) -> str:
        named = f"{issuer.issuer}\n{identity.subject}".encode()
        return self._marked(_short(hmac.digest(self._secret, named, "sha256")))

    def _marked(self, name: str) -> str:
        return name + _short(hmac.digest(self._secret, b"form\n" + name.encode(), "sha256"))

    def is_ours(self, whose: str) -> bool:
        """Whether a form was shown to somebody by this process."""
        return hmac.compare_digest(whose.encode(), self._marked(whose[:22]).encode())

    # --- in and out

    async def leave(self, request: Request) -> Response:
        """``GET /login``: off to an issuer. A link and no form: a policy that lets forms go to this
        origin only would stop the way on. ``how=quiet``: without a question, if the issuer knows
        who it is; ``how=fresh``: asked anew."""
        query = request.query_params
        number, how = query.get("issuer", "0"), query.get("how", "")
        if not is_number(number) or int(number) >= len(self.issuers):
            raise PageError("not-found", 404)
        nonce = await self.registry.nonce()
        back_to = own_path(query.get("back", "/"))
        target, leaving = await self.login.leave(self.issuers[int(number)], nonce, back_to)
        more = {"quiet": ASK_NOTHING, "fresh": ASK_AGAIN}.get(how, {})
        away = Away(leaving, int(number), nonce, how == "quiet", how == "fresh")
        kept = self.leavings.begin(away, self.leavings.clock() + BACK_WITHIN)
        answer = RedirectResponse("&".join([target, *([urlencode(more)] if more else [])]), 303)
        answer.set_cookie(LEAVING, kept, **COOKIE)
        return answer

    async def arrive(self, request: Request) -> Response:
        """``GET /callback``: back from an issuer. Whatever session there was is over."""
        away = self.leavings.end(request.cookies.get(LEAVING))
        if away is None:
            raise LoginFailed
        query = dict(request.query_params)
        mine = hmac.compare_digest(query.get("state", ""), away.leaving.state)
        if away.quiet and mine and "code" not in query:  # it must ask; so it is asked to
            return go(f"/login?{urlencode({'issuer': away.issuer, 'back': away.leaving.back_to})}")
        id_token = await self.login.arrive(away.leaving, query)
        issuer, moment = self.issuers[away.issuer], self.visits.clock()
        identity = await identity_in(id_token, self.http, issuer, away.nonce, moment)
        if away.fresh and (identity.came_at is None or moment - identity.came_at > FRESH):
            raise LoginFailed
        token, seconds = await self.registry.access(id_token)
        self.visits.end(request.cookies.get(SESSION))
        whose = self._whose(issuer, identity)
        visit = Visit(token, whose, away.issuer, identity.came_at, Pace(self.per_minute))
        ends = self.visits.clock() + timedelta(seconds=seconds)
        answer = go(away.leaving.back_to)
        answer.set_cookie(SESSION, self.visits.begin(visit, ends), **COOKIE)
        answer.set_cookie(ISSUER, str(away.issuer), max_age=31_536_000, **COOKIE)
        answer.delete_cookie(LEAVING, **COOKIE)
        return answer

    def again(self, request: Request, back: str, how: str) -> str:
        """The way to the issuer where this browser logged in last, and back to a page."""
        visit, kept = self.visit(request), request.cookies.get(ISSUER, "0")
        number = int(kept) if is_number(kept) and int(kept) < len(self.issuers) else 0
        number = number if visit is None else visit.issuer
        return f"/login?{urlencode({'issuer': number, 'how': how, 'back': back})}"

    async def out(self, request: Request) -> Response:
        """``POST /logout``: the session ends here, and the browser forgets every page. The head of
        the log stays in it, which is public, and the device's key, which signs only for its
        owner."""
        await read_form(request, ButtonForm)
        return self.closed(request, "/")

    def closed(self, request: Request, path: str) -> Response:
        """On to a page, logged out."""
        self.visits.end(request.cookies.get(SESSION))
        answer = go(path)
        answer.delete_cookie(SESSION, **COOKIE)
        answer.headers["Clear-Site-Data"] = '"cache"'
        return answer


def _short(digest: bytes) -> str:
    """22 characters of a hash: 128 bits and a few."""
    return urlsafe_b64encode(digest).decode()[:22]
