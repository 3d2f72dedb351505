"""Exact noise from the operating system. Thresholds let a correct sampler fail less than once in a million runs."""

import math
import os
import random
from fractions import Fraction

import numpy as np
import pytest
import torch
from opendp.domains import atom_domain, vector_domain
from opendp.measurements import make_gaussian, make_laplace
from opendp.metrics import l1_distance, l2_distance
from opendp.mod import enable_features
from scipy.stats import binom, chi2_contingency, chisquare, kstest, norm

from privacy import noise
from privacy.errors import PrivacyError
from privacy.noise import discrete_gaussian, discrete_laplace, poisson_sample

enable_features("contrib")

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


def gaussian_mass(k, scale):
    """Canonne, Kamath & Steinke 2020, definition 1."""
    return np.exp(-(k**2) / (2 * scale**2))


def laplace_mass(k, scale):
    """Ghosh, Roughgarden & Sundararajan 2009."""
    return np.exp(-np.abs(k) / scale)


MASSES = {discrete_gaussian: gaussian_mass, discrete_laplace: laplace_mass}


def beyond_or_in(draws, reach):
    """How many draws are each whole number within ``reach``; the ends count what lies beyond them."""
    return np.bincount(np.clip(draws, -reach, reach) + reach, minlength=2 * reach + 1)


def expected(draw, scale, reach, count):
    k = np.arange(-400, 401)
    mass = MASSES[draw](k, scale)
    return np.bincount(np.clip(k, -reach, reach) + reach, mass / mass.sum()) * count


@pytest.mark.parametrize("draw", MASSES)
@pytest.mark.parametrize("scale", [0.4, 0.7, 1.0, 1.5, 2.999999, 3.0, 7.25])
def test_draws_follow_the_distribution_when_the_grid_is_coarse(draw, scale):
    count, reach = 200_000, max(round(3 * scale), 1)
    assert chisquare(beyond_or_in(draw(count, scale), reach), expected(draw, scale, reach, count)).pvalue > P_VALUE


@pytest.mark.parametrize("draw", MASSES)
@pytest.mark.parametrize("scale", [1.0, 4.5])
def test_tails_have_the_probability_that_the_paper_gives_them(draw, scale):
    """An error far out would be seen in no moment, and is where epsilon comes from."""
    k, count = np.arange(-400, 401), 1_000_000
    mass = MASSES[draw](k, scale)
    drawn = draw(count, scale)
    for far in (3, 4):
        share = mass[np.abs(k) >= far * scale].sum() / mass.sum()
        low, high = binom.ppf([1e-9, 1 - 1e-9], count, share)
        assert 0 < low <= (np.abs(drawn) >= far * scale).sum() <= high


OPENDPS = {
    discrete_gaussian: (make_gaussian, l2_distance(T="f64")),
    discrete_laplace: (make_laplace, l1_distance(T="i64")),
}


@pytest.mark.parametrize("draw", MASSES)
@pytest.mark.parametrize("scale", [2.5, 1000.0])
def test_draws_cannot_be_told_from_opendps(draw, scale):
    """The same algorithms, in another language, by others."""
    make, metric = OPENDPS[draw]
    sampler = make(vector_domain(atom_domain(T="i64")), metric, scale)
    edges = np.arange(-4, 4.25, 0.25) * scale
    ours, others = (
        np.bincount(np.searchsorted(edges, found), minlength=len(edges) + 1)
        for found in (draw(20_000, scale), np.asarray(sampler([0] * 20_000)))
    )
    seen = (ours + others) > 0
    assert chi2_contingency(np.stack([ours[seen], others[seen]])).pvalue > P_VALUE


@pytest.mark.parametrize("scale", [2.0**27, 2.0**30])
def test_draws_follow_the_gaussian_where_squares_are_taken_in_wide_whole_numbers(scale):
    assert kstest(discrete_gaussian(20_000, scale) / scale, norm.cdf).pvalue > P_VALUE


