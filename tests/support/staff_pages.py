"""Pages of an institution's staff behind its own issuer, which says what a test has it say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from support.issuers import SayingIssuer

from screens.house.forms import OwnForm, new_once, read_own
from screens.house.shell import HOUSE, Look, shell
from screens.house.staff import Staff, StaffDoor
from screens.house.staff_list import STAFF_FILE
from screens.house.staff_login import open_staff_door

ORIGIN, ISSUER = "https://office.example", "https://login.example"
PEOPLE = {
    "wang": ["look", "approve"],
    "chen": ["look", "approve"],
    "zhao": ["look"],
}


class StaffPages:
    """Two pages: one that everybody may see, one that signs."""

    def __init__(self, tmp_path: Path) -> None:
        self.issuer = SayingIssuer(ISSUER, "office", "wang")
        listed = {
            "issuer": {"issuer": ISSUER, "client_id": "office"},
            "people": [{"subject": one, "name": one.title(), "roles": roles} for one, roles in PEOPLE.items()],
        }
        (tmp_path / STAFF_FILE).write_text(json.dumps(listed), encoding="utf-8")
        look = Look.of("portal", HOUSE.parent / "portal" / "views", "UTC", {"new_once": new_once})
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.issuer))
        self.door: StaffDoor = open_staff_door(look, lambda: self.issuer.now, http, tmp_path, ORIGIN)

        async def sign(request: Request) -> Response:
            return PlainTextResponse(self.door.staff(request, "approve", fresh=True).name)

        async def signed(request: Request) -> Response:
            staff = self.door.staff(request, "approve", fresh=True)
            await read_own(request, OwnForm, staff.whose)
            return PlainTextResponse(f"signed by {staff.name}")

        async def seen(request: Request) -> Response:
            return PlainTextResponse(self.door.staff(request, "look").name)

        routes = [Route("/sign", sign, methods=["GET"]), Route("/sign", signed, methods=["POST"]),
                  Route("/seen", seen), *self.door.routes()]  # fmt: skip
        self.client = TestClient(shell(look, ORIGIN, routes), base_url=ORIGIN, follow_redirects=False)

    def enter(self, way: str = "/enter?back=/seen", **claims: Any) -> httpx.Response:
        self.issuer.claims = claims
        left = self.client.get(way)
        self.issuer.asked = dict(parse_qsl(urlsplit(left.headers["location"]).query))
        back = {"state": self.issuer.asked["state"], "code": "c", "iss": ISSUER}
        return self.client.get("/callback", params=back)


def person(site: StaffPages, name: str) -> Staff:
    """Somebody on the list, as they stood when they came in."""
    return Staff(name, frozenset(PEOPLE[name.casefold()]), site.issuer.now, name.casefold())
