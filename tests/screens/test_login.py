"""The way to an issuer and back: what does not come back as it left is no log-in."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from screens.house.errors import LoginFailed, PageError, ServiceAway
from screens.house.login import Leaving, LogIn, LoginIssuer, own_path
from screens.house.sessions import IDLE, LONGEST, PageSessions

ISSUER = LoginIssuer(issuer="https://login.example", client_id="portal")
BACK = "https://my.example/callback"


class Issuer:
    """An issuer that notes what it is asked."""

    def __init__(self, **changes: Any) -> None:
        self.known = {
            "issuer": ISSUER.issuer,
            "authorization_endpoint": f"{ISSUER.issuer}/authorize",
            "token_endpoint": f"{ISSUER.issuer}/token",
        } | changes
        self.forms: list[dict[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/.well-known/openid-configuration":
            return httpx.Response(200, json=self.known)
        self.forms.append(dict(parse_qsl(request.content.decode())))
        return httpx.Response(200, json={"id_token": "a.b.c"})


def way(issuer: Any) -> LogIn:
    return LogIn(httpx.AsyncClient(transport=httpx.MockTransport(issuer)), BACK)


def left(issuer: Issuer, back_to: str = "/") -> tuple[dict[str, str], Leaving]:
    target, leaving = asyncio.run(way(issuer).leave(ISSUER, "n-1", back_to))
    return dict(parse_qsl(urlsplit(target).query)), leaving


def test_a_code_is_bound_to_who_left():
    issuer = Issuer()
    asked, leaving = left(issuer)
    assert (asked["nonce"], asked["redirect_uri"], asked["response_type"]) == ("n-1", BACK, "code")
    token = asyncio.run(way(issuer).arrive(leaving, {"state": asked["state"], "code": "c", "iss": ISSUER.issuer}))
    (form,) = issuer.forms
    challenge = urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
    assert (token, form["code"], challenge) == ("a.b.c", "c", asked["code_challenge"])
    assert form["code_verifier"] not in str(asked)


@pytest.mark.parametrize(
    "query",
    [
        {"state": "another", "code": "c"},
        {"code": "c"},
        {"state": "own"},
        {"state": "own", "code": "c", "iss": "https://evil.example"},
        {"state": "own", "error": "access_denied"},
    ],
)
def test_what_comes_back_otherwise_is_no_log_in(query: dict[str, str]):
    issuer = Issuer()
    asked, leaving = left(issuer)
    query = {name: asked["state"] if value == "own" else value for name, value in query.items()}
    with pytest.raises(LoginFailed):
        asyncio.run(way(issuer).arrive(leaving, query))
    assert not issuer.forms, "no code is handed in"


def test_an_issuer_that_is_another_or_away_is_not_believed():
    with pytest.raises(LoginFailed):
        left(Issuer(issuer="https://evil.example"))

    def away(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    with pytest.raises(ServiceAway):
        asyncio.run(way(away).leave(ISSUER, "n-1"))


@pytest.mark.parametrize("path", ["https://evil.example/", "//evil.example", "/\\evil.example", "", "x", "/a\nb"])
def test_nobody_is_sent_elsewhere(path: str):
    assert own_path(path) == "/"
    assert own_path("/uses?language=zh") == "/uses?language=zh"


def test_a_session_ends_when_it_is_idle_old_or_over():
    moment = [datetime(2026, 1, 1, tzinfo=UTC)]
    sessions: PageSessions[str] = PageSessions(lambda: moment[0])
    number = sessions.begin("somebody", moment[0] + timedelta(hours=9))
    assert sessions.find(number) == "somebody" and sessions.find("another") is None and sessions.find(None) is None
    for _ in range(int(LONGEST / IDLE) + 3):
        moment[0] += IDLE - timedelta(seconds=1)
        still = sessions.find(number)
    assert still is None, "in use all the time, and over after an hour"
    idle = sessions.begin("somebody", moment[0] + timedelta(hours=9))
    moment[0] += IDLE
    assert sessions.find(idle) is None
    over = sessions.begin("somebody", moment[0] + timedelta(seconds=1))
    moment[0] += timedelta(seconds=1)
    assert sessions.end(over) is None
    assert number not in str(sessions._open), "what is kept under is no number that lets anybody in"


def test_errors_are_pages_with_a_code():
    assert (PageError().status, PageError("conflict", 409).code) == (400, "conflict")


def test_a_way_back_is_short_and_a_path():
    assert own_path("/" + "a" * 1_999) != "/"
    for path in ("/" + "a" * 2_000, "//[", "/\x00", "https://["):
        assert own_path(path) == "/"
