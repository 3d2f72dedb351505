"""A model watched at work, a person told what is kept of them, what ended forgotten, letters that are due."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from support.counter import BAD, GOOD, HASHES, MIDDLING, Counter, PlainRules, StandInSource
from support.erasures import ordered
from support.world import pseudonym

from credit.bands import BANDS
from desk.commands.book import book_standing
from desk.commands.erase import erase_ordered
from desk.commands.monitor import Watched, monitor
from desk.commands.person import person_file
from desk.commands.portfolio import portfolio
from desk.commands.replay import Replaying
from desk.commands.retain import retain
from desk.commands.status import standing
from desk.errors import RulesMissing
from desk.released import read_letter_end
from desk.sources import About, Sources
from desk.storage import tables
from law.categories import DataCategory
from lending.account.default import Definition
from lending.cases import PrincipalReason
from lending.law.rows import LAWS
from protocol.errors import Malformed, NotFound


class Binned(PlainRules):
    """A bin for each number of late payments; ``strict`` declines whoever refused something."""

    strict = False

    def score(self, facts):
        found = super().score(facts)
        one = found.points[0]
        points = replace(one, bin=-1 if one.neutral else int(facts["late"].value))
        return replace(found, points=(points,), band=BANDS.band(found.score).code)

    def decide(self, case):
        found = super().decide(case)
        if self.strict and any(fact.status == "refused" for fact in case.facts.values()):
            return replace(found, outcome="decline", offer=None, reasons=(PrincipalReason("no-score", "rule"),))
        return found


@pytest.fixture
def watched(desk: Counter) -> Counter:
    desk.desk.lending = Binned()
    return desk


def seen(desk: Counter) -> Watched:
    return monitor(desk.desk, HASHES.model, {"late": BAD + 1}, Definition(120), desk.desk.day(desk.clock()))


def next_month(desk: Counter) -> None:
    day = desk.desk.day(desk.clock())
    desk.clock.move(days=32 - day.day)


def test_who_comes_is_compared_with_the_first_month_and_two_months_raise_an_alarm(watched: Counter):
    for late in (GOOD, MIDDLING, MIDDLING):
        for number in range(30):
            watched.asks(late if number % 5 else GOOD)
        next_month(watched)
        found = seen(watched)
    assert list(found.months.values()) == [30, 30, 30]
    assert found.latest["late"].psi > 1 and found.latest["score"].psi > 1
    assert set(found.shifted) == {"late", "score"} and found.alarm
    assert found.rates["everybody"].applications == 90


def test_one_month_is_no_alarm_and_a_month_that_is_not_over_is_not_compared(watched: Counter):
    for late in (GOOD, MIDDLING):
        for _ in range(12):
            watched.asks(late)
        next_month(watched)
    assert (seen(watched).shifted, seen(watched).alarm) == ((), False)
    for _ in range(12):
        watched.asks(MIDDLING)
    assert len(seen(watched).months) == 3 and seen(watched).shifted == ()


@pytest.mark.parametrize("strict", [False, True])
def test_those_who_refuse_something_are_compared_with_those_who_do_not(watched: Counter, strict):
    watched.desk.lending.strict = strict
    for number in range(40):
        watched.consents.refused = {DataCategory.INCOME} if number % 2 else set()
        watched.asks(GOOD)
    found = seen(watched)
    assert found.refusing.below_four_fifths is strict and found.alarm is strict
    assert found.refusing.ratio.value == (0 if strict else 1)


@pytest.mark.parametrize("unfair", [False, True])
def test_groups_of_what_is_protected_are_compared_and_nothing_else_is_done_with_it(watched: Counter, unfair):
    """A source holds it under its consent; four of sixty gave none."""
    sex = StandInSource(About("register", DataCategory.SEX, ("sex",)), {"sex": None})
    watched.desk.sources = Sources([watched.book, watched.income, sex])
    for number in range(60):
        sex.values["sex"] = ("m", "f", "f")[number % 3] if number > 3 else None
        watched.asks(BAD if unfair and sex.values["sex"] == "m" else GOOD)
    found = seen(watched)
    (groups,) = found.protected.values()
    assert list(found.protected) == ["sex"] and groups.reference == "f"
    assert groups.people == {"m": 18, "f": 38} and set(groups.beside) == {"m"}
    assert groups.beside["m"].ratio.value == (0 if unfair else 1)
    assert groups.beside["m"].below_four_fifths is found.alarm is unfair


BUREAU = About("bureau", DataCategory.BUREAU, ("has_file", "open_loans"))


@pytest.mark.parametrize(
    "knows, thin",
    [({"has_file": False}, True), ({}, True), ({"has_file": True, "open_loans": 0}, False), ({"open_loans": 2}, False)],
)
def test_whom_the_bureau_does_not_know_is_counted_apart(watched: Counter, knows: dict[str, Any], thin: bool):
    """A bureau says that it has no file, or nothing at all."""
    bureau = StandInSource(BUREAU, {"has_file": None, "open_loans": None, **knows})
    watched.desk.sources = Sources([watched.book, watched.income, bureau])
    watched.asks(GOOD)
    assert set(seen(watched).rates) == {"everybody", "thin file" if thin else "thick file"}


def test_what_is_not_protected_or_has_too_many_groups_is_not_compared(watched: Counter):
    sex = StandInSource(About("register", DataCategory.SEX, ("sex",)), {"sex": "f"})
    watched.desk.sources = Sources([watched.book, watched.income, sex])
    for _ in range(4):
        watched.asks(GOOD)
    assert seen(watched).protected == {}, "one group is beside nobody"
    for number in range(14):
        sex.values["sex"] = f"group {number}"
        watched.asks(GOOD)
    assert seen(watched).protected == {}


def test_what_the_model_predicted_is_held_against_what_happened(watched: Counter):
    for number in range(8):
        watched.lent(f"pay-{number}", pseudonym=pseudonym())
    watched.clock.move(days=100)
    assert seen(watched).bands == {}, "nobody is mature yet"
    watched.clock.move(days=30)
    (band,) = seen(watched).bands["everybody"]
    assert (band.loans, band.observed.value, band.adrift) == (8, 1.0, True) and seen(watched).alarm


def test_what_becomes_of_the_loans_is_shown_whoever_decided_them(watched: Counter):
    """Six never pay, one pays in time. Lent on a 10th, they are at the end of each month in another bucket."""
    while (day := watched.desk.day(watched.clock())).day != 10:
        watched.clock.move(days=1)
    for number in range(7):
        loan = watched.lent(f"pay-{number}", pseudonym=pseudonym())
    watched.clock.move(days=29)
    assert watched.repays(loan["id"], "in-1", loan["owed"]["principal"] * 2).status_code == 201
    watched.clock.move(days=1)
    young = portfolio(watched.desk, Definition(120), watched.desk.day(watched.clock()), Decimal("0.5"))
    assert (young.book.loans, young.first_payments, young.late_turned_bad) == (7, (), None)
    (first,) = young.expected.stages
    owed = sum(one["owed"]["total"] for one in loans_of(watched))
    assert (first.stage, first.loans, first.exposure) == (1, 6, owed)
    assert first.loss == pytest.approx(owed * 0.5 * 0.05, abs=6), "six of 5%, half of each lost"
    watched.clock.move(days=120)
    now = watched.desk.day(watched.clock())
    found = portfolio(watched.desk, Definition(120), now, Decimal("0.5"))
    (first,) = found.first_payments
    assert (first.month, first.loans, first.late.value) == (day.replace(day=1), 7, 6 / 7)
    assert found.late_turned_bad.value == 1
    assert [(one.stage, one.loans) for one in found.expected.stages] == [(3, 6)]
    owed = sum(one["owed"]["total"] for one in loans_of(watched))
    assert found.expected.loss == found.expected.low == found.expected.high == pytest.approx(owed / 2, abs=6)
    assert {one.before for one in found.rolls} >= {"0", "1-30", "31-60", "61-89"}
    (vintage,) = found.book.vintages
    assert (vintage.month, vintage.loans, vintage.curve[-1].rate.value) == (day.replace(day=1), 7, 6 / 7)


def loans_of(desk: Counter) -> list[dict]:
    ids = [one["id"] for one in desk.call("reader", "GET", "/v1/loans").json()["items"]]
    return [desk.call("reader", "GET", f"/v1/loans/{one}").json() for one in ids]


def test_before_labels_the_model_says_what_it_expects(watched: Counter):
    for late in (GOOD, GOOD, GOOD, BAD):
        watched.asks(late)
    young = seen(watched).unlabelled
    assert (young.people, young.auc.value) == (4, 0.5), "all the same, as the model has it"
    for rate in (young.approved_bad_rate, young.declined_bad_rate):
        assert rate.value == pytest.approx(0.05) and rate.low < 0.05 < rate.high
    watched.clock.move(days=130)
    assert seen(watched).unlabelled is None, "by now labels say it"


def test_another_models_decisions_are_not_looked_at(watched: Counter):
    watched.asks(GOOD)
    assert monitor(watched.desk, "f" * 64, {"late": 6}, Definition(120), watched.desk.day(watched.clock())).months == {}


def test_a_person_is_told_everything_that_is_kept_of_them(desk: Counter):
    person = pseudonym()
    loan = desk.lent(pseudonym=person)
    desk.repays(loan["id"], "in-1", 1000)
    declined = desk.asks(BAD, pseudonym=person).json()
    path = f"/v1/applications/{declined['id']}"
    letter = desk.call("origination", "GET", f"{path}/letter").json()
    review = desk.call("origination", "POST", f"{path}/contest", {"view": "it was one strike"}).json()["review"]
    desk.call("reviewer.li", "POST", f"/v1/reviews/{review}/taking")
    said = {"outcome": "decline", "reasons": ["seen the papers"]}
    desk.call("reviewer.li", "POST", f"/v1/reviews/{review}/decision", said)
    first, second = person_file(desk.desk, person)["applications"]
    assert first["loans"][0]["events"][-1]["amount"] == 1000 and first["acceptances"]
    machine, people = second["decisions"]
    assert machine["rested_on"]["case"]["facts"]["late"]["value"] == BAD
    assert machine["rested_on"]["decision"]["trace"], "which rules were looked at, and whether they held"
    assert machine["letter"]["en"] == letter["en"] and people["decided_by"] == "person"
    told = json.dumps(person_file(desk.desk, person))
    assert "it was one strike" in told and "seen the papers" in told and "reviewer.li" not in told
    with pytest.raises(NotFound, match="nothing of this person"):
        person_file(desk.desk, pseudonym())


def test_every_table_about_people_is_told():
    """A new one has to be told too, or to stand here: what is about nobody, and the statements of the receipts."""
    told = {"applications", "decisions", "offers", "acceptances", "loans", "account_events", "reviews", "disclosures"}
    told |= {"silent_decisions", "settled_loans", "lapses"}
    told |= {"review_steps", "letters", "verifications", "memberships", "portrait_objections"}
    elsewhere = {
        "desk_schema",
        "desk_clock",
        "idempotency",
        "callers",
        "rules",
        "erasures",
        "model_reviews",
        "closings",
    }
    assert set(tables.METADATA.tables) == told | elsewhere | {tables.outbox.name}


def kept(desk: Counter) -> int:
    with desk.desk.reading() as hand:
        keys = hand.connection.execute(select(tables.applications.c.wrapped_key)).all()
    return sum(key is not None for (key,) in keys)


def nobody_is_named(desk: Counter, person: str) -> None:
    """In no table, whatever else is kept of it."""
    with pytest.raises(NotFound):
        person_file(desk.desk, person)
    with desk.desk.reading() as hand:
        for name, table in tables.METADATA.tables.items():
            assert person not in str(hand.connection.execute(select(table)).all()), name


def test_a_settled_loan_is_nobodys_when_its_time_is_over_and_counts_on(either: Counter, tmp_path: Path):
    """Also of whom the registry ordered to erase before: their loan kept its name for its contract."""
    person = pseudonym()
    first, second = (either.lent(f"pay-{at}", pseudonym=person)["id"] for at in range(2))
    either.clock.move(seconds=1)
    ordered(tmp_path / "orders", person, either.clock())
    erase_ordered(either.desk, tmp_path / "orders")
    for loan in (first, second):
        either.clock.move(days=5)
        rest = either.call("reader", "GET", f"/v1/loans/{loan}").json()["owed"]["total"]
        body = {"event": f"in-{loan}", "amount": rest, "on": either.today(), "prepays": True}
        assert either.call("servicing", "POST", f"/v1/loans/{loan}/repayments", body).status_code == 201
    either.clock.move(days=27)
    retain(either.desk, 30)
    assert len(person_file(either.desk, person)["applications"]) == 1, "the other was settled five days later"
    either.clock.move(days=5)
    retain(either.desk, 30)
    nobody_is_named(either, person)
    day = either.desk.day(either.clock())
    assert book_standing(either.desk, day).loans == 2
    assert either.call("reader", "GET", f"/v1/loans/{first}").json()["status"] == "settled"


def test_what_ended_is_forgotten_and_what_is_owed_or_waits_is_not(either: Counter):
    person = pseudonym()
    owed = either.lent("pay-1", pseudonym=person)
    either.asks(BAD, pseudonym=pseudonym())
    either.asks(MIDDLING)
    assert retain(either.desk, 30).forgotten == 0
    either.clock.move(days=31)
    assert (retain(either.desk, 30).forgotten, kept(either)) == (1, 2)
    rest = either.call("reader", "GET", f"/v1/loans/{owed['id']}").json()["owed"]
    either.repays(owed["id"], "in-1", rest["total"])
    either.clock.move(days=31)
    assert (retain(either.desk, 30).forgotten, kept(either)) == (1, 1)
    nobody_is_named(either, person)
    again = Replaying(either.desk.transactions.database, either.desk.at_rest)
    assert sum(again.span(numbers).forgotten for numbers in again.spans) == 2


def test_one_person_who_asks_is_forgotten_and_nobody_else(desk: Counter):
    person = pseudonym()
    desk.asks(BAD, pseudonym=person)
    desk.asks(BAD, pseudonym=pseudonym())
    desk.clock.move(days=1)
    assert (retain(desk.desk, 0, person).forgotten, kept(desk)) == (1, 1)
    nobody_is_named(desk, person)


def test_records_are_kept_as_long_as_the_law_of_the_place_has_it(desk: Counter):
    desk.asks(BAD)
    desk.desk.wording = replace(desk.desk.wording, jurisdiction="US")
    desk.clock.move(days=800)
    with pytest.raises(Malformed, match=r"762 days \(Reg B 1002\.12"):
        retain(desk.desk, 761)
    assert kept(desk) == 1
    assert retain(desk.desk, 762).forgotten == 1


def test_whom_nobody_has_told_why_is_counted_and_overdue_after_thirty_days(desk: Counter):
    declined = desk.asks(BAD).json()
    desk.asks(GOOD)
    path = f"/v1/applications/{declined['id']}/letter"
    desk.clock.move(days=31)
    found = standing(desk.desk, [])
    assert (found.letters_waiting, found.letters_overdue) == (1, 0), "China's table sets no such days"
    desk.desk.wording = replace(desk.desk.wording, jurisdiction="US")
    assert standing(desk.desk, []).letters_overdue == 1
    letter = desk.call("origination", "GET", path).json()
    assert 1 <= letter["en"].count("\n- ") <= 4
    found = standing(desk.desk, [])
    assert (found.letters_waiting, found.letters_overdue) == (0, 0)


def test_a_refusal_under_reg_b_has_its_notice_and_says_who_the_lender_is(desk: Counter):
    end = {"en": "Aspen Lending, 1 Main Street. Agency: FTC, Washington, DC 20580.", "zh": "白杨贷款，主街一号"}
    desk.desk.ways = replace(desk.desk.ways, letter_end=end)
    home = desk.asks(BAD).json()
    assert "Equal Credit" not in desk.call("origination", "GET", f"/v1/applications/{home['id']}/letter").text
    desk.desk.wording = replace(desk.desk.wording, jurisdiction="US")
    refused, given = desk.asks(BAD).json(), desk.asks(GOOD).json()
    letter = desk.call("origination", "GET", f"/v1/applications/{refused['id']}/letter").json()
    assert "Equal Credit Opportunity Act" in letter["en"] and letter["en"].endswith(end["en"] + "\n")
    offered = desk.call("origination", "GET", f"/v1/applications/{given['id']}/letter").json()
    assert "Equal Credit" not in offered["en"] and end["zh"] in offered["zh"]


def test_no_desk_opens_there_that_does_not_say_who_the_lender_is(tmp_path: Path):
    day = date(2026, 11, 27)
    with pytest.raises(RulesMissing, match=r"Reg B 1002\.9"):
        read_letter_end(tmp_path, LAWS, "US", day)
    assert read_letter_end(tmp_path, LAWS, "CN", day) == {}
    (tmp_path / "letter.toml").write_text('en = "Aspen Lending"\n', encoding="utf-8")
    with pytest.raises(RulesMissing, match="zh"):
        read_letter_end(tmp_path, LAWS, "US", day)
    (tmp_path / "letter.toml").write_text('en = "Aspen Lending"\nzh = "白杨贷款"\n', encoding="utf-8")
    assert read_letter_end(tmp_path, LAWS, "US", day)["en"] == "Aspen Lending"


def test_an_applicants_own_words_reach_the_reviewer_and_lie_nowhere_in_clear(desk: Counter, tmp_path: Path):
    declined = desk.asks(BAD).json()
    path = f"/v1/applications/{declined['id']}/contest"
    review = desk.call("origination", "POST", path, {"view": "the bank mixed us up"}).json()["review"]
    taken = desk.call("reviewer.li", "POST", f"/v1/reviews/{review}/taking").json()
    assert [one["view"] for one in taken["person_says"]] == ["the bank mixed us up"]
    content = (tmp_path / "desk.db").read_bytes() + (tmp_path / "desk.db-wal").read_bytes()
    assert b"mixed us up" not in content
