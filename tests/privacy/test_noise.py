"""Exact noise from the operating system. Thresholds let a correct sampler fail less than once in a million runs."""

import random

import numpy as np
import pytest
import torch
from scipy.stats import binom, chisquare, kstest, norm

from privacy.errors import PrivacyError
from privacy.noise import GRID_STEPS_PER_STD, Grid, discrete_gaussian, noisy_sum, poisson_sample

SIX_SIGMA = 6.0  # two-sided 2e-9
P_VALUE = 1e-8


@pytest.fixture(scope="module")
def draws():
    return discrete_gaussian(20_000, 1000.0)


def seed_everything():
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)


def test_draws_have_mean_zero(draws):
    assert abs(draws.mean()) < SIX_SIGMA * 1000 / np.sqrt(len(draws))


def test_draws_have_the_stated_variance(draws):
    assert abs(draws.var() / 1000**2 - 1) < SIX_SIGMA * np.sqrt(2 / len(draws))


def test_draws_follow_the_gaussian_when_the_grid_is_fine(draws):
    # One grid step is a thousandth of a standard deviation: far below what KS can see in 20,000 draws.
    assert kstest(draws / 1000, norm.cdf).pvalue > P_VALUE


def test_draws_follow_the_discrete_gaussian_when_the_grid_is_coarse():
    # Canonne, Kamath & Steinke 2020, definition 1: P(k) proportional to exp(-k^2 / 2 sigma^2).
    sigma, reach = 1.5, 5
    k = np.arange(-30, 31)
    mass = np.exp(-(k**2) / (2 * sigma**2))
    expected = np.bincount(np.clip(k, -reach, reach) + reach, mass / mass.sum())
    drawn = np.bincount(np.clip(discrete_gaussian(20_000, sigma), -reach, reach) + reach, minlength=2 * reach + 1)
    assert chisquare(drawn, expected * 20_000).pvalue > P_VALUE


def test_draws_are_not_correlated(draws):
    lagged = np.corrcoef(draws[:-1], draws[1:])[0, 1]
    assert abs(lagged) < SIX_SIGMA / np.sqrt(len(draws))


@pytest.mark.parametrize(("sensitivity", "multiplier"), [(1.0, 1.0), (2.5, 4.0), (1e-3, 0.5), (100.0, 0.1)])
def test_a_noisy_sum_carries_noise_of_multiplier_times_sensitivity(sensitivity, multiplier):
    total = np.arange(-5_000.0, 5_000.0)
    noise = (noisy_sum(total, sensitivity, multiplier) - total) / (sensitivity * multiplier)
    # What rounding adds to the sensitivity, one grid step per coordinate, is in the noise.
    std = 1 + multiplier * np.sqrt(len(total)) / GRID_STEPS_PER_STD
    assert abs(noise.mean()) < SIX_SIGMA * std / np.sqrt(len(noise))
    assert abs(noise.std() / std - 1) < SIX_SIGMA / np.sqrt(2 * len(noise))
    assert kstest(noise / std, norm.cdf).pvalue > P_VALUE


def test_noise_grows_with_the_dimension_by_what_rounding_can_add():
    multiplier, size = 2000.0, 10_000  # a multiplier so large that the correction is a fifth of the noise
    noise = noisy_sum(np.zeros(size), 1.0, multiplier) / multiplier
    expected = 1 + multiplier * np.sqrt(size) / GRID_STEPS_PER_STD
    assert expected > 1.15
    assert abs(noise.std() / expected - 1) < SIX_SIGMA / np.sqrt(2 * size)


def test_released_values_lie_on_the_grid():
    steps = noisy_sum(np.array([3.0, -2.0, 0.0, 12345.0]), 1.0, 1.0) * GRID_STEPS_PER_STD
    assert (steps == np.rint(steps)).all()


def test_a_sum_of_real_numbers_is_not_a_count():
    with pytest.raises(PrivacyError, match="whole numbers"):
        noisy_sum(np.array([0.5]), 1.0, 1.0)


