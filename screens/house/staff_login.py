"""Log-in of an institution's people at its own OpenID Connect issuer: for pages that more than one
machine reaches.

Who may come in, and what for, stands in a list, by the issuer's subject
(:mod:`screens.house.staff_list`); who is taken off it is out at their next tap. What binds the
institution, its yes to a campaign or a launch, takes two persons.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import httpx
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from screens.house.door import FRESH
from screens.house.errors import LoginFailed, PageError
from screens.house.issuers import LoginIssuers
from screens.house.login import BACK_WITHIN, MAX_LEAVING, Leaving, LogIn
from screens.house.sessions import COOKIE, PageSessions, cookie
from screens.house.shell import Look, go
from screens.house.staff import CodeDoor, Staff, StaffDoor, on_loopback, staff_code
from screens.house.staff_list import BINDING, STAFF_FILE, StaffFile, StaffList

logger = logging.getLogger("tahini.screens")
ASK_AGAIN = {"prompt": "login", "max_age": "0"}
SECOND_WITHIN = timedelta(hours=24)
"""How long the first of two persons is waited for with."""


@dataclass(frozen=True)
class _Away:
    """Somebody on the way to the issuer."""

    leaving: Leaving
    left_at: datetime
    fresh: bool


@dataclass
class _Asked:
    """Who has asked for something, as they stood then, and until when a second one may."""

    staff: Staff
    until: datetime


class IssuerDoor(StaffDoor):
    """The door of pages that others reach."""

    def __init__(
        self,
        look: Look,
        clock: Callable[[], datetime],
        http: httpx.AsyncClient,
        origin: str,
        listed: Callable[[], StaffList],
    ) -> None:
        """
        Args:
            listed: the list as it stands now; raises OSError, ValueError.
        """
        super().__init__(look, clock)
        self._listed = listed
        self._login = LogIn(LoginIssuers(http, clock), f"{origin}/callback")
        self._away: PageSessions[_Away] = PageSessions(clock, MAX_LEAVING)
        self._asked: dict[str, _Asked] = {}
        self._lock = threading.Lock()

    @property
    def _away_cookie(self) -> str:
        return cookie(self.look.app, "login")

    def routes(self) -> list[Route]:
        arrive = self.ways_in.keeping(self.arrive)
        return [*super().routes(), Route("/callback", arrive, methods=["GET"])]

    async def ask(self, request: Request) -> Response:
        """``GET /enter``: off to the issuer."""
        nonce, fresh = secrets.token_urlsafe(32), request.query_params.get("fresh") == "1"
        back, more = request.query_params.get("back", "/"), ASK_AGAIN if fresh else None
        target, leaving = await self._login.leave(self._known().issuer, nonce, back, more)
        kept = _Away(leaving, self.clock(), fresh)
        answer = RedirectResponse(target, 303)
        number = self._away.begin(kept, self.clock() + BACK_WITHIN)
        answer.set_cookie(self._away_cookie, number, **COOKIE)
        return answer

    async def arrive(self, request: Request) -> Response:
        """``GET /callback``: back from the issuer; whoever is not on the list stays outside."""
        away = self._away.end(request.cookies.get(self._away_cookie))
        if away is None:
            raise LoginFailed
        now = self.clock()
        _, identity = await self._login.arrive(away.leaving, dict(request.query_params), now)
        if away.fresh and (identity.came_at is None or identity.came_at < away.left_at - FRESH):
            raise LoginFailed
        member = self._known().member(identity)
        if member is None:
            raise PageError("not-allowed", 403)
        self._sessions.end(request.cookies.get(self.cookie_name))
        came_at = identity.came_at or (now - FRESH)
        answer = self.come(
            go(away.leaving.back_to), Staff(member.name, member.roles, came_at, member.subject)
        )
        answer.delete_cookie(self._away_cookie, **COOKIE)
        return answer

    def _known(self) -> StaffList:
        """Raises PageError: it cannot be read, so nobody is known."""
        try:
            return self._listed()
        except (OSError, ValueError) as error:
            logger.error("the list of staff cannot be read: %s", type(error).__name__)
            raise PageError("staff-unknown", 503) from error

    def as_now(self, staff: Staff) -> Staff | None:
        for one in self._known().people:
            if (one.subject, one.name) == (staff.subject, staff.name):
                return replace(staff, roles=one.roles)
        return None

    def is_fresh(self, staff: Staff) -> bool:
        return self.clock() - staff.came_at < FRESH

    def agreed(self, staff: Staff, what: str) -> bool:
        with self._lock:
            asked = self._open(what)
            if asked is not None and asked.name != staff.name:
                del self._asked[what]
                return True
            now = self.clock()
            self._asked = {name: one for name, one in self._asked.items() if now < one.until}
            self._asked[what] = _Asked(staff, now + SECOND_WITHIN)
            return False

    def waiting(self, what: str) -> str | None:
        with self._lock:
            asked = self._open(what)
        return None if asked is None else asked.name

    def _open(self, what: str) -> Staff | None:
        """Who has asked for it; not who has left since, or may not bind the institution any more.
        Raises PageError."""
        asked = self._asked.get(what)
        if asked is None or self.clock() >= asked.until:
            return None
        now = self.as_now(asked.staff)
        may = now is not None and all(now.may(one) for one in BINDING if asked.staff.may(one))
        return asked.staff if may else None


def open_staff_door(
    look: Look,
    clock: Callable[[], datetime],
    http: httpx.AsyncClient,
    home: Path,
    origin: str,
    listens_at: str | None = None,
) -> StaffDoor:
    """The door that fits: the issuer's where ``staff.json`` is in the home, the code's where only
    this machine reaches ``origin`` and, if that is another, ``listens_at``.

    Raises:
        ValueError: neither; or the list cannot be read.
    """
    listed = home / STAFF_FILE
    if listed.exists():
        known = StaffFile(listed)
        known()
        return IssuerDoor(look, clock, http, origin, known)
    if on_loopback(origin) and on_loopback(listens_at or origin):
        return CodeDoor(look, clock, staff_code(home))
    raise ValueError(
        f"{origin} is reached from elsewhere: name the issuer and the people in {listed}, or serve "
        "these pages on 127.0.0.1"
    )
