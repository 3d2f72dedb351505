"""What borrowers do at a lender's counter, in a real browser: how many taps it takes, and what the desk holds then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext
from support.front import Front, at_counter
from support.pages import Visitor

from demo.borrowers import DemoBorrower


@pytest.fixture
def visit(front: Front, chromium: Browser) -> Iterator[Callable[..., Visitor]]:
    """Opens the counter for a person; nothing that a page did may have broken its own policy."""
    opened: list[tuple[BrowserContext, Visitor]] = []

    def begin(person: DemoBorrower, to: str = "Apply", **options: Any) -> Visitor:
        context = chromium.new_context(**{"viewport": {"width": 360, "height": 640}, "locale": "en-GB", **options})
        visitor = Visitor(at_counter(context, front, person, to))
        opened.append((context, visitor))
        return visitor

    yield begin
    for context, visitor in opened:
        context.close()
        assert not visitor.complaints


def held(front: Front, person: DemoBorrower) -> list[dict[str, Any]]:
    """A person's applications by the desk's own word, the newest first."""
    headers = front.at_desk(person)
    items = httpx.get(f"{front.desk_url}/v1/me/applications", headers=headers, timeout=30).json()["items"]
    paths = [f"{front.desk_url}/v1/me/applications/{one['id']}" for one in items]
    return [httpx.get(path, headers=headers, timeout=30).json() for path in paths]


def fill(visitor: Visitor, amount: str = "3000") -> None:
    """What is typed is no tap; what is chosen is."""
    visitor.page.get_by_label("Amount in yuan").fill(amount)
    visitor.page.get_by_label("What for").select_option("shopping")
    visitor.page.locator("input[name=terms][value='monthly-12/360']").check()
    visitor.taps += 1


def apply(visitor: Visitor, kinds: tuple[str, ...] = ("ordinary data", "income")) -> None:
    fill(visitor)
    visitor.tap("Continue")
    for kind in kinds:
        visitor.choose(kind, "Yes, I agree")
    visitor.tap("Save and continue")
    visitor.tap("Send")
    visitor.page.wait_for_url("**/applications/*")


def test_to_apply_takes_six_taps_and_nothing_is_chosen_before(front: Front, visit: Callable[..., Visitor]) -> None:
    person = front.silent()[0]
    front.lending.knows(person)
    visitor = visit(person)
    assert visitor.page.locator("input:checked").count() == 0
    apply(visitor)
    assert visitor.taps == 6
    assert visitor.page.inner_text("h1") == "Yes: this is offered to you"
    [mine] = held(front, person)
    assert mine["status"] == "offered"
