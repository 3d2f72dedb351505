"""Bins from one private release."""

import inspect
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.floats import never_falls

from credit.binning import Binning, Embedding, Grid, make_binning, points
from credit.errors import FeatureError
from credit.features import registry_from

REGISTRY = registry_from(
    {
        "name": "test",
        "target": "bad",
        "features": [
            {"name": "late", "kind": "integer", "category": "repayment", "low": 0, "high": 60},
            {"name": "balance", "kind": "number", "category": "bureau"},
            {"name": "housing", "kind": "category", "category": "bureau", "values": ["own", "rent", "free"]},
        ],
    },
    "here",
)
LATE, BALANCE, HOUSING = range(3)

anything = st.one_of(st.none(), st.floats(), st.integers(-(10**12), 10**12).map(float), st.sampled_from([0.0, 60, 1e9]))
person = st.tuples(anything, anything, st.sampled_from(["own", "rent", "free", "castle", "", None]), st.integers(0, 1))


def table_of(rows):
    frame = pd.DataFrame(rows, columns=["late", "balance", "housing", "bad"])
    return frame.astype({"late": float, "balance": float, "bad": int})


def exact(grid, table):
    return grid.histogram(grid.cells(table), table["bad"].to_numpy(dtype=np.int64))


def released(grid, population=9000.0, bad=1000.0):
    """A histogram in which everybody's every feature is missing, good and bad in their numbers."""
    histogram = np.zeros(grid.size)
    for part in grid.split(histogram):
        part[:, -1] = population - bad, bad
    return histogram


def with_counts(grid, feature, counts, missing=0.0, bad_share=0.1):
    """Such a histogram, but for one feature's first cells."""
    histogram = released(grid)
    both = grid.split(histogram)[feature]
    both[:] = 0
    both[:, : len(counts)] = np.outer([1 - bad_share, bad_share], counts)
    both[:, -1] += np.array([1 - bad_share, bad_share]) * missing
    return histogram


@pytest.fixture(scope="module")
def grid():
    return Grid(REGISTRY)


@pytest.fixture(scope="module")
def table():
    generator = np.random.default_rng(4)
    size = 4000
    late = np.where(generator.random(size) < 0.6, 0, generator.poisson(8, size)).astype(float)
    balance = generator.lognormal(6, 2, size)
    balance[generator.random(size) < 0.1] = np.nan
    frame = pd.DataFrame({"late": late, "balance": balance})
    frame["housing"] = generator.choice(["own", "rent", "free", None], size, p=[0.5, 0.3, 0.1, 0.1])
    frame["bad"] = (generator.random(size) < 0.1 + 0.02 * late).astype(int)
    return frame


@pytest.fixture(scope="module")
def binning(grid, table):
    return make_binning(grid, exact(grid, table), noise_std=5.0, bins=8)


@pytest.fixture(scope="module")
def embedding(grid, binning):
    return Embedding(grid, binning)


@settings(deadline=None)
@given(st.lists(person, max_size=6), person)
def test_one_person_changes_the_histogram_by_the_stated_sensitivity_and_no_more(rows, somebody):
    grid = Grid(REGISTRY)
    change = exact(grid, table_of([*rows, somebody])) - exact(grid, table_of(rows))
    assert np.linalg.norm(change) == grid.sensitivity == math.sqrt(3)


@settings(deadline=None)
@given(st.lists(person, max_size=6))
def test_every_person_stands_in_one_cell_of_each_feature(rows):
    grid = Grid(REGISTRY)
    histogram = exact(grid, table_of(rows))
    bad = sum(row[-1] for row in rows)
    assert histogram.dtype == np.int64
    assert [part.sum(axis=1).tolist() for part in grid.split(histogram)] == [[len(rows) - bad, bad]] * 3
    assert grid.totals(histogram.astype(float)) == pytest.approx((len(rows) - bad, bad))


def cells(grid, feature, values):
    return grid.columns[feature].of(pd.Series(values)).tolist()


def test_missing_values_have_the_last_cell_and_unknown_codes_the_one_before(grid):
    size = grid.columns[HOUSING].size
    found = cells(grid, HOUSING, ["own", "rent", "free", "castle", None, float("nan")])
    assert found == [0, 1, 2, size - 2, size - 1, size - 1]
    assert cells(grid, BALANCE, [float("nan")]) == [grid.columns[BALANCE].size - 1]


def test_grids_respect_the_public_range(grid):
    edges = grid.columns[LATE].edges
    assert edges.min() > 0
    assert edges.max() < 60
    assert cells(grid, LATE, [-5.0, -math.inf, 0.0]) == [0, 0, 0]
    assert len(set(cells(grid, LATE, [60.0, 61.0, 1e9, math.inf]))) == 1


