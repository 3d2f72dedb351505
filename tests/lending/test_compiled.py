"""Look-ups are the model: on every cell, every awkward value and random people."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from support import scorecards
from support.effort import EFFORT, effort

from credit.models import KNOTS
from credit.scaling import HIGHEST, LOWEST, score
from lending import Scorer
from lending.score.compiled import NEUTRAL, UNIT, ScoreError, compiled

KINDS = ("scorecard", "gam")
NOBODY: frozenset[str] = frozenset()


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    return scorecards.model(request.param, seed=3)


@pytest.fixture(scope="module")
def scorer(model):
    return Scorer.of(model, "0" * 64, scorecards.UNDER)


def equal_for(scorer, model, rows):
    """Raw and calibrated log-odds to the last bit, and the shown score, one by one and as a table."""
    table, look_up = scorecards.as_a_node_reads(rows), scorer.look_up
    raw = np.array([look_up.raw(look_up.bins(row, NOBODY)) for row in rows])
    assert (raw == model.raw_logit(table)).all()
    assert ([look_up.calibrated(one) for one in raw] == model.logit(table)).all()
    shown = score(model.probability(table))
    assert ([look_up.score(one) for one in raw] == shown).all()
    assert (scorer.scores(table) == shown).all()
    assert (scorer.raw(scorer.bins(table)) == raw).all()


def test_every_cell_of_every_feature_is_the_models(scorer, model):
    """One feature after the other takes every awkward value: edges and the doubles beside them, out of range, missing,
    other codes, seventeen digits, "1" and "1.0", truth values, dates."""
    rows = [
        scorecards.ordinary() | {one["name"]: value}
        for one in scorecards.FEATURES
        for value in scorecards.awkward(one["name"])
    ]
    equal_for(scorer, model, rows)


def test_every_pair_of_bins_is_the_models(model):
    """Where pairs add something: all bins of both features, by the model's own bins."""
    look_up, embedding = compiled(model), model.embedding
    sizes = [len(table) for table in embedding.tables]
    for first, second in ((0, 1), (1, 4), (2, 5)):
        bins = [[0] * len(sizes) for _ in range(sizes[first] * sizes[second])]
        for row, (one, two) in zip(bins, itertools.product(range(sizes[first]), range(sizes[second])), strict=True):
            row[first], row[second] = one, two
        table = np.array(bins, dtype=np.int32)
        asked = replace(model, embedding=_Standing(embedding, table))
        assert (asked.raw_logit(pd.DataFrame()) == [look_up.raw(row) for row in bins]).all()


class _Standing:
    """An embedding whose people stand in these bins."""

    def __init__(self, embedding, bins):
        self._embedding, self._bins = embedding, bins

    def bins(self, _):
        return self._bins

    def __getattr__(self, name):
        return getattr(self._embedding, name)


@settings(max_examples=effort(200, 20))
@given(st.sampled_from(KINDS), st.integers(0, 2**20), st.floats(0.01, 4.0))
def test_any_model_is_its_look_ups(kind, seed, size):
    model = scorecards.model(kind, seed, size)
    equal_for(Scorer.of(model, "0" * 64, scorecards.UNDER), model, scorecards.people(40, seed))


def test_random_people_score_as_the_model_scores_them(scorer, model):
    """A million at full effort."""
    for seed in range(effort(10, 1)):
        table = scorecards.many(100_000 if EFFORT >= 1 else 20_000, seed)
        assert (scorer.scores(table) == score(model.probability(table))).all()


def test_a_table_of_text_scores_as_one_of_values(scorer):
    """As a CSV file has it; what is declared a number is read as one."""
    rows = [scorecards.ordinary() | {"late": late, "housing": code} for late in (0, 3, 60) for code in ("1", "2")]
    text = pd.DataFrame([{name: str(value) for name, value in row.items()} for row in rows], dtype=object)
    assert (scorer.scores(text) == [scorer.score(row).score for row in rows]).all()


