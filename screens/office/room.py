"""What the office's pages share: the node, the desk, who is here, and refusals as pages."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from clients.home import Node
from crypto.errors import TahiniError
from desk.office import Desk
from protocol.errors import ConsentError
from protocol.parties import Consortium
from screens.house.errors import PageError
from screens.house.shell import Look
from screens.house.staff import Staff, StaffDoor

LOOK, APPROVE, REVIEW, CUSTOMERS = "look", "approve", "review", "customers"
"""What members of staff may do."""
CODE_NAME = "operator"
"""What whoever came in with the code is called, unless a staff id was named."""


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
        return self.operator if staff.name == CODE_NAME else staff.name

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
    """What is refused on purpose becomes a page."""

    if inspect.iscoroutinefunction(endpoint):

        @wraps(endpoint)
        async def later(request: Request) -> Response:
            try:
                return await endpoint(request)  # type: ignore[no-any-return]
            except TahiniError as error:
                raise refusal(error) from error

        return later

    @wraps(endpoint)
    def at_once(request: Request) -> Response:
        try:
            return endpoint(request)  # type: ignore[no-any-return]
        except TahiniError as error:
            raise refusal(error) from error

    return at_once
