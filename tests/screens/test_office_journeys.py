"""What a lender's staff do in their office, in a real browser: how many taps it takes, and what is recorded then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext
from support.back_office import BackOffice, come_in, open_back_office
from support.effort import EFFORT
from support.house import Ground
from support.pages import Visitor, barriers, fits
from support.waiting import until


@pytest.fixture(scope="module")
def office(after_release: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackOffice]:
    with open_back_office(after_release, tmp_path_factory.mktemp("office")) as opened:
        yield opened


@pytest.fixture
def visit(office: BackOffice, chromium: Browser) -> Iterator[Callable[..., Visitor]]:
    """Opens the office; nothing that a page did may have broken its own policy."""
    opened: list[tuple[BrowserContext, Visitor]] = []

    def begin(**options: Any) -> Visitor:
        said = {"viewport": {"width": 360, "height": 640}, "locale": "en-GB", **options}
        context = chromium.new_context(**said)
        visitor = Visitor(come_in(context, office))
        opened.append((context, visitor))
        return visitor

    yield begin
    for context, visitor in opened:
        context.close()
        assert not visitor.complaints


def test_a_lender_signs_a_campaign_with_three_taps(office: BackOffice, visit: Callable[..., Visitor]) -> None:
    campaign = office.propose()
    visitor = visit()
    visitor.tap("Open the first")
    visitor.tap("Say yes")
    visitor.tap("Sign yes")
    visitor.page.wait_for_url(f"**/campaigns/{campaign.sha256}")
    assert "You said yes" in visitor.page.locator(".done").inner_text()
    assert visitor.taps == 3
    assert office.house.client().proposed(campaign.sha256).approved_by == ("aspen",)


def test_a_lender_rejects_with_three_taps_and_a_reason(office: BackOffice, visit: Callable[..., Visitor]) -> None:
    campaign = office.propose()
    visitor = visit(java_script_enabled=False)
    visitor.tap("Open the first")
    visitor.tap("Say no")
    visitor.page.get_by_label("Your reason; the coordinator and the auditor read it").fill("The noise is too low.")
    visitor.tap("Sign no")
    assert "You said no" in visitor.page.content() and visitor.taps == 3
    assert office.house.client().proposed(campaign.sha256).rejected_by == ("aspen",)


def test_what_was_typed_is_there_again_where_the_visit_ended_meanwhile(
    office: BackOffice, visit: Callable[..., Visitor]
) -> None:
    campaign = office.propose()
    visitor = visit()
    page = visitor.page
    page.goto(f"{office.url}/campaigns/{campaign.sha256}/no")
    page.locator("textarea").fill("The noise is <b>too</b> low.")
    page.context.clear_cookies()
    page.locator("main form button").click()
    page.locator("[data-away] a").first.click()
    page.get_by_label("Code").fill(office.code)
    page.locator("main form button").click()
    page.wait_for_url(f"**/campaigns/{campaign.sha256}/no")
    typed = page.locator("textarea")
    until(lambda: typed.input_value() == "The noise is <b>too</b> low.", "what was typed is there again")
    assert page.evaluate("sessionStorage.length") == 0, "it is kept no longer than that"
    visitor.tap("Sign no")
    assert "You said no" in page.content() and page.evaluate("sessionStorage.length") == 0
    visitor.complaints[:] = [one for one in visitor.complaints if "401" not in one]


def test_an_application_is_reviewed(office: BackOffice, visit: Callable[..., Visitor]) -> None:
    office.contested()
    visitor = visit()
    visitor.tap("A case waits for a person")
    visitor.tap("Take this case")
    assert "points below" not in visitor.page.content()
    visitor.choose("What do you decide?", "No")
    visitor.page.get_by_label("Your reasons, one a line; the applicant reads them").fill("Too many late payments.")
    visitor.tap("Record my decision")
    assert visitor.page.locator("#machine").inner_text().startswith("no loan is offered")
    assert visitor.taps == 4


def test_revocations_are_acknowledged_with_two_taps_from_the_keyboard(
    office: BackOffice, visit: Callable[..., Visitor]
) -> None:
    office.withdraws()
    page = visit().page

    def press_to(name: str) -> None:
        """Tab until it has the focus, which must be seen, then Enter."""
        for _ in range(40):
            page.keyboard.press("Tab")
            told = page.evaluate(
                "[document.activeElement.textContent.trim(), getComputedStyle(document.activeElement).outlineStyle]"
            )
            if told[0] == name:
                assert told[1] != "none"
                page.keyboard.press("Enter")
                return
        raise AssertionError(f"{name} cannot be reached")

    press_to("Open the first")
    page.wait_for_url("**/revocations")
    press_to("Act on all and acknowledge")
    page.get_by_text("Nothing is open").wait_for()
    assert office.house.client().revocations() == []


# --- every page, as it is seen


@pytest.fixture(scope="module")
def paths(office: BackOffice) -> list[str]:
    campaign, review = office.propose(), office.contested()
    office.withdraws(1)
    one, budget = f"/campaigns/{campaign.sha256}", office.house.node().store.ledger()[0].campaign
    return [
        "/", one, f"/reviews/{review}", "/revocations", "/consents", "/portfolio", "/budget", f"/budget/{budget}",
        "/campaigns", f"{one}/code", f"{one}/yes", f"{one}/no", "/customers", "/groups", "/reviews", "/requests",
        "/doctor",
    ]  # fmt: skip


@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_nobody_is_kept_out_by_how_a_page_is_made(
    office: BackOffice, paths: list[str], visit: Callable[..., Visitor], language: str
) -> None:
    page = visit(locale=language).page
    for path in paths if EFFORT >= 0.3 else paths[:8]:
        page.goto(office.url + path)
        for button in page.get_by_role("button", name="Take this case").all():
            button.click()
        assert not barriers(page), path


@pytest.mark.parametrize("width", [320, 360, 1280])
def test_nothing_is_cut_and_everything_can_be_hit(
    office: BackOffice, paths: list[str], visit: Callable[..., Visitor], width: int
) -> None:
    for language in ("en-GB", "zh-CN"):
        page = visit(locale=language, viewport={"width": width, "height": 640}).page
        for path in paths:
            page.goto(office.url + path)
            assert fits(page, width), path
