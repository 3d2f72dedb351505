"""Who is here: a borrower who has logged in."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.requests import Request

from screens.house.door import LoginDoor
from screens.house.services import ConsentRegistry, PersonAtService, ServiceAnswer
from screens.house.sessions import cookie

SESSION = cookie("portal")


@dataclass(frozen=True)
class Visit:
    """A borrower who is logged in. The token never leaves the server."""

    token: str = field(repr=False)


@dataclass(frozen=True)
class Borrower(PersonAtService):
    """One borrower at the registry."""

    registry: ConsentRegistry

    async def notice(self, notice_id: str, version: int, language: str) -> ServiceAnswer:
        """The text of a notice as it is to be shown, and the language that it is in."""
        return await self.registry.notice(notice_id, version, language)


@dataclass(frozen=True)
class PortalDoor(LoginDoor[Visit]):
    """Where visits begin and end."""

    async def admitted(self, token: str, seconds: int) -> tuple[Visit, int]:
        return Visit(token), seconds

    def borrower(self, request: Request) -> Borrower:
        """The borrower who asks; raises NotLoggedIn."""
        return Borrower(self.registry, self.visitor(request).token, self.registry)
