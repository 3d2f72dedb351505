"""Bins from one private release."""

import inspect
import itertools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.floats import never_falls
from support.world import schema_of

from credit.binning import Binning
from credit.cutting import make_binning
from credit.dyadic import WRAP
from credit.embedding import Embedding, points
from credit.errors import FeatureError
from credit.grid import FeatureCells, Grid

REGISTRY = schema_of(
    {"name": "late", "kind": "integer", "category": "repayment", "low": 0, "high": 60},
    {"name": "balance", "kind": "number", "category": "bureau"},
    {"name": "housing", "kind": "category", "category": "bureau", "values": ["own", "rent", "free"]},
)
LATE, BALANCE, HOUSING = range(3)

anything = st.one_of(st.none(), st.floats(), st.integers(-(10**12), 10**12).map(float), st.sampled_from([0.0, 60, 1e9]))
person = st.tuples(anything, anything, st.sampled_from(["own", "rent", "free", "castle", "", None]), st.integers(0, 1))


def table_of(rows):
    frame = pd.DataFrame(rows, columns=["late", "balance", "housing", "bad"])
    return frame.astype({"late": float, "balance": float, "bad": int})


def exact(grid, table):
    return grid.histogram(table, table["bad"].to_numpy(dtype=np.int64))


def released(grid, population=9000.0, bad=1000.0):
    """A histogram in which everybody's every feature is missing, good and bad in their numbers."""
    histogram = np.zeros(grid.size)
    histogram[:2] = grid.totals_weight * np.array([population - bad, bad])
    for _, counts in parts(grid, histogram):
        counts[-1] = 2 * population
    return histogram


def parts(grid, histogram):
    """(feature's cells, its counts: a view, still weighted)."""
    start = 2
    for column in grid.columns:
        yield column, histogram[start : start + column.size]
        start += column.coordinates


def with_counts(grid, feature, counts, missing=0.0):
    """Such a histogram, but for one feature's first cells."""
    histogram = released(grid)
    cells = [part for _, part in parts(grid, histogram)][feature]
    cells[:] = 0
    cells[: len(counts)] = 2 * np.array(counts)
    cells[-1] += 2 * missing
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


HOSTILE = [0.0, -0.0, 5e-324, -5e-324, 2.2e-308, 1e-12, 1e308, -1e308, math.inf, -math.inf, math.nan, None, 700, 2**53]


@settings(deadline=None)
@given(st.lists(person, max_size=6), person)
def test_one_person_changes_the_histogram_by_no_more_than_the_stated_sensitivity(rows, somebody):
    grid = Grid(REGISTRY)
    change = exact(grid, table_of([*rows, somebody])) - exact(grid, table_of(rows))
    assert np.linalg.norm(change) <= grid.sensitivity
    assert (change >= 0).all()


KINDS = [
    {"kind": kind, **limits}
    for kind in ("number", "integer")
    for limits in (
        {},
        {"low": 0},
        {"high": 0},
        {"low": 0, "high": 1},
        {"low": 300, "high": 850},
        {"low": 18, "high": 110},
        {"low": -5, "high": 5},
        {"low": 1e9, "high": 1e9 + 1000},
        {"low": 1e308},
        {"low": -1e308, "high": 1e308},
        {"low": 1e-300, "high": 1e-299},
    )
]


def one(**changes):
    return schema_of({"name": "x", "category": "bureau", **changes})


@pytest.mark.parametrize("declared", KINDS, ids=str)
@pytest.mark.parametrize("label", [0, 1])
def test_hostile_values_stay_within_the_sensitivity_and_one_of_them_reaches_it(declared, label):
    grid = Grid(one(**declared))
    (column,) = grid.columns
    values = [*HOSTILE, *np.append(column.edges, column.edges * (1 + 1e-9))[::7].tolist(), *column.edges[-3:].tolist()]
    norms = []
    for value in values:
        added = grid.histogram(pd.DataFrame({"x": [value]}, dtype=float), np.array([label]))
        norms.append(np.linalg.norm(added))
        assert np.flatnonzero(added[:2]).tolist() == [label]
        assert added[2 : 2 + column.size].sum() == 2
    assert max(norms) == pytest.approx(grid.sensitivity, rel=1e-12)


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(KINDS), st.lists(st.one_of(st.floats(), st.sampled_from(HOSTILE)), min_size=1, max_size=8))
def test_where_a_value_is_counted_does_not_depend_on_others(declared, values):
    grid = Grid(one(**declared))

    def counted(some):
        return grid.histogram(pd.DataFrame({"x": some}, dtype=float), np.zeros(len(some), dtype=np.int64))

    assert (counted(values) == sum(counted([value]) for value in values)).all()


