"""What is filled in stays when the page is read in another language."""

from __future__ import annotations

from collections.abc import Callable

from support.pages import Visitor
from support.portal import Site
from support.visitors import who

ZH = ".languages a[hreflang=zh]"


def test_answers_to_a_notice(site: Site, visit: Callable[..., Visitor]) -> None:
    visitor = visit(who(site, "silent")[0])
    visitor.tap("Read and answer")
    visitor.choose("Cedar Finance · ordinary data", "Yes, I agree")
    visitor.page.locator(ZH).click()
    visitor.page.wait_for_load_state()
    page = visitor.page
    chosen = "[...document.querySelectorAll('#answers input:checked')].map((one) => `${one.name}=${one.value}`)"
    page.wait_for_function(f"{chosen}.length === 1")
    assert page.evaluate(chosen) == ["cedar.ordinary=give"] and page.locator("html").get_attribute("lang") == "zh-Hans"
    assert page.locator("#answers input[name=language]").get_attribute("value") == "zh", "the page's own come anew"
    assert page.evaluate("sessionStorage.length") == 0, "and is kept no longer than that"
    page.reload()
    assert page.evaluate(chosen) == []


def test_a_request_in_ones_own_words(site: Site, visit: Callable[..., Visitor]) -> None:
    visitor = visit(who(site, "silent")[0])
    page = visitor.page
    page.goto(f"{site.url}/requests/new")
    page.locator("textarea").fill("我的收入 is <b>wrong</b>")
    page.locator("input[name=kind]").nth(2).check()
    page.locator(ZH).click()
    page.wait_for_function("document.querySelector('textarea').value !== ''")
    assert page.locator("textarea").input_value() == "我的收入 is <b>wrong</b>"
    assert page.locator("input[name=kind]").nth(2).is_checked()
