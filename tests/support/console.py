"""The coordinator's console over a real registry and real campaigns."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import tomli_w
from playwright.sync_api import BrowserContext, Page
from support.house import Ground, House, InMemoryFleet
from support.own_forms import own_form
from support.waiting import until
from support.wire import serve
from support.world import features

from crypto.keys import replace_file
from ops.processes import free_port
from protocol.campaigns import Campaign, Rejection
from protocol.schema import now
from screens.console.app import create_console
from screens.console.home import listening_of
from screens.console.sight import ConsoleSight, SeenCampaign
from screens.house.forms import new_once
from screens.house.sessions import cookie
from screens.house.staff import staff_code
from server.desired_state import Stage, events, record_event, request_run, run_requested, write_state
from server.errors import CampaignStopped
from server.fleet_app import release_card
from server.folders import CAMPAIGN_FILE
from server.run import CampaignRun
from server.status import CampaignStatus

SESSION = cookie("console")
HTTP = httpx.Client(timeout=300, verify=False)


@dataclass
class ConsoleSite:
    """A console at work, and its house."""

    house: House
    url: str
    app: object
    home: Path

    def cookie(self) -> str:
        """A session, for tests that need no browser."""
        form = {"once": new_once(), "code": staff_code(self.home), "back": "/"}
        own = {"Sec-Fetch-Site": "same-origin"}
        entered = HTTP.post(f"{self.url}/enter", data=form, headers=own)
        assert entered.status_code == 303, entered.text
        return str(entered.cookies[SESSION])

    def get(self, path: str, language: str = "en", session: str | None = None) -> httpx.Response:
        sent = f"{cookie('console', 'language')}={language}; {SESSION}={session or ''}"
        return HTTP.get(f"{self.url}{path}", headers={"Cookie": sent})

    def post(self, path: str, session: str, **fields: str) -> httpx.Response:
        headers = {"Sec-Fetch-Site": "same-origin", "Cookie": f"{SESSION}={session}"}
        return HTTP.post(f"{self.url}{path}", data=own_form(self.app, **fields), headers=headers)

    # --- campaigns

    def proposed(self, approve: bool = True, **changes: object) -> Campaign:
        """A campaign in the coordinator's folder as the command leaves it."""
        house, plan = self.house, changes.pop("plan", {})
        campaign = house.make_campaign(plan=plan, **changes)  # type: ignore[arg-type]
        token = house.propose(campaign)
        folder = self.folder(campaign)
        replace_file(folder / CAMPAIGN_FILE, token.encode())
        write_state(folder, Stage.PROPOSED)
        if approve:
            house.approve_all()
        return campaign

    def reject(self, campaign: Campaign, lender: str, reason: str) -> None:
        said = Rejection(campaign_sha256=campaign.sha256, lender=lender, reason=reason, rejected_at=now())
        self.house.client(lender).reject(said, self.house.node(lender).key)

    def listed(self) -> list[SeenCampaign]:
        return ConsoleSight(self.home, now).campaigns()

    def status(self, campaign: Campaign) -> CampaignStatus:
        return ConsoleSight(self.home, now).campaign(campaign.sha256).status

    def folder(self, campaign: Campaign) -> Path:
        return self.house.coordinator().folder(campaign.sha256)

    def conduct(
        self, campaign: Campaign, fleet: InMemoryFleet | None = None, hold: threading.Semaphore | None = None
    ) -> None:
        """Run it as the service's ServerApp would, with the house's nodes.

        Args:
            hold: acquired after every release.
        """
        folder = self.folder(campaign)
        request_run(folder, True)
        write_state(folder, Stage.RUNNING)

        def between(_: int) -> None:
            if hold is not None:
                assert hold.acquire(timeout=300)
            if not run_requested(folder):
                raise CampaignStopped("the coordinator's operator stopped it")

        def tell(event: dict[str, Any]) -> None:
            record_event(folder, event)

        coordinator = self.house.coordinator()
        try:
            learner = CampaignRun(coordinator, campaign, fleet or InMemoryFleet(self.house), tell, between).execute()
            release_card(coordinator, campaign, learner)
            write_state(folder, Stage.RELEASED)
        except CampaignStopped as stopped:
            write_state(folder, Stage.STOPPED, str(stopped))
            tell({"event": "stopped", "reason": str(stopped)})

    @contextmanager
    def running(self, campaign: Campaign) -> Iterator[threading.Semaphore]:
        """The campaign runs, one release for each time that the semaphore is released; to its end afterwards."""
        hold = threading.Semaphore(0)
        thread = threading.Thread(target=self.conduct, args=(campaign, None, hold))
        thread.start()
        try:
            folder = self.folder(campaign)
            until(lambda: any(one["event"] == "release" for one in events(folder)), "the first release was made", 120)
            yield hold
        finally:
            hold.release(100)
            thread.join()


@contextmanager
def open_console(ground: Ground, root: Path) -> Iterator[ConsoleSite]:
    """A copy of the house with a console over its coordinator's home, at real sockets."""
    with ground.copy(root / "house").opened(http=True) as house:
        home = house.founded.coordinator_home
        lists = home / "features"
        lists.mkdir()
        told = features().model_dump(mode="json", exclude_none=True)
        (lists / "loans.toml").write_text(tomli_w.dumps(told), encoding="utf-8")
        assert house.assessment.sha256, "it is recorded by asking for it"
        listening = listening_of(home, port=free_port())
        app = create_console(home, listening)
        with serve(app, listening.port) as url:
            yield ConsoleSite(house, url, app, home)


def entered(context: BrowserContext, site: ConsoleSite) -> Page:
    """A page of the console that somebody has opened with the code."""
    page = context.new_page()
    page.goto(f"{site.url}/enter")
    page.get_by_role("textbox").fill(staff_code(site.home))
    page.locator("main button").click()
    page.wait_for_url(f"{site.url}/")
    return page