def test_the_first_two_coordinates_are_the_good_and_the_bad(grid, table):
    histogram = exact(grid, table).astype(float)
    bad = int(table["bad"].sum())
    assert grid.totals(histogram) == (len(table) - bad, bad)
    assert histogram.shape == (grid.size,)


def test_a_public_range_saves_noise():
    wide, narrow = (Grid(one(kind="integer", **limits)) for limits in ({}, {"low": 300, "high": 850}))
    assert narrow.sensitivity < wide.sensitivity
    assert narrow.size < wide.size / 4


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
    assert edges.max() <= 60
    assert cells(grid, LATE, [-5.0, -math.inf, 0.0]) == [0, 0, 0]
    assert len(set(cells(grid, LATE, [60.0, 61.0, 1e9, math.inf]))) == 1
    counted = [grid.columns[LATE].counts(pd.Series([value])).tolist() for value in (60.0, 61.0, 1e9, math.inf)]
    assert counted == [counted[0]] * 4


def test_a_grid_without_a_range_reaches_both_ways(grid):
    edges = grid.columns[BALANCE].edges
    assert (edges == -edges[::-1]).all()
    assert (np.diff(edges) > 0).all()


def test_small_whole_numbers_have_cells_of_their_own(grid):
    assert cells(grid, LATE, np.arange(21.0)) == list(range(21))


def test_zero_has_a_cell_of_its_own(grid):
    low, zero, negative_zero, high = cells(grid, BALANCE, [-5e-324, 0.0, -0.0, 5e-324])
    assert low < zero == negative_zero < high


def test_a_narrow_public_range_has_a_grid_inside_it():
    column = FeatureCells(one(kind="number", low=300, high=850).features[0])
    assert len(column.edges) >= 16
    assert 300 < column.edges.min() < column.edges.max() <= 850


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=2))
def test_larger_values_never_have_smaller_cells(values):
    found = cells(Grid(REGISTRY), BALANCE, sorted(values))
    assert found == sorted(found)


def test_grids_do_not_depend_on_data():
    assert list(inspect.signature(Grid).parameters) == ["schema"]
    assert Grid(REGISTRY).size == Grid(REGISTRY).size


def test_bins_depend_on_the_noisy_histogram_alone(grid, table, binning):
    # Shuffling each column by itself destroys every row and keeps the histogram.
    generator = np.random.default_rng(1)
    shuffled = pd.DataFrame({name: generator.permutation(table[name].to_numpy()) for name in table})
    assert make_binning(grid, exact(grid, shuffled), 5.0, 8) == binning
    assert list(inspect.signature(make_binning).parameters) == ["grid", "histogram", "noise_std", "bins"]


def test_the_population_and_the_base_rate_are_counted_by_themselves(grid):
    histogram = released(grid, 900, 90)
    histogram[2:] += np.random.default_rng(0).normal(0, 50, grid.size - 2)
    binning = make_binning(grid, histogram, 5.0, 8)
    assert binning.population == pytest.approx(900)
    assert binning.base_rate == pytest.approx(0.1)


@pytest.mark.parametrize("features", [1, 10, 40])
def test_the_count_of_the_bad_is_as_sure_however_many_features_there_are(features):
    grid = Grid(schema_of(*({"name": f"x{i}", "kind": "number", "category": "bureau"} for i in range(features))))
    assert 2 < grid.sensitivity / grid.totals_weight < 4  # deviations of noise, per noise multiplier


def test_a_population_lost_in_noise_is_kept_in_bounds(grid):
    binning = make_binning(grid, released(grid, -350, -50), 100.0, 8)
    assert binning.population == 50
    assert 0.4 < binning.base_rate < 0.6  # of nothing but noise: as many bad as good
    Embedding(grid, binning)


