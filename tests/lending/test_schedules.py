"""Dues add up to the fen, always (trap 3); interest by actual days; what accrues, what settles, what revolves."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given, settings
from support.effort import effort
from support.loans import asked, fee, once, product

from lending.days import counted
from lending.errors import DateError
from lending.money import PPM, rounded
from lending.terms.cost import flows_of, total_charges
from lending.terms.schedule import (
    due_days,
    schedule,
)

START = date(2026, 11, 30)
MANY = settings(max_examples=effort(1_200), deadline=None)


@MANY
@given(asked())
def test_dues_add_up_to_principal_and_interest_to_the_fen(case):
    made, principal, rate, start, _ = case
    loan = schedule(*case)
    assert sum(due.principal for due in loan.dues) == principal
    balance, since, exact, billed = principal, start, Fraction(0), 0
    for due in loan.dues:
        assert due.principal >= 0 and due.interest >= 0 and all(one.amount >= 0 for one in due.charges)
        exact += Fraction(balance * rate, PPM) * counted(since, due.day, made.day_count)
        billed += due.interest
        assert billed == rounded(exact, made.rounding), "one rounding, whatever came before"
        balance, since = balance - due.principal, due.day
    assert balance == 0
    assert loan.interest + loan.fees == total_charges(flows_of(loan))
    assert sum(due.total for due in loan.dues) + sum(one.amount for one in loan.upfront) == (
        principal + loan.interest + loan.fees
    )


@MANY
@given(asked())
def test_each_kind_has_the_shape_of_its_name(case):
    made, principal, *_ = case
    loan = schedule(*case)
    parts = [due.principal for due in loan.dues]
    if made.kind == "equal-principal":
        assert len(set(parts[:-1])) <= 1 and 0 <= parts[-1] - parts[0] < len(parts)
    elif made.kind == "annuity":
        equal = {due.principal + due.interest for due in loan.dues[:-1]}
        assert len(equal) <= 1 or principal < 50 * len(parts), "equal dues, but for the last"
        last = loan.dues[-1]
        assert not equal or abs(last.principal + last.interest - min(equal)) <= 1.2 * len(parts) + 1
    else:
        assert parts[:-1] == [0] * (len(parts) - 1)


def test_an_annuity_of_actual_days_by_hand():
    """12,000 at 0.05% a day for three months: dues that are worth 12,000 by actual days of 30, 31 and 31."""
    loan = schedule(product(), 1_200_000, 500, date(2026, 11, 27), 90)
    assert [due.day for due in loan.dues] == [date(2026, 12, 27), date(2027, 1, 27), date(2027, 2, 27)]
    worth, factor = Fraction(0), Fraction(1)
    for due, days in zip(loan.dues, (30, 31, 31), strict=True):
        factor /= 1 + Fraction(500 * days, PPM)
        worth += due.total * factor
    assert abs(worth - 1_200_000) < 1
    assert [due.interest for due in loan.dues] == [18_000, 12_489, 6_292] and loan.principal == 1_200_000


def test_interest_of_a_bullet_by_hand():
    loan = schedule(once(), 1_000_000, 500, START, 30)
    assert [(due.day, due.principal, due.interest) for due in loan.dues] == [(date(2026, 12, 30), 1_000_000, 15_000)]
    assert schedule(once(day_count="ACT/360"), 1_000_000, 500, START, 30).interest == 15_000


def test_a_month_of_30_days_is_counted_as_one():
    plain = schedule(product(kind="bullet", day_count="30/360"), 1_000_000, 500, date(2026, 12, 31), 90)
    assert [due.interest for due in plain.dues] == [15_000, 14_000, 16_500]
    assert [due.day.day for due in plain.dues] == [31, 28, 31]


def test_doubles_and_a_rounding_for_each_due_would_lose_what_the_carry_keeps():
    """Trap 3: at 0.0137% a day 100.00 yuan owe 0.411 yuan a month: rounded by itself 0.41 each, 12 x 0.41 is 4.92."""
    made = product(kind="bullet", day_count="30/360")
    loan = schedule(made, 10_000, 137, date(2027, 1, 1), 360)
    each = rounded(Fraction(10_000 * 137 * 30, PPM))
    assert loan.interest == rounded(Fraction(10_000 * 137 * 360, PPM)) == 493 != each * 12
    assert {due.interest for due in loan.dues} == {41, 42}


def test_due_days_move_off_the_holidays_that_were_handed_in_and_interest_with_them():
    closed = {date(2026, 12, 27), date(2026, 12, 28)}
    loan = schedule(product(), 1_000_000, 500, date(2026, 11, 27), 90, closed)
    assert [due.day for due in loan.dues] == [date(2026, 12, 29), date(2027, 1, 27), date(2027, 2, 27)]
    assert loan.dues[0].interest == 16_000
    long = {date(2026, 12, 27) + timedelta(days=at) for at in range(40)}
    with pytest.raises(DateError, match="holidays move two dues to 2027-02-05"):
        due_days(product(), date(2026, 11, 27), 90, long)


def test_every_fee_is_charged_when_and_on_what_it_says():
    charged = [fee("premium", when="start", value=5_000, payee="insurer"), fee("guarantee", method="of-balance"),
               fee("service", method="amount", value=250, payee="platform"),
               fee("closing", when="last-due", value=2_000, payee="lender"),
               fee("late", when="late", method="of-overdue-a-day", payee="lender"),
               fee("early", when="early", value=3_000, payee="lender")]  # fmt: skip
    loan = schedule(product(kind="equal-principal", fees=charged), 900_000, 300, START, 90)
    assert [(one.code, one.payee, one.amount) for one in loan.upfront] == [("premium", "insurer", 4_500)]
    found = [[(one.code, one.amount) for one in due.charges] for due in loan.dues]
    assert found == [
        [("guarantee", 900), ("service", 250)],
        [("guarantee", 600), ("service", 250)],
        [("guarantee", 300), ("service", 250), ("closing", 1_800)],
    ]
    assert loan.fees == 4_500 + 900 + 600 + 300 + 3 * 250 + 1_800
