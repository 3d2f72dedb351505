"""Curves under noise: values, errors, coverage; roll rates and bands; by simulation with fixed seeds."""

import math

import numpy as np
import pytest

from lending.intervals import Share, wilson
from lending.portfolio.book import ARREARS_BUCKETS
from privacy.accounting import rho_of
from privacy.charges import Budget
from watching.bands import at_equal_band, by_band, rolls
from watching.cells import EventForm
from watching.errors import WatchError
from watching.plan import WatchYear
from watching.shares import Noisy, share_of
from watching.vintages import VintageForm, curve, events_beside_expected

HAZARDS = np.array([0, 0, 0, 0.006, 0.008, 0.008, 0.007, 0.006, 0.006, 0.005, 0.005, 0.004])


def played(form, people, lenders, seed, runs):
    """Cohorts of ``people`` at each of ``lenders``, many at once: truth, and curves through the real mechanism."""
    many = VintageForm(form.months, runs, form.series_noise, form.booked_noise, form.honest)
    chance = np.random.default_rng(seed)
    ends = np.append(HAZARDS, 1 - HAZARDS.sum())
    own = [chance.choice(len(ends), (people, runs), p=ends) for _ in range(lenders)]
    cohorts = np.tile(np.arange(runs), people)
    events = [EventForm(runs, 12).counted(cohorts, np.where(one < 12, one + 1, 0).ravel()) for one in own]
    booked = many.booked.decode(sum(many.booked.share(np.full(runs, people)) for _ in own))
    released = np.array(
        [many.series.release.decode(sum(many.series.share(one[: at + 1]) for one in events)) for at in range(12)]
    )
    for run in range(runs):
        truth = np.cumsum(sum(events)[:, run]) / (people * lenders)
        yield truth, curve(form, booked[run : run + 1], released[:, run : run + 1], lenders)


def test_a_curve_is_as_wrong_as_it_says():
    """The bounds let correct noise fail less than once in ten thousand runs."""
    form = VintageForm(12, 1, 10.0, 30.0, 4)
    covered, wrong, told = [], [], []
    for truth, found in played(form, 2_500, 4, 1, runs=600):
        for age in (6, 12):
            point = found[age - 1]
            covered.append(point.share.rate.holds(HAZARDS[:age].sum()))
            wrong.append(point.share.rate.value - truth[age - 1])
            told.append(point.share.noise)
        assert [one.age for one in found] == list(range(1, 13))
    assert np.mean(covered) == pytest.approx(0.95, abs=0.035)
    assert np.std(wrong) == pytest.approx(np.mean(told), rel=0.15)
    assert np.std(wrong) < 0.003


def test_a_whole_curve_is_two_releases():
    form = VintageForm(12, 3, 10.0, 30.0, 4)
    assert rho_of(form.charges) == pytest.approx((1 / 10**2 + 1 / 30**2) / 2)
    with pytest.raises(WatchError, match="3 groups"):
        curve(form, np.zeros(2), np.zeros((1, 3)), 4)


def test_few_borrowers_say_nothing():
    form = VintageForm(12, 1, 10.0, 30.0, 4)
    found = curve(form, np.array([90.0]), np.zeros((3, 1)), 4)
    assert all(one.share is None and not one.speaks for one in found)
    found = curve(form, np.array([400.0]), np.zeros((3, 1)), 4)
    assert found[0].share is not None and not found[0].speaks


def test_without_noise_an_interval_is_wilsons():
    for part, whole in ((0, 50), (3, 50), (50, 50), (700, 1_000)):
        ours, theirs = share_of(Noisy(part), Noisy(whole)).rate, wilson(Share(part, whole))
        assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.value, theirs.low, theirs.high), abs=1e-12)
    assert share_of(Noisy(0.0), Noisy(0.0)) is None
    wider = share_of(Noisy(700, 20.0), Noisy(1_000)).rate
    assert wider.high - wider.low > ours.high - ours.low
    assert share_of(Noisy(-40.0, 30.0), Noisy(1_000)).rate.value == 0.0


def test_events_beside_those_that_the_ages_on_book_let_expect():
    at_risk, hazards = np.full((3, 2), 1_000.0), np.array([[0.0, 0.01], [0.02, 0.04], [0.01, 0.03]])
    found = events_beside_expected(Noisy(165.0, 15.0), at_risk, hazards, 0.0)
    assert (found.expected, found.ratio) == (pytest.approx(110), pytest.approx(1.5))
    assert found.error == pytest.approx(math.sqrt(110 + 15**2) / 110)
    assert found.p_value == pytest.approx(2 * 0.5 * math.erfc(0.5 / found.error / math.sqrt(2)))
    assert events_beside_expected(Noisy(165.0), at_risk, hazards, 200.0).error > 0.12
    assert events_beside_expected(Noisy(1.0), at_risk * 0, hazards, 0.0) is None


def test_a_band_beside_what_was_expected_of_it():
    bands, expected = ["A", "B", "C"], [0.02, 0.05, 0.12]
    table = np.array([[60.0, 2_940], [200, 1_800], [6, 10]])
    found = by_band(bands, expected, table, 10.0)
    assert found[0].share.rate.holds(0.02) and not found[1].share.rate.holds(0.05)
    assert not found[2].speaks
    whole = at_equal_band(found, [0.6, 0.4, 0.1])
    assert whole.change.value == pytest.approx(0.4 * 0.05, abs=1e-9)
    assert whole.p_value < 1e-6
    assert at_equal_band(found[2:], [1.0]) is None
    with pytest.raises(WatchError, match="3 bands"):
        by_band(bands, expected, table[:2], 1.0)


def test_the_error_of_a_band_is_that_of_the_noise():
    """The whole is made of the part, so their noise is not independent."""
    chance = np.random.default_rng(9)
    table = np.array([600.0, 1_400]) + chance.normal(0, 30, (4_000, 2))
    found = [by_band(["A"], [0.3], one[None], 30.0)[0].share for one in table]
    assert np.std([one.rate.value for one in found]) == pytest.approx(found[0].noise, rel=0.05)


def test_moves_between_arrears_out_of_buckets_that_can_be_seen():
    counts = np.zeros((7, 7))
    counts[0, :3], counts[1, :3] = (9_000, 500, 0), (20, 30, 15)
    found = {(one.before, one.after): one.share for one in rolls(counts, 20.0)}
    assert found["0", "1-30"].rate.value == pytest.approx(500 / 9_500)
    assert {before for before, _ in found} == {"0"}
    exact = {(one.before, one.after) for one in rolls(counts * 100, 0.0)}
    assert ("1-30", "31-60") in exact
    assert len(ARREARS_BUCKETS) == 7
    with pytest.raises(WatchError, match="7 buckets"):
        rolls(counts[:6], 1.0)


def test_a_year_of_watching_leaves_most_of_a_budget():
    year = WatchYear()
    assert year.epsilon(1e-5) < 0.6
    left = year.left_for_training(Budget(1.0, 1e-5))
    assert 0.8 < left < 1.0
    names = {one.name: one for one in year.releases()}
    assert names["intake"].std == pytest.approx(math.sqrt(41) / 0.05)
    assert sum(rho_of([one.charge]) for one in names.values()) == pytest.approx(rho_of(year.charges()))
    with pytest.raises(WatchError, match=r"nothing of 0\.2"):
        year.left_for_training(Budget(0.2, 1e-5))
    with pytest.raises(WatchError, match="mu between"):
        WatchYear(intake=0.0)
