"""What the office's pages share: the node, the desk, who is here, and refusals as pages."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from clients.home import Node
from crypto.errors import TahiniError
from desk.office import Desk
from protocol.errors import ConsentError
from protocol.parties import Consortium
from screens.house.errors import NotLoggedIn, PageError
from screens.house.shell import Look, go
from screens.house.staff import Staff, StaffDoor

LOOK, APPROVE, REVIEW, CUSTOMERS = "look", "approve", "review", "customers"
"""What members of staff may do."""


@dataclass(frozen=True)
class Office:
    """A lender's office.

    Attributes:
        desk: its lending desk at work; None where it lends nothing by one.
        operator: the staff id that stands in what is signed by whoever came in with the code.
    """

    look: Look
    door: StaffDoor
    node: Node
    desk: Desk | None
    clock: Callable[[], datetime]
    operator: str | None = None

    def staff_id(self, staff: Staff) -> str | None:
        """What stands in a signed document beside the lender."""
        return self.operator if staff.name == self.door.name else staff.name

    def at_desk(self) -> Desk:
        """Raises PageError: there is none."""
        if self.desk is None:
            raise PageError("no-desk", 404)
        return self.desk

    def name_of(self, party: str) -> str:
        return names_of(self.node.consortium).get(party, party)


def names_of(consortium: Consortium) -> dict[str, str]:
    """What parties are called, by id."""
    return {party.id: party.name for party in consortium.parties}


def refusal(error: TahiniError) -> PageError:
    """As a page: what the code means, and the sentence itself, which is English."""
    status, code = (
        (error.status, error.code) if isinstance(error, ConsentError) else (409, "refused-here")
    )
    return PageError(code, status, {"why": str(error)})


Endpoint = Callable[[Request], Any]


def plainly(endpoint: Endpoint) -> Endpoint:
    """Whoever is not in is asked in; what is refused on purpose becomes a page."""

    def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, NotLoggedIn) and request.method == "GET":
            return go(f"/enter?back={quote(request.url.path)}")
        raise refusal(error) if isinstance(error, TahiniError) else error

    if inspect.iscoroutinefunction(endpoint):

        @wraps(endpoint)
        async def later(request: Request) -> Response:
            try:
                return await endpoint(request)  # type: ignore[no-any-return]
            except (TahiniError, NotLoggedIn) as error:
                return answer(request, error)

        return later

    @wraps(endpoint)
    def at_once(request: Request) -> Response:
        try:
            return endpoint(request)  # type: ignore[no-any-return]
        except (TahiniError, NotLoggedIn) as error:
            return answer(request, error)

    return at_once
