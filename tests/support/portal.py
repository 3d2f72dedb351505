"""The borrower's portal over a real registry, and a browser to look at it with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright
from support.house import Ground, House
from support.waiting import PATIENCE_S
from support.wire import serve
from support.world import trust, trusted_issuer

from consent.identity.devissuer import Authorize, create_issuer, issue_id_token
from consent.identity.exchange import JWT_BEARER
from consent.notice_text import with_particulars
from crypto.keys import SigningKey
from demo.borrowers import DemoBorrower
from ops.processes import free_port
from protocol.notices import Notice
from protocol.schema import now
from protocol.tickets import link_ticket
from screens.homes import create_public_home
from screens.house.issuers import LoginIssuer
from screens.house.sessions import cookie
from screens.portal.app import create_portal
from screens.portal.home import PortalSettings
from screens.portal.visit import SESSION

PORTAL = "portal"


@dataclass
class Site:
    """A portal at work, its registry, and the key of the issuer that both believe."""

    house: House
    url: str
    app: object
    issuer: str
    issuer_key: SigningKey
    later: timedelta = timedelta()
    """How far the portal's clock, and nobody else's, is ahead."""

    def person(self, lender: str = "aspen", at: int = 0) -> DemoBorrower:
        return self.house.borrowers[lender][at]

    def token(self, person: DemoBorrower) -> str:
        """An access token of a login that the person's lender vouches for."""
        with httpx.Client(base_url=self.house.url, timeout=300) as http:
            nonce = http.post("/v1/challenges").json()["nonce"]
            asked = Authorize(subject=person.pseudonym, nonce=nonce, client_id=PORTAL)
            form = {"grant_type": JWT_BEARER, "assertion": issue_id_token(self.issuer_key, self.issuer, asked)}
            token = str(http.post("/v1/token", data=form).json()["access_token"])
            key = self.house.node(person.lender).key
            ticket = link_ticket(person.lender, person.pseudonym, key, now() + timedelta(minutes=10))
            headers = {"Authorization": f"Bearer {token}"}
            http.post("/v1/me/links", json={"ticket": ticket}, headers=headers)
        return token

    def cookie(self, person: DemoBorrower) -> str:
        """A session of the portal's, for tests that need no browser: all of a log-in but the browser's part."""
        self.token(person)
        with httpx.Client(follow_redirects=False, timeout=300, verify=False) as http:
            left = http.get(f"{self.url}/login")
            fields = dict(parse_qsl(urlsplit(left.headers["location"]).query))
            back = http.post(f"{self.issuer}/login", data={**fields, "subject": person.pseudonym})
            kept = left.headers["set-cookie"].partition(";")[0]
            arrived = http.get(back.headers["location"], headers={"Cookie": kept})
        assert arrived.status_code == 303, arrived.text
        return next(one for name, one in arrived.cookies.items() if name == SESSION)


HTTP = httpx.Client(timeout=300, verify=False)  # without a context of its own for every call


def get(site: Site, path: str, language: str, session: str | None = None) -> httpx.Response:
    """A page as it is sent in a language, to nobody or within a session."""
    cookies = {cookie(PORTAL, "language"): language} | ({} if session is None else {SESSION: session})
    sent = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return HTTP.get(f"{site.url}{path}", headers={"Cookie": sent})


def said_otherwise(house: House, first: Notice, **terms: Any) -> Notice:
    """The notice's second version, with other terms and other words, published."""
    texts = {"en": "Now it is said otherwise.", "zh": "现在换了一种说法。"}
    changed = {"version": 2, "terms": first.terms.model_copy(update=terms), "texts": texts, "published_at": now()}
    notice = with_particulars(Notice.model_validate({**first.model_dump(), **changed}))
    operator = house.founded.operator(house.url)
    operator.publish_notice(notice, house.founded.registry_key)
    operator.close()
    return notice


@contextmanager
def open_portal(ground: Ground, root: Path) -> Iterator[Site]:
    """A copy of the house with a portal before it, both at real sockets."""
    copy = ground.copy(root / "house")
    key, at = SigningKey.generate(), free_port()
    issuer = f"http://127.0.0.1:{at}"
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("TAHINI_ENVIRONMENT", "development")
        trust(copy.founded.registry_home, trusted_issuer(issuer, key))
        stack.enter_context(serve(create_issuer(issuer, key), at))
        house = stack.enter_context(copy.opened(http=True))
        home = root / "portal"
        port = free_port()
        settings = {
            "registry_url": house.url,
            "registry_key": house.founded.registry_key.public.text,
            "origin": f"http://127.0.0.1:{port}",
            "per_minute": 1_000_000,
            "ways_in_per_minute": 1_000_000,  # one visit opens every page, as fast as it can
            "issuers": [LoginIssuer(issuer=issuer, client_id=PORTAL).model_dump()],
        }
        node = house.founded.node_home("aspen")
        create_public_home(home, PortalSettings, settings, (node / "consortium.jws").read_text(encoding="utf-8"), None)
        app = create_portal(home, clock=lambda: datetime.now(UTC) + site.later)
        site = Site(house, f"http://127.0.0.1:{port}", app, issuer, key)
        stack.enter_context(serve(app, port))
        yield site


def chromium() -> str:
    """The browser's path; a machine without one skips, unless TAHINI_BROWSER is ``required``."""
    path = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if path is None:
        missing = "there is no Chromium: install chromium-headless-shell to try the pages in a browser"
        if os.environ.get("TAHINI_BROWSER") == "required":
            pytest.fail(missing)
        pytest.skip(missing)
    return path


@contextmanager
def browser() -> Iterator[Browser]:
    """A Chromium that waits as long as a busy machine needs."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        made = opened.new_context
        violations: list[str] = []

        def heard(said: ConsoleMessage) -> None:
            forged = said.location["url"].startswith("file:")  # a saved file with another script than its own
            if "Content Security Policy" in said.text and not forged:
                violations.append(said.text)

        def patient(**options: Any) -> BrowserContext:
            context = made(**options)
            context.set_default_timeout(PATIENCE_S * 1000)
            context.on("console", heard)
            return context

        opened.new_context = patient  # type: ignore[method-assign]
        try:
            yield opened
        finally:
            opened.close()
        assert violations == [], "on whichever page, whoever looked at it"


def visiting(context: BrowserContext, site: Site, person: DemoBorrower) -> Page:
    """A page of the portal at which a person has logged in, as people do."""
    site.token(person)
    page = context.new_page()
    page.goto(site.url)
    page.locator("main .actions a").first.click()
    page.get_by_label("Who are you?").fill(person.pseudonym)
    page.get_by_role("button").click()
    page.wait_for_url(f"{site.url}/")
    return page
