"""Who is here: a customer at the lender's desk and at the registry, and what they began to ask
for. All of it stays on the server, in memory, and ends with the visit."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.requests import Request

from screens.house.door import LoginDoor, PersonVisit
from screens.house.forms import new_once
from screens.house.services import HttpService, PersonAtService


@dataclass(frozen=True)
class LoanDraft:
    """What somebody is about to ask for; money in fen. ``once`` names it: sent twice it acts once,
    and what was changed meanwhile is not sent."""

    product: str
    amount: int
    term_days: int
    purpose: str
    wants_person: bool = False
    once: str = field(default_factory=new_once)


@dataclass
class CounterVisit(PersonVisit):
    """A customer who is logged in. The tokens never leave the server."""

    desk_token: str = field(repr=False)
    draft: LoanDraft | None = None


@dataclass(frozen=True)
class CounterDoor(LoginDoor[CounterVisit]):
    """Where visits begin and end."""

    desk: HttpService = field(kw_only=True)

    async def admitted(self, visit: PersonVisit, seconds: int) -> tuple[CounterVisit, int]:
        shown = {"Authorization": f"Bearer {visit.token}"}
        given = (await self.desk.ask("POST", "/v1/me/sessions", headers=shown)).body
        kept = CounterVisit(
            visit.token, visit.whose, visit.issuer, visit.came_at, visit.pace, given["token"]
        )
        return kept, min(seconds, int(given["expires_in"]))

    def at_desk(self, request: Request) -> PersonAtService:
        """The customer at the desk; raises NotLoggedIn."""
        return PersonAtService(self.desk, self.visitor(request).desk_token)

    def at_registry(self, request: Request) -> PersonAtService:
        """The customer at the registry; raises NotLoggedIn."""
        return PersonAtService(self.registry, self.visitor(request).token)
