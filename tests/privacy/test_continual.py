"""Series under continual observation: sensitivity by enumeration, cost by other accountants, errors by counting.
Thresholds let correct noise fail less than once in a million runs of this file."""

import math
from fractions import Fraction

import numpy as np
import pytest
from dp_accounting import GaussianDpEvent
from dp_accounting.pld import PLDAccountant
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import chi2, norm

from privacy import sums
from privacy.accounting import epsilon_of
from privacy.continual import MAX_SERIES, MAX_SERIES_NOISE, WEIGHT_BITS, Series
from privacy.errors import PrivacyError

DELTA = 1e-5
P_VALUE = 1e-9
LENGTHS = [1, 2, 12, 24, 60, MAX_SERIES]


def silence(patch):
    patch.setattr(sums, "discrete_gaussian", lambda size, scale: np.zeros(size, np.int64))


def counts(steps, size, seed=0):
    return np.random.default_rng(seed).integers(0, 500, (steps, size)).astype(np.int64)


def released(series, lenders):
    """What everybody knows after the last step; ``lenders`` are each one's increments."""
    return np.array(
        [series.release.decode(sum(series.share(own[: at + 1]) for own in lenders)) for at in range(len(lenders[0]))]
    )


# --- sensitivity


@pytest.mark.parametrize("steps", LENGTHS)
def test_no_one_changes_a_series_by_more_than_is_said(steps, monkeypatch):
    """Every step and cell that one person could be in, through the very sums that leave a lender."""
    silence(monkeypatch)
    series = Series(steps, 2, 5.0, 2)
    before = counts(steps, 2)
    squared = []
    for at in range(steps):
        after = before.copy()
        after[at, 1] += 1
        moved = [series.share(after[: t + 1]) - series.share(before[: t + 1]) for t in range(steps)]
        assert not any(one[0] for one in moved)
        squared.append(sum(Fraction(int(one[1])) ** 2 for one in moved) * Fraction(series.release.step) ** 2)
    assert max(squared) == squared[0] <= Fraction(series.sensitivity) ** 2
    assert float(squared[0]) == pytest.approx(series.sensitivity**2, rel=1e-12)


def test_the_grid_is_never_coarser_than_a_weight():
    for noise in (0.1, 1.0, 333.0, MAX_SERIES_NOISE):
        for steps in LENGTHS:
            assert Series(steps, 3, noise, 1).release.step <= 2.0**-WEIGHT_BITS


def test_a_series_charges_what_the_sum_of_its_steps_costs():
    """One Gaussian for all steps: the mechanism composed step by step, by dp-accounting and by hand."""
    for steps in (1, 12):
        for noise in (3.0, 20.0):
            series = Series(steps, 1, noise, 1)
            ours = epsilon_of([series.charge], DELTA)
            accountant = PLDAccountant(value_discretization_interval=1e-4)
            for weight in series.weights:
                per_step = noise * series.sensitivity / (int(weight) / 2**WEIGHT_BITS)
                accountant.compose(GaussianDpEvent(per_step))
            assert accountant.get_epsilon(DELTA) == pytest.approx(ours, rel=0.01)
            exact = gaussian(outcomes_apart(series), DELTA)
            assert exact <= ours <= exact * 1.01


def outcomes_apart(series):
    """The largest distance between two worlds' published running sums in deviations of their noise (Mahalanobis):
    nothing here looks at R."""
    spread = series.running_covariance(1)
    apart = [np.array([float(t >= s) for t in range(series.steps)]) for s in range(series.steps)]
    return max(math.sqrt(one @ np.linalg.solve(spread, one)) for one in apart)


def gaussian(mu, delta):
    """Dong, Roth & Su 2019, corollary 2.13, solved for epsilon."""
    return brentq(
        lambda e: norm.cdf(mu / 2 - e / mu) - math.exp(e) * norm.cdf(-mu / 2 - e / mu) - delta, 0, 100, xtol=1e-13
    )


# --- what comes out


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**31))
def test_without_noise_the_running_sums_are_those_of_all_lenders(steps, size, lenders, seed):
    with pytest.MonkeyPatch.context() as patch:
        silence(patch)
        series = Series(steps, size, 4.0, lenders)
        own = [counts(steps, size, seed + one) for one in range(lenders)]
        seen = released(series, own)
    assert series.running(seen) == pytest.approx(np.cumsum(sum(own), axis=0), abs=1e-6)
    assert series.increments(seen) == pytest.approx(sum(own), abs=1e-6)
    assert series.running(seen[:1]) == pytest.approx(sum(own)[:1], abs=1e-6)


def test_errors_are_those_that_are_said():
    """Of every step and of their covariance, which a difference of two running sums needs."""
    series = Series(12, 4_000, 8.0, 2)
    own = [counts(12, 4_000, one) for one in range(2)]
    wrong = series.running(released(series, own)) - np.cumsum(sum(own), axis=0)
    low, high = chi2.ppf([P_VALUE, 1 - P_VALUE], 4_000) / 4_000
    stds = series.running_std(2)
    for at in range(12):
        assert low < (wrong[at] ** 2).mean() / stds[at] ** 2 < high
    covariance = series.running_covariance(2)
    since = covariance[11, 11] + covariance[5, 5] - 2 * covariance[11, 5]
    assert low < ((wrong[11] - wrong[5]) ** 2).mean() / since < high
    assert abs(wrong.mean()) < norm.isf(P_VALUE) * math.sqrt(covariance.sum()) / 12 / math.sqrt(4_000)


def test_a_year_costs_less_error_than_releasing_each_month_anew():
    """The factor is what docs/decisions/0046 chose by: 1.85 deviations at most, where a fresh release of every
    running sum has 3.46 and Honaker's tree 2.99."""
    series = Series(12, 1, 10.0, 1)
    assert max(series.running_std(1)) / 10.0 == pytest.approx(1.851, abs=0.001)


# --- what is refused


def test_what_is_no_series_is_refused():
    for steps, noise in ((0, 5.0), (MAX_SERIES + 1, 5.0), (12, 0.0), (12, MAX_SERIES_NOISE * 2), (12, math.nan)):
        with pytest.raises(PrivacyError, match="series"):
            Series(steps, 1, noise, 1)


def test_what_is_no_step_of_it_is_refused():
    series = Series(3, 2, 5.0, 1)
    for rows in (counts(4, 2), counts(0, 2), counts(2, 3), counts(2, 2)[0], counts(2, 2).astype(float)):
        with pytest.raises(PrivacyError, match="no steps of a series"):
            series.contribution(rows)
    for rows in (counts(4, 2), counts(2, 3)):
        with pytest.raises(PrivacyError, match="no steps of a series"):
            series.running(rows.astype(float))
    for wrong in (-1, 1 << 41):
        with pytest.raises(PrivacyError, match="counts people"):
            series.contribution(np.array([[wrong, 0]]))
