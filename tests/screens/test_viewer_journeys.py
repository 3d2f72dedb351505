"""What an auditor does in a real browser: one tap for head and history, and what the browser finds by itself."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext
from support.effort import EFFORT
from support.house import Ground
from support.pages import Visitor, barriers, fits, press_to
from support.viewer import Watch, browser_says, come_in, open_viewer
from support.waiting import until


@pytest.fixture(scope="module")
def watch(after_release: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    with open_viewer(after_release, tmp_path_factory.mktemp("viewer") / "house") as opened:
        yield opened


@pytest.fixture
def visit(watch: Watch, chromium: Browser) -> Iterator[Callable[..., Visitor]]:
    """Somebody comes in with the code; nothing that a page did may have broken its own policy."""
    opened: list[tuple[BrowserContext, Visitor]] = []

    def begin(**options: Any) -> Visitor:
        context = chromium.new_context(**{"viewport": {"width": 360, "height": 640}, "locale": "en-GB", **options})
        visitor = Visitor(context.new_page())
        come_in(visitor.page, watch)
        opened.append((context, visitor))
        return visitor

    yield begin
    for context, visitor in opened:
        context.close()
        assert not visitor.complaints


def test_head_and_history_are_verified_in_one_tap(watch: Watch, visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.tap("Verify")
    until(lambda: visitor.page.locator("#verdict").count(), "the verification ended")
    assert visitor.taps == 1
    assert visitor.page.locator("#verdict").inner_text() == "Verified here, on this machine"
    assert visitor.page.locator("section.machine").first.locator("li[data-state=held]").count() == 5
    assert browser_says(visitor.page) == "Verified here, by your browser"
    watch.house.late("aspen")
    watch.house.registry.ledger.catch_up()
    visitor.tap("Verify")
    until(lambda: visitor.page.locator("#verdict").count(), "the verification ended")
    assert browser_says(visitor.page) == "Verified here, by your browser"
    assert visitor.page.locator("#browser-steps li[data-state=held]").count() == 4  # consistency, too


def test_an_entry_is_proved_by_the_browser(watch: Watch, visit: Callable[..., Visitor]) -> None:
    watch.verify()
    visitor = visit()
    visitor.page.goto(f"{watch.url}/entries/5")
    assert browser_says(visitor.page) == "Verified here, by your browser"
    assert visitor.saves("Keep the proof").suggested_filename == "entry-5.tlog-proof"
    visitor.page.goto(f"{watch.url}/entries")
    visitor.page.get_by_label("Type").select_option("campaign.proposed")
    visitor.tap("Show")
    visitor.page.locator("td, th").get_by_role("link").first.click()
    visitor.tap("Open it")
    assert '"coordinator": "coordinator"' in visitor.page.inner_text("main")


def altered(what: str, change: Callable[[str], str]) -> Callable[[Any], None]:
    def lie(route: Any) -> None:
        answer = route.fetch()
        body = re.sub(
            rf'(<data id="{what}" value=")([^"]*)',
            lambda m: m[1] + html.escape(change(html.unescape(m[2]))),
            answer.text(),
        )
        assert body != answer.text(), "something was changed"
        route.fulfill(response=answer, body=body)

    return lie


@pytest.mark.parametrize(
    ("page", "what", "change"),
    [
        ("/entries/5", "leaf", lambda leaf: re.sub(r"20\d\d-", "1999-", leaf)),
        ("/entries/5", "index", lambda index: str(int(index) + 1)),
        ("/entries/5", "path", lambda path: path.replace(path[3], "0" if path[3] != "0" else "1")),
        ("/entries/5", "note", lambda note: note.rstrip("\n").rpartition("\n")[0].rpartition("\n")[0] + "\n"),
        ("/entries/5", "pinned", lambda key: key[:-2] + ("AA" if key[-2:] != "AA" else "BB")),
        ("/", "note", lambda note: re.sub(r"\n(\d+)\n", lambda m: f"\n{int(m[1]) + 1}\n", note, count=1)),
        ("/", "since", lambda since: ("0" if since[0] != "0" else "1") + since[1:]),
    ],
)
def test_a_browser_that_is_given_something_else_says_so(
    watch: Watch, visit: Callable[..., Visitor], page: str, what: str, change: Callable[[str], str]
) -> None:
    watch.verify()
    visitor = visit()
    visitor.page.route(f"{watch.url}{page}", altered(what, change))
    visitor.page.goto(f"{watch.url}{page}")
    assert browser_says(visitor.page) == "It does not verify"


def test_a_browser_that_cannot_check_says_so(watch: Watch, visit: Callable[..., Visitor]) -> None:
    watch.verify()
    visitor = visit()
    visitor.page.add_init_script(
        "SubtleCrypto.prototype.importKey = () => Promise.reject(new DOMException('no', 'NotSupportedError'))"
    )
    visitor.page.goto(f"{watch.url}/entries/5")
    assert browser_says(visitor.page) == "Cannot be checked in this browser"


def test_without_a_script_this_machine_verifies_and_the_browser_says_nothing(
    watch: Watch, visit: Callable[..., Visitor]
) -> None:
    visitor = visit(java_script_enabled=False)
    visitor.tap("Verify")
    until(lambda: _shown(visitor), "the verification ended")
    assert visitor.page.locator("#verdict").inner_text() == "Verified here, on this machine"
    assert visitor.page.locator("#browser-verdict").inner_text() == "Not checked"
    visitor.page.goto(f"{watch.url}/entries/5")
    assert visitor.page.locator("#browser-verdict").inner_text() == "Not checked"


def _shown(visitor: Visitor) -> bool:
    if visitor.page.locator("#verdict").count():
        return True
    visitor.page.goto(visitor.page.url)
    return False


def test_all_of_it_works_from_the_keyboard(watch: Watch, visit: Callable[..., Visitor]) -> None:
    page = visit().page
    press_to(page, "Verify")
    until(lambda: page.locator("#verdict[data-verdict=verified]").count(), "the verification ended")
    press_to(page, "Campaigns")
    page.wait_for_url("**/campaigns")
    press_to(page, "Follow its chain")
    page.wait_for_url("**/campaigns/*")


def paths(watch: Watch) -> list[str]:
    (campaign,) = re.findall(r'"(/campaigns/[0-9a-f]{64})"', watch.get("/campaigns").text)
    return ["/enter", "/", "/entries", "/entries/4", "/campaigns", campaign, "/exports"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nobody_is_kept_out_by_how_a_page_is_made(watch: Watch, visit: Callable[..., Visitor], language: str) -> None:
    watch.verify()
    page = visit(locale=language).page
    for path in paths(watch) if EFFORT >= 0.3 else paths(watch)[:4]:
        page.goto(watch.url + path)
        assert not barriers(page), path


@pytest.mark.parametrize("width", [320, 360, 1280])
def test_nothing_is_cut_and_everything_can_be_hit(watch: Watch, visit: Callable[..., Visitor], width: int) -> None:
    watch.verify()
    for language in ("en", "zh"):
        page = visit(locale=language, viewport={"width": width, "height": 640}).page
        for path in paths(watch):
            page.goto(watch.url + path)
            assert fits(page, width), (path, language)
