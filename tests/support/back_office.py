"""A lender's office over a real registry, node and desk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import BrowserContext, Page
from starlette.applications import Starlette
from support.house import Ground, House
from support.lending_house import LendingHouse, lending_house
from support.wire import serve

from ops.processes import free_port
from protocol.campaigns import Campaign
from screens.house.forms import new_once
from screens.house.sessions import cookie
from screens.house.staff import staff_code
from screens.office.app import create_office
from screens.office.home import OfficeListening

SESSION = cookie("office")
OWN = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class BackOffice:
    """An office at work; ``lending`` is its desk."""

    lending: LendingHouse
    url: str
    code: str
    app: Starlette
    _proposed: int = 0
    _contested: int = 0

    @property
    def house(self) -> House:
        return self.lending.house

    @contextmanager
    def http(self, language: str = "en") -> Iterator[httpx.Client]:
        """Somebody who has come in."""
        chosen = f"{cookie('office', 'language')}={language}"
        with httpx.Client(base_url=self.url, timeout=300, headers=OWN) as client:
            entered = client.post("/enter", data={"once": new_once(), "code": self.code, "back": "/"})
            number = entered.headers["set-cookie"].partition(";")[0].partition("=")[2]
            client.cookies.clear()
            client.headers["Cookie"] = f"{chosen}; {SESSION}={number}"
            yield client

    def propose(self, **changes: Any) -> Campaign:
        """Another campaign for the lender to answer."""
        self._proposed += 1
        names = {"id": f"next-{self._proposed}", "title": f"Spring model {self._proposed}", **changes}
        campaign = self.house.make_campaign(**names)
        self.house.propose(campaign)
        return campaign

    def contested(self, **facts: Any) -> str:
        """Somebody who was declined wants a person; returns the review's id."""
        person = self.lending.people[self._contested]
        self._contested += 1
        self.lending.knows(person, **{**self.lending.worst, **facts})
        answer = self.lending.asks(person).json()
        path = f"/v1/applications/{answer['id']}/contest"
        said = {"view": "My payment was late because my bank had made a mistake."}
        asked = self.lending.call("origination", "POST", path, said)
        assert asked.status_code == 201, asked.text
        waiting = self.lending.call("reviewer.a", "GET", "/v1/reviews?status=waiting").json()["items"]
        return next(one["id"] for one in waiting if one["application"] == answer["id"])

    def withdraws(self, at: int = 0) -> None:
        """A borrower of the lender's takes back what they gave for training."""
        self.house.withdraw(self.house.consenting()[-1 - at])


@contextmanager
def open_back_office(ground: Ground, root: Path, portal: str | None = "https://my.example") -> Iterator[BackOffice]:
    """A copy of the ground, whose first campaign is released, with a desk and its office."""
    with ExitStack() as stack:
        lending = stack.enter_context(lending_house(ground, root))
        lending.house.__dict__.pop("assessment", None)
        home, port = lending.house.founded.node_home("aspen"), free_port()
        listening = OfficeListening(port=port, portal=portal)
        app = create_office(home, listening, lending.desk, clock=lending.house.clock)
        url = stack.enter_context(serve(app, port))
        yield BackOffice(lending, url, staff_code(home), app)


def come_in(context: BrowserContext, office: BackOffice) -> Page:
    """A page of the office whose code was typed in."""
    page = context.new_page()
    page.goto(office.url)
    page.locator("main .actions a").first.click()
    page.locator("input[name=code]").fill(office.code)
    page.get_by_role("button").first.click()
    page.wait_for_url(f"{office.url}/")
    return page
