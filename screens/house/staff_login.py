"""Log-in of an institution's people at its own OpenID Connect issuer: for pages that more than one
machine reaches.

Who may come in, and what for, stands in ``staff.json`` of the app's home, by the issuer's subject.
What binds the institution, its yes to a campaign or a launch, takes two persons.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from screens.house.door import FRESH
from screens.house.errors import LoginFailed, PageError
from screens.house.id_tokens import Identity
from screens.house.issuers import LoginIssuer, LoginIssuers
from screens.house.login import BACK_WITHIN, MAX_LEAVING, Leaving, LogIn
from screens.house.sessions import COOKIE, PageSessions, cookie
from screens.house.shell import Look, go
from screens.house.staff import OPERATOR, CodeDoor, Staff, StaffDoor, on_loopback, staff_code

STAFF_FILE = "staff.json"
ASK_AGAIN = {"prompt": "login", "max_age": "0"}
SECOND_WITHIN = timedelta(hours=24)
"""How long the first of two persons is waited for with."""
RESERVED = frozenset({OPERATOR, "customer", "machine", "person"})
"""Who else stands in records as the one who did something; ``+`` stands between two people."""
BINDING = ("approve", "launch")
"""Roles whose acts take two persons."""


class StaffMember(BaseModel):
    """One who may come in. ``subject`` is what the issuer calls them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str = Field(min_length=1, max_length=255)
    name: str = Field(min_length=1, max_length=100)
    roles: frozenset[str] = Field(min_length=1)


class StaffList(BaseModel):
    """``staff.json``: the institution's issuer, and its people."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    issuer: LoginIssuer
    people: tuple[StaffMember, ...] = Field(min_length=1, max_length=1_000)

    @model_validator(mode="after")
    def _names_of_people(self) -> Self:
        for one in self.people:
            if one.name.strip().casefold() in RESERVED or "+" in one.name:
                raise ValueError(f"{one.name!r} is nobody's name: in records it means another")
        return self

    @model_validator(mode="after")
    def _two_of_a_kind(self) -> Self:
        for called in ("subject", "name"):  # by its name one person is told from another
            if len({getattr(one, called) for one in self.people}) != len(self.people):
                raise ValueError(f"a {called} stands twice among the people")
        for role in BINDING:
            if sum(role in one.roles for one in self.people) == 1:
                raise ValueError(f"{role!r} takes two persons; one alone has that role")
        return self

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises ValueError: with one sentence."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "it"
            raise ValueError(f"{path}: {place}: {first['msg']}") from error

    def member(self, identity: Identity) -> StaffMember | None:
        return next((one for one in self.people if one.subject == identity.subject), None)


@dataclass(frozen=True)
class _Away:
    """Somebody on the way to the issuer."""

    leaving: Leaving
    left_at: datetime
    fresh: bool


@dataclass
class _Asked:
    """What one person has asked for, and until when a second one may."""

    name: str
    until: datetime


class IssuerDoor(StaffDoor):
    """The door of pages that others reach."""

    def __init__(
        self,
        look: Look,
        clock: Callable[[], datetime],
        http: httpx.AsyncClient,
        origin: str,
        staff: StaffList,
    ) -> None:
        super().__init__(look, clock)
        self._known = staff
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
        target, leaving = await self._login.leave(self._known.issuer, nonce, back, more)
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
        member = self._known.member(identity)
        if member is None:
            raise PageError("not-allowed", 403)
        self._sessions.end(request.cookies.get(self.cookie_name))
        came_at = identity.came_at or (now - FRESH)
        answer = self.come(go(away.leaving.back_to), Staff(member.name, member.roles, came_at))
        answer.delete_cookie(self._away_cookie, **COOKIE)
        return answer

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
            self._asked[what] = _Asked(staff.name, now + SECOND_WITHIN)
            return False

    def waiting(self, what: str) -> str | None:
        with self._lock:
            asked = self._open(what)
        return None if asked is None else asked.name

    def _open(self, what: str) -> _Asked | None:
        asked = self._asked.get(what)
        return asked if asked is not None and self.clock() < asked.until else None


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
        return IssuerDoor(look, clock, http, origin, StaffList.read(listed))
    if on_loopback(origin) and on_loopback(listens_at or origin):
        return CodeDoor(look, clock, staff_code(home))
    raise ValueError(
        f"{origin} is reached from elsewhere: name the issuer and the people in {listed}, or serve "
        "these pages on 127.0.0.1"
    )
