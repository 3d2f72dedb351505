"""The borrower's portal over a real registry, and a browser to look at it with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from support.house import Ground, House
from support.wire import serve
from support.world import trust, trusted_issuer

from consent.identity.devissuer import Authorize, issue_id_token
from consent.identity.exchange import JWT_BEARER
from consent.identity.links import link_ticket
from crypto.keys import SigningKey
from demo.borrowers import DemoBorrower
from ops.processes import free_port
from protocol.schema import now
from screens.house.login import Issuer
from screens.house.sessions import COOKIE
from screens.house.shell import go
from screens.portal.app import create_portal
from screens.portal.home import create_portal_home
from screens.portal.visit import SESSION, Visit

ISSUER = "https://login.example"
PORTAL = "portal"


@dataclass
class Site:
    """A portal at work, its registry, and the key of the issuer that both believe."""

    house: House
    url: str
    app: object
    issuer_key: SigningKey

    def person(self, lender: str = "aspen", at: int = 0) -> DemoBorrower:
        return self.house.borrowers[lender][at]

    def token(self, person: DemoBorrower) -> str:
        """An access token of a login that the person's lender vouches for."""
        with httpx.Client(base_url=self.house.url, timeout=30) as http:
            nonce = http.post("/v1/challenges").json()["nonce"]
            asked = Authorize(subject=person.pseudonym, nonce=nonce, client_id=PORTAL)
            form = {"grant_type": JWT_BEARER, "assertion": issue_id_token(self.issuer_key, ISSUER, asked)}
            token = str(http.post("/v1/token", data=form).json()["access_token"])
            key = self.house.node(person.lender).key
            ticket = link_ticket(person.lender, person.pseudonym, key, now() + timedelta(minutes=10))
            headers = {"Authorization": f"Bearer {token}"}
            http.post("/v1/me/links", json={"ticket": ticket}, headers=headers)
        return token

    def cookie(self, person: DemoBorrower) -> str:
        """A session of the portal's."""
        door = self.app.state.door  # type: ignore[attr-defined]
        return str(door.visits.begin(Visit(self.token(person), ISSUER), datetime.now(UTC) + timedelta(minutes=10)))


@contextmanager
def open_portal(ground: Ground, root: Path) -> Iterator[Site]:
    """A copy of the house with a portal before it, both at real sockets."""
    copy = ground.copy(root / "house")
    key = SigningKey.generate()
    trust(copy.founded.registry_home, trusted_issuer(ISSUER, key))
    with copy.opened(http=True) as house:
        home = root / "portal"
        port = free_port()
        settings = {
            "registry_url": house.url,
            "registry_key": house.founded.registry_key.public.text,
            "origin": f"http://127.0.0.1:{port}",
            "issuers": [Issuer(issuer=ISSUER, client_id=PORTAL).model_dump()],
        }
        node = house.founded.node_home("aspen")
        create_portal_home(home, settings, (node / "consortium.jws").read_text(encoding="utf-8"), None)
        app = create_portal(home)

        def as_somebody(request: Request) -> Response:
            answer = go("/")
            answer.set_cookie(SESSION, request.path_params["number"], **COOKIE)
            return answer

        app.router.routes.append(Route("/as/{number}", as_somebody))
        with serve(app, port) as url:
            yield Site(house, url, app, key)


def chromium() -> str:
    """The browser's path; a machine without one skips, but CI, which must have one."""
    path = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if path is None:
        missing = "there is no Chromium: install chromium-headless-shell to try the pages in a browser"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return path


@contextmanager
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        try:
            yield opened
        finally:
            opened.close()


def visiting(context: BrowserContext, site: Site, person: DemoBorrower) -> Page:
    """A page of the portal in which a person is logged in."""
    page = context.new_page()
    page.goto(f"{site.url}/as/{site.cookie(person)}")
    return page
