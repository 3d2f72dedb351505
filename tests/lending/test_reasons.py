"""Reasons equal brute force, hide nothing, and survive without their model (trap 6)."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import scorecards
from support.effort import effort

from lending import Scorer
from lending.cases import FeaturePoints, Scored
from lending.score.compiled import ScoreError
from lending.score.reasons import MOST_REASONS, MeanPoints, just_above, reasons, shortfalls

NAMES = tuple(one["name"] for one in scorecards.FEATURES)


def scored(points, neutral=()):
    each = tuple(
        FeaturePoints(name, -1 if name in neutral else 0, value, name in neutral) for name, value in points.items()
    )
    return Scored(600 + sum(points.values()), "good", 0.1, 600, each)


def reference(**points):
    return MeanPoints(600, 620, 10, points)


people = st.fixed_dictionaries(dict.fromkeys(NAMES, st.integers(-80, 80)))
means = st.fixed_dictionaries(dict.fromkeys(NAMES, st.integers(-320, 320).map(lambda quarter: quarter / 4)))
grouped = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["a", "b"]))


@settings(max_examples=effort(1_000, 60))
@given(people, means, grouped)
def test_reasons_equal_brute_force(points, mean, families):
    """The four families that together lie furthest below, of all choices of four; no larger one is passed over."""
    points = {name: points[name] for name in NAMES}
    found = reasons(scored(points), reference(**mean), families)
    codes = list(dict.fromkeys(families.get(name, name) for name in NAMES))
    gap = {code: sum(mean[n] - points[n] for n in NAMES if families.get(n, n) == code) for code in codes}
    below = [code for code in codes if gap[code] > 0]
    best = max(
        itertools.permutations(below, min(len(below), MOST_REASONS)),
        key=lambda chosen: ([gap[code] for code in chosen], [-codes.index(code) for code in chosen]),
        default=(),
    )
    assert [one.code for one in found] == list(best)
    assert [one.points_below for one in found] == [max(round(gap[code]), 1) for code in best]
    assert all(one.kind == "score" for one in found)
    told = {code for code, _ in shortfalls(scored(points), reference(**mean), families)}
    assert told == set(below)


def test_who_scores_below_everybody_above_the_cut_off_always_has_a_reason():
    scorer = Scorer.of(scorecards.model(seed=5), "0" * 64, scorecards.UNDER)
    sample = [scorer.score(row) for row in scorecards.people(400, 2)]
    cut_off = sorted(one.score for one in sample)[250]
    mean = just_above(sample, cut_off)
    for one in sample:
        if one.score < cut_off:
            found = reasons(one, mean, {})
            assert 1 <= len(found) <= MOST_REASONS
            assert [r.points_below for r in found] == sorted((r.points_below for r in found), reverse=True)


def test_siblings_of_one_thing_are_one_reason_that_names_the_furthest():
    mean = reference(**dict.fromkeys(NAMES, 0.0))
    points = dict.fromkeys(NAMES, 0) | {"late": -5, "balance": -9, "used": -12}
    families = {"late": "debts", "balance": "debts"}
    first, second = reasons(scored(points), mean, families)
    assert (first.code, first.points_below, first.detail["feature"]) == ("debts", 14, "balance")
    assert (second.code, second.points_below) == ("used", 12)


def test_what_a_family_gains_elsewhere_counts():
    mean = reference(**dict.fromkeys(NAMES, 0.0))
    points = dict.fromkeys(NAMES, 0) | {"late": -30, "balance": 29, "used": -2}
    found = reasons(scored(points), mean, {"late": "debts", "balance": "debts"})
    assert [(one.code, one.points_below) for one in found] == [("used", 2), ("debts", 1)]


def test_what_was_left_out_is_named_as_left_out_and_not_hidden():
    mean = reference(**dict.fromkeys(NAMES, 0.0) | {"late": 25.0})
    (first,) = reasons(scored(dict.fromkeys(NAMES, 0), {"late"}), mean, {})
    assert (first.code, first.points_below, first.detail["neutral"]) == ("late", 25, True)


def test_the_reference_is_the_mean_of_those_just_above_the_cut_off():
    sample = [scored({"late": value}) for value in (-1, 0, 10, 19, 20, 300)]
    found = just_above(sample, 600)
    assert (found.people, found.points) == (3, {"late": 29 / 3})
    assert just_above(sample, 600, 21).people == 4


def test_without_anybody_just_above_there_is_no_reference_and_none_is_zero():
    with pytest.raises(ScoreError, match="nobody in the sample scored 700 to 719"):
        just_above([scored({"late": 0})], 700)
    with pytest.raises(ScoreError, match="nobody"):
        just_above([], 600)


def test_a_reference_of_another_model_is_refused():
    with pytest.raises(ScoreError, match="say nothing of 'used'"):
        reasons(scored({"used": 0}), reference(late=0.0), {})


def test_reasons_need_no_model_so_a_stored_decision_gives_the_same_ones_again():
    scorer = Scorer.of(scorecards.model("gam", seed=5), "0" * 64, scorecards.UNDER)
    one = scorer.score(scorecards.ordinary())
    mean = reference(**dict.fromkeys(NAMES, 30.0))
    kept = json.loads(json.dumps(asdict(one)))
    again = Scored(**kept | {"points": tuple(FeaturePoints(**part) for part in kept["points"])})
    assert reasons(again, mean, {}) == reasons(one, mean, {}) != ()


def test_interactions_are_named_by_their_features():
    """A GAM's pairs are nobody's own line: both of their features carry them."""
    scorer = Scorer.of(scorecards.model("gam", seed=5), "0" * 64, scorecards.UNDER)
    one = scorer.score(scorecards.ordinary())
    assert {part.feature for part in one.points} == set(NAMES)
    assert one.base + sum(part.points for part in one.points) == one.score
