"""Noisy sums over lenders. Thresholds let correct noise fail less than once in a million runs of this file."""

import math
import random
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, chisquare, kstest, norm

from privacy import sums
from privacy.errors import PrivacyError
from privacy.noise import LARGEST_SCALE
from privacy.sums import (
    FINEST_SHARE,
    FRACTION_BITS,
    HEADROOM,
    STEPS_PER_STD,
    NoisySum,
    fixed_point,
    from_fixed_point,
)

P_VALUE = 1e-9
SIZE = 8_000
FINE = 2.0**-36
MOST_LENDERS = 64  # that a notice can name


def noise_of(form, lenders):
    """The noise alone, in units of contributions, of a total over this many lenders."""
    return form.decode(sum(form.share(np.zeros(form.size, np.int64)) for _ in range(lenders)))


def assert_gaussian(noise, std):
    """Mean, variance and shape: the grid is 2^-20 of the deviation, far below what a test can see."""
    assert abs(noise.mean()) < norm.isf(P_VALUE) * std / math.sqrt(len(noise))
    low, high = chi2.ppf([P_VALUE, 1 - P_VALUE], len(noise))
    assert low < (noise**2).sum() / std**2 < high
    assert kstest(noise / std, norm.cdf).pvalue > P_VALUE
    cells = np.bincount((norm.cdf(noise / std) * 50).astype(int), minlength=50)
    assert chisquare(cells).pvalue > P_VALUE


def silence(patch):
    patch.setattr(sums, "discrete_gaussian", lambda size, scale: np.zeros(size, np.int64))


def log_tau(share, lenders):
    """Logarithm of tau of Kairouz, Liu & Steinke 2021, proposition 14: how far a sum is from a discrete Gaussian."""
    return math.log(10) + np.logaddexp.reduce(
        [-2 * math.pi**2 * share**2 * k / (k + 1) for k in range(1, lenders)] or [-math.inf]
    )


# --- noise ---


@pytest.mark.parametrize(("contributors", "colluders"), [(1, 0), (2, 0), (5, 0), (3, 1), (6, 4)])
@pytest.mark.parametrize(("sensitivity", "multiplier", "unit"), [(1.0, 1.0, FINE), (2.5, 4.0, 1.0)])
def test_the_shares_of_those_who_do_not_collude_reach_the_target_alone(
    contributors, colluders, sensitivity, multiplier, unit
):
    honest = contributors - colluders
    form = NoisySum(SIZE, sensitivity, multiplier, honest, unit)
    noise = noise_of(form, honest)
    # Rounding can move a coordinate by a grid step, and that is in the noise.
    assert sensitivity * multiplier <= form.noise_std(honest) < sensitivity * multiplier * 1.001
    assert_gaussian(noise, form.noise_std(honest))


def test_the_noise_of_all_is_as_large_as_it_is_said_to_be():
    form = NoisySum(SIZE, 1.0, 3.0, honest=2, unit=FINE)
    assert form.noise_std(5) == pytest.approx(3.0 * math.sqrt(5 / 2), rel=1e-3)
    assert_gaussian(noise_of(form, 5), form.noise_std(5))


@pytest.mark.parametrize("unit", [1.0, FINE])
def test_noise_lives_on_every_step_of_the_grid(unit):
    """Noise on a coarser grid than the sum's would show the sum's last bits."""
    form = NoisySum(SIZE, 1.0, 1.0, honest=3, unit=unit)
    share = form.share(np.zeros(SIZE, np.int64))
    assert chisquare(np.bincount(share & 15, minlength=16)).pvalue > P_VALUE
    assert form.scale * math.sqrt(3) >= STEPS_PER_STD * (1 - 1e-12)


def test_shares_of_different_lenders_and_coordinates_are_not_correlated():
    form = NoisySum(SIZE, 1.0, 1.0, honest=2)
    zeros = np.zeros(SIZE, np.int64)
    one, other = form.share(zeros), form.share(zeros)
    for a, b in ((one, other), (one[1:], one[:-1])):
        assert abs(np.corrcoef(a, b)[0, 1]) < norm.isf(P_VALUE) / math.sqrt(SIZE - 1)


def test_a_contribution_is_in_its_share_and_noise_does_not_depend_on_it():
    form = NoisySum(SIZE, 1.0, 1.0, honest=1, unit=FINE)
    exact = np.arange(SIZE, dtype=np.int64) << 40
    assert_gaussian(form.decode(form.share(exact)) - exact * FINE, form.noise_std(1))


