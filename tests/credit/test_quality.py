"""Figures of counts: by hand, beside those of people, and whether their errors cover the truth."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from support.plans import small_plan
from support.world import schema_of

from credit import metrics
from credit.calibrating import calibrated
from credit.evaluation import count_scores
from credit.foresight import USUAL_AUC, foreseen, usual_spread
from credit.groups import GRID, LEAST, MOST, FineCounts, Shape, Spread, cut, finer, groups_for
from credit.models import KNOTS, UNCALIBRATED
from credit.planning import Training, plan_mechanism
from credit.quality import (
    Counts,
    Measured,
    TrainedOn,
    auc_of,
    bad_rate_of,
    ece_of,
    everybody,
    ks_of,
    observed_to_expected_of,
    pooled,
    psi_of,
)
from privacy.charges import Budget

SPREAD = Spread(-3.1, 1.05)
PEOPLE, HELD = 13_500, 1_500
NOISES = (14.0, 7.0)
"""About what epsilon 1 leaves in a group, of those trained on and of those held out."""


def densities(spread: Spread) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds, and shares of good and bad there, whose probabilities are right."""
    people = np.exp(-(GRID**2) / 2) / np.exp(-(GRID**2) / 2).sum()
    scores = spread.at(GRID)
    return scores, np.stack([people * expit(-scores), people * expit(scores)])


def grouped(scores, shares, edges):
    group = np.searchsorted(edges, scores, side="right")
    return np.stack([np.bincount(group, one, len(edges) + 1) for one in shares])


def test_figures_by_hand():
    counts = Counts(np.array([[60.0, 30.0, 10.0], [2.0, 3.0, 5.0]]), 0.0)
    half = np.full(3, 0.5)
    assert auc_of(counts, half).value == pytest.approx(0.2 * 0.3 + 0.3 * 0.75 + 0.5 * 0.95)
    assert ks_of(counts, 2).value == pytest.approx(0.5 - 0.1)
    assert bad_rate_of(counts).value == pytest.approx(10 / 110)
    chance = np.array([0.05, 0.1, 0.2])
    assert observed_to_expected_of(counts, chance).value == pytest.approx(10 / (3.1 + 3.3 + 3.0))
    exact = ece_of(Counts(counts.people, 0.0, 1e-12), chance)
    assert exact.value == pytest.approx((1.1 + 0.3 + 2.0) / 110)
    assert psi_of(np.array([5e8, 5e8]), np.array([2.5e8, 7.5e8]), (0.0, 0.0)).value == pytest.approx(
        0.25 * math.log(2) + 0.25 * math.log(1.5)
    )


@given(st.lists(st.tuples(st.floats(-4, 4), st.integers(0, 1)), min_size=4, max_size=80))
def test_auc_of_fine_groups_is_that_of_people(rows):
    scores, labels = np.array([one for one, _ in rows]), np.array([one for _, one in rows])
    if len(set(labels.tolist())) == 2:
        edges = np.linspace(-4, 4, 40)
        counts = Counts(count_scores(scores, labels, edges).reshape(2, -1).astype(float), 0.0)
        middles = np.searchsorted(edges, scores, side="right")
        assert auc_of(counts, np.full(41, 0.5)).value == pytest.approx(metrics.auc(labels, middles))


def test_the_variance_of_auc_is_hanleys_and_mcneils_for_two_exponentials():
    """1982, equation 2: Q1 = A / (2 - A), Q2 = 2 A^2 / (1 + A)."""
    area, good, bad = 0.8, 900.0, 100.0
    ratio = area / (1 - area)
    edges = -np.log(np.linspace(1, 0, 400, endpoint=False))
    below = np.stack([np.exp(-edges * ratio), np.exp(-edges)])
    shares = -np.diff(below, axis=1, append=0.0)
    found = auc_of(Counts(shares * np.array([[good], [bad]]), 0.0), np.full(400, 0.5))
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    expected = (bad * (first - area**2) + good * (second - area**2)) / (good * bad)
    assert found.value == pytest.approx(area, abs=1e-3)
    assert found.error == pytest.approx(math.sqrt(expected), rel=0.02)


def test_people_within_groups_rank_as_their_probabilities_have_it():
    """So that few groups do not make a model look worse."""
    scores, shares = densities(SPREAD)
    good, bad = shares[0] / shares[0].sum(), shares[1] / shares[1].sum()
    truth = float(bad @ (np.cumsum(good) - good / 2))
    edges = cut(SPREAD, shares[1].sum(), LEAST)
    counts = Counts(grouped(scores, shares * 1e6, edges), 0.0)
    shape = Shape.of(counts.people.sum(axis=0), edges)
    measured = Measured(counts, shape.probability((KNOTS, KNOTS)))
    assert measured.auc().value == pytest.approx(truth, abs=5e-4)
    assert auc_of(counts, np.full(LEAST, 0.5)).value < truth - 0.005
    assert measured.mean == pytest.approx(counts.people[1] / counts.people.sum(axis=0), rel=0.01)


