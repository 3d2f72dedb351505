"""Moves between arrears, losses, decisions and groups."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.loan_histories import contract, day, disbursed, histories, paid

from lending.account.default import Definition, label
from lending.account.events import ChargedOff, Corrected, Extended, Repaid
from lending.account.fold import opened, state
from lending.account.states import LoanStatus
from lending.errors import PortfolioError
from lending.intervals import Share
from lending.portfolio.book import (
    ARREARS_BUCKETS,
    DecidedCase,
    bucket_on,
    decision_rates,
    impact,
    roll_rates,
)
from lending.portfolio.losses import AtRisk, expected_loss, losses, stage

LOAN = contract((30, 50_000, 1_000, 0), (60, 50_000, 500, 0))


def at(number, *events, loan=LOAN):
    return state(loan, [disbursed(loan), *events], day(number))


# --- roll rates


def test_buckets_are_by_contractual_days_and_the_last_begins_where_bad_does():
    never = at(400)
    edges = {30: "0", 31: "1-30", 60: "1-30", 61: "31-60", 90: "31-60", 91: "61-89", 119: "61-89", 120: "90+"}
    assert {n: bucket_on(never, day(n)) for n in edges} == edges
    assert bucket_on(never, day(-1)) is None
    assert bucket_on(opened(LOAN), day(5)) is None
    assert bucket_on(at(400, Extended(id="x", day=day(20), days=300)), day(200)) == "90+"
    off = at(400, ChargedOff(id="o", day=day(300)))
    assert [bucket_on(off, day(n)) for n in (299, 300)] == ["90+", "charged-off"]
    assert bucket_on(at(90, paid(10, 100_334, prepays=True)), day(10)) == "settled"
    with pytest.raises(PortfolioError, match="is not known"):
        bucket_on(at(10), day(11))


@settings(max_examples=40, deadline=None)
@given(histories, st.integers(0, 500))
def test_a_bucket_looked_up_later_is_that_of_the_day(history, days):
    """One fold gives every earlier month's end, where nothing was corrected since."""
    if any(isinstance(one, Corrected) for one in history.events):
        return
    on = min(history.loan.starts + timedelta(days=days), history.last)
    then = state(history.loan, history.events, on)
    assert bucket_on(state(history.loan, history.events, history.last), on) == bucket_on(then, on)
    if then.status not in {LoanStatus.SETTLED, LoanStatus.CHARGED_OFF}:
        assert then.dpd_on(on) == then.dpd


def test_roll_rates_count_moves():
    days = [day(30 * n) for n in range(1, 6)]
    never = at(200)
    cured = at(200, paid(45, 52_000), paid(60, 60_000))
    found = roll_rates([never, never, cured], days)
    assert int(found.counts.sum()) == 3 * 4
    assert found.rate("0", "1-30").value == 2 / 3
    assert found.rate("1-30", "31-60").value == 1
    assert found.rate("61-89", "0") is None
    row = ARREARS_BUCKETS.index("settled")
    assert found.counts[row, row] == 3


# --- losses


def test_stages():
    assert [stage(at(n)) for n in (30, 59, 60, 119, 120)] == [1, 1, 2, 2, 3]
    assert stage(at(30), significant_increase=True) == 2
    assert stage(at(90, ChargedOff(id="o", day=day(40)))) == 3
    assert stage(at(90, paid(10, 100_334, prepays=True))) is None
    forborne = Extended(id="x", day=day(20), days=300, in_difficulty=True)
    kept = [forborne, *(paid(n, 60_000) for n in (30, 60))]
    assert stage(at(25, forborne)) == 3
    assert stage(at(70, *kept)) is None


@settings(max_examples=40, deadline=None)
@given(histories)
def test_who_is_bad_now_is_in_stage_3(history):
    """One definition: monitoring and labels do not disagree."""
    account = state(history.loan, history.events, history.last)
    if account.dpd >= 90 and account.status is not LoanStatus.SETTLED:
        assert stage(account) == 3
        window = Definition(max((history.last - history.loan.starts).days, 91))
        assert label(account, window, history.last).bad_on is not None


