"""Who of an institution's people is before a page of its own.

On this machine (loopback) it is whoever knows the code that the serving terminal shows: typed in,
so that no address carries it. Elsewhere people log in at the institution's own issuer, and stand by
subject in a list, each with roles.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from screens.house.errors import NotLoggedIn, PageError
from screens.house.forms import PageForm, new_once, read_form
from screens.house.login import own_path
from screens.house.marks import PersonMarks
from screens.house.origin import SAFE
from screens.house.pace import AddressPaces
from screens.house.sessions import COOKIE, LONGEST, PageSessions, cookie
from screens.house.shell import Look, go, has_page

CODE_FILE = "staff-code"
OPERATOR = "operator"
"""What whoever has the code is called."""
ALPHABET: Final = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""Letters and digits that nobody mistakes for one another."""
GROUPS, GROUP = 4, 4
"""16 of them: 79 bits."""
_CODE = re.compile(rf"([{ALPHABET}]{{{GROUP}}}-){{{GROUPS - 1}}}[{ALPHABET}]{{{GROUP}}}")


@dataclass(frozen=True)
class Staff:
    """One of an institution's people. ``roles`` are names of what they may do; None is
    everything."""

    name: str
    roles: frozenset[str] | None
    came_at: datetime
    """When they showed who they are."""
    subject: str = ""
    """What the institution's issuer calls them, where they came in by it."""
    whose: str = ""
    """Stands in every form of theirs: two of them who share a browser sign nothing in each other's
    name."""

    def may(self, role: str) -> bool:
        return self.roles is None or role in self.roles


class CodeForm(PageForm):
    """The code, as it was read off the terminal."""

    code: str = Field(max_length=40)
    back: str = Field(default="/", max_length=2_000)


def staff_code(home: Path) -> str:
    """The code of a home, made at first sight and readable by its owner alone.

    Raises:
        ValueError: the file holds something else.
    """
    path = home / CODE_FILE
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP)) for _ in range(GROUPS))
    with suppress(FileExistsError):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "w", encoding="ascii") as file:
            file.write("-".join(groups))
    code = path.read_text(encoding="ascii").strip()
    if not re.fullmatch(
        rf"([{ALPHABET}]{{{GROUP}}}-){{{GROUPS - 1}}}[{ALPHABET}]{{{GROUP}}}", code
    ):
        raise ValueError(f"{path} holds no code; remove it and start again")
    return code


def on_loopback(origin: str) -> bool:
    """Whether only this machine reaches an origin."""
    host = urlsplit(origin).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class StaffDoor(ABC):
    """Where people of the institution come in, and go. ``look`` is of the app."""

    def __init__(self, look: Look, clock: Callable[[], datetime]) -> None:
        self.look, self.clock = look, clock
        self._sessions: PageSessions[Staff] = PageSessions(clock)
        self.ways_in = AddressPaces(clock)
        self.marks = PersonMarks()

    @property
    def cookie_name(self) -> str:
        return cookie(self.look.app)

    def staff(self, request: Request, role: str | None = None, fresh: bool = False) -> Staff:
        """Who is here.

        Args:
            fresh: the log-in must be of these minutes, for what is signed for the institution.

        Raises:
            NotLoggedIn: nobody whom we know, or not freshly; names the way in.
            PageError: somebody, who may not do this.
        """
        back = request.url.path if request.method in SAFE or has_page(request) else "/"
        kept = self._sessions.find(request.cookies.get(self.cookie_name))
        found = None if kept is None else self.as_now(kept)
        if found is None:
            raise NotLoggedIn(way=f"/enter?back={quote(back)}")
        request.state.session = found
        if role is not None and not found.may(role):
            raise PageError("not-allowed", 403)
        if fresh and not self.is_fresh(found):
            raise NotLoggedIn("log-in-once-more", way=f"/enter?fresh=1&back={quote(back)}")
        return found

    def routes(self) -> list[Route]:
        return [
            Route("/enter", self.ways_in.keeping(self.ask), methods=["GET"]),
            Route("/logout", self.out, methods=["POST"]),
        ]

    @abstractmethod
    async def ask(self, request: Request) -> Response:
        """``GET /enter``: who is it?"""

    @abstractmethod
    def as_now(self, staff: Staff) -> Staff | None:
        """Who came in earlier, with what they may do now; None once they may not come in."""

    @abstractmethod
    def is_fresh(self, staff: Staff) -> bool:
        """Whether they have just shown who they are."""

    @abstractmethod
    def agreed(self, staff: Staff, what: str) -> bool:
        """Whether those whom it takes have asked for ``what``, now that ``staff`` has: a thing done
        in the institution's name, such as ``approve:<hash>``."""

    @abstractmethod
    def waiting(self, what: str) -> str | None:
        """Who has asked for it and waits for a second person."""

    def come(self, answer: Response, staff: Staff) -> Response:
        """An answer that begins a session."""
        marked = replace(staff, whose=self.marks.of(staff.subject, staff.name))
        number = self._sessions.begin(marked, self.clock() + LONGEST)
        answer.set_cookie(self.cookie_name, number, **COOKIE)
        return answer

    async def out(self, request: Request) -> Response:
        """``POST /logout``: the session ends here, and the browser forgets what it kept."""
        await read_form(request, PageForm)
        self._sessions.end(request.cookies.get(self.cookie_name))
        answer = go("/enter")
        answer.delete_cookie(self.cookie_name, **COOKIE)
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
        return answer


class CodeDoor(StaffDoor):
    """The door of pages that only this machine reaches. Who has the code holds the institution's
    keys as well, so one is enough."""

    def __init__(
        self, look: Look, clock: Callable[[], datetime], code: str, name: str = OPERATOR
    ) -> None:
        """
        Args:
            name: what whoever has the code is called, in logs and beside what they did.
        """
        super().__init__(look, clock)
        self._code, self._name = code, name

    def routes(self) -> list[Route]:
        enter = self.ways_in.keeping(self.enter)
        return [*super().routes(), Route("/enter", enter, methods=["POST"])]

    async def ask(self, request: Request) -> Response:
        return self._asked(request, own_path(request.query_params.get("back", "/")))

    def as_now(self, staff: Staff) -> Staff | None:
        return staff

    def is_fresh(self, staff: Staff) -> bool:
        return True

    def agreed(self, staff: Staff, what: str) -> bool:
        return True

    def waiting(self, what: str) -> str | None:
        return None

    async def enter(self, request: Request) -> Response:
        """``POST /enter``: a session for whoever has the code."""
        form = await read_form(request, CodeForm)
        said = "".join(one for one in form.code.upper() if one in ALPHABET)
        if not hmac.compare_digest(said, self._code.replace("-", "")):
            return self._asked(request, own_path(form.back), 403, wrong=True)
        return self.come(go(own_path(form.back)), Staff(self._name, None, self.clock()))

    def _asked(self, request: Request, back: str, status: int = 200, **more: Any) -> Response:
        shown = {"wrong": False, **more}
        return self.look.page(request, "enter.html", status, back=back, once=new_once(), **shown)
