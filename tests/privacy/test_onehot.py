"""Clipped sums over cells: what they are, one person's bound, and whole numbers whatever the order.

Tables, weights and thresholds are the coordinator's, cells are people's: neither at its worst may exceed the clip, nor
make one person reach the others' sum.
"""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.effort import effort

from privacy import onehot
from privacy.clipping import root
from privacy.errors import PrivacyError
from privacy.gradients import GRADIENT_UNIT, ROW_BITS, ClippedGradients
from privacy.moments import (
    MOMENT_BITS,
    MOMENT_UNIT,
    OFF_DIAGONAL_WEIGHT,
    WHOLE_WEIGHT,
    ClippedMoments,
    second_moments,
)
from privacy.onehot import Layout

SIZES = (4, 11, 3, 2, 30, 5)
DIRECTIONS = 7
NAN, INF = math.nan, math.inf


def rng(seed):
    return np.random.default_rng(seed)


def gradients(sizes=SIZES, clip=1.0, offset=-0.7, scale=0.3, seed=1):
    draw = rng(seed)
    tables = [draw.normal(size=(size, DIRECTIONS)) * scale for size in sizes]
    return ClippedGradients.of(tables, draw.normal(size=DIRECTIONS) * scale, draw.normal(size=DIRECTIONS), offset, clip)


def moments(sizes=SIZES, clip=1.5, scale=0.6, seed=2):
    draw = rng(seed)
    return ClippedMoments.of([draw.normal(size=(size, size)) * scale for size in sizes], clip)


def people(count, sizes=SIZES, seed=3):
    draw = rng(seed)
    return np.stack([draw.integers(0, size, count) for size in sizes], axis=1), draw.integers(0, 2, count)


def rows_of(form, cells):
    """(people, directions) what a product would make of them."""
    return sum(part[cells[:, feature]] for feature, part in enumerate(form.parts)) / 2.0**ROW_BITS


def outer_rows(form, cells):
    parts = [table[cells[:, feature]] for feature, table in enumerate(form.tables)]
    return np.hstack([*parts, np.full((len(cells), 1), 1 << MOMENT_BITS)]) / 2.0**MOMENT_BITS


def cut(rows, clip):
    return rows * np.minimum(1, clip / np.linalg.norm(rows, axis=1))[:, None]


def squared_norm(whole):
    """Exactly."""
    return sum(int(x) ** 2 for x in whole)


# --- what the sums are ---


@pytest.mark.parametrize("clip", [0.1, 1.0, 50.0])
def test_the_sum_is_that_of_each_persons_clipped_gradient(clip):
    form, (cells, labels) = gradients(clip=clip), people(800)
    rows = rows_of(form, cells)
    residual = 1 / (1 + np.exp(-(rows @ form.weights + form.offset))) - labels
    expected = cut(residual[:, None] * rows, clip).sum(axis=0)
    found = form.total(form.counts(cells, labels)) * (clip * GRADIENT_UNIT)
    assert found == pytest.approx(expected, abs=1e-3 * clip, rel=1e-4)


