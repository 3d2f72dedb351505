"""Money is whole: one rounding, nothing lost, no double (trap 3); the annual figures of a daily rate (trap 1)."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lending.errors import MoneyError
from lending.money import (
    compound_year,
    from_text,
    nominal_year,
    part,
    percent,
    rounded,
    shares,
    shown,
    simple_year,
    split,
    upwards,
    whole,
)

FEN = st.integers(0, 10**12)
HALVES = {"half-up": [0, 1, 1, 2, 3], "half-even": [0, 0, 1, 2, 2], "down": [0, 0, 0, 1, 2], "up": [0, 1, 1, 2, 3]}


@pytest.mark.parametrize("how", HALVES)
def test_a_fraction_of_a_fen_is_rounded_as_asked(how):
    amounts = [Fraction(0), Fraction(1, 2), Fraction(2, 3), Fraction(3, 2), Fraction(5, 2)]
    assert [rounded(amount, how) for amount in amounts] == HALVES[how]
    assert [rounded(-amount, how) for amount in amounts] == [-whole for whole in HALVES[how]]


@given(st.fractions(0, 10**9))
def test_rounding_never_moves_an_amount_by_a_fen(amount):
    assert abs(rounded(amount) - amount) <= Fraction(1, 2)
    assert 0 <= amount - rounded(amount, "down") < 1 and 0 <= rounded(amount, "up") - amount < 1


@pytest.mark.parametrize("value", [1.0, 0.1, True, "100", Decimal(1), None])
def test_what_is_not_a_whole_number_of_fen_is_refused(value):
    with pytest.raises(MoneyError, match=r"the amount is .*: give whole fen"):
        whole(value, "the amount")


def test_an_amount_below_nothing_is_refused():
    assert whole(0, "the amount") == 0
    with pytest.raises(MoneyError, match="cannot be below 0"):
        whole(-1, "the amount")


@given(FEN, st.integers(1, 400))
def test_equal_parts_add_up_and_the_last_takes_the_remainder(total, parts):
    found = split(total, parts)
    assert sum(found) == total and len(found) == parts
    assert len(set(found[:-1])) <= 1 and 0 <= found[-1] - found[0] < parts


@given(FEN, st.lists(st.integers(0, 1000), min_size=1, max_size=9).filter(any))
def test_shares_add_up_and_who_weighs_nothing_gets_nothing(total, weights):
    found = shares(total, weights)
    assert sum(found) == total
    assert all(share == 0 for share, weight in zip(found, weights, strict=True) if weight == 0)


@pytest.mark.parametrize(("total", "parts"), [(5, 0), (5, -1)])
def test_no_parts_at_all_are_refused(total, parts):
    with pytest.raises(MoneyError, match="cannot be split"):
        split(total, parts)
    with pytest.raises(MoneyError, match="cannot be shared"):
        shares(total, [0] * max(parts, 0))


@given(FEN)
def test_what_is_shown_is_read_back(amount):
    assert from_text(shown(amount)) == amount


@pytest.mark.parametrize(
    "text", ["", "1.234", "-1", "1e3", "NaN", "１２", "1.5.5", "0x1", ".", "1. 5", "1.²", "1,50", "1,2345"]
)
def test_a_text_that_is_no_amount_is_refused(text):
    with pytest.raises(MoneyError, match="is no amount"):
        from_text(text)


def test_one_daily_rate_has_three_annual_figures():
    """Trap 1: times 360 is no cost, times 365 is the simple figure, the compound one is the most."""
    assert nominal_year(500, 360) == Decimal("0.18")
    assert simple_year(500) == Decimal("0.1825")
    assert percent(compound_year(500)) == "20.02%"
    assert percent(simple_year(330)) == "12.05%" and percent(compound_year(330)) == "12.80%"


@pytest.mark.parametrize(("cap", "most", "simple"), [("0.24", "589", "0.215"), ("0.12", "310", "0.1132")])
def test_the_daily_rate_that_a_compound_cap_allows(cap, most, simple):
    """24% compound allows 0.05895% a day (21.5% simple), 12% allows 0.03105%."""
    assert compound_year(int(most)) <= Decimal(cap) < compound_year(int(most) + 1)
    assert abs(simple_year(int(most)) - Decimal(simple)) < Decimal("0.0005")


def test_a_cap_divided_by_365_breaks_the_cap():
    """Trap 1: 24% / 365 is 0.0657% a day, and 27.1% a year."""
    daily = int(Decimal("0.24") / 365 * 1_000_000)
    assert percent(compound_year(daily), 1) == "27.1%"


def test_a_figure_is_kept_upwards_but_for_what_computing_left_of_it():
    assert upwards(Decimal("0.24") + Decimal("1e-30")) == Decimal("0.24")
    assert upwards(Decimal("0.24") + Decimal("1e-20")) > Decimal("0.24")
    assert percent(Decimal("0.2400001")) == "24.01%"


def test_no_context_of_the_caller_changes_a_figure():
    wanted = compound_year(589)
    with localcontext(prec=5):
        assert compound_year(589) == wanted


def test_doubles_would_have_lost_a_fen():
    """Trap 3: 1.005 yuan a hundred times is 100.50, not 100.00 or 101.00."""
    exact = [rounded(Fraction(201, 2))] * 2
    assert exact == [101, 101] and round(100.5) == 100
    assert rounded(sum([Fraction(201, 2)] * 2, Fraction(0))) == 201, "one rounding, not two"
    assert part(1, 500_000) == 1 and part(100_000_000_000_000_001, 1_000_000) == 100_000_000_000_000_001