@pytest.fixture(scope="module")
def runs():
    """500 campaigns: chance and noise drawn anew, the calibration fitted anew."""
    scores, shares = densities(SPREAD)
    base = float(shares[1].sum())
    edges = cut(SPREAD, base, groups_for(base * PEOPLE, NOISES[0]))
    cells = finer(SPREAD, edges)
    places = np.searchsorted(cells, scores, side="right")
    expected = np.stack([np.bincount(places, one, len(cells) + 1) for one in shares])
    group = np.searchsorted(edges, np.append(cells, np.inf), side="left")
    good, bad = shares[0] / shares[0].sum(), shares[1] / shares[1].sum()
    auc = float(bad @ (np.cumsum(good) - good / 2))
    rng = np.random.default_rng(4)

    def counted(number, noise):
        people = rng.poisson(expected * number)
        groups = np.stack([np.bincount(group, one, len(edges) + 1) for one in people])
        return people, Counts(groups + rng.normal(0, noise, groups.shape), noise)

    found = []
    for _ in range(500):
        people, trained = counted(PEOPLE, NOISES[0])
        _, held = counted(HELD, NOISES[1])
        noise = 3 * NOISES[0]
        fine = FineCounts(people.sum(axis=0) + rng.normal(0, noise, len(cells) + 1), cells, noise)
        shape = Shape.of(trained.people.sum(axis=0), edges, fine)
        honest = KNOTS, np.array(calibrated(trained, shape))
        one = TrainedOn(trained, shape, honest, True, HELD / (PEOPLE + HELD))
        both, _ = everybody(one, held, base)
        probability = expit(np.interp(scores, *honest))
        high = np.searchsorted(edges, scores, side="right") >= both.first
        by_group = grouped(scores, np.stack([shares[1], shares.sum(axis=0) * probability]), edges)
        found.append(
            {
                "auc": (both.auc(), auc),
                "ks": (ks_of(both.counts, both.first), float(bad[high].sum() - good[high].sum())),
                "bad_rate": (bad_rate_of(both.counts), base),
                "observed_to_expected": (
                    observed_to_expected_of(both.counts, both.mean),
                    base / float(shares.sum(axis=0) @ probability),
                ),
                "ece": (ece_of(both.counts, both.mean), float(np.abs(by_group[0] - by_group[1]).sum())),
            }
        )
    return found


@pytest.mark.parametrize("figure", ["auc", "ks", "bad_rate", "observed_to_expected"])
def test_errors_cover_the_truth_in_95_of_100_campaigns(runs, figure):
    covered = [abs(one[figure][0].value - one[figure][1]) <= 1.96 * one[figure][0].error for one in runs]
    assert 0.93 <= np.mean(covered) <= 0.97
    misses = [one[figure][0].value - one[figure][1] for one in runs]
    assert abs(np.mean(misses)) < 0.25 * np.std(misses), "and they are of chance, not of bias"


def test_an_error_that_cannot_be_negative_is_covered_at_least_as_often(runs):
    covered = [abs(one["ece"][0].value - one["ece"][1]) <= 1.96 * one["ece"][0].error for one in runs]
    assert np.mean(covered) >= 0.93
    assert np.mean([one["ece"][1] for one in runs]) < 0.02


def test_with_1500_held_out_of_whom_7_in_100_are_bad_auc_is_known_to_0_015(runs):
    assert np.mean([one["auc"][0].error for one in runs]) <= 0.015


def test_pooled_counts_are_unbiased_and_better_than_either():
    rng = np.random.default_rng(0)
    expected = np.array([[3000.0, 2000.0, 800.0], [40.0, 80.0, 120.0]])
    found = []
    for _ in range(300):
        trained, held = (
            Counts(rng.poisson(expected * share) + rng.normal(0, noise, (2, 3)), noise)
            for share, noise in ((0.8, 14.0), (0.2, 7.0))
        )
        both = pooled(trained, held, 0.2, 0.04)
        found.append(both.people / both.people.sum())
        everybody = trained.people.sum() + held.people.sum()
        assert both.number.value == pytest.approx(everybody), "each once, however they weigh"
        assert both.number.error == pytest.approx(math.hypot(14.0, 7.0) * math.sqrt(6))
        rates = [bad_rate_of(one).error for one in (both, trained, held)]
        assert rates[0] < min(rates[1:])
    assert np.mean(found, axis=0) == pytest.approx(expected / expected.sum(), rel=0.03, abs=5e-4)


@given(st.floats(-6, 3), st.floats(0, 3), st.floats(0.001, 0.999), st.integers(2, MOST))
def test_edges_rise_and_one_lies_at_the_base_rate_where_it_can(mean, deviation, base, groups):
    edges = cut(Spread(mean, deviation), base, groups)
    assert len(edges) == groups - 1 and all(a < b for a, b in pairwise(edges))
    assert all(a < b for a, b in pairwise(finer(Spread(mean, deviation), edges)))
    if groups > 3 and abs(mean - math.log(base / (1 - base))) < deviation / 2:
        assert np.isclose(edges, math.log(base / (1 - base))).any()