def test_a_grid_without_a_range_reaches_both_ways(grid):
    edges = grid.columns[BALANCE].edges
    assert (edges == -edges[::-1]).all()
    assert (np.diff(edges) > 0).all()


def test_small_whole_numbers_have_cells_of_their_own(grid):
    assert cells(grid, LATE, np.arange(21.0)) == list(range(21))


def test_zero_has_a_cell_of_its_own(grid):
    low, zero, high = cells(grid, BALANCE, [-1e-4, 0.0, 1e-4])
    assert low < zero < high


@settings(deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=2))
def test_larger_values_never_have_smaller_cells(values):
    found = cells(Grid(REGISTRY), BALANCE, sorted(values))
    assert found == sorted(found)


def test_grids_do_not_depend_on_data():
    assert list(inspect.signature(Grid).parameters) == ["registry"]
    assert Grid(REGISTRY).sizes == Grid(REGISTRY).sizes


def test_bins_depend_on_the_noisy_histogram_alone(grid, table, binning):
    # Shuffling each column by itself destroys every row and keeps the histogram.
    generator = np.random.default_rng(1)
    shuffled = pd.DataFrame({name: generator.permutation(table[name].to_numpy()) for name in table})
    assert make_binning(grid, exact(grid, shuffled), 5.0, 8) == binning
    assert list(inspect.signature(make_binning).parameters) == ["grid", "histogram", "noise_std", "bins"]


def test_the_population_and_the_base_rate_are_the_mean_over_features_of_the_released_counts(grid):
    histogram = released(grid, 900, 90)
    grid.split(histogram)[LATE][:, 3] = 300, 30  # one feature of three counts 330 people more
    binning = make_binning(grid, histogram, 5.0, 8)
    assert binning.population == pytest.approx(900 + 110)
    assert binning.base_rate == pytest.approx((90 + 10) / (900 + 110))


def test_totals_over_many_features_are_less_noisy_than_one_features(grid):
    generator = np.random.default_rng(0)
    draws = [grid.totals(generator.normal(0, 1, grid.size))[0] for _ in range(2000)]
    assert np.std(draws) == pytest.approx(math.sqrt(grid.size / 2) / 3, rel=0.1)


def test_a_population_lost_in_noise_is_kept_in_bounds(grid):
    binning = make_binning(grid, released(grid, -350, -50), 100.0, 8)
    assert binning.population == 50
    assert binning.base_rate == 0.01
    Embedding(grid, binning)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 5.0, 200.0, 1e5]), st.integers(1, 30))
def test_whatever_the_noise_the_bins_belong_to_their_grid(seed, noise_std, bins):
    grid = Grid(REGISTRY)
    generator = np.random.default_rng(seed)
    histogram = generator.exponential(30, grid.size) + generator.normal(0, noise_std, grid.size)
    binning = make_binning(grid, histogram, noise_std, bins)
    Embedding(grid, binning)
    for feature, size in zip(binning.features, grid.sizes, strict=True):
        assert len(feature.bin_of_cell) == size
        assert sum(feature.frequency) == pytest.approx(1)
        assert max(feature.bin_of_cell) == feature.bin_of_cell[-1] == len(feature.frequency) - 1
        assert feature.bin_of_cell.count(len(feature.frequency) - 1) == 1  # missing stands alone
    for numeric in binning.features[:HOUSING]:
        assert list(numeric.bin_of_cell) == sorted(numeric.bin_of_cell)


def test_a_heavy_cell_stands_alone(grid):
    # 0 times late for most, the rest spread over 1 to 10
    histogram = with_counts(grid, LATE, [5000, *[400] * 10])
    late = make_binning(grid, histogram, noise_std=1.0, bins=5).features[LATE]
    assert late.bin_of_cell.count(late.bin_of_cell[0]) == 1
    assert late.frequency[0] == pytest.approx(5000 / 9000, rel=1e-6)
    rest = np.array(late.frequency[1:-1])
    assert 2 <= len(rest) <= 4
    assert rest.sum() == pytest.approx(4000 / 9000, rel=1e-6)


def test_a_heavy_cell_in_the_middle_stands_alone(grid):
    histogram = with_counts(grid, LATE, [*[400] * 5, 5000, *[400] * 5])
    late = make_binning(grid, histogram, noise_std=1.0, bins=5).features[LATE]
    assert late.bin_of_cell.count(late.bin_of_cell[5]) == 1


def test_bins_count_good_and_bad_alike(grid):
    counts = [5000, *[400] * 10]
    bins = [
        make_binning(grid, with_counts(grid, LATE, counts, bad_share=share), 1.0, 5).features[LATE]
        for share in (0.0, 0.3, 1.0)
    ]
    assert bins[0] == bins[1] == bins[2]


