"""One portal and one browser for the tests of a file, and people who visit it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from support.front import Front, open_front
from support.house import Ground
from support.pages import Visitor
from support.portal import Site, browser, open_portal, visiting

from demo.borrowers import DemoBorrower


@pytest.fixture(scope="module")
def site(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_portal(ground, tmp_path_factory.mktemp("portal")) as opened:
        yield opened


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture
def visit(site: Site, chromium: Browser) -> Iterator[Callable[..., Any]]:
    """Opens the portal for a person; nothing that a page did may have broken its own policy."""
    opened: list[tuple[BrowserContext, Visitor]] = []

    def begin(person: DemoBorrower, **options: Any) -> Visitor:
        context = chromium.new_context(**{"viewport": {"width": 360, "height": 640}, "locale": "en-GB", **options})
        visitor = Visitor(visiting(context, site, person))
        opened.append((context, visitor))
        return visitor

    yield begin
    for context, visitor in opened:
        context.close()
        assert not visitor.complaints


@pytest.fixture(scope="module")
def front(after_release: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with open_front(after_release, tmp_path_factory.mktemp("counter")) as opened:
        yield opened


@pytest.fixture(scope="module")
def offline(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(viewport={"width": 360, "height": 640}, locale="en-GB")
    context.set_offline(True)
    yield context
    context.close()


@pytest.fixture
def opened(offline: BrowserContext, tmp_path: Path) -> Iterator[Callable[[str], Page]]:
    """Opens a text as a file from the disk; what it asked of a network is an error."""
    pages: list[Page] = []
    asked: list[str] = []

    def begin(text: str) -> Page:
        file = tmp_path / f"{len(pages)}.html"
        file.write_text(text, encoding="utf-8")
        page = offline.new_page()
        page.on("request", lambda one: asked.append(one.url))
        page.goto(file.as_uri())
        pages.append(page)
        return page

    yield begin
    for page in pages:
        page.close()
    assert not [url for url in asked if not url.startswith("file:")]
