"""A lender's counter over its real desk and a real registry, all at real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page
from support.house import Ground
from support.lending_house import LendingHouse, lending_in
from support.wire import serve
from support.world import trust, trusted_issuer

from consent.identity.devissuer import Authorize, create_issuer, issue_id_token
from consent.identity.exchange import JWT_BEARER
from crypto.keys import SigningKey
from demo.borrowers import DemoBorrower
from ops.processes import free_port
from protocol.schema import now
from protocol.tickets import link_ticket
from screens.counter.app import create_counter
from screens.counter.home import CounterSettings
from screens.homes import create_public_home
from screens.house.issuers import LoginIssuer
from screens.house.sessions import cookie

PORTAL, COUNTER, LENDER = "portal", "counter-aspen", "aspen"
SESSION = cookie("counter")


@dataclass
class Front:
    """A counter at work, and everything behind it."""

    lending: LendingHouse
    url: str
    app: Any
    desk_url: str
    issuer: str
    issuer_key: SigningKey
    linked: set[str] = field(default_factory=set)

    def silent(self) -> list[DemoBorrower]:
        """Customers who have not answered anything."""
        return [one for one in self.lending.house.borrowers[LENDER] if one.answer == "silent"]

    def registry_token(self, person: DemoBorrower, client: str = COUNTER) -> str:
        with httpx.Client(base_url=self.lending.house.url, timeout=300) as http:
            nonce = http.post("/v1/challenges").json()["nonce"]
            asked = Authorize(subject=person.pseudonym, nonce=nonce, client_id=client)
            form = {"grant_type": JWT_BEARER, "assertion": issue_id_token(self.issuer_key, self.issuer, asked)}
            return str(http.post("/v1/token", data=form).json()["access_token"])

    def link(self, person: DemoBorrower) -> None:
        """The lender vouches for the person's login, at the portal."""
        if person.pseudonym in self.linked:
            return
        ends, key = now() + timedelta(minutes=10), self.lending.house.node(person.lender).key
        ticket = link_ticket(person.lender, person.pseudonym, key, ends)
        headers = {"Authorization": f"Bearer {self.registry_token(person, PORTAL)}"}
        made = httpx.post(f"{self.lending.house.url}/v1/me/links", json={"ticket": ticket}, headers=headers)
        assert made.is_success, made.text
        self.linked.add(person.pseudonym)

    def at_desk(self, person: DemoBorrower) -> dict[str, str]:
        """Headers of the person at the desk."""
        self.link(person)
        headers = {"Authorization": f"Bearer {self.registry_token(person)}"}
        given = httpx.post(f"{self.desk_url}/v1/me/sessions", headers=headers, timeout=300)
        assert given.status_code == 201, given.text
        return {"Authorization": f"Bearer {given.json()['token']}"}

    def cookie(self, person: DemoBorrower) -> str:
        """A session, for tests that need no browser."""
        self.link(person)
        with httpx.Client(follow_redirects=False, timeout=300) as http:
            left = http.get(f"{self.url}/login")
            fields = dict(parse_qsl(urlsplit(left.headers["location"]).query))
            back = http.post(f"{self.issuer}/login", data={**fields, "subject": person.pseudonym})
            kept = left.headers["set-cookie"].partition(";")[0]
            arrived = http.get(back.headers["location"], headers={"Cookie": kept})
        assert arrived.status_code == 303, arrived.text
        return next(one for name, one in arrived.cookies.items() if name == SESSION)

    def applied(self, person: DemoBorrower, **facts: Any) -> dict[str, Any]:
        """An application of somebody of whom this is known."""
        self.lending.knows(person, **facts)
        body = {"product": "monthly-12", "amount": 300_000, "term_days": 360, "purpose": "shopping"}
        made = httpx.post(f"{self.desk_url}/v1/me/applications", json=body, headers=self.at_desk(person), timeout=300)
        assert made.status_code == 201, made.text
        return dict(made.json())

    def lent(self, person: DemoBorrower) -> str:
        """A loan of somebody's, paid out today; its id."""
        made, headers = self.applied(person), self.at_desk(person)
        path = f"{self.desk_url}/v1/me/applications/{made['id']}"
        sha256 = httpx.get(f"{path}/disclosure", headers=headers).json()["sha256"]
        body = {"decision": made["decision"]["id"], "disclosure_sha256": sha256}
        assert httpx.post(f"{path}/acceptance", json=body, headers=headers, timeout=300).status_code == 201
        today = self.lending.desk.now().date().isoformat()
        paid = {"payment": f"pay-{made['id'][:8]}", "amount": 300_000, "on": today}
        done = self.lending.call("servicing", "POST", f"/v1/applications/{made['id']}/disbursement", paid)
        assert done.status_code == 201, done.text
        return str(done.json()["id"])