def test_losses_are_those_of_the_stages_and_chance_makes_of_them_what_it_does():
    them = [AtRisk(1, 100_000, 0.02)] * 400 + [AtRisk(2, 50_000, 0.4)] * 40 + [AtRisk(3, 70_000, 1.0)] * 10
    found = losses(them, Decimal("0.5"))
    assert [(one.stage, one.loans, one.exposure, one.loss) for one in found.stages] == [
        (1, 400, 40_000_000, 400_000), (2, 40, 2_000_000, 400_000), (3, 10, 700_000, 350_000),
    ]  # fmt: skip
    assert found.loss == sum(one.loss for one in found.stages) == 1_150_000
    rng = np.random.default_rng(3)
    p, lost = np.array([one.probability for one in them]), np.array([one.exposure // 2 for one in them])
    real = [((rng.random(len(them)) < p) * lost).sum() for _ in range(500)]
    assert 0.92 < np.mean([found.low <= one <= found.high for one in real]) < 0.98
    certain = losses([AtRisk(3, 100, 1.0)], Decimal(1))
    assert (certain.low, certain.loss, certain.high) == (100, 100, 100)
    assert losses([], Decimal(1)).loss == 0


def test_all_moves_add_up_to_those_who_were_there():
    days = [day(30 * n) for n in range(1, 6)]
    found = roll_rates([at(200), at(200), at(200, paid(45, 52_000), paid(60, 60_000))], days)
    rolls = list(found.rolls())
    assert sum(one.loans for one in rolls) == int(found.counts.sum())
    for before in {one.before for one in rolls}:
        assert sum(one.rate.value for one in rolls if one.before == before) == pytest.approx(1)


def test_expected_loss_is_whole_fen():
    assert expected_loss(0.05, Decimal("0.45"), 1_000_000) == 22_500
    assert expected_loss(0.0, Decimal(1), 5) == 0
    for probability, lgd in ((1.1, Decimal(0)), (0.5, Decimal(2)), (-0.1, Decimal(1))):
        with pytest.raises(PortfolioError, match="are shares"):
            expected_loss(probability, lgd, 1)


# --- decisions


def test_approvals_and_overrides_with_thin_files_apart():
    decided = [
        *[DecidedCase("approve", "approve")] * 6,
        DecidedCase("approve", "decline"),
        *[DecidedCase("decline", "decline", thin=True)] * 3,
        DecidedCase("decline", "approve", thin=True),
        DecidedCase("review", "counter"),
    ]
    found = decision_rates(decided)
    assert set(found) == {"everybody", "thin file", "thick file"}
    everybody, thin = found["everybody"], found["thin file"]
    assert (everybody.applications, everybody.approved.value, everybody.reviewed.value) == (12, 8 / 12, 1 / 12)
    assert (everybody.low_side.value, everybody.high_side.value) == (1 / 4, 1 / 7)
    assert (thin.approved.value, thin.high_side) == (1 / 4, None)
    assert decision_rates([]) == {}


# --- groups


def test_an_adverse_impact_ratio_comes_with_its_interval():
    groups = {"a": Share(600, 1_000), "b": Share(360, 1_000), "c": Share(3, 10)}
    found = impact(groups, "a")
    assert set(found) == {"b", "c"}
    assert (found["b"].ratio.value, found["b"].below_four_fifths) == (pytest.approx(0.6), True)
    assert found["c"].ratio.value == pytest.approx(0.5)
    assert not found["c"].below_four_fifths  # of ten people nothing follows
    assert found["b"].difference.high < 0 < found["c"].difference.high + 0.3
    with pytest.raises(PortfolioError, match="choose one of"):
        impact(groups, "d")


def test_refinancing_is_no_payment_of_the_borrower():
    """Trap 4, in the portfolio: a month's end in which the lender's own money came in."""
    taken = at(200, Repaid(id="r", day=day(100), amount=40_000, payer="lender"))
    assert bucket_on(taken, day(120)) == "90+"