def test_a_rare_outcome_keeps_its_rate(grid):
    assert make_binning(grid, released(grid, 20_000, 70), 10.0, 8).base_rate == pytest.approx(0.0035)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 5.0, 200.0, 1e5]), st.integers(1, 30))
def test_whatever_the_noise_the_bins_belong_to_their_grid(seed, noise_std, bins):
    grid = Grid(REGISTRY)
    generator = np.random.default_rng(seed)
    histogram = generator.exponential(30, grid.size) + generator.normal(0, noise_std, grid.size)
    binning = make_binning(grid, histogram, noise_std, bins)
    Embedding(grid, binning)
    for feature in binning.features:
        assert sum(feature.frequency) == pytest.approx(1)
        assert list(feature.edges) == sorted(set(feature.edges))
    assert len(binning.features[HOUSING].bin_of_code) == 4


def test_a_heavy_cell_stands_alone(grid):
    # 0 times late for most, the rest spread over 1 to 10
    histogram = with_counts(grid, LATE, [5000, *[400] * 10])
    late = make_binning(grid, histogram, noise_std=1.0, bins=5).features[LATE]
    assert late.edges[0] == 1.0
    assert late.frequency[0] == pytest.approx(5000 / 9000, rel=1e-6)
    rest = np.array(late.frequency[1:-1])
    assert 2 <= len(rest) <= 4
    assert rest.sum() == pytest.approx(4000 / 9000, rel=1e-6)


def test_a_heavy_cell_in_the_middle_stands_alone(grid):
    histogram = with_counts(grid, LATE, [*[400] * 5, 5000, *[400] * 5])
    late = make_binning(grid, histogram, noise_std=1.0, bins=5).features[LATE]
    assert {5.0, 6.0} <= set(late.edges)


def test_cells_within_the_noise_count_as_empty(grid):
    # A person counts twice in a cell, whose noise is therefore 5 people; a cell stands out from three times that.
    quiet = make_binning(grid, with_counts(grid, LATE, [6000, 0, 3000], missing=14), 10.0, 8).features[LATE]
    loud = make_binning(grid, with_counts(grid, LATE, [6000, 0, 3000], missing=16), 10.0, 8).features[LATE]
    assert quiet.frequency[-1] < 1e-9
    assert loud.frequency[-1] == pytest.approx(16 / 9016)


def test_categories_that_are_rare_or_only_noise_share_a_bin(grid):
    histogram = with_counts(grid, HOUSING, [9000, 12, 8, 5])  # own, rent, free, other; none missing
    housing = make_binning(grid, histogram, noise_std=7.0, bins=5).features[HOUSING]
    assert housing.bin_of_code == (0, 1, 1, 1)


@pytest.mark.parametrize("excess", [-2, -1, 1, 2])
def test_a_histogram_of_another_registry_is_refused(grid, excess):
    with pytest.raises(FeatureError, match="does not fit"):
        make_binning(grid, np.zeros(grid.size + excess), 1.0, 8)


def test_the_embedding_is_centred_and_of_unit_mean_square(embedding):
    for table, bins in zip(embedding.tables, embedding.binning.features, strict=True):
        frequency = np.array(bins.frequency)
        assert frequency @ table == pytest.approx(np.zeros(len(table)), abs=1e-9)
        assert frequency @ (table**2).sum(axis=1) == pytest.approx(1)


def test_rows_of_the_binned_table_are_centred_with_a_constant_at_the_end(embedding, table):
    rows = embedding.rows(embedding.bins(table))
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


def test_points_reproduce_the_models_logit(embedding, table):
    weights = np.random.default_rng(2).normal(size=embedding.width)
    per_bin, intercept = points(embedding, weights)
    found = embedding.bins(table)
    by_points = intercept + sum(values[found[:, j]] for j, values in enumerate(per_bin))
    assert embedding.rows(found) @ weights == pytest.approx(by_points, abs=1e-4)