def test_a_sum_that_would_wrap_the_grid_is_refused():
    with pytest.raises(PrivacyError, match="too large"):
        noisy_sum(np.array([1e15]), 1.0, 1.0)


def test_adding_one_record_changes_the_exact_sum_by_no_more_than_the_clip_and_the_rounding():
    """Sums on the grid are whole numbers, so no order of summation and no neighbour changes their rounding."""
    rng = np.random.default_rng(0)
    records = rng.normal(size=(20_000, 30))
    records /= np.linalg.norm(records, axis=1, keepdims=True)
    grid = Grid(1.0, 5.0)
    whole = grid.round(records).sum(axis=0)
    without = grid.round(records[:-1]).sum(axis=0)
    assert (grid.round(records[::-1]).sum(axis=0) == whole).all()
    assert np.linalg.norm((whole - without) * grid.step) <= 1 + np.sqrt(30) * grid.step


def test_noise_does_not_come_from_a_seeded_generator():
    seed_everything()
    first = (discrete_gaussian(8, 1e6).tolist(), noisy_sum(np.zeros(8), 1.0, 1.0).tolist())
    seed_everything()
    second = (discrete_gaussian(8, 1e6).tolist(), noisy_sum(np.zeros(8), 1.0, 1.0).tolist())
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_sampling_does_not_come_from_a_seeded_generator():
    seed_everything()
    first = poisson_sample(200, 0.5).tolist()
    seed_everything()
    assert poisson_sample(200, 0.5).tolist() != first


def test_drawing_noise_leaves_seeded_generators_alone():
    seed_everything()
    expected = (random.random(), np.random.random(), torch.rand(1).item())
    seed_everything()
    noisy_sum(np.zeros(8), 1.0, 1.0)
    poisson_sample(200, 0.5)
    assert (random.random(), np.random.random(), torch.rand(1).item()) == expected


@pytest.mark.parametrize(
    ("total", "sensitivity", "multiplier"),
    [
        ([0.0], 0.0, 1.0),
        ([0.0], -1.0, 1.0),
        ([0.0], float("nan"), 1.0),
        ([0.0], float("inf"), 1.0),
        ([0.0], 1.0, 0.0),
        ([0.0], 1.0, -1.0),
        ([0.0], 1.0, float("nan")),
        ([0.0], 1.0, float("inf")),
        ([0.0, float("nan")], 1.0, 1.0),
        ([float("inf")], 1.0, 1.0),
        ([-float("inf")], 1.0, 1.0),
    ],
)
def test_a_release_without_a_guarantee_is_refused(total, sensitivity, multiplier):
    with pytest.raises(PrivacyError, match="a noisy sum needs"):
        noisy_sum(np.array(total), sensitivity, multiplier)


@pytest.mark.parametrize("rate", [0.001, 0.25, 0.5, 0.999])
def test_a_poisson_sample_includes_each_record_at_the_stated_rate(rate):
    size = 200_000
    low, high = binom.ppf([1e-9, 1 - 1e-9], size, rate)
    assert low <= poisson_sample(size, rate).sum() <= high


def test_a_poisson_sample_varies_in_size():
    assert len({int(poisson_sample(10_000, 0.3).sum()) for _ in range(20)}) > 1


def test_records_are_included_independently_of_their_place():
    halves = np.array([poisson_sample(1000, 0.5) for _ in range(200)]).sum(axis=0)
    assert np.abs((halves - 100) / np.sqrt(200 * 0.25)).max() < 7.0


def test_a_rate_of_one_includes_everybody():
    assert poisson_sample(1000, 1.0).all()


def test_a_sample_of_nobody_is_empty():
    assert poisson_sample(0, 0.5).shape == (0,)


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.0000001, 2.0, float("nan"), float("inf")])
def test_a_rate_that_is_no_rate_is_refused(rate):
    with pytest.raises(PrivacyError, match="sampling rate"):
        poisson_sample(10, rate)