def test_draws_so_far_out_that_a_machine_could_not_square_them_follow_the_same_distribution(monkeypatch):
    monkeypatch.setattr(noise, "FAR", 1)
    scale, count, reach = 3.0, 50_000, 9
    found = discrete_gaussian(count, scale)
    assert chisquare(beyond_or_in(found, reach), expected(discrete_gaussian, scale, reach, count)).pvalue > P_VALUE


@pytest.mark.parametrize("scale", [1.0, 1.5, 1e3 + 1 / 3, 2.0**20 + 0.1, 2.0**24, 2.0**29 + 0.7, 2.0**30])
def test_the_squared_scale_is_rounded_up_by_next_to_nothing(scale):
    near, bits, centre = noise.parameters(scale)
    squared = Fraction(centre * near, 2**bits)
    assert 0 <= squared / Fraction(scale) ** 2 - 1 < Fraction(1, 2**22)
    assert ((noise.FAR * near) << bits) <= 2**31 or bits == 0, "what is squared fits"
    assert 0 < centre < 2**31
    assert 2 ** (bits + 1) * centre * near < 2**63


@pytest.mark.parametrize("scale", [2.0**-16, 0.1, 1.0, 1e3 + 1 / 3, 2.0**24 - 0.3, 2.0**30])
def test_the_scale_of_a_laplace_is_rounded_up_by_next_to_nothing(scale):
    bits, numerator = noise.laplace_parameters(scale)
    assert 0 <= Fraction(numerator, 2**bits) / Fraction(scale) - 1 < Fraction(1, 2**24)


@pytest.mark.parametrize("part", [0, 1, 2, 5, 9, 10])
def test_a_coin_shows_heads_with_the_exponential_of_a_fraction(part):
    count = 400_000
    low, high = binom.ppf([1e-9, 1 - 1e-9], count, math.exp(-part / 10))
    assert low <= noise._exp_coins(np.full(count, part), 10).sum() <= high


@pytest.mark.parametrize("times", [0, 1, 2, 4])
def test_coins_for_whole_numbers_are_tossed_so_often(times):
    count = 400_000
    low, high = binom.ppf([1e-9, 1 - 1e-9], count, math.exp(-times))
    assert low <= noise._exp_wholes(np.full(count, times)).sum() <= high


def test_words_that_would_favour_small_remainders_are_drawn_again(monkeypatch):
    """Of 2^64 words, 2^64 mod 3 = 1 belongs to no whole multiple of 3."""
    answers = iter([[2**64 - 1, 7, 2**64 - 2], [2**64 - 1], [3]])
    monkeypatch.setattr(noise, "_words", lambda count: np.array(next(answers), np.uint64))
    assert noise._below(3, 3).tolist() == [0, 1, 2]
    assert next(answers, None) is None


@pytest.mark.parametrize("bound", [1, 2, 3, 10, 2**32 + 1, 2**51 - 1, 2**63])
def test_whole_numbers_below_a_bound_are_uniform(bound):
    found = noise._below(bound, 50_000)
    assert found.min() >= 0
    assert found.max() < bound
    if bound > 1:
        cells = min(bound, 16)
        counted = np.bincount([int(one) * cells // bound for one in found.tolist()], minlength=cells)
        share = [
            len(range(-(-cell * bound // cells), -(-(cell + 1) * bound // cells))) / bound for cell in range(cells)
        ]
        assert chisquare(counted, 50_000 * np.array(share)).pvalue > P_VALUE


@pytest.mark.parametrize("draw", MASSES)
@pytest.mark.parametrize("scale", [0.0, -1.0, 2.0**-17, 2.0**30 + 1, math.inf, math.nan])
def test_a_scale_that_cannot_be_drawn_exactly_is_refused(draw, scale):
    with pytest.raises(PrivacyError, match="noise has a scale of"):
        draw(3, scale)


def test_draws_are_not_correlated(draws):
    lagged = np.corrcoef(draws[:-1], draws[1:])[0, 1]
    assert abs(lagged) < SIX_SIGMA / np.sqrt(len(draws))


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
