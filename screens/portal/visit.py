"""Who is here: a borrower at the registry, by their own token."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from screens.house.door import LoginDoor, PersonVisit, Sent
from screens.house.sessions import cookie
from screens.portal.registry import Borrower, PortalRegistry

SESSION = cookie("portal")


@dataclass(frozen=True)
class PortalDoor(LoginDoor[PersonVisit]):
    """Where visits begin and end."""

    registry: PortalRegistry
    forgets: str = '"cache"'
    """Every page; not the head of the log, which is public, nor the device's key, which signs only
    for its owner."""

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
