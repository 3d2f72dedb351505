"""Whitening: what it does without noise, with a spike in noise, and with noise alone."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.floats import never_rises

from credit.descent import Descent
from credit.whitening import (
    FLOOR,
    FLOOR_PER_EDGE,
    LEAST_DIRECTIONS,
    MOST_DIRECTIONS,
    believed,
    coordinates,
    leading,
    row_clip,
)

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


def features(sizes, seed, correlation=0.6):
    """True second moments of features of these sizes and the constant, and each feature's own."""
    generator = np.random.default_rng(seed)
    common = generator.normal(size=(4000, 2))
    blocks = []
    for size in sizes:
        own = generator.normal(size=(4000, size)) / (1 + np.arange(size))
        block = correlation * common @ generator.normal(size=(2, size)) / size + own
        block = block - block.mean(axis=0)
        blocks.append(block / math.sqrt((block**2).sum(axis=1).mean()))
    rows = np.hstack([*blocks, np.ones((4000, 1))])
    return rows.T @ rows / 4000, [block.T @ block / 4000 for block in blocks]


@pytest.mark.parametrize("seed", range(5))
def test_without_noise_all_is_believed(seed):
    moments, own = features((3, 5, 1, 4), seed)
    found, resolved, edge = believed(moments * 70, own, 0.0, 70.0)
    assert found == pytest.approx(moments, abs=1e-9)
    assert (resolved, edge) == (len(moments), 0.0)


def test_what_a_feature_has_to_do_with_itself_and_the_constant_is_known_whatever_the_noise():
    moments, own = features((3, 5, 1, 4), 0)
    for std in (1.0, 1e3, 1e6):
        found, resolved, _ = believed(moments * 100 + symmetric_noise(1, std, len(moments)), own, std, 100.0)
        cuts = np.cumsum([0, 3, 5, 1, 4])
        for block, first, end in zip(own, cuts, cuts[1:], strict=False):
            assert found[first:end, first:end] == pytest.approx(block, abs=1e-9)
        assert found[-1] == pytest.approx([0.0] * 13 + [1.0], abs=1e-9)
    assert resolved == 0
    assert found[:3, 3:] == pytest.approx(np.zeros((3, 11)), abs=1e-12)


def test_what_features_have_to_do_with_each_other_is_closer_to_the_truth_than_the_release():
    sizes = (6,) * 8
    moments, own = features(sizes, 3)
    for seed in range(5):
        noisy = moments * 1000 + symmetric_noise(seed, 60.0, len(moments))
        found, resolved, edge = believed(noisy, own, 60.0, 1000.0)
        assert 0 < resolved < len(moments)
        assert edge == pytest.approx(2 * 0.06 * math.sqrt(resolved))
        assert np.linalg.norm(found - moments) < 0.4 * np.linalg.norm(noisy / 1000 - moments)


def test_directions_that_vary_less_than_the_noise_reaches_are_left_alone():
    moments, own = features((6,) * 8, 3)
    kept = [believed(moments, own, std, 1.0)[1] for std in (0.0, 0.001, 0.01, 0.05, 0.2, 1.0)]
    assert kept[0] == len(moments)
    assert never_rises(kept)
    assert kept[-1] == 0


@settings(max_examples=20)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(0, 1000), st.sampled_from([1.0, 50.0, 1e6]))
def test_without_noise_every_direction_gets_unit_variance_up_to_the_floor(sizes, seed, population):
    moments, own = features(sizes, seed)
    found = coordinates(moments * population, own, 0.0, population)
    values, vectors = np.linalg.eigh(moments)
    after = np.diag(vectors.T @ found.matrix.T @ moments @ found.matrix @ vectors)
    assert after == pytest.approx(values / (values + FLOOR), abs=1e-6)
    assert found.matrix == pytest.approx(found.matrix.T, abs=1e-9)
    assert found.directions == pytest.approx(after.sum())
    assert (found.scale, found.floor) == (1.0, FLOOR)


