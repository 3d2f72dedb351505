"""Exact noise from the operating system. Thresholds let a correct sampler fail less than once in a million runs."""

import os
import random

import numpy as np
import pytest
import torch
from scipy.stats import binom, chisquare, kstest, norm

from privacy.errors import PrivacyError
from privacy.noise import discrete_gaussian, discrete_laplace, poisson_sample

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


@pytest.mark.parametrize("scale", [0.7, 3.0])
def test_laplace_draws_follow_the_discrete_laplace(scale):
    # Ghosh, Roughgarden & Sundararajan 2009: P(k) proportional to exp(-|k| / scale).
    reach = round(5 * scale)
    k = np.arange(-300, 301)
    mass = np.exp(-np.abs(k) / scale)
    expected = np.bincount(np.clip(k, -reach, reach) + reach, mass / mass.sum())
    drawn = np.bincount(np.clip(discrete_laplace(10_000, scale), -reach, reach) + reach, minlength=2 * reach + 1)
    assert chisquare(drawn, expected * 10_000).pvalue > P_VALUE


@pytest.mark.parametrize("draw", [discrete_gaussian, discrete_laplace])
def test_draws_are_whole_numbers_as_many_as_were_asked_for(draw):
    assert draw(7, 3.0).shape == (7,)
    assert draw(7, 3.0).dtype == np.int64
    assert draw(0, 3.0).shape == (0,)


@pytest.mark.parametrize("draw", [discrete_gaussian, discrete_laplace])
def test_noise_does_not_come_from_a_seeded_generator(draw):
    seed_everything()
    first = draw(8, 1e6).tolist()
    seed_everything()
    assert draw(8, 1e6).tolist() != first


def test_a_forked_worker_draws_noise_of_its_own():
    """A generator whose state is copied with the process would give both the same."""
    read, write = os.pipe()
    discrete_gaussian(8, 1e6)
    if (child := os.fork()) == 0:
        try:
            os.write(write, discrete_gaussian(8, 1e6).tobytes() + poisson_sample(64, 0.5).tobytes())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(read, 1000)
    os.close(read)
    os.close(write)
    assert len(theirs) == 128
    assert theirs[:64] != discrete_gaussian(8, 1e6).tobytes()
    assert theirs[64:] != poisson_sample(64, 0.5).tobytes()


def test_sampling_does_not_come_from_a_seeded_generator():
    seed_everything()
    first = poisson_sample(200, 0.5).tolist()
    seed_everything()
    assert poisson_sample(200, 0.5).tolist() != first


def test_drawing_noise_leaves_seeded_generators_alone():
    seed_everything()
    expected = (random.random(), np.random.random(), torch.rand(1).item())
    seed_everything()
    discrete_gaussian(8, 1.0)
    discrete_laplace(8, 1.0)
    poisson_sample(200, 0.5)
    assert (random.random(), np.random.random(), torch.rand(1).item()) == expected


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