def test_codes_that_a_double_cannot_hold_stay_themselves(scorer):
    long, near = int(scorecards.LONG_CODE), int(scorecards.LONG_CODE) + 1
    assert float(long) == float(near)
    table = scorer.look_up.tables[4]
    assert table.bin(long) == table.bin(scorecards.LONG_CODE) == 4
    assert table.bin(near) == table.other != 4
    column = pd.DataFrame([scorecards.ordinary() | {"housing": one} for one in (long, near)])
    assert scorer.bins(column)[:, 4].tolist() == [4, table.other]


def test_one_and_one_point_nought_are_one_code(scorer):
    table = scorer.look_up.tables[4]
    assert {table.bin(one) for one in ("1", "1.0", 1, 1.0, np.int64(1))} == {0}
    assert {table.bin(one) for one in ("01", " 1", "+1")} == {table.other}


def test_bounds_are_where_the_models_own_score_changes(model):
    look_up = compiled(model)
    bounds = np.array(look_up.bounds)

    def shown(raw):
        odds = np.interp(raw, KNOTS, model.calibration)
        return score(1 / (1 + np.exp(-odds)))

    wanted = look_up.highest - 1 - np.arange(len(bounds))
    assert (np.diff(bounds) > 0).all()
    assert (shown(bounds + 1e-9) <= wanted).all()
    assert (shown(bounds - 1e-9) > wanted).all()
    assert [look_up.score(-99.0), look_up.score(99.0)] == [HIGHEST, LOWEST]


def test_a_scorecard_is_whole_units_so_no_order_of_adding_matters():
    look_up = compiled(scorecards.model(seed=8))
    assert all(isinstance(one, int) for table in look_up.tables for one in table.units)
    most = sum(max(map(abs, table.units)) for table in look_up.tables) + abs(look_up.constant)
    assert most < 2**53


def test_a_neural_network_decides_nothing():
    mlp = scorecards.model()
    with pytest.raises(ScoreError, match=r"neural network .* train a scorecard or a gam"):
        compiled(replace(mlp, kind="mlp"))


def test_a_calibration_without_slope_is_refused():
    level = np.cumsum(np.where(np.arange(len(KNOTS)) % 7, 0.5, 1e-3)) - 12
    with pytest.raises(ScoreError, match="so flat"):
        compiled(replace(scorecards.model(), calibration=tuple(level.tolist())))


@pytest.mark.parametrize("slope", [0.02, 0.06])
def test_the_sums_beside_every_bound_score_as_the_model_scores_them(slope):
    """Where rounding could decide: each possible sum next to a bound, under a calibration as flat as any may be."""
    calibration = tuple((KNOTS * slope - 2.0 + np.sin(KNOTS) * slope / 2).tolist())
    look_up = compiled(replace(scorecards.model(), calibration=calibration))
    sums = np.array(look_up.bounds)[:, None] + np.arange(-4, 5) * UNIT
    shown = score(expit(np.interp(sums, KNOTS, calibration)))
    assert len(sums) > 10
    assert ([[look_up.score(one) for one in row] for row in sums.tolist()] == shown).all()


@pytest.mark.parametrize("value", ["abc", "12,5", [1], object(), pd.Timestamp("2026-01-01"), "2026-01-01"])
def test_what_is_no_number_is_refused_and_not_quoted(scorer, value):
    with pytest.raises(ScoreError, match="'late' is no number") as error:
        scorer.score(scorecards.ordinary() | {"late": value})
    assert str(value) not in str(error.value)
    with pytest.raises(ScoreError, match="'late' holds something that is no number in 1 rows"):
        scorer.scores(
            pd.DataFrame(
                {
                    name: pd.Series([one], dtype=object)
                    for name, one in (scorecards.ordinary() | {"late": value}).items()
                }
            )
        )


def test_a_feature_of_which_nothing_is_said_is_refused(scorer):
    partly = scorecards.ordinary()
    del partly["used"]
    with pytest.raises(ScoreError, match="nothing is said of 'used'"):
        scorer.score(partly)
    with pytest.raises(ScoreError, match="column 'used' of the model is not there"):
        scorer.scores(pd.DataFrame([partly]))
    assert scorer.score(partly, frozenset({"used"})).points[2].bin == NEUTRAL
