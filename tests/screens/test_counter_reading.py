"""At the counter, too, a notice that must be shown for a while can be answered yes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from support.front import Front, at_counter, open_front
from support.house import Ground
from support.pages import Visitor
from support.portal import said_otherwise
from support.waiting import until

LEAST = 2


@pytest.fixture(scope="module")
def slow_front(after_release: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with open_front(after_release, tmp_path_factory.mktemp("counter")) as front:
        said_otherwise(front.lending.house, front.lending.notice, reading_seconds=LEAST)
        yield front


def test_at_the_counter_too(slow_front: Front, chromium: Browser) -> None:
    context = chromium.new_context(viewport={"width": 360, "height": 640}, locale="en-GB")
    visitor = Visitor(at_counter(context, slow_front, slow_front.silent()[0], "Apply"))
    page = visitor.page
    visitor.page.get_by_label("Amount in yuan").fill("3000")
    visitor.page.get_by_label("What for").select_option("shopping")
    visitor.page.locator("input[name=terms][value='monthly-12/360']").check()
    visitor.tap("Continue")
    told = visitor.page.locator("#told")
    visitor.choose("ordinary data", "Yes, I agree")
    visitor.page.locator("input[name=person]").check()
    page.locator("input[name=since]").evaluate("(one) => (one.value = '')")  # as if it had just been opened
    visitor.tap("Save and continue")
    assert "Nothing was recorded" in page.inner_text("main")
    told.scroll_into_view_if_needed()
    until(lambda: "A yes counts now" in told.inner_text(), "the page said that a yes counts")
    assert (
        visitor.page.locator("input[value=give]").first.is_checked()
        and visitor.page.locator("input[name=person]").is_checked()
    )
    visitor.tap("Save and continue")
    visitor.arrives("/apply/check")
    context.close()
    assert not visitor.complaints
