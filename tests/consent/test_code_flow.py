"""The development issuer as a browser meets it: code and PKCE, a page without scripts, no second question."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient
from support.identity import Site
from support.world import PORTAL, Clock, trust, trusted_issuer

from consent.api.app import create_app
from consent.identity.devcodes import MAX_REMEMBERED, CodeRequest, Logins, origin_on_this_machine
from consent.identity.devissuer import SESSION, create_issuer
from consent.identity.settings import ENVIRONMENT
from crypto.keys import SigningKey, b64, unb64

ISSUER = "http://127.0.0.1:8790"
BACK = "http://127.0.0.1:8800/callback"


@dataclass
class Browser:
    """One browser at the issuer, and what the client behind it keeps."""

    http: TestClient
    clock: Clock
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def request(self, **changes: Any) -> dict[str, str]:
        fields = {
            "response_type": "code", "client_id": PORTAL, "redirect_uri": BACK, "scope": "openid", "state": "s-1",
            "nonce": "n-1", "code_challenge": b64(hashlib.sha256(self.verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }  # fmt: skip
        return {name: value for name, value in (fields | changes).items() if value is not None}

    def ask(self, **changes: Any) -> httpx.Response:
        return self.http.get("/authorize", params=self.request(**changes), follow_redirects=False)

    def log_in(self, subject: str = "ada", **changes: Any) -> httpx.Response:
        """As a browser does: the page's own fields, and what was typed."""
        page = self.ask(**changes)
        assert page.status_code == 200, page.text
        return self.http.post("/login", data={**fields_of(page.text), "subject": subject}, follow_redirects=False)

    def token(self, code: str, **changes: str) -> httpx.Response:
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "client_id": PORTAL,
            "code_verifier": self.verifier,
        }  # fmt: skip
        return self.http.post("/token", data=form | changes)


def fields_of(page: str) -> dict[str, str]:
    found: dict[str, str] = {}

    class Fields(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            stated = dict(attrs)
            if tag == "input" and stated.get("type") == "hidden":
                found[str(stated["name"])] = str(stated["value"])

    Fields().feed(page)
    return found


def answer(redirect: httpx.Response) -> dict[str, str]:
    assert redirect.status_code == 303, redirect.text
    target = redirect.headers["location"]
    assert target.startswith(f"{BACK}?"), target
    assert redirect.headers["cache-control"] == "no-store"
    return {name: value for name, (value,) in parse_qs(urlsplit(target).query).items()}


@pytest.fixture
def key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture
def browser(key: SigningKey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    monkeypatch.setenv(ENVIRONMENT, "development")
    clock = Clock()
    with TestClient(create_issuer(ISSUER, key, clock), base_url=ISSUER) as http:
        yield Browser(http, clock)


def test_a_browser_logs_in_and_the_registry_takes_the_token(site: Site, browser: Browser, key: SigningKey):
    trust(site.home, trusted_issuer(ISSUER, key))
    site.http = TestClient(create_app(site.registry))
    told = answer(browser.log_in("ada", nonce=site.nonce()))
    assert told.keys() == {"code", "state", "iss"}
    assert (told["state"], told["iss"]) == ("s-1", ISSUER)
    tokens = browser.token(told["code"])
    assert (tokens.status_code, tokens.headers["cache-control"]) == (200, "no-store")
    assert site.exchange(tokens.json()["id_token"]).status_code == 200


def test_what_discovery_says_is_there(browser):
    said = browser.http.get("/.well-known/openid-configuration").json()
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert (said["response_types_supported"], said["grant_types_supported"]) == (["code"], ["authorization_code"])
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        assert browser.http.get(said[name].removeprefix(ISSUER)).status_code in {200, 400, 405}


def test_a_code_acts_once_for_whom_it_was_made_and_for_a_minute(browser):
    code = answer(browser.log_in())["code"]
    assert browser.token(code).status_code == 200
    assert browser.token(code).json()["error"] == "invalid_grant"
    others = {"code_verifier": "x" * 43, "client_id": "other", "redirect_uri": f"{BACK}2"}
    for changes in ({"code_verifier": ""}, *({name: value} for name, value in others.items())):
        code = answer(browser.log_in())["code"]
        refused = browser.token(code, **changes)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant"), changes
        assert browser.token(code).status_code == 400, "whoever guesses has one try"
    code = answer(browser.log_in())["code"]
    browser.clock.move(seconds=61)
    assert browser.token(code).status_code == 400


def test_without_a_question_only_who_has_logged_in_lately(browser):
    assert answer(browser.ask(prompt="none")) == {"error": "login_required", "state": "s-1", "iss": ISSUER}
    browser.log_in("ada")
    again = answer(browser.ask(prompt="none", nonce="n-2"))
    assert browser.token(again["code"]).status_code == 200
    browser.clock.move(seconds=130)
    assert answer(browser.ask(prompt="none", max_age=120))["error"] == "login_required"
    assert "code" in answer(browser.ask(prompt="none"))
    browser.clock.move(minutes=60)
    assert answer(browser.ask(prompt="none"))["error"] == "login_required"
    browser.log_in("ada")
    assert browser.ask(prompt="login").status_code == 200
    assert browser.ask().status_code == 200, "who it is may change at each login"


def test_the_token_says_when_the_login_was(browser):
    browser.log_in("ada")
    at = int(browser.clock().timestamp())
    browser.clock.move(seconds=90)
    id_token = browser.token(answer(browser.ask(prompt="none"))["code"]).json()["id_token"]
    claims = httpx.Response(200, content=_payload(id_token)).json()
    assert abs(claims["auth_time"] - at) <= 1
    assert (claims["sub"], claims["nonce"], claims["aud"]) == ("ada", "n-1", PORTAL)


def _payload(token: str) -> bytes:
    return unb64(token.split(".")[1])


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/callback", "http://127.0.0.1.evil.example/", "http://evil.example@127.0.0.1/",
     "http://127.0.0.1:8800/#x", "javascript:alert(1)", "http://127.0.0.1:x/", "", "http://127.0.0.1/;script-src *",
     "http://evil.example\\@127.0.0.1/", "//127.0.0.1/"],
)  # fmt: skip
def test_nobody_is_sent_elsewhere(browser, elsewhere):
    asked = browser.ask(redirect_uri=elsewhere)
    posted = browser.http.post(
        "/login", data={**browser.request(redirect_uri=elsewhere), "subject": "ada"}, follow_redirects=False
    )
    for refused in (asked, posted):
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
        assert "location" not in refused.headers


