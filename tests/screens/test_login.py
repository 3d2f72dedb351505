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
from support.issuers import SayingIssuer

from screens.house.errors import LoginFailed, PageError, ServiceAway
from screens.house.issuers import LoginIssuer, LoginIssuers
from screens.house.login import Leaving, LogIn, own_path
from screens.house.sessions import IDLE, LONGEST, PageSessions

ISSUER = LoginIssuer(issuer="https://login.example", client_id="portal")
BACK = "https://my.example/callback"


def way(issuer: Any, several: bool = False, clock: Any = lambda: datetime.now(UTC)) -> LogIn:
    return LogIn(LoginIssuers(httpx.AsyncClient(transport=httpx.MockTransport(issuer)), clock), BACK, several)


def issuer_saying(**known: Any) -> SayingIssuer:
    return SayingIssuer(ISSUER.issuer, "portal", "s-1", **known)


def left(issuer: SayingIssuer, back_to: str = "/", several: bool = False) -> tuple[dict[str, str], Leaving]:
    target, leaving = asyncio.run(way(issuer, several).leave(ISSUER, "n-1", back_to))
    issuer.asked = dict(parse_qsl(urlsplit(target).query))
    return issuer.asked, leaving


def arrives(issuer: SayingIssuer, leaving: Leaving, query: dict[str, str]) -> Any:
    return asyncio.run(way(issuer).arrive(leaving, query, issuer.now))


def test_a_code_is_bound_to_who_left():
    issuer = issuer_saying()
    asked, leaving = left(issuer)
    assert (asked["nonce"], asked["redirect_uri"], asked["response_type"]) == ("n-1", BACK, "code")
    token, identity = arrives(issuer, leaving, {"state": asked["state"], "code": "c", "iss": ISSUER.issuer})
    (form,) = issuer.forms
    challenge = urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
    assert (form["code"], challenge) == ("c", asked["code_challenge"])
    assert (token.count("."), identity.subject) == (2, "s-1")
    assert form["code_verifier"] not in str(asked)


def test_a_token_of_another_log_in_lets_nobody_in():
    issuer = issuer_saying()
    asked, leaving = left(issuer)
    issuer.claims = {"nonce": "n-2"}
    with pytest.raises(LoginFailed):
        arrives(issuer, leaving, {"state": asked["state"], "code": "c", "iss": ISSUER.issuer})


@pytest.mark.parametrize(
    ("several", "says_so", "comes_in"), [(False, False, True), (True, False, False), (False, True, False)]
)
def test_an_issuer_names_itself_where_it_could_be_taken_for_another(several: bool, says_so: bool, comes_in: bool):
    issuer = issuer_saying(authorization_response_iss_parameter_supported=says_so)
    asked, leaving = left(issuer, several=several)
    query = {"state": asked["state"], "code": "c"}
    if comes_in:
        assert arrives(issuer, leaving, query)[1].subject == "s-1"
    else:
        with pytest.raises(LoginFailed):
            arrives(issuer, leaving, query)
        assert not issuer.forms, "no code is handed in"


def test_an_issuer_is_asked_what_it_is_once_in_ten_minutes():
    issuer, moment = issuer_saying(), [datetime(2026, 1, 1, tzinfo=UTC)]
    login = way(issuer, clock=lambda: moment[0])
    for later in (timedelta(), timedelta(minutes=9), timedelta(minutes=2)):
        moment[0] += later
        asyncio.run(login.leave(ISSUER, "n-1"))
    assert issuer.paths["/.well-known/openid-configuration"] == 2


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
    issuer = issuer_saying()
    asked, leaving = left(issuer)
    query = {name: asked["state"] if value == "own" else value for name, value in query.items()}
    with pytest.raises(LoginFailed):
        arrives(issuer, leaving, query)
    assert not issuer.forms, "no code is handed in"


def test_an_issuer_that_is_another_or_away_is_not_believed():
    with pytest.raises(LoginFailed):
        left(issuer_saying(issuer="https://evil.example"))

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
