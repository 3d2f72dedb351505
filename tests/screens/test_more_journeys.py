"""What goes otherwise than planned in the portal: two tabs, a reply that is lost, names that mean harm; and the taps of
what is done less often."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.pages import Seen, Visitor, barriers, fits
from support.portal import Site, get
from support.visitors import answered, standing, who

from demo.borrowers import DemoBorrower

HOSTILE = '<script>alert(1)</script>" onload="alert(1) \u202e' + "ohne-Leerzeichen" * 12 + "{{ 7 * 7 }}%(x)s"


def receipts(site: Site, person: DemoBorrower) -> list[dict[str, Any]]:
    return list(site.house.borrower_client(person)._send("GET", "/v1/me/receipts").json()["items"])


def test_to_give_both_takes_four_taps(site: Site, visit: Callable[..., Visitor]) -> None:
    person = who(site, "silent")[0]
    visitor = visit(person)
    visitor.tap("Read and answer")
    visitor.choose("Cedar Finance · ordinary data", "Yes, I agree")
    visitor.choose("Cedar Finance · income", "Yes, I agree")
    visitor.tap("Save my answers")
    assert visitor.taps == 4 and standing(site, person) == {"ordinary": "given", "income": "given"}


def test_to_take_everything_along_takes_two_taps(site: Site, visit: Callable[..., Visitor]) -> None:
    visitor = visit(answered(site, "gives", True)[0])
    visitor.tap("Take it with me", "nav.tabs")
    assert visitor.saves("A file for programs").suggested_filename == "my-consents.json" and visitor.taps == 2


def test_who_used_it_is_one_tap_away(site: Site, visit: Callable[..., Visitor]) -> None:
    visitor = visit(answered(site, "gives", True)[0])
    visitor.tap("Who used it", "nav.tabs")
    assert visitor.taps == 1 and visitor.page.inner_text("h1") == "Who used my data"


def test_of_two_tabs_the_later_one_overwrites_nothing(site: Site, visit: Callable[..., Visitor]) -> None:
    person = answered(site, "gives", True)[1]
    first = visit(person)
    second = Visitor(first.page.context.new_page())
    for tab in (first, second):
        tab.page.goto(site.url)
        tab.tap("Take back")
    first.tap("Take back")
    second.tap("Take back")
    assert "Something changed since you opened the page" in second.page.inner_text("main")
    assert standing(site, person)["ordinary"] == "withdrawn" and len(receipts(site, person)) == 2
    assert not second.complaints


def test_of_two_tabs_with_answers_both_are_told_what_is_recorded(site: Site, visit: Callable[..., Visitor]) -> None:
    person = who(site, "silent")[1]
    first = visit(person)
    second = Visitor(first.page.context.new_page())
    for tab in (first, second):
        tab.page.goto(f"{site.url}/ask/{site.house.notice.id}/{site.house.notice.version}")
    first.choose("Cedar Finance · ordinary data", "Yes, I agree")
    first.tap("Save my answers")
    second.choose("Cedar Finance · ordinary data", "No, I do not agree")
    second.tap("Save my answers")
    assert second.states()[0] == "You said no", "a no is always heard, and the page reads back what is recorded"
    assert standing(site, person) == {"ordinary": "refused"} and len(receipts(site, person)) == 2
    first.page.reload()
    assert first.states()[0] == "You said no"


@pytest.mark.parametrize("again", ["reload", "back"])
def test_a_reply_that_is_lost_is_no_second_answer(site: Site, visit: Callable[..., Visitor], again: str) -> None:
    """The portal has done it, and the browser never hears: what is done then is told, and stands once."""
    person = answered(site, "gives", True)[2 if again == "back" else 3]
    before = len(receipts(site, person))
    visitor = visit(person)
    page = visitor.page
    visitor.tap("Take back")

    def lose(route: Any) -> None:
        if route.request.method == "POST":
            route.fetch(max_redirects=0)
            route.abort()
        else:
            route.continue_()

    page.route("**/withdraw/*", lose)
    page.locator("main button").click()
    page.wait_for_url("chrome-error://chromewebdata/")
    assert standing(site, person)["ordinary"] == "withdrawn"
    page.unroute("**/withdraw/*")
    if again == "back":
        page.goto(site.url)
        assert "You took it back" in page.inner_text("main")
    else:
        page.reload()  # the browser sends the form once more, as people let it
        assert "You took it back" in page.inner_text("main") or "changed since" in page.inner_text("main")
    assert len(receipts(site, person)) == before + 1


@pytest.fixture
def misnamed(site: Site) -> Iterator[Site]:
    """A lender that is called something that means harm."""
    names = site.app.state.names  # type: ignore[attr-defined]
    known = names.parties["cedar"]
    names.parties["cedar"] = HOSTILE
    yield site
    names.parties["cedar"] = known


def test_a_name_that_means_harm_is_a_name(misnamed: Site, visit: Callable[..., Visitor]) -> None:
    site, person = misnamed, answered(misnamed, "gives", True)[4]
    visitor = visit(person)
    page = visitor.page
    record = page.locator("a[href^='/consents/']").first.get_attribute("href") or ""
    of_one = [record, record.replace("consents", "withdraw")]
    for path in ["/", *of_one, "/withdraw-all", "/receipts", "/lenders", "/requests/new"]:
        page.goto(site.url + path)
        assert HOSTILE.partition("\u202e")[0] in page.inner_text("main"), path
        assert page.locator("main script, main [onload]").count() == 0 and fits(page, 360), path
        assert not barriers(page), path
    session = site.cookie(person)
    text = get(site, "/", "en", session).text
    isolated = [one for one in Seen(text).all("span") if one.get("dir") == "auto"]
    assert isolated and not re.search(r"\u202e[^<]*<(?!/span)", text), "what turns the direction stays in its name"
