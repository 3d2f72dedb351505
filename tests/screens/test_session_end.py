"""A visit that ends while somebody fills in a form costs them one tap, and nobody else gains by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import httpx
import pytest
from playwright.sync_api import Page
from support.pages import Visitor
from support.portal import Site
from support.visitors import answered, standing, who

from screens.house.pace import PER_MINUTE, Pace
from screens.portal.visit import PENDING, SESSION


@pytest.fixture(autouse=True)
def on_time(site: Site) -> Iterator[None]:
    yield
    site.later = timedelta()


def end_visit(site: Site, page: Page) -> None:
    (number,) = [one["value"] for one in page.context.cookies() if one["name"] == SESSION]
    assert site.app.state.door.visits.end(number)  # type: ignore[attr-defined]


def test_answers_are_kept_and_sent_with_one_tap(site: Site, visit: Callable[..., Visitor]) -> None:
    """The issuer still knows who it is, so nothing is asked at all."""
    person = who(site, "silent")[0]
    visitor = visit(person)
    visitor.tap("Read and answer")
    once = visitor.page.locator("#answers input[name=once]").get_attribute("value")
    end_visit(site, visitor.page)
    visitor.choose("Cedar Finance · ordinary data", "Yes, I agree")
    visitor.choose("Cedar Finance · income", "No, I do not agree")
    visitor.tap("Save my answers")
    visitor.page.wait_for_url("**/again")
    told = visitor.page.inner_text("main")
    assert "Cedar Finance · ordinary data" in told and "Yes, I agree" in told and standing(site, person) == {}
    assert visitor.page.locator("main input[name=once]").get_attribute("value") == once
    visitor.taps = 0
    visitor.tap("Send it now")
    visitor.page.wait_for_url("**/recorded/**")
    assert visitor.taps == 1 and standing(site, person) == {"ordinary": "given", "income": "refused"}
    visitor.page.goto(f"{site.url}/again")
    assert "Nothing is kept" in visitor.page.inner_text("main"), "what was sent is kept no longer"
    assert len(site.house.borrower_client(person)._send("GET", "/v1/me/receipts").json()["items"]) == 1


def test_what_was_kept_is_forgotten_at_the_log_out(site: Site, visit: Callable[..., Visitor]) -> None:
    person = answered(site, "gives", True)[4]
    visitor = visit(person)
    visitor.tap("Take back")
    end_visit(site, visitor.page)
    visitor.tap("Take back")
    visitor.page.wait_for_url("**/again")
    assert len(site.app.state.door.kept._open) == 1  # type: ignore[attr-defined]
    visitor.tap("Log out", "footer")
    assert not site.app.state.door.kept._open  # type: ignore[attr-defined]
    assert not [one for one in visitor.page.context.cookies() if one["name"] == PENDING]
    assert standing(site, person)["ordinary"] == "given"


def test_an_issuer_that_must_ask_is_let_ask(site: Site, visit: Callable[..., Visitor]) -> None:
    person = answered(site, "gives", True)[0]
    visitor = visit(person)
    visitor.tap("Take back")
    end_visit(site, visitor.page)
    page = visitor.page
    page.context.clear_cookies(name="tahini-development-issuer")
    visitor.tap("Take back")
    page.get_by_label("Who are you?").fill(person.pseudonym)
    page.get_by_role("button").click()
    page.wait_for_url("**/again")
    visitor.tap("Send it now")
    page.wait_for_url("**/consents/*")
    assert standing(site, person)["ordinary"] == "withdrawn"


def test_nobody_else_is_shown_it_or_sends_it(site: Site, visit: Callable[..., Visitor]) -> None:
    first, second = answered(site, "gives", True)[1:3]
    visitor = visit(first)
    visitor.tap("Take back")
    end_visit(site, visitor.page)
    page = visitor.page
    page.context.clear_cookies(name="tahini-development-issuer")
    visitor.tap("Take back")
    site.token(second)
    page.get_by_label("Who are you?").fill(second.pseudonym)
    page.get_by_role("button").click()
    page.wait_for_url("**/again")
    assert "opened by somebody else" in page.inner_text("main")
    assert {standing(site, one)["ordinary"] for one in (first, second)} == {"given"}


def test_a_form_that_was_shown_to_somebody_else_does_nothing(site: Site) -> None:
    theirs = httpx.get(f"{site.url}/withdraw-all", headers={"Cookie": f"{SESSION}={site.cookie(site.person(at=5))}"})
    whose = theirs.text.partition('name="whose" value="')[2][:44]
    mine = {"Cookie": f"{SESSION}={site.cookie(site.person(at=6))}", "Origin": site.url}
    form = {"once": "o" * 32, "whose": whose}
    answer = httpx.post(f"{site.url}/withdraw-all", data=form, headers=mine)
    assert answer.status_code == 409 and "somebody else" in answer.text


def test_what_nobody_was_shown_is_not_kept(site: Site) -> None:
    forms = {"once": "o" * 32, "whose": "w" * 44}
    answer = httpx.post(f"{site.url}/withdraw-all", data=forms, headers={"Origin": site.url})
    assert answer.status_code == 401 and "set-cookie" not in answer.headers


def test_a_form_that_is_too_long_is_not_read(site: Site) -> None:
    headers = {"Origin": site.url, "Cookie": f"{SESSION}={site.cookie(site.person(at=6))}"}
    answer = httpx.post(f"{site.url}/withdraw-all", data={"once": "o" * 70_000}, headers=headers)
    assert answer.status_code == 413 and "too long" in answer.text


def test_to_be_forgotten_needs_a_login_of_just_now(site: Site, visit: Callable[..., Visitor]) -> None:
    person = answered(site, "gives", True)[3]
    visitor = visit(person)
    page = visitor.page
    page.goto(f"{site.url}/erase")
    whose = page.locator("input[name=whose]").first.get_attribute("value")
    session = next(one["value"] for one in page.context.cookies() if one["name"] == SESSION)
    site.later = timedelta(minutes=3)
    page.reload()
    assert page.get_by_role("button", name="Forget me").count() == 0
    form, headers = {"once": "o" * 32, "whose": whose}, {"Cookie": f"{SESSION}={session}", "Origin": site.url}
    refused = httpx.post(f"{site.url}/erase", data=form, headers=headers)
    assert refused.status_code == 403 and "not older than two minutes" in refused.text
    assert "/login?issuer=0&amp;how=fresh&amp;back=%2Ferase" in refused.text, "and it names the way"
    assert standing(site, person)["ordinary"] == "given"
    site.later = timedelta()
    page.goto(f"{site.url}/login?how=fresh&back=/erase")
    page.get_by_label("Who are you?").fill(person.pseudonym)
    page.get_by_role("button").click()
    page.wait_for_url("**/erase")
    visitor.tap("Forget me")
    assert "You are forgotten here" in page.inner_text("main")


def test_one_visit_does_not_ask_without_end(site: Site) -> None:
    number = site.cookie(site.person(at=7))
    pace = site.app.state.door.visits.find(number).pace  # type: ignore[attr-defined]
    pace.per_minute, pace._left = PER_MINUTE, float(PER_MINUTE)
    headers = {"Cookie": f"{SESSION}={number}"}
    with httpx.Client(base_url=site.url, headers=headers) as http:
        seen = [http.get("/erase") for _ in range(PER_MINUTE + 20)]
    refused = [one for one in seen if one.status_code == 429]
    assert refused and "That was too often" in refused[0].text and refused[0].headers["retry-after"] == "60"


def test_a_pace_fills_again() -> None:
    from datetime import UTC, datetime

    moment, pace = datetime(2026, 1, 1, tzinfo=UTC), Pace(per_minute=2)
    assert [pace.takes(moment) for _ in range(3)] == [True, True, False]
    assert pace.takes(moment + timedelta(seconds=30)) and not pace.takes(moment + timedelta(seconds=31))
    assert not pace.takes(moment - timedelta(hours=1)), "a clock that goes back gives nothing"
