"""Somebody chooses a saved receipt on the portal's page, logged in or not: the browser checks it and sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page
from support.pages import barriers, fits
from support.portal import Site
from support.saved import forged, saved_by, with_other
from support.waiting import until

from crypto.keys import SigningKey


@pytest.fixture(scope="module")
def saved(site: Site) -> str:
    return saved_by(site, site.person(at=4))


@pytest.fixture
def page(site: Site, chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 360, "height": 640}, locale="en-GB")
    opened = context.new_page()
    opened.goto(f"{site.url}/")
    opened.get_by_role("link", name="Check a saved receipt").click()
    until(lambda: opened.locator("#file").is_enabled(), "its script ran")
    yield opened
    context.close()


@pytest.fixture
def choose(page: Page) -> Iterator[Callable[[str], str]]:
    """The verdict on a file with this text; what is asked of the network meanwhile is an error."""
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url))

    def chosen(text: str) -> str:
        page.locator("#checked").evaluate("(one) => (one.hidden = true)")
        page.set_input_files("#file", {"name": "receipt.html", "mimeType": "text/html", "buffer": text.encode()})
        said = page.locator("#verdict")
        until(
            lambda: page.locator("#none").is_visible() or said.get_attribute("data-verdict") != "unchecked",
            "the file was read",
        )
        return str(said.get_attribute("data-verdict"))

    yield chosen
    assert not asked


def test_a_saved_receipt_is_checked_by_who_is_not_logged_in(page: Page, choose: Callable[[str], str], saved: str):
    assert choose(saved) == "verified"
    assert page.locator("#steps").inner_text().count("✓") == 6 and page.locator("#other").is_hidden()
    assert "ordinary data: You said yes" in page.inner_text("#said")
    assert fits(page, 360) and not barriers(page)


def test_one_file_after_another_is_told_by_itself(page: Page, choose: Callable[[str], str], saved: str):
    assert choose(saved) == "verified"
    assert choose(saved.replace('id="receipt" value="ey', 'id="receipt" value="eX')) == "refused"
    assert page.locator("#facts").is_hidden() and page.inner_text("#said") == ""
    assert choose("<!doctype html><p>nothing</p>") and page.locator("#checked").is_hidden()
    assert "no saved receipt" in page.inner_text("#none")
    assert choose(saved) == "verified"
    assert page.locator("#steps").inner_text().count("✓") == 6 and page.locator("#none").is_hidden()


def test_another_registry_in_the_file_is_said(site: Site, page: Page, choose: Callable[[str], str], saved: str):
    assert choose(with_other(saved, **forged(site, saved, SigningKey.generate()))) == "verified"
    assert "names another registry" in page.inner_text("#other")


def test_nothing_in_the_file_runs(page: Page, choose: Callable[[str], str], saved: str):
    assert choose(saved.replace("<main>", "<main><img src=x onerror='document.title=\"ran\"'>")) == "verified"
    assert page.title() != "ran" and page.locator("img").count() == 0