def test_noise_grows_with_the_dimension_by_what_rounding_can_add():
    multiplier, unit = 20_000.0, FINE  # so large that the correction is a share of the noise
    form = NoisySum(SIZE, 1.0, multiplier, honest=1, unit=unit)
    expected = multiplier * (1 + math.sqrt(SIZE) * form.step)
    assert expected > 1.5 * multiplier
    assert_gaussian(noise_of(form, 1), expected)


def test_noise_does_not_come_from_a_seeded_generator_and_leaves_them_alone():
    form, drawn, left = NoisySum(8, 1.0, 1.0, honest=2), [], []
    for _ in range(2):
        random.seed(7)
        np.random.seed(7)
        torch.manual_seed(7)
        drawn.append(form.share(np.zeros(8, np.int64)).tolist())
        left.append((random.random(), np.random.random(), torch.rand(1).item()))
    assert drawn[0] != drawn[1]
    assert left[0] == left[1]
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)
    assert left[0] == (random.random(), np.random.random(), torch.rand(1).item())


# --- a sum of discrete Gaussians ---


def test_a_sum_of_shares_cannot_be_told_from_a_discrete_gaussian():
    """At the finest share that is allowed, and with as many lenders as there can be."""
    assert log_tau(FINEST_SHARE, 1000) < math.log(1e-300)
    lenders = 2**40  # more than any sum is allowed: the first term bounds each of the others
    assert math.log(lenders) + log_tau(FINEST_SHARE, 2) < math.log(1e-300)


@pytest.mark.parametrize(("share", "lenders"), [(0.5, 2), (0.6, 3), (0.8, 5), (1.0, 2), (1.0, 4)])
def test_the_bound_on_that_holds_where_it_can_be_computed(share, lenders):
    # The witness is witnessed: convolve, and compare with the discrete Gaussian of the summed variance.
    k = np.arange(-60, 61)
    one = np.exp(-(k**2) / (2 * share**2))
    one /= one.sum()
    total = one
    for _ in range(lenders - 1):
        total = np.convolve(total, one)
    reach = len(total) // 2
    wide = np.arange(-reach, reach + 1)
    ideal = np.exp(-(wide**2) / (2 * lenders * share**2))
    ideal /= ideal.sum()
    seen = ideal > 1e-12
    apart = np.abs(np.log(total[seen] / ideal[seen])).max()
    assert 1e-3 * math.exp(log_tau(share, lenders)) < apart <= math.exp(log_tau(share, lenders))


