"""What a coordinator's people do in the console, in a real browser: how many taps, and what is recorded then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from support.console import ConsoleSite, entered, open_console
from support.effort import EFFORT
from support.house import Ground, InMemoryFleet
from support.pages import Visitor, barriers, fits, press_to
from support.waiting import until

from protocol.campaigns import Campaign
from server.connections import keep_connections
from server.desired_state import Stage, run_requested


@pytest.fixture(scope="module")
def site(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleSite]:
    with open_console(ground, tmp_path_factory.mktemp("console")) as opened:
        yield opened


@pytest.fixture
def visit(site: ConsoleSite, chromium: Browser) -> Iterator[Callable[..., Visitor]]:
    """Opens the console with its code; nothing that a page did may have broken its own policy."""
    opened: list[tuple[BrowserContext, Visitor]] = []

    def begin(**options: Any) -> Visitor:
        context = chromium.new_context(**{"viewport": {"width": 360, "height": 640}, "locale": "en-GB", **options})
        visitor = Visitor(entered(context, site))
        opened.append((context, visitor))
        return visitor

    yield begin
    for context, visitor in opened:
        context.close()
        assert not visitor.complaints


QUESTIONS = "performance.getEntriesByType('resource').filter((one) => one.name.endsWith('/now')).length"
WATCHED = f"""new MutationObserver((_, watching) => {{
  if (!document.getElementById("live").innerText.includes("Release 2 of 5")) return;
  document.documentElement.dataset.shown = {QUESTIONS};
  watching.disconnect();
}}).observe(document.getElementById("live"), {{ subtree: true, childList: true, characterData: true }})"""
"""Keeps how many times the page had asked when it showed the second release."""


def shows(page: Page, text: str) -> None:
    until(lambda: text in page.inner_text("main"), f"the page said {text!r}")


def test_a_release_is_shown_without_a_reload_and_a_campaign_is_stopped_by_two_taps(
    site: ConsoleSite, visit: Callable[..., Visitor]
) -> None:
    """A page asks every second, so what is shown by the second question after a release is shown in time."""
    campaign = site.proposed(id="runs", title="Runs")
    with site.running(campaign) as hold:
        visitor = visit()
        page = visitor.page
        page.goto(f"{site.url}/campaigns/{campaign.sha256}")
        shows(page, "Release 1 of 5")
        page.get_by_role("link", name="Stop", exact=True).focus()
        page.get_by_text("The same as a table").click()
        page.get_by_role("link", name="Stop", exact=True).focus()
        page.evaluate(WATCHED)
        hold.release()
        until(lambda: site.status(campaign).kept == 2, "the second release was kept")
        before = page.evaluate(QUESTIONS)
        shows(page, "Release 2 of 5")
        assert page.locator(".course .made").count() == 2 and page.locator(".course .now").inner_text().startswith("…3")
        assert int(page.evaluate("document.documentElement.dataset.shown")) - before <= 2, "and the page is the same"
        assert page.evaluate("document.activeElement.textContent.trim()") == "Stop"
        assert page.locator("details[open]").count() == 1, "what was opened stays open"

        page.goto(site.url)
        visitor.tap("Stop")
        visitor.tap("Stop it")
        assert visitor.taps == 2 and not run_requested(site.folder(campaign))
        shows(page, "Stopping")
        hold.release()
        shows(page, "the coordinator's operator stopped it")
    assert site.status(campaign).state.stage is Stage.STOPPED


def test_to_launch_and_to_go_on_takes_two_taps_each(site: ConsoleSite, visit: Callable[..., Visitor]) -> None:
    campaign = site.proposed(id="launches", title="Launches", plan={"spare_attempts": 1})
    visitor = visit()
    visitor.page.goto(f"{site.url}/campaigns/{campaign.sha256}")
    visitor.tap("Launch")
    visitor.tap("Launch it")
    assert visitor.taps == 2 and run_requested(site.folder(campaign))
    shows(visitor.page, "The coordinator's service does not run")
    site.conduct(campaign, InMemoryFleet(site.house, leaving={2: {"birch"}}))
    shows(visitor.page, "birch did not answer")
    visitor.taps = 0
    visitor.tap("Go on")
    assert "That takes one of 1 spare attempts." in visitor.page.inner_text("main")
    visitor.tap("Go on")
    status = site.status(campaign)
    assert visitor.taps == 2 and status.wanted and status.state.stage is Stage.PROPOSED


def fill(page: Page, name: str) -> None:
    page.get_by_label("What it is for").fill("A model for spring")
    page.get_by_label("Short name").fill(name)


def test_to_propose_takes_three_taps_and_the_price_follows_what_is_typed(
    site: ConsoleSite, visit: Callable[..., Visitor]
) -> None:
    visitor = visit()
    page = visitor.page
    visitor.tap("Propose", "nav.tabs")
    fill(page, "typed")
    price = page.locator("#price")
    page.get_by_label("Epsilon per borrower").fill("0.5")
    until(lambda: "Epsilon 0.5 per borrower at most" in price.inner_text(), "the price followed")
    page.get_by_label("Cedar Finance").uncheck()
    until(lambda: "among 2 lenders" in price.inner_text(), "the price followed")
    page.get_by_label("Epsilon per borrower").fill("much")
    until(lambda: "This is not a number." in price.inner_text(), "the price followed")
    page.get_by_label("Epsilon per borrower").fill("0.25")
    assert page.evaluate("document.activeElement.id") == "epsilon"
    visitor.tap("Look at it before signing")
    visitor.tap("Sign and propose")
    assert visitor.taps == 3
    (made,) = [one for one in site.listed() if one.status.campaign.id == "typed"]
    assert made.status.campaign.lenders == ("aspen", "birch") and made.status.campaign.mechanism.epsilon == 0.25
    shows(page, "Waits for the yes of aspen and birch.")


def test_all_of_it_works_without_a_script(site: ConsoleSite, visit: Callable[..., Visitor]) -> None:
    visitor = visit(java_script_enabled=False)
    page = visitor.page
    page.goto(f"{site.url}/propose")
    fill(page, "no-script")
    page.get_by_label("Epsilon per borrower").fill("0.125")
    visitor.tap("Compute the price")
    assert "Epsilon 0.125 per borrower at most" in page.inner_text("#price")
    visitor.tap("Look at it before signing")
    visitor.tap("Change something")
    assert page.get_by_label("Short name").input_value() == "no-script"
    visitor.tap("Look at it before signing")
    visitor.tap("Sign and propose")
    shows(page, "Waits for the yes of")
    visitor.tap("Load the page again")
    shows(page, "Waits for the yes of")


def test_to_launch_works_from_the_keyboard(site: ConsoleSite, visit: Callable[..., Visitor]) -> None:
    campaign = site.proposed(id="keys", title="Keys")
    page = visit().page
    page.goto(f"{site.url}/campaigns/{campaign.sha256}")
    press_to(page, "Launch")
    page.wait_for_url("**/launch")
    press_to(page, "Launch it")
    page.wait_for_url(f"**/campaigns/{campaign.sha256}")
    assert run_requested(site.folder(campaign))


def test_a_page_that_is_no_longer_kept_up_to_date_says_so(site: ConsoleSite, visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.page
    page.route("**/now", lambda route: route.abort())
    shows(page, "This page is no longer kept up to date.")
    page.unroute("**/now")
    until(lambda: "no longer kept" not in page.inner_text("main"), "the page went on")
    visitor.complaints.clear()  # the browser's own line about what was cut


# --- every page, as it is seen


@pytest.fixture(scope="module")
def shown(site: ConsoleSite) -> dict[str, Campaign]:
    done = site.proposed(id="done", title="Done", plan={"hold_out": 0.3})
    site.conduct(done)
    lost = site.proposed(id="lost", title="A title that is as long as a title can be, on a telephone")
    site.conduct(lost, InMemoryFleet(site.house, leaving={2: {"birch"}}))
    ready = site.proposed(id="ready", title="Ready")
    no = site.proposed(approve=False, id="no", title="No")
    site.reject(no, "cedar", "the-reason-is-one-word-that-goes-on-and-on-" * 8)
    keep_connections(site.home, {"aspen": True, "birch": False})
    return {"done": done, "lost": lost, "ready": ready, "no": no}


def paths(shown: dict[str, Campaign]) -> list[str]:
    of = {name: f"/campaigns/{one.sha256}" for name, one in shown.items()}
    return ["/", "/propose", "/budgets", "/health", *of.values(), f"{of['ready']}/launch", f"{of['done']}/card"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nobody_is_kept_out_by_how_a_page_is_made(
    site: ConsoleSite, chromium: Browser, shown: dict[str, Campaign], language: str
) -> None:
    context = chromium.new_context(viewport={"width": 360, "height": 640}, locale=language)
    page = entered(context, site)
    for path in paths(shown) if EFFORT >= 0.3 else paths(shown)[:5]:
        page.goto(site.url + path)
        assert not barriers(page), path
    context.close()


@pytest.mark.parametrize("width", [320, 360, 1280])
def test_nothing_is_cut_and_everything_can_be_hit(
    site: ConsoleSite, chromium: Browser, shown: dict[str, Campaign], width: int
) -> None:
    for language in ("en", "zh"):
        context = chromium.new_context(viewport={"width": width, "height": 640}, locale=language)
        page = entered(context, site)
        for path in paths(shown):
            page.goto(site.url + path)
            assert fits(page, width), path
        context.close()