def test_correlation_vanishes_where_features_agree():
    months = np.full((6, 6), 0.95) + 0.05 * np.eye(6)
    whole = np.block([[months * 200, np.zeros((6, 1))], [np.zeros((1, 6)), np.ones((1, 1))]])
    white = coordinates(whole, [np.full((1, 1), 200.0)] * 6, 0.0, 1.0).matrix[:6, :6]
    assert white @ (months * 200) @ white == pytest.approx(np.eye(6), abs=0.06)


@pytest.mark.parametrize("base", [0.01, 0.2, 0.5])
@pytest.mark.parametrize("clip", [0.5, 2.0])
def test_the_scale_puts_the_clip_where_the_descent_wants_it(base, clip):
    moments, own = features((4,) * 6, 2)
    descent = Descent(10, 15.0, 20_000.0, base)
    found = coordinates(moments, own, 0.0, 1.0, (descent, clip))
    spectrum = np.linalg.eigvalsh(moments)
    assert found.floor == descent.floor(spectrum)
    assert clip / found.scale == pytest.approx(descent.clip(spectrum, found.floor))
    unscaled = coordinates(moments, own, 0.0, 1.0, (descent, descent.clip(spectrum, found.floor)))
    assert unscaled.scale == pytest.approx(1.0)
    assert found.matrix == pytest.approx(found.scale * unscaled.matrix)


def spiked(seed, truth, std, population):
    generator = np.random.default_rng(seed)
    direction = np.linalg.qr(generator.normal(size=(WIDTH, 1)))[0]
    return truth * population * (direction @ direction.T) + symmetric_noise(seed + 50, std), direction[:, 0]


@pytest.mark.parametrize("seed", range(5))
def test_a_spike_above_the_noise_edge_is_brought_back_to_what_it_was(seed):
    population, std, truth = 1000.0, 100.0, 4.0
    edge = edge_of(std, population)
    assert truth > edge
    moments, direction = spiked(seed, truth, std, population)
    found = leading(moments, std, population)
    # What the noise added to it, truth + (edge / 2)^2 / truth, is not believed.
    floor = max(FLOOR, FLOOR_PER_EDGE * edge)
    assert np.linalg.norm(found.matrix[:, -1]) == pytest.approx(1 / math.sqrt(truth + floor), rel=0.06)
    assert abs(found.matrix[:, -1] @ direction) * math.sqrt(truth + floor) > 0.9


@pytest.mark.parametrize("std", [1.0, 300.0, 1e6])
def test_of_noise_alone_hardly_anything_stands_out(std):
    # Its largest value passes the edge of the semicircle for one draw in eight.
    found = [leading(symmetric_noise(seed, std), std, 100.0) for seed in range(40)]
    assert np.mean([one.resolved == 0 for one in found]) > 0.7
    assert all(one.matrix.shape == (WIDTH, LEAST_DIRECTIONS) for one in found)


@pytest.mark.parametrize("signals", [0, 1, 6, 15, 16, 17, 40])
def test_the_leading_directions_are_those_that_stand_out_within_bounds(signals):
    values = np.zeros(WIDTH)
    values[:signals] = np.linspace(3, 9, signals)
    moments, vectors = spectrum(np.random.default_rng(1), values)
    kept = leading(moments, 0.05, 1.0).matrix
    assert kept.shape == (WIDTH, min(max(signals, LEAST_DIRECTIONS), MOST_DIRECTIONS))
    gram = kept.T @ kept
    assert gram == pytest.approx(np.diag(np.diag(gram)), abs=1e-9)
    if 0 < signals <= MOST_DIRECTIONS:
        projector = kept @ np.linalg.inv(gram) @ kept.T
        for j in range(signals):
            assert projector @ vectors[:, j] == pytest.approx(vectors[:, j], abs=1e-6)


def test_the_leading_of_a_narrow_matrix_are_all_there_is():
    assert leading(np.eye(2), 0.0, 1.0).matrix.shape == (2, 2)


def test_typical_rows_are_not_cut():
    assert row_clip(6.0) ** 2 > 6.0
    assert row_clip(6.0) ** 2 == pytest.approx(1.2 * 6)
