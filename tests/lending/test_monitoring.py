"""What a model's watch says, and when it is silent."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from support.effort import effort

from credit.metrics import auc
from lending.account.default import Label
from lending.errors import PortfolioError
from lending.portfolio import monitoring
from lending.portfolio.monitoring import (
    BinCounts,
    Judged,
    alarms,
    calibration,
    calibrations,
    discrimination,
    discriminations,
    expected_performance,
    stability,
)

TEN = BinCounts((100,) * 10)
DAY = date(2027, 1, 1)


def drawn(rng, people, shares):
    return BinCounts(tuple(int(one) for one in rng.multinomial(people, shares)))


# --- stability


def test_psi_by_hand():
    found = stability(BinCounts((50, 50)), BinCounts((60, 40)))
    assert found.psi == pytest.approx(0.1 * np.log(60 / 50) + -0.1 * np.log(40 / 50))
    assert stability(TEN, TEN).psi == 0
    assert stability(TEN, TEN).p_value == 1


def test_200_newcomers_exceed_0_086_by_chance_once_in_twenty():
    """Trap 5: whatever n, 0.25 or 0.1 say nothing. The figure is that of the design page."""
    many = BinCounts((1_000_000,) * 10)
    rng = np.random.default_rng(1)
    found = [stability(many, drawn(rng, 200, [0.1] * 10)).psi for _ in range(effort(10_000, 1_000))]
    assert np.mean(np.array(found) > 0.086) == pytest.approx(0.05, abs=0.02)
    wave = BinCounts((1_070, 930, 1_070, 930, 1_070, 930, 1_070, 930, 1_000, 1_000))
    large = stability(BinCounts((1_000,) * 10), wave)
    assert large.psi < 0.004
    assert large.p_value < 0.05


@pytest.mark.parametrize("sizes", [(500, 400), (2_000, 10_000)])
def test_the_null_is_chi_square(sizes):
    """Yurdakul and Naranjo 2020: mean and upper end of what chance makes, bins of unequal size."""
    shares = np.array([0.3, 0.2, 0.15, 0.15, 0.1, 0.1])
    rng = np.random.default_rng(2)
    found = [stability(drawn(rng, sizes[0], shares), drawn(rng, sizes[1], shares)) for _ in range(800)]
    values = np.array([one.psi for one in found])
    assert values.mean() == pytest.approx(found[0].null_mean, rel=0.08)
    assert np.mean(values > found[0].null_99) == pytest.approx(0.01, abs=0.01)
    assert found[0].null_99 == pytest.approx(chi2.ppf(0.99, 5) * (1 / sizes[0] + 1 / sizes[1]))
    assert np.mean([one.p_value < 0.05 for one in found]) == pytest.approx(0.05, abs=0.02)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_an_index_is_finite_symmetric_and_never_negative_whatever_is_empty(data):
    """Trap 5: an empty bin is neither infinite nor nothing."""
    size = data.draw(st.integers(2, 12))
    one, other = (
        BinCounts(tuple(data.draw(st.lists(st.integers(0, 500), min_size=size, max_size=size).filter(sum))))
        for _ in "ab"
    )
    there, back = stability(one, other), stability(other, one)
    assert there.psi == pytest.approx(back.psi)
    assert 0 <= there.psi < float("inf")
    assert 0 <= there.p_value <= 1


def test_a_bin_that_vanished_counts():
    """Trap 5: toad drops it."""
    gone = stability(BinCounts((500, 400, 100)), BinCounts((556, 444, 0)))
    assert gone.psi > 0.4
    assert gone.p_value < 1e-6
    assert stability(BinCounts((5, 5, 0)), BinCounts((5, 5, 0))).null_mean == pytest.approx(1 * (0.1 + 0.1))


def test_bins_are_the_models_own_and_there_is_nothing_here_that_makes_any():
    """Trap 5: bins re-fitted, or of both samples."""
    assert BinCounts.of([0, 2, 2, 1], 4).counts == (1, 1, 2, 0)
    for odd in (-1, 4):
        with pytest.raises(PortfolioError, match="of another model"):
            BinCounts.of([0, odd], 4)
    with pytest.raises(PortfolioError, match="over the model's bins"):
        stability(TEN, BinCounts((1, 2)))
    with pytest.raises(PortfolioError, match="cannot be compared"):
        stability(TEN, BinCounts((0,) * 10))
    assert not [name for name in vars(monitoring) if "quantile" in name or "edges" in name]


def test_a_shift_is_worth_points():
    found = stability(BinCounts((50, 50)), BinCounts((75, 25)), points=[20, -20])
    assert found.points_shift == pytest.approx(0.25 * 20 + 0.25 * 20)
    assert stability(TEN, TEN).points_shift is None


SHIFTED = BinCounts((300, 300, 50, 50, 50, 50, 50, 50, 50, 50))


def test_an_alarm_needs_effect_and_significance_and_two_periods():
    """Trap 5: each of the three alone is silent."""
    same, shifted = stability(TEN, TEN), stability(TEN, SHIFTED)
    few = stability(TEN, BinCounts((4, 4, 1, 1, 1, 1, 1, 1, 1, 1)))  # as large an effect, of 16 people
    small = BinCounts(tuple(110_000 if at % 2 else 90_000 for at in range(10)))
    many = stability(BinCounts((100_000,) * 10), small)  # beyond chance, and nothing
    assert few.psi > 0.1 > many.psi
    assert many.p_value < 1e-9 < few.p_value
    assert alarms([{"a": shifted}, {"a": shifted}]) == ("a",)
    for silent in ([{"a": shifted}], [{"a": same}, {"a": shifted}], [{"a": shifted}, {"a": same}], [{"a": few}] * 2):
        assert alarms(silent) == ()
    assert alarms([{"a": many}] * 5) == ()
    assert alarms([{"a": shifted}, {"a": shifted, "new": shifted}]) == ("a",)


def test_forty_features_are_forty_chances():
    """Trap 5: of 40 features without any change, none alarms; one by one two in five hundred would, twice."""
    now = stability(TEN, BinCounts((125, 75, 125, 75, 125, 75, 125, 75, 100, 100)))
    assert now.p_value < 0.01
    alone = {"a": now}
    assert alarms([alone] * 2, effect=0.01) == ("a",)
    crowd = {"a": now, **{f"f{n}": stability(TEN, TEN) for n in range(39)}}
    strict = now.p_value * 40 < 0.01
    assert alarms([crowd] * 2, effect=0.01) == (("a",) if strict else ())
    rng = np.random.default_rng(3)
    seen = [
        alarms([{f"f{n}": stability(TEN, drawn(rng, 300, [0.1] * 10)) for n in range(40)} for _ in "ab"], effect=0.0)
        for _ in range(20)
    ]
    assert seen == [()] * 20


def test_those_who_were_booked_raise_no_alarm():
    """Trap 5: the cut-off and the policy chose them."""
    booked = stability(TEN, SHIFTED, "booked")
    with pytest.raises(PortfolioError, match="count applications, not loans"):
        alarms([{"a": booked}] * 2)


# --- performance


def judged(band, probability, performance):
    return Judged(band, probability, Label(performance, DAY))


def test_bad_against_expected_by_band():
    right = [judged("low", 0.05, "bad" if n < 10 else "good") for n in range(200)]
    wrong = [judged("high", 0.05, "bad" if n < 60 else "good") for n in range(200)]
    young = [judged("low", 0.05, "immature")] * 500 + [judged("low", 0.05, "indeterminate")] * 9
    low, high = calibration([*right, *wrong, *young], ["low", "middle", "high"])
    assert (low.band, low.loans, low.expected, low.adrift) == ("low", 200, pytest.approx(0.05), False)
    assert (high.band, high.observed.value, high.adrift) == ("high", 0.3, True)


def test_a_thin_file_is_not_good_because_a_thick_one_is():
    """Trap 7: together they look right, apart neither is."""
    thick = [judged("b", 0.10, "bad" if n < 15 else "good") for n in range(300)]
    thin = [replace(judged("b", 0.10, "bad" if n < 45 else "good"), thin=True) for n in range(300)]
    young = [replace(judged("b", 0.1, "immature"), thin=True)] * 9
    found = calibrations([*thick, *thin, *young], ["b"])
    assert {name: one.adrift for name, (one,) in found.items()} == {
        "everybody": False, "thin file": True, "thick file": True,
    }  # fmt: skip
    ranked = discriminations([*thick, *thin, *young])
    assert {name: (one.loans, one.bad) for name, one in ranked.items()} == {
        "everybody": (600, 60), "thin file": (300, 45), "thick file": (300, 15),
    }  # fmt: skip
    alone = calibrations([*thick, *young], ["b"])
    assert alone == calibrations(thick, ["b"]) and set(alone) == {"everybody"}, "who is not mature changes nothing"


def test_chance_is_shared_among_all_that_is_compared():
    near = [replace(judged("b", 0.10, "bad" if n < 46 else "good"), thin=True) for n in range(330)]
    assert calibration(near, ["b"])[0].adrift and not calibration(near, ["b"], 3)[0].adrift


def test_auc_and_ks_are_of_mature_loans_only():
    """Trap 7: the immature are goods so far, and MOB 2 is not MOB 12."""
    rng = np.random.default_rng(4)
    p = rng.beta(1, 6, 800)
    bad = rng.random(800) < p
    mature = [judged("b", float(one), "bad" if is_bad else "good") for one, is_bad in zip(p, bad, strict=True)]
    young = [judged("b", 0.99, "immature")] * 300
    found = discrimination([*mature, *young])
    assert (found.loans, found.bad) == (800, int(bad.sum()))
    assert found.auc.value == pytest.approx(auc(bad.astype(np.int64), p))
    assert found.auc.holds(found.auc.value) and found.auc.high - found.auc.low < 0.2
    assert 0 < found.ks < 1
    assert discrimination(young) is None
    assert discrimination([judged("b", 0.1, "good")] * 5) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from((0.01, 0.1, 0.25, 0.5, 0.9)), min_size=2, max_size=30))
def test_expected_auc_is_over_all_pairs(p):
    won = pairs = 0.0
    for i, one in enumerate(p):
        for j, other in enumerate(p):
            if i != j:
                pairs += one * (1 - other)
                won += one * (1 - other) * (1.0 if one > other else 0.5 if one == other else 0.0)
    found = expected_performance(p, [True] * len(p))
    assert found.auc.value == pytest.approx(won / pairs)
    assert found.declined_bad_rate is None


def test_before_labels_arrive_calibrated_probabilities_say_what_labels_will():
    rng = np.random.default_rng(5)
    p = rng.beta(1, 8, 4_000)
    approved = p < 0.15
    expected = expected_performance(p, approved)
    real = [auc((rng.random(len(p)) < p).astype(np.int64), p) for _ in range(200)]
    assert np.mean(real) == pytest.approx(expected.auc.value, abs=0.005)
    assert np.mean([expected.auc.holds(one) for one in real]) > 0.9
    assert expected.approved_bad_rate.value == pytest.approx(p[approved].mean())
    assert expected.approved_bad_rate.high < expected.declined_bad_rate.low
    rates = [(rng.random(approved.sum()) < p[approved]).mean() for _ in range(200)]
    assert np.mean([expected.approved_bad_rate.holds(float(one)) for one in rates]) > 0.9


def test_what_is_no_probability_is_refused():
    for p in ([0.5], [0.0, 0.5], [0.5, 1.0], [0.5, float("nan")]):
        with pytest.raises(PortfolioError, match="between 0 and 1"):
            expected_performance(p, [True] * len(p))