def test_more_bad_people_in_less_noise_are_counted_in_more_groups():
    found = [groups_for(bad, 14.0) for bad in (0, 900, 1500, 2500, 1e6)]
    assert found == sorted(found) and (found[0], found[-1]) == (LEAST, MOST)
    assert groups_for(900, 1.0) > groups_for(900, 14.0)


def test_people_who_lie_askew_are_found_by_finer_counts():
    rng = np.random.default_rng(0)
    scores = -3.1 + 1.05 * (rng.gamma(2.0, size=400_000) - 2) / math.sqrt(2)
    edges = cut(Spread(scores.mean(), scores.std()), float(expit(scores).mean()), LEAST)
    group = np.searchsorted(edges, scores, side="right")
    people = np.bincount(group).astype(float)
    truth = np.bincount(group, expit(scores)) / people
    cells = finer(Spread(scores.mean(), scores.std()), edges)
    fine = FineCounts(np.bincount(np.searchsorted(cells, scores, side="right"), minlength=len(cells) + 1), cells, 1.0)
    found = [Shape.of(people, edges, one).probability((KNOTS, KNOTS)).mean(axis=1) for one in (None, fine)]
    misses = [np.abs(one / truth - 1).max() for one in found]
    assert misses[1] < 0.05 < 0.1 < misses[0]


def test_noise_alone_changes_no_probability():
    rng = np.random.default_rng(0)
    edges = np.array([-1.0, 0.0, 1.0])
    counts = Counts(rng.normal(0, 1e5, (2, 4)), 1e6)
    shape = Shape.of(counts.people.sum(axis=0), edges, FineCounts(rng.normal(0, 1e6, 4), edges, 1e6))
    assert np.isfinite(shape.nodes).all()
    assert calibrated(counts, shape) == UNCALIBRATED


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.6, -0.3), (1.8, 0.5)])
def test_probabilities_that_are_wrong_are_found_and_made_right(slope, shift):
    scores, shares = densities(Spread(-2.0, 1.0))
    people = shares.sum(axis=0)
    truth = expit(slope * scores + shift)
    edges = cut(Spread(-2.0, 1.0), float(people @ truth), 10)
    counts = Counts(1e6 * grouped(scores, np.stack([people * (1 - truth), people * truth]), edges), 10.0)
    found = calibrated(counts, Shape.of(counts.people.sum(axis=0), edges))
    assert all(a < b for a, b in pairwise(found))
    assert people @ np.abs(expit(np.interp(scores, KNOTS, found)) - truth) < 0.002


LATE = {"name": "late", "kind": "integer", "category": "repayment"}


def told(people, base, hold_out=0.1, kind="scorecard", epsilon=1.0):
    plan = plan_mechanism(Budget(epsilon, 1e-5), Training(kind, 5, hold_out=hold_out))
    age = {"name": "age", "kind": "integer", "category": "identity"}
    more = [LATE | {"name": f"late{i}"} for i in range(20)]
    return foreseen((kind, schema_of(age, *more)), plan, 5, people, base)


def test_what_is_foreseen_is_what_is_found(runs):
    found = told(15_000, 0.066)
    assert found.everybody.auc.error == pytest.approx(np.mean([one["auc"][0].error for one in runs]), rel=0.15)
    assert "with about 1,500 held out of 15,000 people, 6.6% of them bad, AUC will be known to ± 0.01" in found.said()
    assert "age 0 to 24" in found.untold
    assert not told(1_000_000, 0.2).untold


def test_more_people_or_budget_tell_more_and_too_few_nothing():
    errors = [told(people, 0.07).everybody.auc.error for people in (8_000, 15_000, 60_000)]
    assert errors == sorted(errors, reverse=True)
    assert told(15_000, 0.07, epsilon=3.0).everybody.auc.error < errors[1]
    assert told(15_000, 0.07, kind="mlp").everybody.auc.error > 2 * errors[1], "of those held out alone"
    assert "nothing will be known" in told(600, 0.02).said()
    plan = small_plan()
    assert plan.hold_out == 0 and foreseen(("scorecard", schema_of(LATE)), plan, 3, 1e4, 0.1) is None


@pytest.mark.parametrize("base", [0.005, 0.07, 0.5, 0.9])
def test_the_usual_model_has_the_usual_auc_and_base_rate(base):
    _, (good, bad) = densities(usual_spread(base))
    assert bad.sum() == pytest.approx(base, rel=1e-6)
    good, bad = good / good.sum(), bad / bad.sum()
    assert bad @ (np.cumsum(good) - good / 2) == pytest.approx(USUAL_AUC, abs=1e-6)