@pytest.mark.parametrize("url", ["http://127.0.0.1:8800/x?y=1", "http://[::1]:8800/x", "http://localhost/x"])
def test_clients_on_this_machine(url):
    assert url.startswith(str(origin_on_this_machine(url)))


@pytest.mark.parametrize(
    "changes",
    [{"code_challenge": None}, {"code_challenge_method": "plain"}, {"response_type": "token"}, {"scope": "profile"},
     {"nonce": None}, {"state": None}, {"prompt": "consent"}],
)  # fmt: skip
def test_a_request_that_is_none_goes_back_with_an_error(browser, changes):
    told = answer(browser.ask(**changes))
    assert told["error"] == "invalid_request"
    assert "code" not in told


def test_the_page_runs_nothing_and_shows_what_was_sent_as_text(browser):
    page = browser.ask(state='"><script>alert(1)</script>')
    assert "<script" not in page.text
    assert not re.search(r"<link|<img|src=|@import|https?://(?!127)", page.text)
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert policy.endswith("form-action 'self' http://127.0.0.1:8800")
    assert page.headers["cache-control"] == "no-store"
    redirect = browser.http.post(
        "/login", data={**fields_of(page.text), "subject": "ada-lovelace"}, follow_redirects=False
    )
    assert answer(redirect)["state"] == '"><script>alert(1)</script>'
    assert "ada" not in redirect.headers["location"]
    cookie = redirect.headers["set-cookie"]
    assert "httponly" in cookie.lower()
    assert "samesite=lax" in cookie.lower()
    assert "ada" not in cookie
    assert cookie.startswith(f"{SESSION}=")


def test_whoever_says_nothing_is_nobody(browser):
    for subject in ("", "   ", "x" * 256):
        assert browser.log_in(subject).status_code == 400


def test_what_is_remembered_is_bounded():
    logins, clock = Logins(), Clock()
    asked = CodeRequest(
        response_type="code", client_id="c", redirect_uri=BACK, scope="openid", state="s", nonce="n",
        code_challenge="x" * 43, code_challenge_method="S256",
    )  # fmt: skip
    names = [logins.begin("ada", clock()) for _ in range(MAX_REMEMBERED + 5)]
    for _ in range(MAX_REMEMBERED + 5):
        logins.hand_out(asked, names[-1], clock())
    assert logins.known(names[0], None, clock()) is None
    assert logins.known(names[-1], None, clock()) is not None
    assert logins.known(names[-1], None, clock() + timedelta(hours=2)) is None
    assert (len(logins._sessions), len(logins._codes)) == (MAX_REMEMBERED, MAX_REMEMBERED)
