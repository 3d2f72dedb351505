"""Released figures as people read them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from watching.causes import Cause, Where
from watching.errors import WatchError
from watching.readings import Light, group_names, read_intake, report
from watching.released import figures_from, told_apart

EDGES = [-3.0, -2.0, -1.0]
SHARES = np.array([0.4, 0.3, 0.2, 0.1])
RATES = np.array([0.9, 0.8, 0.5, 0.1])
FEATURES = {"late": np.array([0.6, 0.3, 0.1]), "grade": np.array([0.5, 0.3, 0.15, 0.05]), "age": np.array([0.7, 0.3])}


def intake(people=20_000, noise=20.0, shares=SHARES, rates=RATES, late=None, seed=0):
    rng = np.random.default_rng(seed)

    def noisy(counts):
        return (np.asarray(counts) + rng.normal(0, noise, np.shape(counts))).tolist()

    named = FEATURES | ({"late": late} if late is not None else {})
    said = {
        "kind": "intake",
        "groups": {
            "edges": EDGES,
            "counts": noisy([people * shares * (1 - rates), people * shares * rates]),
            "noise": noise,
            "expected": SHARES.tolist(),
            "probability": [0.03, 0.08, 0.18, 0.4],
        },
        "reference": {"people": 30_000.0, "bad_rate": 0.1},
        "noise": noise,
        "segments": {"thin file": noisy(people * 0.2 * shares)},
        "features": {
            name: {"counts": noisy(people * now), "expected": FEATURES[name].tolist()} for name, now in named.items()
        },
    }
    return figures_from(json.dumps(said), "here")


def outcomes(people=20_000, noise=10.0, times=1.0):
    bad = np.array([0.03, 0.08, 0.18, 0.4])
    counts = [people * SHARES * (1 - times * bad), people * SHARES * times * bad]
    said = {
        "kind": "outcomes",
        "groups": {
            "edges": EDGES,
            "counts": np.array(counts).tolist(),
            "noise": noise,
            "expected": SHARES.tolist(),
            "probability": bad.tolist(),
        },
        "reference": {"people": 30_000.0, "bad_rate": 0.1},
        "evaluation": None,
    }
    return figures_from(json.dumps(said), "here")


def test_when_nothing_changes_the_light_is_green_and_everybody_is_counted():
    found = report([("2026-10", intake(seed=1)), ("2026-11", intake(seed=2))], [])
    latest = found.intake[-1]
    assert found.light is Light.GREEN and not found.alarms
    assert latest.people.value == pytest.approx(20_000, abs=5 * latest.people.std)
    assert all(one is not None and abs(one.psi) < 0.01 for one in latest.features.values())
    assert latest.segments["thin file"].value == pytest.approx(4_000, abs=200)


def test_other_people_are_told_once_they_came_in_two_periods():
    shifted = SHARES[::-1]
    once = report([("2026-10", intake(seed=1)), ("2026-11", intake(seed=2, shares=shifted))], [])
    assert once.light is Light.AMBER and not once.alarms
    later = [(f"2026-1{at}", intake(seed=at, shares=shifted)) for at in (1, 2)]
    twice = report([("2026-10", intake(seed=1)), *later], [])
    assert twice.light is Light.RED and {one.cause for one in twice.alarms} == {Cause.POPULATION}


def test_another_policy_is_told_apart_from_other_people():
    freer = np.minimum(RATES + 0.08, 1)
    found = report([(f"2026-{9 + at}", intake(seed=at, rates=RATES if at == 0 else freer)) for at in range(3)], [])
    assert [one.cause for one in found.alarms] == [Cause.POLICY]
    assert found.intake[0].approved == () and len(found.intake[1].approved) == 4


def test_a_broken_feature_is_told_apart_from_other_people():
    broken = np.array([0.3, 0.15, 0.55])
    found = report([(f"2026-{9 + at}", intake(seed=at, late=None if at == 0 else broken)) for at in range(3)], [])
    assert [one.cause for one in found.alarms] == [Cause.DATA_FAULT]


def test_a_handful_of_people_under_noise_says_nothing_and_is_grey():
    found = report([("2026-10", intake(people=100)), ("2026-11", intake(people=100, seed=4))], [])
    assert found.light is Light.GREY and not found.intake[-1].speaks
    assert report([], []).light is Light.GREY


def evaluated(ratio, error=0.02):
    """An evaluation of everybody with this much bad over expected."""

    def figure(value, error=0.01):
        return {"value": value, "error": error}

    whole = {name: figure(0.5) for name in ("people", "bad_rate", "auc", "ks", "ece")}
    segment = whole | {"name": "everybody", "observed_to_expected": figure(ratio, error)}
    rest = {"untold": [], "psi_score": None, "psi_features": {}, "untold_features": [], "contradicted": False}
    said = json.loads(outcomes().model_dump_json())
    evaluation = rest | {"segments": [segment], "held_out": figure(20_000.0), "left_out": None}
    return figures_from(json.dumps(said | {"evaluation": evaluation}), "here")


def test_a_model_that_is_wrong_is_no_green_light_whoever_applies():
    still = [("2026-10", intake(seed=1)), ("2026-11", intake(seed=2))]
    once = report(still, [("2026-03", evaluated(1.0)), ("2026-04", evaluated(2.0))])
    assert once.light is Light.AMBER and not once.alarms
    twice = [("2026-03", evaluated(2.0)), ("2026-04", evaluated(1.9))]
    found = report(still, twice)
    assert found.light is Light.RED and [one.cause for one in found.alarms] == [Cause.CALIBRATION]
    assert not report(still, twice, apart=["outcomes"]).alarms, "periods that do not follow each other are no two"
    assert report([], [("2026-04", evaluated(1.05))]).light is Light.GREEN
    assert report([], [("2026-04", evaluated(3.0, error=1.5))]).light is Light.GREY


def test_an_evaluation_that_is_none_is_refused():
    said = json.loads(outcomes().model_dump_json()) | {"evaluation": {"segments": [{"name": "everybody"}]}}
    with pytest.raises(WatchError, match="holds no released figures"):
        figures_from(json.dumps(said), "here")


def test_outcomes_are_beside_what_the_model_expected():
    (twice,) = report([], [("2026-03", outcomes(times=2.0))]).outcomes
    rate = twice.bad[1].share.rate
    assert rate.low < 0.16 < rate.high and twice.bad[1].expected == 0.08
    assert twice.whole is None


def own_of(found, share=0.25, late=None):
    """What one lender of four put in: a quarter of everything, but for a feature of its own."""

    def part(counts):
        return tuple(round(share * one) for one in counts)

    rows = [*map(part, found.groups.counts), *map(part, found.segments.values())]
    for name, one in found.features.items():
        mine = late is not None and name == "late"
        rows.append(tuple(np.rint(np.array(late) * 5_000).astype(int).tolist()) if mine else part(one.counts))
    return [count for row in rows for count in row]


def test_a_lender_tells_its_own_fault_from_what_is_everywhere():
    periods = [f"2026-{9 + at}" for at in range(3)]
    usual, broken = FEATURES["late"], np.array([0.1, 0.05, 0.85])
    mixed = 0.75 * usual + 0.25 * broken
    figures = [intake(seed=at, late=usual if at == 0 else mixed, noise=5.0) for at in range(3)]
    own = {
        name: own_of(one, late=usual if at == 0 else broken)
        for at, (name, one) in enumerate(zip(periods, figures, strict=True))
    }
    found = report(list(zip(periods, figures, strict=True)), [], own)
    assert [(one.cause, one.where) for one in found.own] == [(Cause.DATA_FAULT, Where.HERE)]
    alone = report(list(zip(periods, figures, strict=True)), [])
    assert alone.own == () and found.light is Light.RED


@pytest.mark.parametrize("own_in", [(0, 1, 2), (0, 1, 5), (0, 4), (5,)])
def test_a_lender_that_did_not_count_lately_has_no_alarm_of_its_own(own_in):
    """What was months ago, or with months between, is no alarm: its own counts are of some periods only."""
    usual, broken = FEATURES["late"], np.array([0.1, 0.05, 0.85])
    figures = [(f"2026-{9 + at:02d}", intake(seed=at, noise=5.0)) for at in range(6)]
    own = {figures[at][0]: own_of(figures[at][1], late=broken if at else usual) for at in own_in}
    assert report(figures, [], own).own == ()


def test_a_share_that_was_usual_was_counted_too_and_has_an_error_of_its_own():
    """Where nothing changes a p-value is below 0.1 once in ten times, though both periods are counted."""
    rng, found = np.random.default_rng(3), []
    rates = np.array([0.7, 0.6, 0.5, 0.4])

    def quiet():
        counts = rng.multinomial(4_000, np.concatenate([SHARES * (1 - rates), SHARES * rates])).reshape(2, 4)
        whole = intake()
        groups = whole.groups.model_copy(update={"counts": tuple(map(tuple, counts.tolist())), "noise": 0.0})
        return whole.model_copy(update={"groups": groups})

    for _ in range(400):
        found.append(read_intake("2026-11", quiet(), quiet()).approval.p_value)
    assert 0.06 < np.mean(np.array(found) < 0.1) < 0.14


def test_a_band_that_was_too_small_to_tell_is_not_what_is_usual():
    few = intake(people=60, noise=20.0)
    read = read_intake("2026-11", intake(), few)
    assert all(one.expected_error is None for one in read.approved) and not read.approval.speaks
    json.dumps([one.expected_error for one in read.approved], allow_nan=False)


def test_own_counts_of_another_campaign_are_refused():
    figures = intake()
    with pytest.raises(WatchError, match="of another campaign"):
        report([("2026-10", figures)], [], {"2026-10": own_of(figures)[:-1]})


def test_a_lenders_part_and_the_others_make_the_whole():
    figures = intake()
    mine, others = told_apart(figures, own_of(figures))
    assert (mine.noise, others.noise, mine.groups.noise) == (0.0, figures.noise, 0.0)
    for name, one in figures.features.items():
        assert np.allclose(np.add(mine.features[name].counts, others.features[name].counts), one.counts)
    assert np.allclose(np.add(mine.groups.counts, others.groups.counts), figures.groups.counts)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda said: said | {"kind": "other"},
        lambda said: said | {"noise": -1},
        lambda said: said | {"more": 1},
        lambda said: said | {"features": {}},
        lambda said: said | {"noise": 1e300},
        lambda said: said | {"groups": said["groups"] | {"probability": [0.1, 0.2, 0.3, 1.1]}},
        lambda said: said | {"groups": said["groups"] | {"counts": [[1e308] * 4] * 2}},
    ],
)
def test_a_file_that_is_no_figures_is_refused_in_one_sentence(spoil):
    said = spoil(json.loads(intake().model_dump_json()))
    with pytest.raises(WatchError, match=r"^here holds no released figures: [^\n]+$"):
        figures_from(json.dumps(said), "here")


def test_counts_of_another_number_of_groups_are_refused():
    said = json.loads(intake().model_dump_json())
    said["groups"]["edges"] = [-1.0, 0.0]
    with pytest.raises(WatchError, match="groups"):
        report([("2026-10", figures_from(json.dumps(said), "here"))], [])


def test_groups_are_named_by_what_the_model_says_of_them():
    assert group_names([-2.0, 0.0]) == ("below 11.9%", "11.9% to 50%", "above 50%")