def test_cells_within_the_noise_of_good_and_bad_together_count_as_empty(grid):
    # Each of two counts has deviation 10, so their sum has 14.1; a cell stands out from 2.5 times that.
    quiet = make_binning(grid, with_counts(grid, LATE, [6000, 0, 3000], missing=30), 10.0, 8).features[LATE]
    loud = make_binning(grid, with_counts(grid, LATE, [6000, 0, 3000], missing=40), 10.0, 8).features[LATE]
    assert quiet.frequency[-1] < 1e-9
    assert loud.frequency[-1] == pytest.approx(40 / 9040)


def test_categories_that_are_rare_or_only_noise_share_a_bin(grid):
    histogram = with_counts(grid, HOUSING, [9000, 12, 8, 5])  # own, rent, free, other; none missing
    housing = make_binning(grid, histogram, noise_std=7.0, bins=5).features[HOUSING]
    assert housing.bin_of_cell == (0, 1, 1, 1, 2)


@pytest.mark.parametrize("excess", [-2, -1, 1, 2])
def test_a_histogram_of_another_registry_is_refused(grid, excess):
    with pytest.raises(FeatureError, match="does not fit"):
        make_binning(grid, np.zeros(grid.size + excess), 1.0, 8)


def test_the_embedding_is_centred_and_of_unit_mean_square(embedding):
    for table, bins in zip(embedding.tables, embedding.binning.features, strict=True):
        frequency = np.array(bins.frequency)
        assert frequency @ table == pytest.approx(np.zeros(len(table)), abs=1e-9)
        assert frequency @ (table**2).sum(axis=1) == pytest.approx(1)


def test_rows_of_the_binned_table_are_centred_with_a_constant_at_the_end(embedding, grid, table):
    rows = embedding.rows(grid.cells(table))
    assert rows.shape == (len(table), embedding.width)
    assert (rows[:, -1] == 1).all()
    assert np.abs(rows[:, :-1].mean(axis=0)).max() < 0.05
    assert (rows**2).sum(axis=1).mean() == pytest.approx(embedding.mean_square, rel=0.03)
    assert embedding.mean_square == 3 + 1


def test_a_feature_with_one_value_stays_bounded(grid):
    embedding = Embedding(grid, make_binning(grid, with_counts(grid, LATE, [9000]), 1.0, 8))
    assert np.isfinite(embedding.tables[LATE]).all()
    assert np.abs(embedding.tables[LATE]).max() < 20


def test_neighbouring_bins_are_closer_than_distant_ones(embedding):
    table = embedding.tables[LATE][:-1]
    distances = [np.linalg.norm(table[0] - row) for row in table]
    assert never_falls(distances)


def test_points_reproduce_the_models_logit(embedding, grid, table):
    weights = np.random.default_rng(2).normal(size=embedding.width)
    per_bin, intercept = points(embedding, weights)
    found = grid.cells(table)
    by_points = intercept + sum(
        per_bin[j][np.array(bins.bin_of_cell)[found[:, j]]] for j, bins in enumerate(embedding.binning.features)
    )
    assert embedding.rows(found) @ weights == pytest.approx(by_points, abs=1e-4)


def spoil(binning, **changes):
    return replace(binning, features=(replace(binning.features[0], **changes), *binning.features[1:]))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda b: replace(b, features=b.features[:-1]),
        lambda b: replace(b, features=b.features[::-1]),
        lambda b: replace(b, features=()),
        lambda b: replace(b, base_rate=0.0),
        lambda b: replace(b, base_rate=1.0),
        lambda b: replace(b, base_rate=math.nan),
        lambda b: replace(b, population=0.5),
        lambda b: replace(b, population=math.inf),
        lambda b: replace(b, population=math.nan),
        lambda b: spoil(b, bin_of_cell=b.features[0].bin_of_cell[1:]),
        lambda b: spoil(b, bin_of_cell=(-1, *b.features[0].bin_of_cell[1:])),
        lambda b: spoil(b, bin_of_cell=(10**6, *b.features[0].bin_of_cell[1:])),
        lambda b: spoil(b, frequency=(1.0,)),
        lambda b: spoil(b, frequency=()),
        lambda b: spoil(b, frequency=(math.nan, *b.features[0].frequency[1:])),
        lambda b: spoil(b, frequency=(-0.1, *b.features[0].frequency[1:])),
        lambda b: spoil(b, frequency=(math.inf, *b.features[0].frequency[1:])),
    ],
)
def test_a_foreign_or_malformed_binning_is_refused(grid, binning, wrong):
    assert isinstance(binning, Binning)
    with pytest.raises(FeatureError, match="does not belong"):
        Embedding(grid, wrong(binning))
