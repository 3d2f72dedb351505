"""What people do in the portal, in a real browser: how many taps it takes, and what is recorded then."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from support.effort import EFFORT
from support.pages import Visitor, barriers, fits, press_to
from support.portal import Site, visiting
from support.visitors import answered, standing
from support.waiting import until

from protocol.terms import TRAINING_PURPOSE


def test_to_withdraw_takes_two_taps_and_a_lender_sees_it_at_once(site: Site, visit: Callable[..., Visitor]) -> None:
    person = answered(site, "gives", True)[0]
    visitor = visit(person)
    visitor.tap("Take back")
    visitor.tap("Take back")
    assert visitor.taps == 2 and visitor.states() == [] and "You took it back" in visitor.page.inner_text("main")
    assert standing(site, person)["ordinary"] == "withdrawn"
    lender = site.house.client("cedar")
    until(lambda: person.pseudonym not in lender_usable(lender), "the lender saw the withdrawal")


def lender_usable(lender: Any) -> set[str]:
    """Whom a lender may use now, by its own next copy of the consent state."""
    from protocol.snapshots import REASONS, Reason, reasons_of

    held = lender.consent_state(TRAINING_PURPOSE, "x" * 22)
    names = lender.whole_roll()
    rules = [REASONS[one] for one in reasons_of(held.codes["ordinary"], held.state.notices)]
    return {name for name, rule in zip(names, rules, strict=False) if rule == Reason.GIVEN}


def test_to_withdraw_everything_takes_two_taps(site: Site, visit: Callable[..., Visitor]) -> None:
    person = answered(site, "gives", True)[1]
    visitor = visit(person)
    visitor.tap("Take back everything")
    visitor.tap("Take back everything")
    assert visitor.taps == 2
    assert set(standing(site, person).values()) == {"withdrawn"}


def test_to_give_takes_four_taps_and_nothing_is_chosen_before(site: Site, visit: Callable[..., Visitor]) -> None:
    person = answered(site, "silent", True)[0] if answered(site, "silent", True) else answered(site, "silent", False)[0]
    visitor = visit(person)
    visitor.tap("Read and answer")
    assert visitor.page.locator("input:checked").count() == 0
    visitor.tap("Save my answers")
    assert "You have not chosen anything" in visitor.page.inner_text("main") and standing(site, person) == {}
    visitor.taps = 1
    visitor.choose("Cedar Finance · ordinary data", "Yes, I agree")
    visitor.choose("Cedar Finance · income", "No, I do not agree")
    visitor.tap("Save my answers")
    assert visitor.taps == 4
    assert standing(site, person) == {"ordinary": "given", "income": "refused"}
    assert visitor.states() == ["You said yes", "You said no"]


def test_to_refuse_everything_takes_two_taps(site: Site, visit: Callable[..., Visitor]) -> None:
    person = next(one for one in site.house.borrowers["birch"] if one.answer == "silent")
    visitor = visit(person)
    visitor.tap("Read and answer")
    visitor.tap("No to all of it")
    assert visitor.taps == 2
    assert set(standing(site, person).values()) == {"refused"}


def test_to_pause_and_go_on_takes_two_taps(site: Site, visit: Callable[..., Visitor]) -> None:
    person = answered(site, "gives", True)[2]
    visitor = visit(person)
    visitor.tap("See all of it")
    visitor.tap("Pause")
    assert visitor.taps == 2 and "Paused by you" in visitor.page.inner_text("main")
    assert standing(site, person)["ordinary"] == "suspended"
    visitor.tap("Go on with it")
    assert standing(site, person)["ordinary"] == "given"


def test_to_pause_is_not_to_overwrite_what_changed_meanwhile(site: Site, visit: Callable[..., Visitor]) -> None:
    person = answered(site, "gives", True)[10]
    first, second = visit(person), visit(person)
    for one in (first, second):
        one.tap("See all of it")
    first.tap("Pause")
    second.tap("Pause")
    assert "Something changed since you opened the page" in second.page.inner_text("main")


def test_a_receipt_is_checked_as_it_is_opened(site: Site, visit: Callable[..., Visitor]) -> None:
    visitor = visit(answered(site, "gives", True)[3])
    visitor.tap("Receipts", "nav.tabs")
    visitor.tap("Check it")
    assert visitor.taps == 2
    verdict = visitor.page.locator("#verdict")
    until(lambda: verdict.get_attribute("data-verdict") != "unchecked", "the browser had checked")
    assert verdict.inner_text() == "Verified here, by your browser"
    assert visitor.page.locator("#steps").inner_text().count("✓") == 6
    assert visitor.saves("Save the receipt").suggested_filename.endswith(".html")
    assert visitor.taps == 3


def test_a_browser_that_is_given_another_receipt_says_so(site: Site, visit: Callable[..., Visitor]) -> None:
    visitor = visit(answered(site, "gives", True)[3])

    def altered(route: Any) -> None:
        answer = route.fetch()
        body = re.sub(
            r'(id="receipt" value="[^"]{900})(.)', lambda m: m[1] + ("A" if m[2] != "A" else "B"), answer.text()
        )
        route.fulfill(response=answer, body=body)

    visitor.page.route("**/receipts/*", altered)
    visitor.tap("Receipts", "nav.tabs")
    visitor.tap("Check it")
    verdict = visitor.page.locator("#verdict")
    until(lambda: verdict.get_attribute("data-verdict") != "unchecked", "the browser had checked")
    assert verdict.inner_text() == "It does not verify"


def test_a_double_tap_acts_once(site: Site, visit: Callable[..., Visitor]) -> None:
    person = answered(site, "gives", True)[4]
    visitor = visit(person)
    visitor.tap("Take back")
    once = visitor.page.locator("input[name=once]").first.get_attribute("value")
    visitor.page.locator("main button").dblclick()
    visitor.arrives("**/consents/*")
    assert standing(site, person)["ordinary"] == "withdrawn" and once
    decided = site.house.borrower_client(person)._send("GET", "/v1/me/receipts").json()["items"]
    assert len(decided) == 2, decided


def test_what_changed_meanwhile_is_not_overwritten(site: Site, visit: Callable[..., Visitor]) -> None:
    person = answered(site, "gives", True)[5]
    first, second = visit(person), visit(person)
    for one in (first, second):
        one.tap("Take back")
    first.tap("Take back")
    second.tap("Take back")
    assert "Something changed since you opened the page" in second.page.inner_text("main")


def test_to_be_forgotten_takes_three_taps(site: Site, visit: Callable[..., Visitor]) -> None:
    visitor = visit(answered(site, "gives", True)[6])
    visitor.tap("Take it with me", "nav.tabs")
    visitor.tap("What that means")
    visitor.tap("Forget me")
    assert visitor.taps == 3 and "You are forgotten here" in visitor.page.inner_text("main")
    visitor.page.goto(f"{site.url}/uses")
    assert "Log in again" in visitor.page.inner_text("main")


def test_all_of_it_works_without_a_script(site: Site, visit: Callable[..., Visitor]) -> None:
    person = answered(site, "gives", True)[7]
    visitor = visit(person, java_script_enabled=False)
    visitor.tap("Take back")
    visitor.tap("Take back")
    assert standing(site, person)["ordinary"] == "withdrawn"
    visitor.page.goto(f"{site.url}/export")
    assert visitor.saves("A file for programs").suggested_filename.endswith(".json")


def test_all_of_it_works_from_the_keyboard(site: Site, visit: Callable[..., Visitor]) -> None:
    person = answered(site, "gives", True)[8]
    page = visit(person).page
    press_to(page, "Take back")
    page.wait_for_url("**/withdraw/*")
    press_to(page, "Take back")
    page.wait_for_url("**/consents/*")
    assert standing(site, person)["ordinary"] == "withdrawn"


# --- every page, as it is seen


def asked_by(page: Page, site: Site) -> str:
    """Where a request stands that this person has made."""
    page.goto(f"{site.url}/requests/new")
    page.locator("input[name=kind][value=explain]").check()
    page.locator("main button").click()
    page.wait_for_url(re.compile("/requests/[0-9a-f]{64}$"))
    return page.url.removeprefix(site.url)


@contextmanager
def looked_at(site: Site, chromium: Browser, language: str, width: int) -> Iterator[tuple[Page, list[str]]]:
    context = chromium.new_context(viewport={"width": width, "height": 640}, locale=language)
    page = visiting(context, site, answered(site, "gives", True)[9])
    record = page.locator("a[href^='/consents/']").first.get_attribute("href") or ""
    page.goto(f"{site.url}/receipts")
    receipt = page.locator("a[href^='/receipts/']").first.get_attribute("href") or ""
    notice = f"{site.house.notice.id}/{site.house.notice.version}"
    asked = asked_by(page, site)
    paths = [
        "/", f"/ask/{notice}", f"/texts/{notice}", f"/recorded/{notice}",
        record, record.replace("consents", "withdraw"), "/withdraw-all",
        "/uses", "/receipts", receipt, "/export", "/erase", "/requests", "/requests/new", asked, "/imports",
        "/lenders", "/link", "/incidents", "/keys", "/verify", "/erased",
    ]  # fmt: skip
    try:
        yield page, paths
    finally:
        context.close()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nobody_is_kept_out_by_how_a_page_is_made(site: Site, chromium: Browser, language: str) -> None:
    with looked_at(site, chromium, language, 360) as (page, paths):
        for path in paths if EFFORT >= 0.3 else paths[:6]:
            page.goto(site.url + path)
            assert not barriers(page), path


@pytest.mark.parametrize("width", [320, 360, 1280])
def test_nothing_is_cut_and_everything_can_be_hit(site: Site, chromium: Browser, width: int) -> None:
    for language in ("en", "zh"):
        with looked_at(site, chromium, language, width) as (page, paths):
            for path in paths:
                page.goto(site.url + path)
                assert fits(page, width), path