def test_the_moments_are_those_of_clipped_rows():
    form, (cells, _) = moments(), people(700)
    rows = cut(outer_rows(form, cells), form.clip)
    whole = form.total(form.counts(cells))
    assert whole.shape == (form.width * (form.width + 1) // 2,)
    found = second_moments(whole.astype(float) * MOMENT_UNIT, form.width)
    assert found / 700 == pytest.approx(rows.T @ rows / 700, abs=1e-3)


@pytest.mark.parametrize("make", [gradients, moments])
def test_looking_features_up_together_changes_nothing(make, monkeypatch):
    cells, labels = people(300)
    asked = (cells, labels) if make is gradients else (cells,)
    together = make()
    assert len(together.layout.groups) == 3
    monkeypatch.setattr(onehot, "CELLS_IN_GROUP", 1)
    apart = make()
    assert len(apart.layout.groups) == len(SIZES)
    assert together.total(together.counts(*asked)).tolist() == apart.total(apart.counts(*asked)).tolist()


def test_nobody_sums_to_nothing():
    nobody = people(0)
    assert gradients().total(gradients().counts(*nobody)).tolist() == [0] * DIRECTIONS
    assert set(moments().total(moments().counts(nobody[0])).tolist()) == {0}


# --- layouts ---


@given(st.one_of(*(st.lists(st.integers(1, most), min_size=1, max_size=5400 // most) for most in (600, 90, 12))))
def test_a_layout_has_every_feature_once_in_order_and_groups_of_a_bounded_size(sizes):
    layout = Layout(tuple(sizes))
    assert [feature for group in layout.groups for feature in group] == list(range(len(sizes)))
    for number, group in enumerate(layout.groups):
        assert len(group) == 1 or layout.size(number) <= onehot.CELLS_IN_GROUP


def test_forty_features_of_ten_bins_are_twenty_groups_and_two_hundred_are_not_grouped():
    assert len(Layout((11,) * 40).groups) == 20
    assert len(Layout((11,) * 200).groups) == 200, "tables over pairs would take half a gigabyte"


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.data())
def test_counts_of_groups_are_taken_apart_into_those_of_features(sizes, data):
    layout = Layout(tuple(sizes))
    cells = np.array([[data.draw(st.integers(0, size - 1)) for size in sizes] for _ in range(5)])
    groups = layout.grouped(cells)
    counts = [np.bincount(group.numpy(), minlength=layout.size(number)) for number, group in enumerate(groups)]
    found = layout.by_feature(counts)
    assert [one.tolist() for one in found] == [
        np.bincount(cells[:, feature], minlength=size).tolist() for feature, size in enumerate(sizes)
    ]


# --- exact ---


@settings(max_examples=25)
@given(st.integers(1, 60), st.sampled_from([0.01, 1.0, 40.0]), st.data())
def test_any_order_and_any_parts_give_the_same_whole_numbers(count, scale, data):
    cells, labels = people(count)
    order = data.draw(st.permutations(range(count)))
    cuts = sorted({0, count, *data.draw(st.lists(st.integers(0, count), max_size=4))})
    parts = [order[start:stop] for start, stop in pairwise(cuts)]
    descent, squares = gradients(scale=scale), moments(scale=scale)
    assert sum(descent.counts(cells[p], labels[p]) for p in parts).tolist() == descent.counts(cells, labels).tolist()
    assert sum(squares.counts(cells[p]) for p in parts).tolist() == squares.counts(cells).tolist()


def test_more_people_than_one_slice_has_are_summed_without_rounding():
    cells, labels = people(1)
    count = onehot.SLICE + 4321
    many, outcomes = np.repeat(cells, count, axis=0), np.repeat(labels, count)
    for form, one, crowd in (
        (gradients(), (cells, labels), (many, outcomes)),
        (moments(), (cells,), (many,)),
    ):
        assert form.counts(*crowd).tolist() == (form.counts(*one) * count).tolist()


@pytest.mark.parametrize("factor", [2**4, 2**12, 2**18])
def test_moments_of_a_crowd_are_exact_beyond_a_machines_whole_numbers(factor):
    form, (cells, _) = moments(sizes=(4, 3)), people(50, sizes=(4, 3))
    few = form.total(form.counts(cells))
    many = form.total(form.counts(cells) * factor)
    assert many.tolist() == [int(one) * factor for one in few]
    assert factor < 2**18 or max(map(abs, many.tolist())) > 2**63


def test_a_sum_is_linear_in_the_counts():
    """So that counts of many tables may be added up, and made into coordinates once."""
    cells, labels = people(90)
    for form, asked in ((gradients(), (cells, labels)), (moments(), (cells,))):
        halves = [form.counts(*(one[part] for one in asked)) for part in (slice(40), slice(40, None))]
        apart = [form.total(half).astype(object) for half in halves]
        assert (apart[0] + apart[1]).tolist() == form.total(sum(halves)).tolist()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_whole_numbers(monkeypatch):
    cells, labels = people(200_000)
    there = gradients().counts(cells, labels).tolist(), moments().counts(cells).tolist()
    monkeypatch.setattr(onehot, "device", lambda: torch.device("cpu"))
    assert there == (gradients().counts(cells, labels).tolist(), moments().counts(cells).tolist())


# --- one person's bound ---

entries = st.one_of(
    st.floats(-100, 100), st.sampled_from([0.0, 2.0**-16, -(2.0**-17), 1.0, 8.0, 255.9]), st.floats(-1e-4, 1e-4)
)
clips = st.one_of(st.floats(1e-3, 100.0), st.sampled_from([2.0**-5, 1.0, 4.0]))


@settings(max_examples=effort(150, 50))
@given(st.integers(1, 5), clips, st.floats(-20, 20), st.data())
def test_one_person_changes_a_gradient_by_no_more_than_the_clip(directions, clip, offset, data):
    def drawn(*shape):
        count = math.prod(shape)
        return np.array(data.draw(st.lists(entries, min_size=count, max_size=count))).reshape(shape)

    tables, constant = [drawn(3, directions), drawn(2, directions)], drawn(directions)
    form = ClippedGradients.of(tables, constant, drawn(directions), offset, clip)
    cells = np.array([[data.draw(st.integers(0, 2)), data.draw(st.integers(0, 1))]])
    moved = form.total(form.counts(cells, np.array([data.draw(st.integers(0, 1))])))
    assert squared_norm(moved) <= (1 / Fraction(GRADIENT_UNIT)) ** 2


@settings(max_examples=effort(150, 50))
@given(clips, st.data())
def test_one_person_changes_the_moments_by_no_more_than_the_squared_clip(clip, data):
    def drawn(*shape):
        count = math.prod(shape)
        return np.array(data.draw(st.lists(entries, min_size=count, max_size=count))).reshape(shape)

    form = ClippedMoments.of([drawn(3, 2), drawn(2, 3)], clip)
    cells = np.array([[data.draw(st.integers(0, 2)), data.draw(st.integers(0, 1))]])
    moved = form.total(form.counts(cells))
    assert squared_norm(moved) <= (Fraction(clip) ** 2 / Fraction(MOMENT_UNIT)) ** 2


def test_a_person_can_reach_the_bound():
    far = ClippedGradients.of([np.full((1, 3), 30.0)], np.zeros(3), np.zeros(3), 0.0, 2.0)
    reached = math.sqrt(squared_norm(far.total(far.counts(np.zeros((1, 1), int), np.array([1]))))) * GRADIENT_UNIT
    assert 0.999 < reached <= 1
    long = ClippedMoments.of([np.array([[20.0, 0.0]])], 4.0)
    reached = math.sqrt(squared_norm(long.total(long.counts(np.zeros((1, 1), int))))) * MOMENT_UNIT
    assert 0.999 * 16 < reached <= 16


def test_what_a_person_adds_is_the_same_whoever_else_is_there():
    cells, labels = people(400, seed=9)
    for form, asked in ((gradients(scale=5.0), (cells, labels)), (moments(scale=5.0), (cells,))):
        alone = form.counts(*(one[:1] for one in asked))
        moved = form.counts(*asked) - form.counts(*(one[1:] for one in asked))
        assert moved.tolist() == alone.tolist()


# --- the matrix ---


@given(st.integers(1, 8), st.data())
def test_the_matrix_is_put_together_again(width, data):
    values = st.lists(st.integers(-100, 100), min_size=width * width, max_size=width * width)
    square = np.array(data.draw(values), dtype=float).reshape(width, width)
    square += square.T
    weights = np.where(np.eye(width), 1, OFF_DIAGONAL_WEIGHT / WHOLE_WEIGHT)
    upper = (square * weights)[np.triu_indices(width)]
    assert second_moments(upper, width) == pytest.approx(square, rel=1e-12)


def test_entries_off_the_diagonal_count_less_than_the_square_root_of_two():
    assert (OFF_DIAGONAL_WEIGHT / WHOLE_WEIGHT) ** 2 < 2 < ((OFF_DIAGONAL_WEIGHT + 1) / WHOLE_WEIGHT) ** 2


@pytest.mark.parametrize("count", [0, 5, 7, 9])
def test_moments_of_another_width_are_refused(count):
    with pytest.raises(PrivacyError, match="do not make a matrix"):
        second_moments(np.zeros(count), 3)


# --- refusals ---


@pytest.mark.parametrize("clip", [0.0, -1.0, NAN, INF])
def test_a_clip_that_clips_nothing_is_refused(clip):
    for make in (gradients, moments):
        with pytest.raises(PrivacyError):
            make(clip=clip)


@pytest.mark.parametrize("offset", [NAN, INF, -INF, 1e308])
def test_an_offset_that_is_no_number_is_refused(offset):
    with pytest.raises(PrivacyError, match="offset"):
        gradients(offset=offset)


@pytest.mark.parametrize("value", [NAN, INF, -INF, 1e300, 2.0**15])
def test_tables_that_cannot_be_summed_exactly_are_refused_before_anybody_is_counted(value):
    table = np.zeros((3, 2))
    table[1, 1] = value
    with pytest.raises(PrivacyError):
        ClippedGradients.of([table], np.zeros(2), np.zeros(2), 0.0, 1.0)
    with pytest.raises(PrivacyError):
        ClippedMoments.of([table], 1.0)


@pytest.mark.parametrize("value", [NAN, INF, -INF, 1e300, 1e12])
def test_weights_that_are_too_large_or_no_numbers_are_refused(value):
    with pytest.raises(PrivacyError):
        ClippedGradients.of([np.ones((3, 1))], np.zeros(1), np.array([value]), 0.0, 1.0)


def test_rows_whose_squared_norm_would_wrap_are_refused():
    with pytest.raises(PrivacyError, match="too large"):
        ClippedGradients.of([np.full((2, 8), 2**14.9)] * 3, np.zeros(8), np.zeros(8), 0.0, 1.0)


@pytest.mark.parametrize("form", ["gradients", "moments"])
def test_more_pairs_of_cells_than_fit_into_memory_are_refused_whoever_is_there(form):
    tables = [np.zeros((512, 1))] * 60
    with pytest.raises(PrivacyError, match="too many pairs"):
        if form == "gradients":
            ClippedGradients.of(tables, np.zeros(1), np.zeros(1), 0.0, 1.0)
        else:
            ClippedMoments.of(tables, 1.0)


@pytest.mark.parametrize("crowd", [1, 2**24])
def test_the_largest_tables_and_crowds_are_summed_exactly(crowd):
    largest = 2**20 - 1
    form = ClippedMoments(Layout((2,)), (np.array([[largest, largest], [-largest, largest]]),), 1e3)
    counts = form.counts(np.zeros((1, 1), int)) * crowd
    weight = int(counts[0])
    row = [largest, largest, 1 << MOMENT_BITS]
    expected = [
        weight * row[i] * row[j] * (WHOLE_WEIGHT if i == j else OFF_DIAGONAL_WEIGHT)
        for i in range(3)
        for j in range(i, 3)
    ]
    assert form.total(counts).tolist() == expected


def test_whatever_is_not_above_zero_is_good():
    cells, _ = people(4)
    odd, plain = np.array([-5, 0, 1, 7]), np.array([0, 0, 1, 1])
    assert gradients().counts(cells, odd).tolist() == gradients().counts(cells, plain).tolist()


def test_square_roots_are_correctly_rounded_wherever_they_stand():
    squares = torch.from_numpy(rng(5).integers(1, 2**62, 20_000)).double()
    exact = [math.sqrt(value) for value in squares.tolist()]
    assert root(squares).tolist() == exact
    assert [float(root(squares[at : at + 3])[1]) for at in range(50)] == exact[1:51]


@pytest.mark.parametrize("cells", [[0, 2], [3, 0], [-1, 1], [0, -1]])
def test_a_cell_that_a_feature_has_not_is_no_other_features(cells):
    layout = Layout((3, 2))
    assert layout.groups == ((0, 1),)
    with pytest.raises(PrivacyError, match="no such cell"):
        layout.grouped(np.array([[2, 1], cells], dtype=np.int32))
    assert layout.grouped(np.array([[2, 1], [0, 0]], dtype=np.int32))[0].tolist() == [5, 0]
