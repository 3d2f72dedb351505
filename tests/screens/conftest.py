"""One portal and one browser for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from support.front import Front, open_front
from support.house import Ground
from support.portal import Site, browser, open_portal


@pytest.fixture(scope="module")
def site(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_portal(ground, tmp_path_factory.mktemp("portal")) as opened:
        yield opened


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def front(after_release: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with open_front(after_release, tmp_path_factory.mktemp("counter")) as opened:
        yield opened
