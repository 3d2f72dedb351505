"""Who is here: a borrower at the registry, by their own token; and what they sent too late."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from screens.house.door import LoginDoor, PersonVisit, Sent
from screens.house.sessions import COOKIE, PageSessions, cookie
from screens.portal.registry import Borrower, PortalRegistry

SESSION, PENDING = cookie("portal"), cookie("portal", "pending")
KEPT_FOR = timedelta(minutes=10)


@dataclass(frozen=True)
class Pending:
    """A form that was sent too late. What stands in it is its sender's."""

    path: str
    fields: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class PortalDoor(LoginDoor[PersonVisit]):
    """Where visits begin and end."""

    registry: PortalRegistry
    forgets: str = '"cache"'
    """Every page; not the head of the log, which is public, nor the device's key, which signs only
    for its owner."""

    kept: PageSessions[Pending] = field(kw_only=True)
    """Forms of whoever must log in before they act."""

    async def admitted(self, visit: PersonVisit, seconds: int) -> tuple[PersonVisit, int]:
        return visit, seconds

    def borrower(self, request: Request) -> Borrower:
        """The borrower who asks; raises NotLoggedIn, TooOften."""
        return self.registry.as_borrower(self.visitor(request).token)

    async def sent(self, request: Request, schema: type[Sent]) -> tuple[Borrower, Sent]:
        """The borrower who asks, and their form; raises NotLoggedIn, TooOften, PageError: it was
        shown to somebody else."""
        form = await self.form(request, schema)
        return self.borrower(request), form

    # --- what was sent too late

    def pending(self, request: Request) -> Pending | None:
        return self.kept.find(request.cookies.get(PENDING))

    def keep(self, pending: Pending, answer: Response) -> None:
        """For ten minutes, in memory; the browser gets its number."""
        number = self.kept.begin(pending, self.kept.clock() + KEPT_FOR)
        answer.set_cookie(PENDING, number, **COOKIE)

    def forget(self, request: Request, answer: Response) -> None:
        """What was kept is kept no longer, here and in the browser."""
        self.kept.end(request.cookies.get(PENDING))
        answer.delete_cookie(PENDING, **COOKIE)

    def closed(self, request: Request, path: str) -> Response:
        answer = super().closed(request, path)
        self.forget(request, answer)
        return answer
