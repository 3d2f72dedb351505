"""What borrowers do at a lender's counter, in a real browser: how many taps it takes, and what the desk holds then."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext
from support.front import Front, at_counter, everything
from support.pages import Visitor, barriers, fits, press_into, press_to
from support.waiting import until

from demo.borrowers import DemoBorrower
from screens.house.sessions import cookie


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
    items = httpx.get(f"{front.desk_url}/v1/me/applications", headers=headers, timeout=300).json()["items"]
    paths = [f"{front.desk_url}/v1/me/applications/{one['id']}" for one in items]
    return [httpx.get(path, headers=headers, timeout=300).json() for path in paths]


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


def test_to_accept_takes_two_taps_and_a_double_tap_acts_once(front: Front, visit: Callable[..., Visitor]) -> None:
    person = front.lending.people[1]
    made = front.applied(person)
    visitor = visit(person, "See mine")
    visitor.page.goto(f"{front.url}/applications/{made['id']}")
    visitor.tap("Accept")
    assert "You pay back" in visitor.page.inner_text("main")
    visitor.page.locator("main button", has_text="Accept").dblclick()
    visitor.taps += 1
    visitor.arrives(f"**/applications/{made['id']}")
    assert visitor.taps == 2 and "You have accepted" in visitor.page.inner_text("h1")
    assert [one["status"] for one in held(front, person)] == ["accepted"]


def test_to_send_twice_applies_once(front: Front, visit: Callable[..., Visitor]) -> None:
    person = front.silent()[1]
    front.lending.knows(person)
    visitor = visit(person)
    fill(visitor)
    visitor.tap("Continue")
    visitor.choose("ordinary data", "Yes, I agree")
    visitor.choose("income", "No, I do not agree")
    visitor.tap("Save and continue")
    visitor.page.locator("main button", has_text="Send").dblclick()
    visitor.arrives("**/applications/*")
    [mine] = held(front, person)
    refused = [one for one in mine["decision"]["facts"] if one["source"] == "payroll"]
    assert {one["status"] for one in refused} == {"refused"}


def test_a_reply_that_was_lost_is_asked_for_again(front: Front, visit: Callable[..., Visitor], monkeypatch) -> None:
    """The desk has accepted, and the answer never came: the page says what the desk holds."""
    person = front.lending.people[2]
    made = front.applied(person)
    http = front.app.state.door.desk.http
    ask, lost = http.request, []

    async def flaky(method: str, path: str, **sent: Any) -> httpx.Response:
        answer = await ask(method, path, **sent)
        if path.endswith("/acceptance") and not lost:
            lost.append(answer.status_code)
            raise httpx.ReadError("the reply is lost")
        return answer

    monkeypatch.setattr(http, "request", flaky)
    visitor = visit(person, "See mine")
    visitor.page.goto(f"{front.url}/applications/{made['id']}/accept")
    visitor.tap("Accept")
    visitor.page.wait_for_url(f"**/applications/{made['id']}")
    assert lost == [201] and "You have accepted" in visitor.page.inner_text("h1")


def test_a_visit_that_ends_before_the_last_tap_has_done_nothing(front: Front, visit: Callable[..., Visitor]) -> None:
    person = front.lending.people[3]
    front.lending.knows(person)
    visitor = visit(person)
    fill(visitor)
    visitor.tap("Continue")
    visitor.tap("Save and continue")  # they said yes before, so nothing is asked
    visitor.page.context.clear_cookies()
    visitor.tap("Send")
    assert "Log in again" in visitor.page.inner_text("main")
    assert held(front, person) == []


def test_a_no_asks_nobody_and_applies_for_nothing(front: Front, visit: Callable[..., Visitor]) -> None:
    person = front.silent()[2]
    visitor = visit(person)
    fill(visitor)
    visitor.tap("Continue")
    visitor.choose("ordinary data", "No, I do not agree")
    visitor.tap("Save and continue")
    assert "You said no" in visitor.page.inner_text("h1") and held(front, person) == []


def test_to_ask_for_a_person_takes_two_taps(front: Front, visit: Callable[..., Visitor]) -> None:
    person = front.lending.people[4]
    made = front.applied(person, **front.lending.worst)
    reasons = made["decision"]["reasons"]
    assert 1 <= len(reasons) <= 4 and all(one["rests_on"][0]["source"] for one in reasons)
    visitor = visit(person, "See mine")
    visitor.page.goto(f"{front.url}/applications/{made['id']}")
    visitor.tap("Is this wrong?")
    assert reasons[0]["words"]["en"] in visitor.page.inner_text("main") and "before" in visitor.page.inner_text(
        ".state"
    )
    visitor.tap("Send")
    visitor.page.wait_for_url(f"**/applications/{made['id']}")
    assert visitor.taps == 2 and "A person looks at it" in visitor.page.inner_text("h1")
    waiting = front.lending.call("reviewer.lin", "GET", "/v1/reviews?status=waiting").json()["items"]
    [review] = [one for one in waiting if one["application"] == made["id"]]
    case = front.lending.call("reviewer.lin", "POST", f"/v1/reviews/{review['id']}/taking").json()
    assert [one["view"] for one in case["person_says"]] == [
        f"[{', '.join(one['name'] for one in reasons[0]['rests_on'])}]"
    ]


def test_to_take_back_takes_two_taps(front: Front, visit: Callable[..., Visitor]) -> None:
    person = front.lending.people[5]
    made = front.applied(person)
    visitor = visit(person, "See mine")
    visitor.page.goto(f"{front.url}/applications/{made['id']}")
    visitor.tap("Take it back")
    visitor.tap("Take it back")
    visitor.page.wait_for_url(f"**/applications/{made['id']}")
    assert visitor.taps == 2 and held(front, person)[0]["status"] == "withdrawn"


def test_more_time_shows_its_cost_before_it_is_taken(front: Front, visit: Callable[..., Visitor]) -> None:
    person = front.lending.people[6]
    loan = front.lent(person)
    visitor = visit(person, "See mine")
    visitor.tap("Its plan")
    visitor.tap("Ask for more time")
    visitor.tap("30 days")
    before = httpx.get(f"{front.desk_url}/v1/me/loans/{loan}", headers=front.at_desk(person)).json()
    assert "a year (compound)" in visitor.page.inner_text("main") and before["status"] == "active"
    visitor.page.locator("main button", has_text="Take more time").dblclick()
    visitor.arrives(f"**/loans/{loan}")
    after = httpx.get(f"{front.desk_url}/v1/me/loans/{loan}", headers=front.at_desk(person)).json()
    assert after["status"] == "extended" and after["extensions"] == []
    assert "Running, with more time" in visitor.page.inner_text("main")


def test_what_repays_a_loan_is_shown_for_any_day_to_come(front: Front, visit: Callable[..., Visitor]) -> None:
    person = front.lending.people[8]
    loan = front.lent(person)
    visitor = visit(person, "See mine")
    visitor.tap("Its plan")
    visitor.tap("What repays it all")
    main = visitor.page.locator("main")
    mine, headers = f"{front.desk_url}/v1/me/loans/{loan}", front.at_desk(person)
    today = httpx.get(f"{mine}/settlement", headers=headers).json()
    assert f"{today['to_pay'] / 100:,.2f}" in main.inner_text()
    link = main.locator(".actions a").nth(3)
    later = str(link.get_attribute("href")).rpartition("=")[2]
    then = httpx.get(f"{mine}/settlement?on={later}", headers=headers).json()
    assert today["to_pay"] < then["to_pay"] and today["saved"] > then["saved"]
    link.click()
    visitor.page.wait_for_url(f"**/repay?on={later}")
    assert f"{then['to_pay'] / 100:,.2f}" in main.inner_text()
    for day in ("2026-02-30", "2020-01-01", "2099-01-01", ""):
        assert visitor.page.goto(f"{front.url}/loans/{loan}/repay?on={day}").status == 404
    assert httpx.get(mine, headers=headers).json()["status"] == "active", "nothing was done"
    paid = {"event": "all-of-it", "amount": today["to_pay"], "on": today["on"]}
    assert front.lending.call("servicing", "POST", f"/v1/loans/{loan}/settlement", paid).is_success
    visitor.page.goto(f"{front.url}/loans/{loan}")
    assert not visitor.page.get_by_role("link", name="What repays it all").count(), "there is nothing to repay"
    assert visitor.page.goto(f"{front.url}/loans/{loan}/repay").status == 404


def test_more_time_is_granted_at_the_price_that_was_shown_and_at_no_other(
    front: Front, visit: Callable[..., Visitor]
) -> None:
    """Somebody pays while the page is open: what more time costs is another sum then, and is shown again."""
    person = front.lending.people[7]
    loan = front.lent(person)
    mine, headers = f"{front.desk_url}/v1/me/loans/{loan}", front.at_desk(person)
    visitor = visit(person, "See mine")
    page = visitor.page
    page.goto(f"{front.url}/loans/{loan}/extend?days=30")
    before = httpx.get(f"{mine}/extension?days=30", headers=headers).json()
    today = front.lending.desk.now().date().isoformat()
    paid = {"event": "paid-meanwhile", "amount": 50_000, "on": today, "prepays": True}
    assert front.lending.call("servicing", "POST", f"/v1/loans/{loan}/repayments", paid).is_success
    after = httpx.get(f"{mine}/extension?days=30", headers=headers).json()
    assert before != after
    visitor.tap("Take more time")
    assert (
        "costs something else than you were shown" in page.inner_text("main")
        and page.get_by_role("button", name="Take more time").count()
    )
    assert httpx.get(mine, headers=headers).json()["status"] == "active", "nothing was granted"
    visitor.tap("Take more time")
    page.wait_for_url(f"**/loans/{loan}")
    assert httpx.get(mine, headers=headers).json()["status"] == "extended"


def test_all_of_it_works_from_the_keyboard(front: Front, visit: Callable[..., Visitor]) -> None:
    """Apply, be told why, accept: with Tab, arrows, Space and Enter, and the focus always in sight."""
    person = front.silent()[4]
    front.lending.knows(person)
    page = visit(person).page
    press_into(page, "amount")
    page.keyboard.type("3000")
    press_into(page, "purpose")
    page.keyboard.type("Shop")
    press_into(page, "terms")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    while page.locator("input[name=terms]:checked").get_attribute("value") != "monthly-12/360":
        page.keyboard.press("ArrowDown")
    press_to(page, "Continue")
    page.wait_for_url("**/apply/data")
    for kind in ("ordinary", "income"):
        press_into(page, kind)
        page.keyboard.press("Space")
        assert page.locator(f"input[name={kind}]:checked").get_attribute("value") == "give"
    press_to(page, "Save and continue")
    page.wait_for_url("**/apply/check")
    press_to(page, "Send")
    page.wait_for_url("**/applications/*")
    press_to(page, "Accept")
    page.wait_for_url("**/accept")
    press_to(page, "Accept")
    page.wait_for_url(re.compile("/applications/[^/]+$"))
    assert [one["status"] for one in held(front, person)] == ["accepted"]


def test_the_receipt_is_checked_by_the_browser(front: Front, visit: Callable[..., Visitor]) -> None:
    person = front.lending.people[7]
    made = front.applied(person)
    visitor = visit(person, "See mine")
    target = f"{front.url}/decisions/{made['decision']['id']}/receipt"

    def verdict() -> str:
        visitor.page.goto(target)
        found = visitor.page.locator("#verdict")
        until(lambda: found.get_attribute("data-verdict") != "unchecked", "the browser had checked")
        return found.inner_text()

    assert verdict() == "Verified here, by your browser"
    assert visitor.page.locator("#steps").inner_text().count("✓") == 5

    def altered(route: Any) -> None:
        answer = route.fetch()
        swap = re.sub(
            r'(id="receipt" value="[^"]{900})(.)', lambda m: m[1] + ("A" if m[2] != "A" else "B"), answer.text()
        )
        route.fulfill(response=answer, body=swap)

    visitor.page.route("**/receipt", altered)
    assert verdict() == "It does not verify"


def test_all_of_it_works_without_a_script(front: Front, visit: Callable[..., Visitor]) -> None:
    person = front.silent()[3]
    front.lending.knows(person)
    visitor = visit(person, java_script_enabled=False)
    apply(visitor)
    visitor.tap("Accept")
    visitor.tap("Accept")
    assert held(front, person)[0]["status"] == "accepted"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nobody_is_kept_out_and_nothing_is_cut(front: Front, visit: Callable[..., Visitor], language: str) -> None:
    person = front.lending.people[8]
    paths = [one for one in everything(front, person) if "no-such" not in one]
    page = visit(person, "See mine").page
    page.goto(f"{front.url}/?language={language}")
    for path in paths:
        page.goto(front.url + path)
        assert not barriers(page), path
        for width in (320, 360, 1280):
            page.set_viewport_size({"width": width, "height": 640})
            assert fits(page, width), path
        page.set_viewport_size({"width": 360, "height": 640})


def test_what_one_wants_to_borrow_and_never_for_somebody_else(front: Front, chromium: Browser) -> None:
    first = front.silent()[2]
    context = chromium.new_context(locale="en-GB")
    visitor = Visitor(at_counter(context, front, first, "Apply"))
    page = visitor.page
    page.get_by_label("Amount in yuan").fill("4321")
    page.get_by_label("What for").select_option("shopping")
    page.locator(".languages a[hreflang=zh]").click()
    until(lambda: page.locator("input[name=amount]").input_value() == "4321", "what was filled in is there again")
    assert page.locator("select[name=purpose]").input_value() == "shopping"
    kept = {"here": ["zh", "/apply", "x" * 44, ""], "said": {"amount": "9999"}}
    page.evaluate(
        "(kept) => sessionStorage.setItem('filled-in', JSON.stringify({ ...kept, until: Date.now() + 9e5 }))", kept
    )
    page.reload()
    assert page.evaluate("sessionStorage.length") == 0 and page.locator("input[name=amount]").input_value() != "9999"
    page.locator("input[name=amount]").fill("4321")
    context.clear_cookies(name=cookie("counter"))  # the visit has ended, and the issuer knows them still
    page.locator("main form button[value=go]").click()
    page.locator("[data-away] a").first.click()
    until(lambda: page.locator("input[name=amount]").input_value() == "4321", "what was filled in is there again")
    assert page.evaluate("sessionStorage.length") == 0
    context.close()
    assert not [one for one in visitor.complaints if "401" not in one]