def spoil(binning, feature=LATE, **changes):
    spoilt = [replace(f, **changes) if j == feature else f for j, f in enumerate(binning.features)]
    return replace(binning, features=tuple(spoilt))


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
        lambda b: spoil(b, edges=b.features[0].edges[1:]),
        lambda b: spoil(b, edges=b.features[0].edges[::-1]),
        lambda b: spoil(b, edges=(-math.inf, *b.features[0].edges[1:])),
        lambda b: spoil(b, edges=(math.nan, *b.features[0].edges[1:])),
        lambda b: spoil(b, edges=tuple(range(600)), frequency=(1 / 602,) * 602),
        lambda b: spoil(b, bin_of_code=(0,)),
        lambda b: spoil(b, HOUSING, edges=(1.0,)),
        lambda b: spoil(b, HOUSING, bin_of_code=(0, 1, 2)),
        lambda b: spoil(b, HOUSING, bin_of_code=(-1, 0, 1, 2)),
        lambda b: spoil(b, HOUSING, bin_of_code=(10**6, 0, 1, 2)),
        lambda b: spoil(b, HOUSING, bin_of_code=(len(b.features[HOUSING].frequency) - 1, 0, 1, 2)),
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


SCALES = {
    "a bureau score": lambda u: np.floor(660 + 190 * u),
    "amounts in dong": lambda u: np.round(1e9 + 9e9 * u),
    "fractions of a billionth": lambda u: 1e-9 * (1 + u),
    "fen": lambda u: np.round(6e12 + 1e12 * u),
    "a negative band": lambda u: -850 + 190 * u,
    "seconds of a year": lambda u: np.round(1.7e9 + 3e7 * u),
    "milliseconds of a year": lambda u: np.round(1.7e12 + 3e10 * u),
    "a thousand above a billion": lambda u: np.round(1e9 + 1000 * u),
    "beyond the usual": lambda u: 1e200 * (1 + u),
    "below the usual": lambda u: -1e-200 * (1 + u),
    "both sides of a binade": lambda u: 1023.9 + 0.2 * u,
    "close to one": lambda u: 1 - 1e-4 * u,
    "ordinary": lambda u: np.exp(10 * u),
    "both sides of zero": lambda u: 1000 * (u - 0.5),
}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("zeros", [0.0, 0.4])
@pytest.mark.parametrize("limits", [{}, {"low": -1e300, "high": 1e300}])
def test_at_any_scale_there_are_bins_of_about_equal_weight(scale, zeros, limits):
    generator = np.random.default_rng(3)
    values = SCALES[scale](generator.random(4000))
    values[generator.random(4000) < zeros] = 0
    kind = "integer" if (values % 1 == 0).all() else "number"
    grid = Grid(one(kind=kind, **limits))
    table = pd.DataFrame({"x": values, "bad": generator.integers(0, 2, 4000)})
    noise = 4.0 * grid.sensitivity
    histogram = exact(grid, table) + generator.normal(0, noise, grid.size)
    embedding = Embedding(grid, make_binning(grid, histogram, noise, 14))
    shares = np.bincount(embedding.bins(table)[values != 0, 0]) / (values != 0).sum()
    assert (shares > 0.03).sum() >= 6
    assert shares.max() < 0.35
    assert np.array(embedding.binning.features[0].frequency) == pytest.approx(
        np.bincount(embedding.bins(table)[:, 0], minlength=len(embedding.tables[0])) / 4000, abs=0.06
    )


def test_two_bands_and_a_code_are_each_cut():
    generator = np.random.default_rng(5)
    which = generator.choice(3, 9000)
    values = np.choose(
        which, [np.full(9000, -999.0), generator.uniform(660, 850, 9000), generator.uniform(3e6, 4e6, 9000)]
    )
    grid = Grid(one(kind="number"))
    histogram = exact(grid, pd.DataFrame({"x": values, "bad": 0 * which})) + generator.normal(0, 10, grid.size)
    edges = np.array(make_binning(grid, histogram, 10.0, 14).features[0].edges)
    assert ((edges > 660) & (edges < 850)).sum() >= 3
    assert ((edges > 3e6) & (edges < 4e6)).sum() >= 3


def test_levels_are_wheels_of_which_a_fine_one_is_shared():
    column = FeatureCells(one(kind="number").features[0])
    assert column.coordinates == column.size + WRAP * len(column.levels)
    assert [b - a for a, b in itertools.pairwise(column.levels)] == [5] * 4
