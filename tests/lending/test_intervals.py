"""Intervals against the papers that they are from, against scipy, and by how often they hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from scipy.stats.contingency import relative_risk

from lending.errors import PortfolioError
from lending.intervals import Share, difference, ratio, wilson


def bounds(estimate):
    return round(estimate.low, 4), round(estimate.high, 4)


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_in_newcombe_1998_table_1(part, whole, low, high):
    assert bounds(wilson(Share(part, whole))) == (low, high)


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_differences_as_in_newcombe_1998_table_2_method_10(one, other, low, high):
    assert bounds(difference(Share(*one), Share(*other))) == (low, high)


pairs = st.tuples(st.integers(0, 900), st.integers(0, 900)).filter(any)
shares = pairs.map(lambda pair: Share(pair[0], sum(pair)))


@settings(max_examples=80, deadline=None)
@given(shares, st.sampled_from((0.8, 0.95, 0.99)))
def test_wilson_as_scipy_has_it(share, confidence):
    found, its = wilson(share, confidence), binomtest(share.part, share.whole).proportion_ci(confidence, "wilson")
    assert (found.low, found.high) == pytest.approx((its.low, its.high), abs=1e-12)
    assert found.holds(share.value)


@settings(max_examples=80, deadline=None)
@given(shares, shares)
def test_differences_and_ratios_turned_round(one, other):
    there, back = difference(one, other), difference(other, one)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.holds(one.value - other.value)
    if one.part and other.part:
        there, back = ratio(one, other), ratio(other, one)
        assert there.holds(one.value / other.value)
        assert there.low == pytest.approx(1 / back.high, rel=1e-9)


def test_ratios_of_many_are_those_of_the_large_sample():
    found, its = ratio(Share(3_000, 9_000), Share(4_000, 10_000)), relative_risk(3_000, 9_000, 4_000, 10_000)
    interval = its.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=2e-3)


def test_a_ratio_to_nothing_has_no_upper_end():
    assert ratio(Share(3, 10), Share(0, 10)).high == math.inf
    assert ratio(Share(3, 10), Share(0, 10)).low > 0
    assert ratio(Share(0, 10), Share(5, 10)).low == 0


@pytest.mark.parametrize(("p", "q", "n", "m"), [(0.5, 0.5, 40, 40), (0.3, 0.6, 60, 30), (0.1, 0.15, 150, 100)])
def test_ratios_hold_the_truth_as_often_as_they_say(p, q, n, m):
    rng = np.random.default_rng(7)
    draws = zip(rng.binomial(n, p, 1_000), rng.binomial(m, q, 1_000), strict=True)
    held = [ratio(Share(int(a), n), Share(int(b), m)).holds(p / q) for a, b in draws]
    assert 0.93 < np.mean(held) < 0.98


def test_a_share_of_nobody_is_none():
    for part, whole in ((0, 0), (2, 1), (-1, 4)):
        with pytest.raises(PortfolioError, match="is no share"):
            Share(part, whole)
