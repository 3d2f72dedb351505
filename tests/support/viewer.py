"""The auditor's viewer over a real registry, and a registry that lies to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page
from support.house import Ground, House
from support.own_forms import own_form
from support.waiting import until
from support.wire import serve

from ops.processes import free_port
from protocol.log_client import LogClient
from screens.house.forms import new_once
from screens.house.sessions import cookie
from screens.house.staff import staff_code
from screens.viewer.app import create_viewer
from screens.viewer.home import ViewerHome

OWN = {"Sec-Fetch-Site": "same-origin"}
Lie = Callable[[str, httpx.Response], httpx.Response]
"""What is answered at a target instead of the honest answer."""


@dataclass
class Watch:
    """A viewer at work, and somebody who has come in."""

    house: House
    home: Path
    url: str
    app: object
    http: httpx.Client

    def get(self, path: str, language: str = "en") -> httpx.Response:
        return self.http.get(
            f"{self.url}{path}", headers={"Cookie": f"{self.http.headers['Cookie']}; {_speaks(language)}"}
        )

    def post(self, path: str, **fields: str) -> httpx.Response:
        return self.http.post(f"{self.url}{path}", data=own_form(self.app, "auditor", **fields), headers=OWN)

    def verify(self) -> str:
        """The head's page after a verification that has ended."""
        assert self.verifications.begin().done.wait(60)
        return self.get("/").text

    @property
    def verifications(self):
        return self.app.state.verifications  # type: ignore[attr-defined]


def _speaks(language: str) -> str:
    return f"{cookie('viewer', 'language')}={language}"


def auditor_home(house: House) -> Path:
    return house.founded.root / "auditor"


@contextmanager
def open_viewer(ground: Ground, root: Path) -> Iterator[Watch]:
    """A copy of the house with a viewer over its auditor's home."""
    with ExitStack() as stack:
        house = stack.enter_context(ground.copy(root).opened())
        yield stack.enter_context(viewing(house))


@contextmanager
def viewing(house: House) -> Iterator[Watch]:
    home, port = auditor_home(house), free_port()
    opened = ViewerHome(
        home,
        registry_url=house.url,
        registry_key=house.founded.registry_key.public.text,
        consortium=house.founded.node_home("aspen") / "consortium.jws",
    )
    url = f"http://127.0.0.1:{port}"
    app = create_viewer(opened, url)
    with serve(app, port), httpx.Client(timeout=300) as http:
        watch = Watch(house, home, url, app, http)
        entered = http.post(f"{url}/enter", data={"once": new_once(), "code": staff_code(home)}, headers=OWN)
        name = cookie("viewer")
        session = re.search(rf"{name}=([^;]+)", entered.headers["set-cookie"])
        assert entered.status_code == 303 and session
        http.headers["Cookie"] = f"{name}={session[1]}"
        yield watch


def lying(patch: pytest.MonkeyPatch, lie: Lie) -> None:
    """From now on the registry answers as ``lie`` has it."""
    honest = LogClient._send

    def send(self: LogClient, method: str, target: str, body: object = None) -> httpx.Response:
        return lie(target, honest(self, method, target, body))

    patch.setattr(LogClient, "_send", send)


def come_in(page: Page, watch: Watch) -> None:
    """As people do: the code off the terminal."""
    page.goto(f"{watch.url}/enter")
    page.get_by_role("textbox").fill(staff_code(watch.home))
    page.locator("main button").click()
    page.wait_for_url(f"{watch.url}/")


def browser_says(page: Page) -> str:
    """What the browser found, once it has."""
    verdict = page.locator("#browser-verdict")
    until(lambda: verdict.get_attribute("data-verdict") != "unchecked", "the browser had checked")
    return verdict.inner_text()
