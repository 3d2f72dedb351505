"""Vintages against a count by hand, and what a curve may not say."""

from __future__ import annotations

import calendar
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.loan_histories import START, contract, day, disbursed, histories, paid

from lending.account.events import Extended, Repaid, Restructured
from lending.account.fold import state
from lending.errors import PortfolioError
from lending.portfolio.vintages import Seasoned, age_of, at_age, bad_age, seasoned, vintages

NOW = date(2027, 3, 15)


def months_later(start, months):
    year, month = divmod(start.month - 1 + months, 12)
    last = calendar.monthrange(start.year + year, month + 1)[1]
    return date(start.year + year, month + 1, min(start.day, last))


dates = st.dates(date(2026, 1, 1), NOW)


@settings(deadline=None)
@given(dates, st.integers(0, 800))
def test_age_is_whole_months(start, days):
    day = start + timedelta(days=days)
    age = age_of(start, day)
    assert months_later(start, age) <= day < months_later(start, age + 1)
    assert age_of(start, day, "weeks") == days // 7


loans = st.builds(
    lambda opened, amount, bad: Seasoned(
        opened, amount, NOW, opened + timedelta(days=bad) if bad else None, amount // 2
    ),
    dates,
    st.integers(1, 10_000),
    st.one_of(st.none(), st.integers(1, 400)),
).filter(lambda loan: loan.bad_on is None or loan.bad_on <= NOW)


@settings(max_examples=40, deadline=None)
@given(st.lists(loans, max_size=25))
def test_a_curve_is_a_count_by_hand(book):
    """And only of ages that every loan of the month has reached; by amount of what was lent."""
    for vintage in vintages(book, NOW):
        them = [
            one
            for one in book
            if (one.opened_on.year, one.opened_on.month) == (vintage.month.year, vintage.month.month)
        ]
        last = vintage.month.replace(day=calendar.monthrange(vintage.month.year, vintage.month.month)[1])
        assert (vintage.loans, vintage.amount) == (len(them), sum(one.amount for one in them))
        assert len(vintage.curve) == max(age_of(last, NOW) + 1, 0)
        for point in vintage.curve:
            assert all(months_later(one.opened_on, point.age) <= NOW for one in them)
            bad = [one for one in them if one.bad_on and one.bad_on <= months_later(one.opened_on, point.age)]
            assert (point.bad, point.bad_amount) == (len(bad), sum(one.bad_amount for one in bad))
            assert point.rate.value == len(bad) / len(them)
        assert [one.bad for one in vintage.curve] == sorted(one.bad for one in vintage.curve)


def test_the_young_are_not_compared_with_the_old():
    """Trap 7: the old vintage looks worse only because it is older; at one age they are alike."""

    def month(number):
        opened = date(2026, number, 10)
        bads = [opened + timedelta(days=days) for days in (100, 130, 200, 300)]
        return [Seasoned(opened, 100, NOW, on if on <= NOW else None, 60) for on in [*bads, *[date.max] * 16]]

    found = vintages([*month(3), *month(10)], NOW)
    assert [one.curve[-1].bad for one in found] == [4, 1]
    assert {month.month: point.bad for month, point in at_age(found, 4).items()} == {3: 1, 10: 1}
    assert {month.month for month in at_age(found, 5)} == {3}


def test_who_repaid_early_stays_in_the_count():
    """Trap 7: survivors only."""
    loan = contract((30, 50_000, 1_000, 0), (60, 50_000, 500, 0))
    early = state(loan, [disbursed(loan), paid(1, 100_100, prepays=True)], day(400))
    never = state(loan, [disbursed(loan)], day(400))
    (vintage,) = vintages([seasoned(early), seasoned(never)], day(400))
    assert (vintage.loans, vintage.curve[4].bad, vintage.curve[-1].rate.value) == (2, 1, 0.5)
    assert vintage.curve[-1].bad_amount == 100_000


@pytest.mark.parametrize(
    "hide",
    [
        Extended(id="h", day=day(29), days=300),
        Restructured(
            id="h", day=day(40), amount=100_000, dues=contract((300, 100_000, 0, 0)).dues, in_difficulty=False
        ),
        Repaid(id="h", day=day(100), amount=101_500, payer="lender"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_no_concession_bends_a_vintages_curve(hide):
    """Trap 4."""
    loan = contract((30, 50_000, 1_000, 0), (60, 50_000, 500, 0))
    (vintage,) = vintages([seasoned(state(loan, [disbursed(loan), hide], day(400)))], day(400))
    assert vintage.curve[4].bad == 1


def test_short_loans_are_aged_by_weeks():
    loan = Seasoned(START, 100, day(200), day(100), 100)
    (vintage,) = vintages([loan], day(200), by="weeks")
    assert next(point.age for point in vintage.curve if point.bad) == bad_age(loan, "weeks") == 15
    assert vintage.curve[-1].age == 200 // 7


def test_a_loan_that_is_not_known_so_far_is_refused():
    with pytest.raises(PortfolioError, match="fold its account up to"):
        vintages([Seasoned(START, 100, day(10))], day(11))
    assert vintages([Seasoned(day(12), 100, day(10))], day(11)) == ()


@settings(max_examples=40, deadline=None)
@given(histories)
def test_what_was_owed_when_it_went_bad_is_no_more_than_was_lent(history):
    loan = seasoned(state(history.loan, history.events, history.last))
    assert 0 <= loan.bad_amount <= loan.amount
    assert (loan.bad_on is not None) or not loan.bad_amount
