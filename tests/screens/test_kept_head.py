"""A browser that has seen the log once is told no other history unseen."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

import httpx
from playwright.sync_api import Page
from support.pages import Visitor
from support.portal import Site
from support.visitors import answered
from support.waiting import until

from crypto.notes import Checkpoint

KEPT = """async () => {
  const opening = indexedDB.open("tahini-portal");
  await new Promise((done) => { opening.onsuccess = done; });
  const store = opening.result.transaction("kept").objectStore("kept");
  const keys = store.getAllKeys(), all = store.getAll();
  await new Promise((done) => { all.onsuccess = done; });
  opening.result.close();
  return [keys.result, all.result.map((one) => one.size)];
}"""


def verdict(page: Page) -> str:
    line = page.locator("#log")
    until(lambda: line.inner_text() != "Not checked", "the browser had checked the log")
    return str(line.get_attribute("data-verdict"))


def kept(page: Page) -> tuple[list[str], list[int]]:
    names, sizes = page.evaluate(KEPT)
    return names, sizes


def told(page: Page, site: Site, **other: Any) -> None:
    """From now on the browser is told something else of the log."""

    def answered_otherwise(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=json.dumps(answer.json() | other))

    page.route("**/log/head?*", answered_otherwise)
    page.goto(site.url)


def test_a_head_is_kept_and_the_next_one_extends_it(site: Site, visit: Callable[..., Visitor]) -> None:
    visitor = visit(answered(site, "gives", True)[0])
    page = visitor.page
    assert verdict(page) == "verified" and page.locator("#extends").is_hidden()
    names, (first,) = kept(page)
    assert names == ["head"]
    visitor.tap("See all of it")
    visitor.tap("Pause")

    def grown() -> bool:
        page.goto(site.url)
        assert verdict(page) == "verified" and page.locator("#rewritten").is_hidden()
        return kept(page)[1] > [first]

    until(grown, "the log had grown and was consistent")
    assert page.locator("#extends").is_visible()
    visitor.tap("Log out", "footer")
    assert kept(page)[0] == ["head"], "a log-out does not make the browser forget what it has seen"


def test_a_log_that_was_rewritten_is_said_loudly(site: Site, visit: Callable[..., Visitor]) -> None:
    """With every witness colluding: its head verifies, and it is another history."""
    page = visit(answered(site, "gives", True)[1]).page
    verdict(page)
    before = kept(page)
    size, origin = before[1][0], site.house.founded.consortium.log_origin
    for forged in (size, size + 3, size - 1):
        note = site.house.colluding(Checkpoint(origin, forged, secrets.token_bytes(32)))
        told(page, site, checkpoint=note)
        assert verdict(page) == "refused"
        alert = page.locator("#rewritten")
        assert alert.is_visible() and "The record is not what it was" in alert.inner_text()
        assert page.inner_text("#after").strip() == note.strip() and page.inner_text("#before").startswith(origin)
        assert kept(page) == before, "what was seen first stays"
        page.unroute_all()


def test_a_log_that_cannot_show_that_it_goes_on_is_refused(site: Site, visit: Callable[..., Visitor]) -> None:
    page = visit(answered(site, "gives", True)[2]).page
    verdict(page)
    told(page, site, proof=None)
    assert verdict(page) == "refused" and page.locator("#evidence").is_visible()


def test_a_head_without_its_witnesses_is_refused(site: Site, visit: Callable[..., Visitor]) -> None:
    page = visit(answered(site, "gives", True)[3]).page
    verdict(page)
    note = httpx.get(f"{site.house.url}/checkpoint").text
    head, _, lines = note.partition("\n\n")
    told(page, site, checkpoint=f"{head}\n\n{lines.splitlines()[0]}\n")
    assert verdict(page) == "refused" and page.locator("#rewritten").is_visible()
    assert page.locator("#evidence").is_hidden()


def test_where_nobody_answers_nothing_was_checked(site: Site, visit: Callable[..., Visitor]) -> None:
    page = visit(answered(site, "gives", True)[4]).page
    verdict(page)
    page.route("**/log/head?*", lambda route: route.fulfill(status=404, body="{}"))
    with page.expect_response("**/log/head?*"):
        page.goto(site.url)
    assert page.get_attribute("#log", "data-verdict") == "unchecked" and page.locator("#rewritten").is_hidden()