@contextmanager
def open_front(ground: Ground, root: Path, **settings: Any) -> Iterator[Front]:
    """A copy of the house with a desk and a counter before it."""
    copy = ground.copy(root / "house")
    key, at = SigningKey.generate(), free_port()
    issuer = f"http://127.0.0.1:{at}"
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("TAHINI_ENVIRONMENT", "development")
        trusted = trusted_issuer(issuer, key, counters={COUNTER: LENDER})
        trust(copy.founded.registry_home, trusted)
        stack.enter_context(serve(create_issuer(issuer, key), at))
        house = stack.enter_context(copy.opened(http=True))
        lending = stack.enter_context(lending_in(house, root, **settings))
        desk_url = stack.enter_context(serve(lending.http.app, begun=True))
        home, port = root / "counter", free_port()
        said = {
            "lender": LENDER,
            "desk_url": desk_url,
            "registry_url": house.url,
            "registry_key": house.founded.registry_key.public.text,
            "origin": f"http://127.0.0.1:{port}",
            "per_minute": 1_000_000,
            "ways_in_per_minute": 1_000_000,
            "issuers": [LoginIssuer(issuer=issuer, client_id=COUNTER).model_dump()],
        }
        document = (house.founded.node_home(LENDER) / "consortium.jws").read_text(encoding="utf-8")
        create_public_home(home, CounterSettings, said, document, None)
        app = create_counter(home)
        url = stack.enter_context(serve(app, port))
        yield Front(lending, url, app, desk_url, issuer, key)


def at_counter(context: BrowserContext, front: Front, person: DemoBorrower, to: str = "Apply") -> Page:
    """A page of the counter at which a person has logged in, as people do."""
    front.link(person)
    page = context.new_page()
    page.goto(front.url)
    page.locator("main .actions").get_by_role("link", name=f"{to}: log in").click()
    asked, come_in = page.get_by_label("Who are you?"), page.locator("form[action='/logout']")
    asked.or_(come_in).first.wait_for()  # an issuer that knows them asks nothing
    if asked.count():
        asked.fill(person.pseudonym)
        page.get_by_role("button").click()
    come_in.first.wait_for()
    return page


def everything(front: Front, person: DemoBorrower) -> list[str]:
    """Every page there is for somebody who has agreed, with an offer, a no, a review and a loan; but for those of an
    application that is being written."""
    loan = front.lent(person)
    no = front.applied(person, **front.lending.worst)
    looked = front.applied(person, applications_7d=7)
    yes = front.applied(person)
    assert [one["status"] for one in (no, looked, yes)] == ["declined", "in-review", "offered"]
    mine = f"/applications/{yes['id']}"
    days = httpx.get(f"{front.desk_url}/v1/me/loans/{loan}", headers=front.at_desk(person)).json()["extensions"][-1]
    return [
        "/", mine, f"{mine}/accept", f"{mine}/take-back", f"{mine}/review", f"/applications/{no['id']}",
        f"/applications/{no['id']}/review?about=0", f"/applications/{looked['id']}",
        f"/decisions/{yes['decision']['id']}/receipt", f"/loans/{loan}", f"/loans/{loan}/repay",
        f"/loans/{loan}/extend", f"/loans/{loan}/extend?days={days}", "/apply", "/apply/no", "/groups",
        "/there-is-no-such-page",
    ]  # fmt: skip
