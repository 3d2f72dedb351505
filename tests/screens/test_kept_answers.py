"""What is filled in stays when the page is read in another language."""

from __future__ import annotations

from collections.abc import Callable

from support.pages import Visitor
from support.portal import Site
from support.visitors import who
from support.waiting import until

ZH = ".languages a[hreflang=zh]"


def test_answers_to_a_notice(site: Site, visit: Callable[..., Visitor]) -> None:
    visitor = visit(who(site, "silent")[0])
    visitor.tap("Read and answer")
    visitor.choose("Cedar Finance · ordinary data", "Yes, I agree")
    visitor.page.locator(ZH).click()
    visitor.page.wait_for_load_state()
    page = visitor.page
    chosen = "[...document.querySelectorAll('#answers input:checked')].map((one) => `${one.name}=${one.value}`)"
    until(lambda: len(page.evaluate(chosen)) == 1, "what was chosen is chosen again")
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
    until(lambda: page.locator("textarea").input_value() != "", "what was typed is there again")
    assert page.locator("textarea").input_value() == "我的收入 is <b>wrong</b>"
    assert page.locator("input[name=kind]").nth(2).is_checked()


def test_what_was_not_asked_for_in_another_language_comes_back_nowhere(
    site: Site, visit: Callable[..., Visitor]
) -> None:
    """Traced: a yes that was kept for another tab stood chosen at a later visit."""
    visitor = visit(who(site, "silent")[1])
    visitor.tap("Read and answer")
    page, chosen = visitor.page, "document.querySelectorAll('#answers input:checked').length"
    visitor.choose("Cedar Finance · ordinary data", "Yes, I agree")
    page.locator(ZH).click(modifiers=["Control"])
    assert page.evaluate("sessionStorage.length") == 0
    for changed in (["en", None, None, None], [None, "/ask/other/1", None, None], [None, None, None, "other.1"]):
        page.evaluate(
            """(changed) => {
              const form = document.getElementById("answers");
              const own = ["zh", location.pathname, form.elements.whose.value, form.dataset.keep];
              const said = { "cedar.ordinary=give": true };
              const here = own.map((one, at) => changed[at] ?? one);
              sessionStorage.setItem("filled-in", JSON.stringify({ here, until: Date.now() + 9e5, said }));
            }""",
            changed,
        )
        page.goto(f"{page.url.partition('?')[0]}?language=zh")
        assert page.evaluate(chosen) == 0 and page.evaluate("sessionStorage.length") == 0, changed


def test_a_request_that_was_refused_keeps_its_words_too(site: Site, visit: Callable[..., Visitor]) -> None:
    page = visit(who(site, "silent")[0]).page
    page.goto(f"{site.url}/requests/new")
    page.locator("input[name=kind][value=correct]").check()
    page.locator("main form button").click()
    page.locator("textarea").fill("My income is wrong")
    page.locator(ZH).click()
    until(lambda: page.locator("textarea").input_value() == "My income is wrong", "what was typed is there again")
    assert page.url.partition("?")[0] == f"{site.url}/requests/new"