def test_a_share_finer_than_that_is_refused():
    most = int((STEPS_PER_STD / FINEST_SHARE) ** 2)
    assert NoisySum(1, 1.0, 1.0, honest=most).scale == FINEST_SHARE
    with pytest.raises(PrivacyError, match="many grid steps wide"):
        NoisySum(1, 1.0, 1.0, honest=most + most // 100)


def test_noise_wider_than_can_be_drawn_exactly_is_refused_before_there_are_rows():
    assert NoisySum(1, 1.0, 2.0**29, honest=1).scale <= LARGEST_SCALE
    with pytest.raises(PrivacyError, match="more than can be drawn exactly"):
        NoisySum(1, 1.0, 2.0**30, honest=1)


# --- exact sums ---

contributions = st.lists(
    st.lists(st.integers(-(2**29), 2**29), min_size=3, max_size=3).map(lambda x: np.array(x, np.int64)),
    min_size=1,
    max_size=6,
)


@given(contributions, st.sampled_from([0.01, 1.0, 2.0**22]), st.sampled_from([1.0, FINE]), st.randoms())
def test_sums_are_exact_whatever_the_order(lenders, multiplier, unit, shuffler):
    form = NoisySum(3, 1.0, multiplier, honest=1, unit=unit)
    with pytest.MonkeyPatch.context() as patch:
        silence(patch)
        shares = [form.share(exact) for exact in lenders]
        total = sum(shares).tolist()
        shuffler.shuffle(shares)
        assert sum(shares).tolist() == total
    true = np.array([sum(int(x) for x in column) for column in zip(*lenders, strict=True)]) * unit
    rounding = len(lenders) * form.step / 2 if form.step > unit else 0.0
    assert np.abs(form.decode(np.array(total)) - true).max() <= rounding


@pytest.mark.parametrize("multiplier", [0.01, 1.0, 2.0**22])
@pytest.mark.parametrize("unit", [1.0, FINE])
@pytest.mark.parametrize("sign", [1, -1])
def test_as_many_lenders_as_there_can_be_never_wrap_a_sum(multiplier, unit, sign, monkeypatch):
    """Found by chance: four shares that each fitted its grid made a total of 2**63, which is read as a negative one."""
    form = NoisySum(3, 1.0, multiplier, honest=1, unit=unit)
    silence(monkeypatch)
    coarse = form.step >= unit
    room = min(HEADROOM * int(form.step / unit), 2**62) if coarse else HEADROOM // int(unit / form.step)
    most = np.array([sign * room, 0, sign])
    total = sum(form.share(most) for _ in range(MOST_LENDERS)).astype(np.int64)
    assert form.decode(total)[0] == pytest.approx(MOST_LENDERS * sign * room * unit)
    assert MOST_LENDERS * (HEADROOM + 8 * LARGEST_SCALE) < 2**63
    with pytest.raises(PrivacyError, match="too large for its grid"):
        form.share(most + np.array([sign, 0, 0]))


@given(
    size=st.integers(1, 40),
    sensitivity=st.floats(2.0**-10, 2.0**10),
    multiplier=st.floats(0.1, 2.0**18),
    unit=st.sampled_from([1.0, 2.0**-12, FINE]),
    data=st.data(),
)
def test_neighbours_differ_on_the_grid_by_no_more_than_the_noise_is_scaled_to(
    size, sensitivity, multiplier, unit, data
):
    form = NoisySum(size, sensitivity, multiplier, honest=4, unit=unit)
    accounted = form.scale * math.sqrt(4) / multiplier  # the sensitivity for which this noise has this multiplier
    # Somebody whose contribution reaches the bound, or whose every coordinate is a single unit.
    direction = np.array(data.draw(st.lists(st.sampled_from([-1.0, 0.0, 0.1, 1.0]), min_size=size, max_size=size)))
    reach = data.draw(st.sampled_from([sensitivity, unit * math.sqrt(size), unit / 2]))
    reach = min(reach, sensitivity)
    person = np.trunc(direction / max(1.0, np.linalg.norm(direction)) * (reach / unit)).astype(np.int64)
    if data.draw(st.booleans()) and unit * math.sqrt(size) <= sensitivity:
        person = np.sign(direction).astype(np.int64)
    assert np.linalg.norm(person.astype(float)) * unit <= sensitivity * (1 + 1e-12)
    # The others' sum lies where rounding turns over, or anywhere.
    step = max(1, round(form.step / unit))
    places = st.one_of(st.integers(-2, 2), st.integers(-(2**20), 2**20))
    others = np.array(data.draw(st.lists(places, min_size=size, max_size=size)), np.int64) + step // 2
    moved = form.on_grid(others + person) - form.on_grid(others)
    assert np.linalg.norm(moved.astype(float)) <= accounted * (1 + 1e-12)


def test_a_person_of_one_unit_everywhere_can_move_every_coordinate_by_a_whole_step():
    """The worst case of rounding exists, so leaving it out of the noise would be wrong."""
    form = NoisySum(100, 10.0, 2.0**20, honest=1)
    assert form.step > 4
    others = np.full(100, int(form.step) // 2 - 1)
    moved = form.on_grid(others + 1) - form.on_grid(others)
    assert moved.tolist() == [1] * 100
    assert np.linalg.norm(moved) > 5 * form.sensitivity / form.step
    assert np.linalg.norm(moved) <= form.scale / form.noise_multiplier


@given(st.floats(1e-6, 1e6), st.floats(0.1, 1e5), st.sampled_from([1.0, FINE]), st.integers(1, 10**6))
def test_the_grid_is_a_power_of_two_and_a_millionth_of_the_noise(sensitivity, multiplier, unit, honest):
    form = NoisySum(1, sensitivity, multiplier, honest, unit)
    target = sensitivity * multiplier / STEPS_PER_STD
    assert math.frexp(form.step)[0] == 0.5
    assert target / 2 <= form.step <= target * (1 + 1e-12)
    assert form.scale * math.sqrt(honest) >= STEPS_PER_STD * (1 - 1e-12)


@pytest.mark.parametrize("unit", [1.0, FINE])
def test_more_noise_fewer_honest_or_more_people_at_risk_never_shrink_the_noise(unit):
    for forms in (
        [NoisySum(50, 1.0, multiplier, 3, unit) for multiplier in (0.1, 1.0, 10.0, 1e3, 1e5)],
        [NoisySum(50, sensitivity, 2.0, 3, unit) for sensitivity in (0.1, 1.0, 10.0)],
        [NoisySum(50, 1.0, 2.0, honest, unit) for honest in (9, 3, 1)],
        [NoisySum(size, 1.0, 1e5, 3, unit) for size in (1, 100, 10_000)],
    ):
        assert all(a.noise_std(5) <= b.noise_std(5) for a, b in pairwise(forms))


@pytest.mark.parametrize(
    "change",
    [
        *[{"sensitivity": value} for value in (0.0, -1.0, math.nan, math.inf)],
        *[{"noise_multiplier": value} for value in (0.0, -1.0, math.nan, math.inf)],
        {"sensitivity": 1e200, "noise_multiplier": 1e200},
        {"honest": 0},
        {"honest": -2},
        {"size": 0},
        *[{"unit": value} for value in (0.0, -1.0, 3.0, 0.3, math.nan, math.inf)],
    ],
    ids=str,
)
def test_a_sum_without_a_guarantee_is_refused(change):
    with pytest.raises(PrivacyError, match="not a sum that can be protected"):
        NoisySum(**({"size": 3, "sensitivity": 1.0, "noise_multiplier": 1.0, "honest": 2} | change))


@pytest.mark.parametrize(
    "exact", [np.zeros(2, np.int64), np.zeros((3, 1), np.int64), np.zeros(3), np.zeros(3, np.int32), np.zeros(3, bool)]
)
def test_a_contribution_that_does_not_fit_is_refused(exact):
    with pytest.raises(PrivacyError, match="does not fit"):
        NoisySum(3, 1.0, 1.0, honest=2).share(exact)


@pytest.mark.parametrize("multiplier", [0.1, 1.0, 2.0**20, 2.0**22])
@pytest.mark.parametrize("value", [2**63 - 1, -(2**63) + 1, -(2**63), 2**62 + 1, -(2**62) - 1])
def test_a_contribution_wraps_on_no_grid_and_is_refused_where_it_would(multiplier, value):
    form = NoisySum(2, 1.0, multiplier, honest=2)
    exact = math.floor(Fraction(value) / Fraction(form.step) + Fraction(1, 2))
    try:
        assert form.on_grid(np.array([0, value])).tolist() == [0, exact]
    except PrivacyError as refusal:
        assert "too large" in str(refusal)
    else:
        assert abs(exact) < 2**63


def test_the_largest_contribution_that_fits_does_not_wrap(monkeypatch):
    silence(monkeypatch)
    form = NoisySum(2, 1.0, 1.0, honest=2)
    largest = HEADROOM >> 20
    assert form.decode(form.share(np.array([largest, -largest]))).tolist() == [largest, -largest]
    with pytest.raises(PrivacyError, match="too large"):
        form.share(np.array([largest + 1, 0]))


@pytest.mark.parametrize("shape", [(2,), (4,), (3, 1)])
def test_a_total_of_another_sum_is_refused(shape):
    with pytest.raises(PrivacyError, match="does not belong"):
        NoisySum(3, 1.0, 1.0, honest=2).decode(np.zeros(shape, np.int64))


# --- fixed point ---


@given(st.lists(st.floats(-1e10, 1e10)))
def test_a_fixed_point_value_is_within_half_a_step_of_the_truth(values):
    there = from_fixed_point(fixed_point(np.array(values), 2))
    assert np.abs(there - values).max(initial=0) <= 2.0 ** -(FRACTION_BITS + 1)


@given(st.floats(), st.integers(1, 2000))
def test_no_sum_of_fixed_point_values_wraps(value, parties):
    with np.errstate(over="ignore"):
        step = int(fixed_point(np.array([value]), parties)[0])
    assert abs(step * parties) <= 2**62 * (1 + 1e-12)


@pytest.mark.parametrize("parties", [2, 3, 6])
def test_the_sum_of_the_largest_values_does_not_wrap(parties):
    largest = 2.0 ** (62 - FRACTION_BITS) / parties
    total = sum(fixed_point(np.array([largest, -largest]) * (1 - 1e-12), parties) for _ in range(parties))
    assert from_fixed_point(total) == pytest.approx([2.0**38, -(2.0**38)])
    cut = sum(fixed_point(np.array([1e300]), parties) for _ in range(parties))
    assert from_fixed_point(cut) == pytest.approx([2.0**38])


@pytest.mark.parametrize("parties", [1, 2, 5])
def test_a_value_beyond_fixed_point_is_cut_and_never_refused(parties):
    """A refusal would depend on this lender's value alone, and so tell it."""
    limit = 2.0 ** (62 - FRACTION_BITS) / parties
    values = np.array([math.nan, math.inf, -math.inf, 1e300, -1e300])
    with np.errstate(over="ignore"):
        there = from_fixed_point(fixed_point(values, parties))
    assert there == pytest.approx([0.0, limit, -limit, limit, -limit])
