"""When something is told, and what it is said to be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from watching.alarms import FALSE_SHARE, Movement, discovered, lasting, moved, of_approval, of_events, of_feature
from watching.bands import BandShift
from watching.causes import Cause, Where, of_consortium, of_lender
from watching.intake import IntakeReference, ShareChange, shift
from watching.shares import Noisy
from watching.vintages import events_beside_expected

CALM = (
    *(Movement("feature", f"f{n}", 0.01, 0.1, 0.6) for n in range(8)),
    Movement("score", "score", 0.01, 0.1, 0.5),
    Movement("approval", "approval", 0.001, 0.03, 0.7),
    Movement("events", "events", 0.02, 0.2, 0.6),
    Movement("mixed-ages", "mixed-ages", 0.02, 0.2, 0.6),
)


def period(*changed):
    by_name = {one.name: one for one in changed}
    return tuple(by_name.get(one.name, one) for one in CALM)


def feature(number, effect=0.3, one_cell=False):
    return Movement("feature", f"f{number}", effect, 0.1, 1e-9, one_cell=one_cell)


SCORE = Movement("score", "score", 0.2, 0.1, 1e-9)
APPROVAL = Movement("approval", "approval", 0.08, 0.03, 1e-9)
EVENTS = Movement("events", "events", 0.5, 0.2, 1e-9)
MIXED = Movement("mixed-ages", "mixed-ages", 0.4, 0.2, 1e-9)


def named(*changed):
    return [one.cause for one in of_consortium([CALM, period(*changed), period(*changed)])]


@given(st.lists(st.floats(0, 1) | st.floats(0, 2 * FALSE_SHARE), min_size=1, max_size=40))
def test_discoveries_are_those_of_benjamini_and_hochberg(p_values):
    theirs = false_discovery_control(np.array(p_values)) <= FALSE_SHARE
    assert list(discovered(p_values)) == theirs.tolist()


def test_an_alarm_needs_an_effect_significance_and_two_periods():
    once, twice = period(EVENTS), [CALM, period(EVENTS), period(EVENTS)]
    assert [one.name for one in lasting(twice)] == ["events"]
    assert lasting([CALM, once]) == lasting([once]) == lasting([]) == ()
    small = Movement("events", "events", 0.1, 0.2, 1e-9)
    chance = Movement("events", "events", 0.5, 0.2, 0.02)
    drowned = Movement("events", "events", 0.5, 0.2, 1e-9, speaks=False)
    for one in (small, chance, drowned):
        assert lasting([period(one), period(one)]) == ()
    other_way = Movement("events", "events", -0.5, 0.2, 1e-9)
    assert lasting([period(EVENTS), period(other_way)]) == ()
    assert len(moved(once)) == 1


def test_each_cause_is_told_by_what_moved_and_what_did_not():
    assert named() == []
    assert named(feature(3, one_cell=True)) == [Cause.DATA_FAULT]
    assert named(feature(3, one_cell=True), SCORE, EVENTS, MIXED) == [Cause.DATA_FAULT]
    assert named(feature(3)) == [Cause.POPULATION]
    assert named(*(feature(n, one_cell=True) for n in range(4))) == [Cause.POPULATION]
    assert named(SCORE, feature(1), feature(2), MIXED) == [Cause.POPULATION]
    assert named(APPROVAL, MIXED) == [Cause.POLICY]
    assert named(EVENTS, MIXED) == [Cause.CALIBRATION]
    assert named(MIXED) == [Cause.MATURITY]
    assert named(SCORE, EVENTS) == [Cause.POPULATION, Cause.CALIBRATION]


def test_a_lender_tells_here_from_elsewhere():
    calm, broken = [CALM] * 2, [period(feature(1, one_cell=True))] * 2
    for own, others, where in ((broken, calm, Where.HERE), (calm, broken, Where.ELSEWHERE)):
        [alarm] = of_lender(own, others)
        assert (alarm.cause, alarm.where) == (Cause.DATA_FAULT, where)
    [alarm] = of_lender(broken, broken)
    assert alarm.where is Where.EVERYWHERE
    for doubtful in (
        Movement("feature", "f1", 0.3, 0.1, 0.2),  # as large, and not beyond chance
        Movement("feature", "f1", 0.01, 0.1, 0.6, speaks=False),
    ):
        for unsure in ([period(doubtful), CALM], [CALM, period(doubtful)]):
            assert [one.where for one in of_lender(broken, unsure)] == [Where.HERE_AT_LEAST]
            assert [one.where for one in of_lender(unsure, broken)] == [Where.ELSEWHERE_AT_LEAST]
    assert of_lender(calm, calm) == of_lender([], []) == of_consortium([]) == ()


def test_an_alarm_says_what_to_do_in_both_languages():
    [alarm] = of_lender([period(feature(1, one_cell=True))] * 2, [CALM] * 2)
    assert alarm.sentences["en"].startswith("Here, and not among the other lenders, f1 has moved")
    assert alarm.sentences["zh"].startswith("只在本机构：f1 集中到了")
    fewer = Movement("events", "events", -0.5, 0.2, 1e-9)
    [alarm] = of_consortium([period(fewer)] * 2)
    assert "fewer loans" in alarm.sentences["en"] and "更少" in alarm.sentences["zh"]


def test_figures_become_movements():
    reference = IntakeReference((0.2,) * 5)
    broken = shift(reference, np.array([1_000.0, 1_000, 1_000, 1_000, 6_000]), Noisy(10_000), 30.0)
    found = of_feature("income", broken)
    assert (found.kind, found.one_cell, found.matters) == ("feature", True, True)
    assert of_feature("score", broken, score=True).kind == "score"
    assert not of_feature("income", None).speaks
    assert of_approval(BandShift(ShareChange(0.1, 0.01), 1e-9)).matters
    assert not of_approval(BandShift(ShareChange(0.1, 0.04), 1e-3)).speaks
    assert not of_approval(None).speaks
    month = events_beside_expected(Noisy(300.0, 20.0), np.full((1, 1), 1e4), np.full((1, 1), 0.02), 0.0)
    assert of_events(month).effect == pytest.approx(0.5)
    assert of_events(month, equal_age=False).kind == "mixed-ages"
    hidden = events_beside_expected(Noisy(300.0, 60.0), np.full((1, 1), 1e4), np.full((1, 1), 0.02), 0.0)
    assert not of_events(hidden).speaks and not of_events(None).speaks
