"""Day counts against an oracle, and due days that keep their day of the month."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction

import pytest
import pyxirr
from hypothesis import example, given
from hypothesis import strategies as st

from lending.days import LENGTH, between, counted, later, months_later, moved, year_fraction
from lending.errors import DateError

DAYS = st.dates(date(1996, 1, 1), date(2104, 12, 31))
ORACLE = {
    "ACT/365F": pyxirr.DayCount.ACT_365F,
    "ACT/360": pyxirr.DayCount.ACT_360,
    "30/360": pyxirr.DayCount.THIRTY_360_ISDA,
    "ACT/ACT": pyxirr.DayCount.ACT_ACT_ISDA,
}


@given(DAYS, DAYS)
@example(one=date(2027, 1, 31), other=date(2027, 3, 31))
@example(one=date(2027, 1, 30), other=date(2027, 3, 31))
@example(one=date(2027, 1, 29), other=date(2027, 3, 31))
@example(one=date(2027, 2, 28), other=date(2028, 2, 29))
def test_every_basis_counts_as_the_oracle_does(one, other):
    start, end = min(one, other), max(one, other)
    for basis, same in ORACLE.items():
        assert float(year_fraction(start, end, basis)) == pytest.approx(pyxirr.year_fraction(start, end, same))


def test_the_isda_example_of_act_act():
    """From 2003-11-01 to 2004-05-01: 61/365 + 121/366 (ISDA memorandum of 1998)."""
    found = year_fraction(date(2003, 11, 1), date(2004, 5, 1), "ACT/ACT")
    assert found == Fraction(61, 365) + Fraction(121, 366)


@given(st.tuples(DAYS, DAYS, DAYS).map(sorted))
def test_actual_days_add_up_over_any_day_between(days):
    first, middle, last = days
    for basis in ("ACT/365F", "ACT/360", "ACT/ACT"):
        whole = counted(first, last, basis)
        assert counted(first, middle, basis) + counted(middle, last, basis) == whole
    assert counted(first, last, "ACT/360") == between(first, last)


def test_a_year_counts_as_long_as_its_basis_says():
    for basis, length in LENGTH.items():
        assert counted(date(2027, 1, 1), date(2028, 1, 1), basis) == {"ACT/360": 365}.get(basis, length)
    assert counted(date(2028, 1, 1), date(2029, 1, 1), "ACT/ACT") == 365


@given(DAYS, st.integers(0, 480))
def test_due_days_keep_their_day_of_the_month(start, months):
    due = months_later(start, months)
    last = months_later(due.replace(day=1), 1) - timedelta(days=1)
    assert due.day == start.day or (due == last and due.day < start.day)
    assert (due.year - start.year) * 12 + due.month - start.month == months


def test_the_31st_comes_back_after_february():
    found = [months_later(date(2027, 12, 31), month) for month in range(1, 5)]
    assert found == [date(2028, 1, 31), date(2028, 2, 29), date(2028, 3, 31), date(2028, 4, 30)]


def test_only_the_holidays_that_were_handed_in_move_a_day():
    saturday = date(2026, 11, 28)
    assert moved(saturday, frozenset()) == saturday
    assert moved(saturday, {saturday, date(2026, 11, 29)}) == date(2026, 11, 30)


def test_days_out_of_order_and_days_that_do_not_exist_are_refused():
    with pytest.raises(DateError, match="is before"):
        year_fraction(date(2027, 1, 2), date(2027, 1, 1), "ACT/365F")
    with pytest.raises(DateError, match="no calendar"):
        months_later(date(9999, 12, 1), 1)
    with pytest.raises(DateError, match="no calendar"):
        later(date(9999, 12, 1), 31)
    assert year_fraction(date(9999, 1, 1), date(9999, 12, 31), "ACT/ACT") == Fraction(364, 365)
