"""Whitening: what it does without noise, with a spike in noise, and with noise alone."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.floats import never_rises

from credit.whitening import FLOOR, FLOOR_PER_EDGE, LEAST_DIRECTIONS, MOST_DIRECTIONS, row_clip, whitening

WIDTH = 40


def symmetric_noise(seed, std, width=WIDTH):
    """As a release of second moments carries it: ``std`` off the diagonal, the square root of 2 times that on it."""
    generator = np.random.default_rng(seed)
    upper = np.triu(generator.normal(0, std, (width, width)), 1)
    return upper + upper.T + np.diag(generator.normal(0, math.sqrt(2) * std, width))


def spectrum(generator, values):
    vectors = np.linalg.qr(generator.normal(size=(len(values), len(values))))[0]
    return (vectors * values) @ vectors.T, vectors


def edge_of(std, population, width=WIDTH):
    return 2 * std / population * math.sqrt(width)


@settings(max_examples=30)
@given(st.lists(st.floats(0, 50), min_size=1, max_size=12), st.integers(0, 1000), st.sampled_from([1.0, 50.0, 1e6]))
def test_without_noise_every_direction_gets_unit_variance_up_to_the_floor(values, seed, population):
    moments, vectors = spectrum(np.random.default_rng(seed), np.array(values))
    white = whitening(moments * population, 0.0, population)
    after = np.diag(vectors.T @ white.T @ moments @ white @ vectors)
    assert after == pytest.approx(np.array(values) / (np.array(values) + FLOOR), abs=1e-6)
    assert white == pytest.approx(white.T, abs=1e-9)


def test_strong_directions_become_equally_long_and_weak_ones_stay_weak():
    moments, vectors = spectrum(np.random.default_rng(0), np.array([1e-6, 100.0, 1000.0]))
    white = whitening(moments, 0.0, 1.0)
    lengths = np.sqrt(np.diag(vectors.T @ white @ moments @ white @ vectors))
    assert lengths[1:] == pytest.approx([1, 1], abs=0.01)
    assert lengths[0] < 0.01


def test_correlation_vanishes_where_features_agree():
    months = np.full((6, 6), 0.95) + 0.05 * np.eye(6)
    white = whitening(months * 200, 0.0, 1.0)
    assert white @ (months * 200) @ white == pytest.approx(np.eye(6), abs=0.06)


@pytest.mark.parametrize("seed", range(5))
def test_a_spike_above_the_noise_edge_is_brought_back_to_what_it_was(seed):
    population, std = 1000.0, 100.0
    edge, truth = edge_of(std, population), 4.0
    assert truth > edge
    generator = np.random.default_rng(seed)
    direction = np.linalg.qr(generator.normal(size=(WIDTH, 1)))[0][:, 0]
    moments = truth * population * np.outer(direction, direction) + symmetric_noise(seed + 50, std)
    found, vectors = np.linalg.eigh(whitening(moments, std, population))
    floor = max(FLOOR, FLOOR_PER_EDGE * edge)
    assert found[0] == pytest.approx(1 / math.sqrt(truth + floor), rel=0.06)
    assert abs(vectors[:, 0] @ direction) > 0.9
    # What the noise added to it, truth + (edge / 2)^2 / truth, is not believed.
    assert found[1:] == pytest.approx(np.full(WIDTH - 1, 1 / math.sqrt(floor)), rel=0.15)


@pytest.mark.parametrize("std", [1.0, 300.0, 1e6])
def test_noise_alone_gives_a_multiple_of_the_identity(std):
    # Its largest value passes the edge of the semicircle for one draw in eight; it then counts for half the edge.
    shares = [np.linalg.eigvalsh(whitening(symmetric_noise(seed, std), std, 100.0)) for seed in range(40)]
    level = 1 / math.sqrt(max(FLOOR, FLOOR_PER_EDGE * edge_of(std, 100.0)))
    exact = [np.ptp(values) < 1e-9 * level for values in shares]
    assert np.mean(exact) > 0.7
    assert all(values.max() == pytest.approx(level) for values in shares)
    assert min(values.min() for values in shares) > 0.8 * level


def test_more_noise_never_lengthens_a_direction():
    moments, _ = spectrum(np.random.default_rng(3), np.linspace(0, 5, WIDTH))
    largest = [np.linalg.eigvalsh(whitening(moments, std, 1.0)).max() for std in (0, 0.01, 0.1, 1, 10, 1e5)]
    assert never_rises(largest)
    assert largest[-1] < 0.01


@pytest.mark.parametrize("signals", [0, 1, 6, 15, 16, 17, 40])
def test_leading_only_keeps_the_directions_that_stand_out_within_bounds(signals):
    values = np.zeros(WIDTH)
    values[:signals] = np.linspace(3, 9, signals)
    moments, vectors = spectrum(np.random.default_rng(1), values)
    kept = whitening(moments, 0.05, 1.0, leading_only=True)
    assert kept.shape == (WIDTH, min(max(signals, LEAST_DIRECTIONS), MOST_DIRECTIONS))
    gram = kept.T @ kept
    assert gram == pytest.approx(np.diag(np.diag(gram)), abs=1e-9)
    if 0 < signals <= MOST_DIRECTIONS:
        projector = kept @ np.linalg.inv(gram) @ kept.T
        for j in range(signals):
            assert projector @ vectors[:, j] == pytest.approx(vectors[:, j], abs=1e-6)


def test_leading_only_of_a_narrow_matrix_keeps_all_there_is():
    assert whitening(np.eye(2), 0.0, 1.0, leading_only=True).shape == (2, 2)


def test_the_leading_directions_are_scaled_as_the_whole_scales_them():
    moments, _ = spectrum(np.random.default_rng(2), np.linspace(1, 9, 10))
    whole, leading = whitening(moments, 0.01, 1.0), whitening(moments, 0.01, 1.0, leading_only=True)
    assert np.linalg.svd(leading, compute_uv=False) == pytest.approx(np.linalg.svd(whole, compute_uv=False))


def test_typical_rows_are_not_cut():
    assert row_clip(6.0) ** 2 > 6.0
    assert row_clip(6.0) ** 2 == pytest.approx(1.2 * 6)
