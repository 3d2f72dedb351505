"""What the lender thinks of me: a real desk and registry behind a real counter, from the consent to the objection."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext
from support.front import SESSION, Front, at_counter
from support.pages import Seen, Visitor, barriers, fits
from support.portraits import both, document, fact, portrait_notice

from demo.borrowers import DemoBorrower
from desk.commands.placed import people_in
from desk.commands.portray import portray
from law.categories import DataCategory
from lending.portraits import Portrait
from protocol.notices import Notice
from screens.counter.shown import rule_of
from screens.house.forms import new_once
from screens.house.sessions import cookie
from screens.house.words import FOLDER, PageWords

WORDS = FOLDER.parents[1] / "counter" / "words"


def portraits(front: Front) -> tuple[Portrait, ...]:
    today = front.lending.desk.now().date()
    dates = {"valid_from": str(today), "review_on": str(today + timedelta(days=60))}
    owed = {
        "days_to_due": fact(("days until your next payment", "距下一还款日天数"), "repayment", kind="integer", low=0),
        "outstanding": fact(("what you owe here", "您在本机构的未还本金"), "repayment", kind="fen", low=0),
    }
    soon = document(
        **dates, id="due-soon", name=both("A payment comes soon", "即将还款"), facts=owed,
        rows=[{"id": "soon", "when": {"days_to_due": "<= 40", "outstanding": ">= 100000"}}],
    )  # fmt: skip
    return Portrait(document(**dates)), Portrait(soon)


@pytest.fixture(scope="module")
def notice(front: Front) -> Notice:
    """Everybody who gives has agreed to portraits; and the lender has signed two."""
    house = front.lending.house
    made = portrait_notice(house.founded.consortium, ["aspen"], [DataCategory.REPAYMENT])
    operator = house.founded.operator(house.url)
    operator.publish_notice(made, house.founded.registry_key)
    operator.close()
    house.anyone().decide([one.first_answer(made) for one in front.lending.people])
    front.lending.desk.portraits = portraits(front)
    return made


def borrower(front: Front, number: int, late: int = 3) -> DemoBorrower:
    person = front.lending.people[number]
    front.lent(person)
    front.lending.knows(person, late=late)
    return person


@pytest.fixture
def visit(front: Front, notice: Notice, chromium: Browser) -> Iterator[Callable[..., Visitor]]:
    opened: list[tuple[BrowserContext, Visitor]] = []

    def begin(person: DemoBorrower, **options: Any) -> Visitor:
        context = chromium.new_context(**{"viewport": {"width": 360, "height": 640}, "locale": "en-GB", **options})
        visitor = Visitor(at_counter(context, front, person, "See mine"))
        opened.append((context, visitor))
        return visitor

    yield begin
    for context, visitor in opened:
        context.close()
        assert not visitor.complaints


def shown(front: Front, session: str, language: str) -> str:
    sent = f"{cookie('counter', 'language')}={language}; {SESSION}={session}"
    answer = httpx.get(f"{front.url}/groups", headers={"Cookie": sent}, timeout=300)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_a_person_reads_why_what_for_and_until_when_in_their_language(front: Front, notice: Notice) -> None:
    person = borrower(front, 0)
    assert portray(front.lending.desk).placed >= 2
    session = front.cookie(person)
    for language, said in (
        ("en", ("What we think of you", "Paid late before", "late payments", "2 or more", "We remind you before",
                "what you owe here", "3,000.00", "1,000.00", "40 or less", "I object")),
        ("zh", ("对您的分层", "曾经逾期还款", "逾期次数", "不低于2", "在还款日之前提醒您", "不超过40", "我反对")),
    ):  # fmt: skip
        page = shown(front, session, language)
        text = " ".join(" ".join(Seen(page).text).split())
        for one in said:
            assert one in text, (language, one)
        assert person.pseudonym not in page
        assert [one["method"] for one in Seen(page).all("form") if one["action"] == "/groups"] == ["post", "post"]


def test_one_tap_takes_them_out_for_good_and_works_without_script(front: Front, visit: Callable[..., Visitor]) -> None:
    person = borrower(front, 1)
    portray(front.lending.desk)
    visitor = visit(person, java_script_enabled=False)
    visitor.page.goto(f"{front.url}/groups")
    cards = visitor.page.locator("section.card")
    assert cards.count() == 2
    visitor.page.get_by_role("button", name="I object: Paid late before").click()
    assert cards.count() == 1 and "A payment comes soon" in cards.first.inner_text()
    assert "You objected" in visitor.page.inner_text("main")
    portray(front.lending.desk)
    visitor.page.reload()
    assert cards.count() == 1
    assert person.pseudonym not in {one.row.pseudonym for one in people_in(front.lending.desk, "late-before")}


def test_who_takes_back_their_agreement_is_in_no_group_at_once(front: Front, notice: Notice) -> None:
    person = borrower(front, 2)
    portray(front.lending.desk)
    session = front.cookie(person)
    assert "Paid late before" in shown(front, session, "en")
    front.lending.house.anyone().decide([person.withdrawal(notice)])
    assert person.pseudonym not in {one.row.pseudonym for one in people_in(front.lending.desk, "due-soon")}
    assert "You are in no group." in shown(front, session, "en")


def test_who_agreed_to_be_scored_alone_is_not_read(front: Front, notice: Notice) -> None:
    person = front.silent()[0]
    front.lending.house.anyone().decide([person.decide(front.lending.notice, {"ordinary": "give"})])  # type: ignore[dict-item]
    before = portray(front.lending.desk).people
    assert before == portray(front.lending.desk).people
    assert person.pseudonym not in {one.row.pseudonym for one in people_in(front.lending.desk, "late-before")}
    assert "You are in no group." in shown(front, front.cookie(person), "en")


def test_what_is_no_group_is_refused_and_says_nothing(front: Front, notice: Notice) -> None:
    session = front.cookie(front.lending.people[3])
    own = {"once": new_once(), "whose": front.app.state.door.visits.find(session).whose}
    headers = {"Cookie": f"{SESSION}={session}", "Sec-Fetch-Site": "same-origin"}
    for group, status in (("no-such", 404), ("../loans", 422), ("", 422)):
        answer = httpx.post(f"{front.url}/groups", data={**own, "group": group}, headers=headers, timeout=300)
        assert answer.status_code == status, group


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nobody_is_kept_out_and_nothing_is_cut(front: Front, visit: Callable[..., Visitor], language: str) -> None:
    person = borrower(front, 4 + (language == "zh"))
    portray(front.lending.desk)
    page = visit(person).page
    page.goto(f"{front.url}/?language={language}")
    page.goto(f"{front.url}/groups")
    assert page.locator("section.card").count() == 2
    assert not barriers(page)
    for width in (320, 360, 1280):
        page.set_viewport_size({"width": width, "height": 640})
        assert fits(page, width)


@pytest.mark.parametrize(
    ("condition", "kind", "en", "zh"),
    [
        (">= 2", "integer", "2 or more", "不低于2"),
        ("< 100000", "fen", "less than CN¥1,000.00", "少于¥1,000.00"),
        ("< 18, > 65", "integer", "less than 18 or more than 65", "少于18或多于65"),
        ("[600..650]", "integer", "between 600 and 650", "600至650"),
        ("[600..650)", "integer", "600 or more and less than 650", "不低于600且少于650"),
        ("(600..650]", "integer", "more than 600 and 650 or less", "多于600且不超过650"),
        ("(600..650)", "integer", "more than 600 and less than 650", "多于600且少于650"),
        ("310000, 320000", "code", "310000 or 320000", "310000或320000"),
        ("not farmer, student", "code", "anything but farmer or student", "除farmer或student以外"),
        ("true", "boolean", "yes", "是"),
        ("not student", "code", "anything but student", "除student以外"),
        ("farmer, salaried", "code", "farmer or salaried", "farmer或salaried"),
    ],
)
def test_a_rule_is_said_in_words(condition: str, kind: str, en: str, zh: str) -> None:
    fact_ = {"condition": condition, "kind": kind, "status": "present", "value": "x"}
    for language, said in (("en", en), ("zh", zh)):
        words = PageWords(language, "Asia/Shanghai", WORDS)  # type: ignore[arg-type]
        assert re.sub(r"\s", " ", rule_of(fact_, words)) == said
