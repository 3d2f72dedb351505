"""Nobody's answers are kept longer than the notice that they answered says."""

from __future__ import annotations

import pytest
from support.desk import answers, asked
from support.observed import entries

from consent.commands.end_of_term import erase_outlived, outlived
from consent.retention import Retainer
from consent.transaction import reading

DAYS = 30


@pytest.fixture
def asked_for(market):
    """A market whose notice keeps answers for thirty days."""
    market.publish(2, retention_period_days=DAYS, validity_days=90)
    return market


def over(market) -> set[str]:
    with reading(market.registry) as view:
        return set(outlived(view))


def days(market, count: float) -> None:
    market.clock.move(seconds=round(count * 86_400))


def test_who_took_every_yes_back_is_erased_after_the_days_that_their_notice_said(asked_for):
    market = asked_for
    gone, half, stays, silent = market.enrol("aspen", 4)
    for person in (gone, half, stays):
        market.says(person, "give", ("ordinary", "sensitive"))
    market.says(gone, "withdraw", ("ordinary", "sensitive"))
    market.says(half, "withdraw")
    days(market, DAYS - 0.01)
    assert over(market) == set()
    days(market, 0.02)
    assert over(market) == {gone.pseudonym}
    assert erase_outlived(market.registry) == 1
    assert market.call(gone.pseudonym, "GET", "/v1/me/consents").status_code == 401
    for person in (half, stays, silent):
        assert market.call(person.pseudonym, "GET", "/v1/me/consents").status_code == 200
    assert [leaf["type"] for leaf in entries(market.registry)].count("subject.forgotten") == 1
    assert erase_outlived(market.registry) == 0


def test_a_yes_that_ran_out_and_a_no_are_kept_no_longer_either(asked_for):
    market = asked_for
    expiring, refused, paused = market.enrol("aspen", 3)
    market.says(expiring, "give")
    market.says(refused, "refuse")
    market.says(paused, "give")
    market.says(paused, "suspend")
    days(market, DAYS + 0.01)
    assert over(market) == {refused.pseudonym}
    days(market, 90)
    assert over(market) == {refused.pseudonym, expiring.pseudonym, paused.pseudonym}


def test_each_is_kept_as_the_version_says_that_they_answered(asked_for):
    market = asked_for
    short, long = market.enrol("aspen", 2)
    market.says(short, "refuse")
    later = market.publish(3, retention_period_days=2 * DAYS, validity_days=90)
    market.says(long, "refuse", notice=later)
    days(market, DAYS + 0.01)
    assert over(market) == {short.pseudonym}
    days(market, DAYS)
    assert over(market) == {short.pseudonym, long.pseudonym}


def test_who_never_answers_is_kept_as_long_from_the_day_of_their_enrolment(asked_for):
    market = asked_for
    silent, answering = market.enrol("aspen", 2)
    days(market, DAYS)
    assert over(market) == set()
    market.says(answering, "give")
    (later,) = market.enrol("aspen", 1)
    days(market, 1.1)
    assert over(market) == {silent.pseudonym}
    assert erase_outlived(market.registry) == 1
    days(market, DAYS)
    assert over(market) == {later.pseudonym}


def test_nobody_is_erased_while_their_request_is_open(asked_for):
    market = asked_for
    (person,) = market.enrol("aspen")
    market.says(person, "refuse")
    asked(market, person)
    days(market, DAYS + 1)
    assert over(market) == set()


@pytest.mark.parametrize(
    ("kind", "stays"), [("erase", False), ("object", False), ("review", False), ("restrict", True)]
)
def test_an_answer_that_lasts_keeps_nobody_but_who_asked_to_be_kept(asked_for, kind, stays):
    """Whoever was told that all is deleted was kept for ever: only they could close what they had asked."""
    market = asked_for
    (person,) = market.enrol("aspen")
    market.says(person, "refuse")
    days(market, DAYS + 1)
    assert answers(market, asked(market, person, kind)).status_code == 201
    days(market, 14.9)
    assert over(market) == set(), "they read the answer first"
    days(market, 0.2)
    assert over(market) == (set() if stays else {person.pseudonym})


def test_the_service_does_it_by_itself_once_a_day(asked_for):
    market = asked_for
    first, second = market.enrol("aspen", 2)
    retainer = Retainer(market.registry)
    retainer.run_once()
    market.says(first, "refuse")
    days(market, 0.5)
    market.says(second, "refuse")
    days(market, DAYS - 0.4)
    retainer.run_once()
    assert market.call(first.pseudonym, "GET", "/v1/me/consents").status_code == 401
    assert market.call(second.pseudonym, "GET", "/v1/me/consents").status_code == 200


@pytest.mark.parametrize(("tag", "said"), [("en", f"your answers, {DAYS} days after"), ("zh", f"终止{DAYS}天后删除")])
def test_the_notice_says_so(asked_for, tag, said):
    assert said in asked_for.notices[-1].texts[tag]
