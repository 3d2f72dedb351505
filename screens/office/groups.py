"""Groups of customers (portraits): what may be done with whom, until when, and who is in one."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from desk.commands.placed import all_portraits, people_in
from screens.house.errors import PageError
from screens.office.room import CUSTOMERS, LOOK, Office

MOST_SHOWN = 500
"""People of a group on one page; all of them are at the desk's ``/v1/portraits``."""


@dataclass(frozen=True)
class PortraitPages:
    """Pages about portraits."""

    office: Office

    def listed(self, request: Request) -> Response:
        """``GET /groups``: every portrait, and how many people are in it now."""
        self.office.door.staff(request, LOOK)
        desk = self.office.desk
        found = [] if desk is None else all_portraits(desk)
        return self.office.look.page(
            request, "groups.html", tab="/customers", portraits=found, desk=desk is not None
        )

    def people(self, request: Request) -> Response:
        """``GET /groups/{portrait}``: who is in it, and why. For whoever looks after customers."""
        self.office.door.staff(request, CUSTOMERS)
        desk, name = self.office.at_desk(), request.path_params["portrait"]
        found = [one for one in desk.portraits if one.document.id == name]
        if not found:
            raise PageError("not-found", 404)
        people = people_in(desk, name)
        newest = max(found, key=lambda one: one.document.version)
        return self.office.look.page(
            request,
            "group.html",
            tab="/customers",
            said=(people[0].portrait if people else newest).document,
            people=people[:MOST_SHOWN],
            more=max(len(people) - MOST_SHOWN, 0),
        )
