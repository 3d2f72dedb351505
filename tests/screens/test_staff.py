"""Who comes in at an institution's own pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from screens.house.forms import new_once
from screens.house.shell import HOUSE, Look, shell
from screens.house.staff import CODE_FILE, CodeDoor, on_loopback, staff_code

ORIGIN = "http://127.0.0.1:8722"
OWN = {"Sec-Fetch-Site": "same-origin"}


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 28, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(clock: Clock, tmp_path: Path) -> TestClient:
    look = Look.of("portal", HOUSE.parent / "portal" / "views", "UTC", {"new_once": new_once})
    door = CodeDoor(look, clock, staff_code(tmp_path))

    async def secret(request: Request) -> Response:
        return PlainTextResponse(door.staff(request, "look").name)

    app: Starlette = shell(look, ORIGIN, [Route("/secret", secret), *door.routes()])
    return TestClient(app, base_url="https://127.0.0.1:8722", follow_redirects=False)


def enter(client: TestClient, code: str, back: str = "/") -> httpx.Response:
    return client.post("/enter", data={"once": new_once(), "code": code, "back": back}, headers=OWN)


def test_only_the_code_opens_the_door(client: TestClient, tmp_path: Path) -> None:
    code = staff_code(tmp_path)
    assert client.get("/secret").status_code == 401
    for wrong in ("", code[:-1], code + "A", "A" * 16):
        assert enter(client, wrong).status_code == 403
        assert client.get("/secret").status_code == 401
    entered = enter(client, f" {code.lower().replace('-', ' ')} ", "/secret")
    assert entered.headers["location"] == "/secret" and code not in str(entered.headers)
    assert client.get("/secret").text == "operator"


def test_a_session_ends_by_itself_and_by_hand(client: TestClient, clock: Clock, tmp_path: Path) -> None:
    enter(client, staff_code(tmp_path))
    clock.now += timedelta(minutes=11)
    assert client.get("/secret").status_code == 401
    enter(client, staff_code(tmp_path))
    assert client.get("/secret").is_success
    assert client.post("/logout", data={"once": new_once()}, headers=OWN).headers["location"] == "/enter"
    assert client.get("/secret").status_code == 401


def test_the_way_back_is_our_own(client: TestClient, tmp_path: Path) -> None:
    for back in ("//evil.example", "https://evil.example/", "/\\evil.example"):
        assert enter(client, staff_code(tmp_path), back).headers["location"] == "/"


def test_a_code_is_its_owners_and_stays(tmp_path: Path) -> None:
    code = staff_code(tmp_path)
    assert staff_code(tmp_path) == code and len(code) == 19
    assert (tmp_path / CODE_FILE).stat().st_mode & 0o077 == 0
    (tmp_path / CODE_FILE).write_text("", encoding="ascii")
    with pytest.raises(ValueError, match="holds no code"):
        staff_code(tmp_path)


@pytest.mark.parametrize(
    ("origin", "on"),
    [
        ("http://127.0.0.1:8722", True), ("http://[::1]:8722", True), ("http://localhost:1", True),
        ("https://desk.example", False), ("http://0.0.0.0:8722", False), ("https://127.0.0.1.example", False),
    ],
)  # fmt: skip
def test_what_only_this_machine_reaches(origin: str, on: bool) -> None:
    assert on_loopback(origin) is on
