"""Whole points that add up to the shown score, for everybody, with whatever is left out."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import scorecards
from support.effort import effort

from credit.scaling import FACTOR, HIGHEST, LOWEST
from lending import Scorer
from lending.cases import Fact
from lending.score.compiled import NEUTRAL, ScoreError
from lending.score.scorer import whole_points

NAMES = tuple(one["name"] for one in scorecards.FEATURES)
SCORERS = {
    (kind, size): Scorer.of(scorecards.model(kind, seed=5, size=size), "0" * 64, scorecards.UNDER)
    for kind in ("scorecard", "gam")
    for size in (0.3, 3.0)
}


def adds_up(scored):
    assert scored.base + sum(one.points for one in scored.points) == scored.score
    assert LOWEST <= scored.score <= HIGHEST
    assert all(one.points == 0 and one.bin == NEUTRAL for one in scored.points if one.neutral)


@settings(max_examples=effort(4_000, 100))
@given(
    st.sampled_from(sorted(SCORERS)),
    st.integers(0, 2**20),
    st.sets(st.sampled_from(NAMES)),
)
def test_points_add_up_to_the_shown_score_for_everybody(which, seed, left_out):
    (row,) = scorecards.people(1, seed)
    scored = SCORERS[which].score(row, frozenset(left_out))
    adds_up(scored)
    assert scored.neutral == len(left_out)
    assert [one.feature for one in scored.points] == list(NAMES)


@pytest.mark.parametrize("which", sorted(SCORERS))
def test_points_are_log_odds_times_one_rate(which):
    """Calibration included: nobody's points are off by as much as two, and ranks are those of log-odds."""
    scorer = SCORERS[which]
    for row in scorecards.people(300, 1):
        bins = scorer.look_up.bins(row, frozenset())
        scored, raw = scorer.scored(bins), scorer.look_up.raw(bins)
        deviations = scorer.look_up.deviations(bins)
        assert math.fsum(deviations) == pytest.approx(raw - scorer.mean_raw, abs=1e-9)
        rate = scorer.look_up.rate(raw, scorer.mean_raw)
        assert rate <= 0
        points = [one.points for one in scored.points]
        assert max(abs(rate * d - p) for d, p in zip(deviations, points, strict=True)) < 2
        order = np.argsort(deviations, kind="stable")
        assert (np.diff(np.array(points)[order]) <= 0).all()


def test_the_rate_is_the_tangent_close_to_the_mean_person():
    scorer = SCORERS["scorecard", 0.3]
    mean = scorer.mean_raw
    near, tangent = scorer.look_up.rate(mean + 1e-5, mean), scorer.look_up.rate(mean + 1e-12, mean)
    assert near == pytest.approx(tangent, rel=1e-4)
    assert -1.5 * FACTOR < tangent < -0.5 * FACTOR


@settings(max_examples=effort(2_000, 100))
@given(st.lists(st.floats(-500, 500), min_size=1, max_size=40), st.integers(-3, 45))
def test_whole_points_are_the_largest_remainders(parts, more):
    total = sum(math.floor(part) for part in parts) + more
    found = whole_points(parts, total)
    assert sum(found) == total
    for one, got in zip(parts, found, strict=True):
        for other, theirs in zip(parts, found, strict=True):
            if one > other + 1e-9:
                assert got >= theirs
    if 0 <= more <= len(parts):
        extra = [got - math.floor(part) for part, got in zip(parts, found, strict=True)]
        assert set(extra) <= {0, 1}
        raised = [part - math.floor(part) for part, one in zip(parts, extra, strict=True) if one]
        rest = [part - math.floor(part) for part, one in zip(parts, extra, strict=True) if not one]
        assert min(raised, default=1) >= max(rest, default=0)


def test_nobody_left_in_scores_as_the_mean_person():
    for scorer in SCORERS.values():
        scored = scorer.score({}, frozenset(NAMES))
        assert scored.score == scorer.base
        adds_up(scored)


def test_the_base_is_the_mean_persons_score_by_the_binnings_frequencies():
    scorer = SCORERS["scorecard", 0.3]
    mean = scorer.look_up.constant + sum(np.dot(table.frequency, table.units[:-1]) for table in scorer.look_up.tables)
    assert scorer.mean_raw == pytest.approx(mean * 2.0**-40, abs=1e-9)


@pytest.mark.parametrize("status", ["refused", "disputed", "late"])
@pytest.mark.parametrize("which", sorted(SCORERS))
def test_what_is_left_out_is_neutral_and_never_missing(which, status):
    scorer = SCORERS[which]
    facts = {name: Fact(name, "present", value) for name, value in scorecards.ordinary().items()}
    for name in NAMES:
        left = scorer.score_facts(facts | {name: Fact(name, status)})
        absent = scorer.score_facts(facts | {name: Fact(name, "absent")})
        at = NAMES.index(name)
        assert (left.points[at].points, left.points[at].bin, left.points[at].neutral) == (0, NEUTRAL, True)
        assert (absent.points[at].bin, absent.points[at].neutral) == (scorer.look_up.tables[at].missing, False)
        adds_up(left)
    units = [table.units[table.missing] - table.units[NEUTRAL] for table in scorer.look_up.tables]
    assert min(map(abs, units)) > 0  # missing and neutral differ here, or the test shows nothing


def test_a_disputed_value_changes_nothing():
    """It may even be there: it is not looked at."""
    scorer = SCORERS["gam", 0.3]
    facts = {name: Fact(name, "present", value) for name, value in scorecards.ordinary().items()}
    found = {scorer.score_facts(facts | {"late": Fact("late", "disputed", value)}) for value in (0, 60, "not a number")}
    assert len(found) == 1


def test_a_pair_is_split_half_and_half_and_a_neutral_side_leaves_all_to_the_other():
    scorer = SCORERS["gam", 0.3]
    pair = scorer.look_up.pairs[0]
    effects = np.array(pair.effects)
    first, second = np.array(pair.first_shares), np.array(pair.second_shares)
    assert first[:-1, :-1] == pytest.approx(second[:-1, :-1])
    assert first + second == pytest.approx(effects - effects[-1, -1])
    assert not first[-1].any()
    assert not second[:, -1].any()
    level, frequency = np.array(pair.first_levels[:-1]), np.array(scorer.look_up.tables[pair.first].frequency)
    assert effects[-1, 0] == pytest.approx(sum(frequency[b] * effects[level[b], 0] for b in range(len(level))))


def test_facts_are_dates_numbers_and_codes_as_they_come():
    scorer = SCORERS["scorecard", 0.3]
    facts = {name: Fact(name, "present", value) for name, value in scorecards.ordinary().items()}
    dated = scorer.score_facts(facts | {"housing": Fact("housing", "present", date(2026, 1, 1))})
    assert dated.points[4].bin == 3
    with pytest.raises(ScoreError, match="nothing is said of 'late'"):
        scorer.score_facts({name: fact for name, fact in facts.items() if name != "late"})


def test_a_probability_is_the_models():
    for (kind, size), scorer in SCORERS.items():
        model = scorecards.model(kind, seed=5, size=size)
        rows = scorecards.people(50, 9)
        expected = model.probability(scorecards.as_a_node_reads(rows))
        assert [scorer.score(row).probability for row in rows] == pytest.approx(expected, abs=1e-9)
