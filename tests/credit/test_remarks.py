"""What is said of a model from released figures, and when."""

import math

import numpy as np
import pandas as pd
import pytest
from support.world import feature_of, schema_of

from credit.binning import FeatureBins
from credit.cutting import make_binning
from credit.features import Feature
from credit.grid import FeatureCells, Grid
from credit.learning import Learner
from credit.quality import Figure
from credit.remarks import RiskLevel, indistinct, indistinct_values, remarks
from privacy.mechanism import ReleaseKind


def number(**limits):
    return Feature(**feature_of(name="x", kind="number", category="bureau", **limits))


def level(good, bad, noise):
    return RiskLevel(Figure(good, noise), Figure(bad, noise))


def test_the_base_rate_has_the_error_of_noise_and_chance():
    found = level(9000.0, 1000.0, 30.0).base_rate
    assert found.value == pytest.approx(0.1)
    noise, chance = math.hypot(0.9, 0.1) * 30 / 10_000, math.sqrt(0.1 * 0.9 / 10_000)
    assert found.error == pytest.approx(math.hypot(noise, chance))
    generator = np.random.default_rng(0)
    bad = generator.binomial(10_000, 0.1, 4000)
    good = 10_000 - bad
    rates = [
        level(g, b, 30.0).base_rate.value for g, b in (np.stack([good, bad]) + generator.normal(0, 30, (2, 4000))).T
    ]
    assert np.std(rates) == pytest.approx(found.error, rel=0.1)


@pytest.mark.parametrize(
    ("good", "bad", "noise", "determined"),
    [
        (9000, 1000, 30, True),
        (16_000, 56, 26, True),
        (16_000, 56, 40, False),
        (16_000, -20, 27, False),
        (20, 16_000, 27, False),  # the outcome may be the wrong way round; its level is as unsure
        (9000, 3, 0.1, False),  # chance alone
        (-50, -50, 100, False),
    ],
)
def test_a_level_of_risk_is_determined_by_enough_of_the_rarer_outcome(good, bad, noise, determined):
    found = level(float(good), float(bad), float(noise))
    assert found.determined == determined
    assert any("not determined" in sentence for sentence in found.said()) != determined
    assert 0 <= found.base_rate.value <= 1 and found.base_rate.error > 0


def test_an_outcome_that_may_be_the_wrong_way_round_is_said():
    (said,) = level(1000.0, 9000.0, 30.0).said()
    assert "more people are bad than good" in said
    assert level(4990.0, 5010.0, 30.0).said() == ()
    assert level(9000.0, 1000.0, 30.0).said() == ()


@pytest.mark.parametrize(
    ("bins", "said"),
    [
        (FeatureBins((), (), (1.0, 0.0)), "stands out of the noise"),
        (FeatureBins((640.0,), (), (0.001, 0.999, 0.0)), "between 640 and inf"),
        (FeatureBins((640.0, 896.0), (), (0.001, 0.998, 0.001, 0.0)), "between 640 and 896"),
        (FeatureBins((640.0,), (), (0.0, 0.001, 0.999)), "nearly nobody has a value"),
        (FeatureBins((640.0,), (), (0.05, 0.95, 0.0)), None),
        (FeatureBins((640.0,), (), (0.0, 0.9, 0.1)), None),  # whether it is missing tells people apart
    ],
)
def test_a_feature_in_one_bin_is_named_with_the_reason(bins, said):
    found = indistinct(number(), bins)
    assert found is None if said is None else found.startswith("x hardly tells people apart") and said in found


@pytest.mark.parametrize(
    ("values", "apart"),
    [
        (np.linspace(660, 850, 500), True),
        (np.linspace(1e-9, 2e-9, 500), True),
        (1e9 + np.linspace(0, 1e3, 500), True),
        (1e15 + np.arange(500.0), False),  # a two-billionth of what is told apart
        (np.full(500, 7.5), False),
        (np.full(500, np.nan), False),
    ],
    ids=["a band", "tiny", "huge", "too narrow", "one value", "no value"],
)
def test_the_owner_of_rows_learns_whether_they_can_be_told_apart(values, apart):
    cells = FeatureCells(number())
    counts = sum(cells.counts(pd.Series(part)) for part in np.array_split(values, 3))
    assert (indistinct_values(number(), counts) is None) == apart


def test_codes_and_public_ranges_are_looked_at_too():
    code = Feature(**feature_of(name="c", kind="category", category="bureau", values=("a", "b")))
    for values, apart in ((["a"] * 50 + ["b"] * 50, True), (["a"] * 100, False)):
        counts = FeatureCells(code).counts(pd.Series(values))
        assert (indistinct_values(code, counts) is None) == apart
    narrow = number(low=1e15, high=1e15 + 1000)
    counts = FeatureCells(narrow).counts(pd.Series(1e15 + np.arange(500.0)))
    assert indistinct_values(narrow, counts) is None


def test_a_learner_says_both_from_the_histogram():
    schema = schema_of(*({"name": name, "kind": "number", "category": "bureau"} for name in ("score", "hidden")))
    generator = np.random.default_rng(0)
    table = pd.DataFrame({"score": generator.uniform(660, 850, 4000), "hidden": 1e15 + generator.uniform(0, 9, 4000)})
    labels = (np.arange(4000) < 5).astype(np.int64)
    grid = Grid(schema)
    histogram = grid.histogram(table, labels) + generator.normal(0, 20, grid.size)
    binning = make_binning(grid, histogram, 20.0, 14)
    totals = (Figure(total, 20 / grid.totals_weight) for total in grid.totals(histogram))
    said = remarks(schema, binning, RiskLevel(*totals))
    assert [sentence.split()[0] for sentence in said] == ["the", "hidden"]


def test_before_the_histogram_there_is_nothing_to_say(market):
    learner = Learner(market.schema, "scorecard", market.plan(ReleaseKind.GRAM), 0)
    assert learner.remarks == ()
    table = market.people(800)
    learner.absorb(learner.task().contribution(table, 3), 3)
    assert learner.level is not None and learner.level.base_rate.value == pytest.approx(table.bad.mean(), abs=0.05)
