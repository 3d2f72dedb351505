"""How often one may ask: a visit, and whoever knocks from one address."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from support.issuers import SayingIssuer

from screens.house import pace
from screens.house.door import LoginDoor, PersonVisit
from screens.house.forms import new_once
from screens.house.issuers import LoginIssuer, LoginIssuers
from screens.house.login import LogIn
from screens.house.pace import AddressPaces
from screens.house.services import ConsentRegistry
from screens.house.sessions import PageSessions
from screens.house.shell import HOUSE, Look, shell
from screens.house.staff import CodeDoor

ORIGIN, ISSUER = "https://my.example", LoginIssuer(issuer="https://login.example", client_id="portal")


class Clock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment


class Door(LoginDoor[PersonVisit]):
    async def admitted(self, visit: PersonVisit, seconds: int) -> tuple[PersonVisit, int]:
        return visit, seconds


def client(app: Starlette, address: str = "192.0.2.1") -> TestClient:
    return TestClient(app, base_url=ORIGIN, follow_redirects=False, client=(address, 1))


@pytest.fixture
def knocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Starlette, Clock, list[str]]]:
    """A door that lets one address take four steps a minute; and what the services behind it were asked."""
    clock, asked = Clock(), []

    def service(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, json={"nonce": "n-1"})

    look = Look.of("portal", HOUSE.parent / "portal" / "views", "UTC", {"new_once": new_once})
    issuer = httpx.AsyncClient(transport=httpx.MockTransport(SayingIssuer(ISSUER.issuer, "portal", "s-1")))
    registry = httpx.AsyncClient(base_url="https://registry.example", transport=httpx.MockTransport(service))
    door = Door(
        "portal",
        ConsentRegistry(registry),
        LogIn(LoginIssuers(issuer, clock), f"{ORIGIN}/callback"),
        (ISSUER,),
        PageSessions(clock),
        PageSessions(clock),
        AddressPaces(clock, 4),
        120,
    )
    yield shell(look, ORIGIN, door.routes()), clock, asked


def test_one_address_begins_no_more_log_ins_than_people_do(knocked: tuple[Starlette, Clock, list[str]]) -> None:
    app, clock, asked = knocked
    codes = [client(app).get("/login").status_code for _ in range(6)]
    assert codes == [303] * 4 + [429] * 2
    assert len(asked) == 4, "the registry is not asked for what is refused"
    assert client(app).get("/callback").status_code == 429, "the way back counts, too"
    assert client(app, "192.0.2.2").get("/login").status_code == 303, "another address is another's"
    clock.moment += timedelta(seconds=15)
    assert client(app).get("/login").status_code == 303, "it fills again"


def test_who_guesses_the_code_is_slowed_down(tmp_path: Path) -> None:
    look = Look.of("portal", HOUSE.parent / "portal" / "views", "UTC", {"new_once": new_once})
    app = shell(look, ORIGIN, CodeDoor(look, Clock(), "AAAA-BBBB-CCCC-DDDD").routes())
    own = {"Sec-Fetch-Site": "same-origin"}
    guesses = [
        client(app).post("/enter", data={"once": new_once(), "code": "no"}, headers=own).status_code for _ in range(122)
    ]
    assert guesses == [403] * pace.WAYS_IN_PER_MINUTE + [429] * 2
    right = {"once": new_once(), "code": "AAAA-BBBB-CCCC-DDDD"}
    assert client(app).post("/enter", data=right, headers=own).status_code == 429
    assert client(app, "192.0.2.2").post("/enter", data=right, headers=own).status_code == 303


def test_addresses_of_one_connection_are_one_and_they_are_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "MAX_ADDRESSES", 3)
    paces = AddressPaces(Clock(), 1)
    assert paces.takes("2001:db8::1") and not paces.takes("2001:db8::ffff:2")
    assert paces.takes("2001:db8:0:1::1"), "another network"
    assert paces.takes("::ffff:192.0.2.1") and paces.takes("::ffff:192.0.2.2"), "version 4 in version 6"
    for number in range(9):
        assert paces.takes(f"198.51.100.{number}")
        assert len(paces._paces) <= 3
