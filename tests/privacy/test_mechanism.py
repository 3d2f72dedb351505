"""What a plan may be, whose noise protects it, and the most that it may cost."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from privacy.accounting import epsilon_of, rho_of
from privacy.charges import LARGEST_CLIP, LEAST_CLIP, MAX_NOISE_MULTIPLIER, Charge
from privacy.errors import PrivacyError
from privacy.mechanism import LEAST_HONEST, Audience, Mechanism, PlannedRelease, ReleaseKind
from privacy.sums import NoisySum

DELTA = 1e-5
SUMS = tuple(kind for kind in ReleaseKind if kind is not ReleaseKind.TRAIN)


def release(kind="gradient", noise_multiplier=5.0, **changes):
    return PlannedRelease(kind=kind, noise_multiplier=noise_multiplier, **changes)


HISTOGRAM, EVALUATION = release("histogram", 9.0), release("evaluation", 3.0)
TRAIN = release("train", 1.0, sampling_rate=0.1, steps=10)


def mechanism(*releases, **changes):
    standard = {
        "kind": "distributed",
        "epsilon": 4.0,
        "delta": DELTA,
        "releases": releases or (HISTOGRAM, release()),
        "clip_norm": 1.0,
        "bins": 16,
        "collusion_bound": 1,
        "threshold": 3,
    }
    return Mechanism(**(standard | changes))


def refused(match, *releases, **changes):
    with pytest.raises(ValidationError, match=match):
        mechanism(*releases, **changes)


def test_a_distributed_and_a_local_plan_are_accepted():
    assert mechanism().kind == "distributed"
    assert mechanism(HISTOGRAM, release("gram"), TRAIN, TRAIN, release("calibration"), kind="local").kind == "local"
    assert mechanism(HISTOGRAM, release(), EVALUATION, hold_out=0.2).hold_out == 0.2


@pytest.mark.parametrize(
    "releases",
    [
        (release("gram"),),
        (release("gram"), HISTOGRAM),
        (release(), HISTOGRAM, release()),
        (HISTOGRAM, HISTOGRAM),
        (HISTOGRAM, release(), HISTOGRAM),
    ],
)
def test_a_plan_that_does_not_begin_with_its_only_histogram_is_refused(releases):
    refused("begins with its only histogram", *releases)


def test_pairs_come_after_the_descent_whose_residuals_they_are():
    refused("after the descent", HISTOGRAM, release("pairs"), release())
    refused("after the descent", HISTOGRAM, TRAIN, release("pairs"), TRAIN, kind="local")
    mechanism(HISTOGRAM, release(), release("pairs"), release("pairs"), release("calibration"))


def test_training_inside_a_lender_belongs_to_a_local_mechanism_and_only_there():
    refused("only there", HISTOGRAM, TRAIN)
    refused("only there", HISTOGRAM, release(), kind="local")


@pytest.mark.parametrize("kind", SUMS)
@pytest.mark.parametrize("change", [{"sampling_rate": 0.5}, {"sampling_rate": 0.999999}, {"steps": 2}], ids=str)
def test_a_sum_over_a_sample_or_in_several_steps_is_refused(kind, change):
    """Nobody samples for a sum, so charging it as a sample would charge too little."""
    planned = release(kind, **change)
    others = () if kind is ReleaseKind.HISTOGRAM else (HISTOGRAM,)
    hold_out = 0.2 if kind is ReleaseKind.EVALUATION else 0.0
    refused("everybody.*, once", *others, planned, hold_out=hold_out)
    refused("everybody.*, once", *others, planned, TRAIN, hold_out=hold_out, kind="local")


@pytest.mark.parametrize(("collusion_bound", "threshold"), [(1, 2), (2, 3), (5, 6), (50, 3)])
def test_a_sum_that_colluders_could_open_is_refused(collusion_bound, threshold):
    refused("do not collude", collusion_bound=collusion_bound, threshold=threshold)
    # A local contribution is private by itself.
    mechanism(HISTOGRAM, TRAIN, kind="local", collusion_bound=collusion_bound, threshold=threshold)


@pytest.mark.parametrize("collusion_bound", [0, 1, 7])
def test_two_contributors_who_do_not_collude_are_enough(collusion_bound):
    plan = mechanism(collusion_bound=collusion_bound, threshold=collusion_bound + LEAST_HONEST)
    assert plan.honest(plan.threshold) == LEAST_HONEST == 2


def test_people_are_held_out_for_an_evaluation_and_only_for_one():
    refused("held out", HISTOGRAM, release(), hold_out=0.2)
    refused("held out", HISTOGRAM, release(), EVALUATION)


def each(wrong):
    """One change for every value of every field."""
    return [{name: value} for name, values in wrong.items() for value in values]


OUT_OF_RANGE = {
    "kind": ("central",),
    "epsilon": (0.0, -1.0, math.inf, math.nan),
    "delta": (0.0, 1.0, math.nan),
    "releases": ((), (HISTOGRAM, *[release()] * 1000)),
    "clip_norm": (0.0, -1.0, LEAST_CLIP / 2, LARGEST_CLIP * 2, math.inf, math.nan),
    "bins": (1, 65),
    "collusion_bound": (-1,),
    "spare_attempts": (-1, 101),
    "hold_out": (-0.1, 0.51, math.nan),
    "noise": ("less",),
}
ALONE = {"collusion_bound": 0, "threshold": 1}


@pytest.mark.parametrize(
    "change",
    [*each(OUT_OF_RANGE), ALONE, {**ALONE, "kind": "local", "releases": (HISTOGRAM, TRAIN)}],
    ids=lambda change: next(iter(change)),
)
def test_a_figure_out_of_range_is_refused(change):
    with pytest.raises(ValidationError) as refusal:
        mechanism(**change)
    assert {error["loc"][0] for error in refusal.value.errors()} <= set(change)


NO_CHARGE = {
    "kind": ("median",),
    "noise_multiplier": (0.0999, -5.0, math.inf, MAX_NOISE_MULTIPLIER * 1.001, 1e300, math.nan),
    "sampling_rate": (0.0, 1.1, math.nan),
    "steps": (0, 100_001),
    "noise": ("less",),
}


@pytest.mark.parametrize("change", each(NO_CHARGE), ids=str)
def test_a_release_that_cannot_be_charged_is_refused(change):
    with pytest.raises(ValidationError):
        release(**({"kind": "train"} | change))


def test_a_plan_cannot_be_changed_after_its_approval():
    plan = mechanism()
    with pytest.raises(ValidationError):
        plan.clip_norm = 2.0
    with pytest.raises(ValidationError):
        plan.releases[0].noise_multiplier = 0.1


@pytest.mark.parametrize(
    ("collusion_bound", "contributors", "honest"), [(0, 2, 2), (0, 7, 7), (1, 3, 2), (2, 7, 5), (2, 2, 1), (2, 1, 1)]
)
def test_the_noise_of_a_distributed_sum_counts_on_those_who_do_not_collude(collusion_bound, contributors, honest):
    plan = mechanism(collusion_bound=collusion_bound, threshold=collusion_bound + 2)
    assert plan.honest(contributors) == honest


@pytest.mark.parametrize("contributors", [1, 2, 50])
def test_under_a_local_mechanism_everybody_carries_the_whole_noise(contributors):
    assert mechanism(HISTOGRAM, TRAIN, kind="local").honest(contributors) == 1


def test_every_planned_release_is_charged_to_those_whose_data_it_uses():
    plan = mechanism(HISTOGRAM, release("gram", 7.0), release(), EVALUATION, hold_out=0.2)
    assert plan.charges() == (Charge(9.0), Charge(7.0), Charge(5.0))
    assert plan.charges(Audience.HOLD_OUT) == (Charge(3.0),)
    assert mechanism().charges(Audience.HOLD_OUT) == ()
    assert mechanism(spare_attempts=3).charges(Audience.HOLD_OUT) == ()


def test_only_an_evaluation_uses_those_held_out():
    used = {kind: release(kind).audience for kind in ReleaseKind}
    assert [kind for kind, audience in used.items() if audience is Audience.HOLD_OUT] == [ReleaseKind.EVALUATION]


def test_local_training_is_charged_step_by_step_over_its_samples():
    plan = mechanism(HISTOGRAM, TRAIN, TRAIN, kind="local")
    assert plan.charges() == (Charge(9.0), Charge(1.0, 0.1, 10), Charge(1.0, 0.1, 10))


def test_spare_attempts_are_charged_at_the_dearest_release_of_each_audience():
    planned = HISTOGRAM, release(noise_multiplier=6.0), release(noise_multiplier=4.0), EVALUATION, EVALUATION
    plan = mechanism(*planned, hold_out=0.2, spare_attempts=2)
    assert plan.charges() == (Charge(9.0), Charge(6.0), Charge(4.0), Charge(4.0), Charge(4.0))
    assert plan.charges(Audience.HOLD_OUT) == (Charge(3.0),) * 4


multipliers = st.floats(0.5, 50)


@settings(max_examples=60)
@given(st.lists(multipliers, min_size=1, max_size=6), st.lists(st.integers(0, 6), max_size=4))
def test_a_sum_attempted_again_never_costs_more_than_was_planned(noise, again):
    releases = [release("histogram", noise[0]), *[release(noise_multiplier=sigma) for sigma in noise[1:]]]
    plan = mechanism(*releases, spare_attempts=len(again))
    happened = [r.charge for r in releases] + [releases[i % len(releases)].charge for i in again]
    assert rho_of(happened) <= rho_of(plan.charges()) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("histogram", "train"),
    [
        (release("histogram", 4.0), release("train", 0.5, sampling_rate=0.1)),
        (release("histogram", 2.0), TRAIN),
        (release("histogram", 2.5), release("train", 0.8, sampling_rate=0.05, steps=40)),
        (release("histogram", 30.0), release("train", 1.0, sampling_rate=0.01, steps=100)),
    ],
    ids=lambda planned: f"{planned.kind} {planned.noise_multiplier}",
)
@pytest.mark.parametrize("attempted", [0, 1])
def test_training_attempted_again_never_costs_more_than_was_planned(histogram, train, attempted):
    """What sampling saves does not go as the square of the rate over the noise when there is little noise."""
    plan = mechanism(histogram, train, kind="local", spare_attempts=5)
    happened = [histogram.charge, train.charge, *[(histogram, train)[attempted].charge] * 5]
    assert epsilon_of(happened, DELTA) <= epsilon_of(plan.charges(), DELTA) * (1 + 1e-6)


def test_the_most_noise_that_can_be_planned_stays_far_within_the_ring_of_sums():
    """Of noise of 1e300 the sampler answers with the largest whole number: a constant, charged as if it were noise."""
    for sensitivity in (LEAST_CLIP, 1.0, LARGEST_CLIP):
        form = NoisySum(10_000, sensitivity, MAX_NOISE_MULTIPLIER, 1, unit=2.0**-24)
        assert 8 * form.scale * 100 < 2**62, "a hundred lenders, eight standard deviations"
    with pytest.raises(PrivacyError, match="not a release that can be charged"):
        Charge(MAX_NOISE_MULTIPLIER * 1.001)
