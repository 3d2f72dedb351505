"""The fold from released sums to a model, and honest probabilities."""

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from support.effort import effort

from credit import descent, metrics
from credit.calibrating import calibrated
from credit.errors import ModelError
from credit.evaluation import count_scores
from credit.groups import Shape
from credit.learning import Learner
from credit.models import KNOTS, UNCALIBRATED, check_calibration, fold
from credit.planning import Training, plan_mechanism
from credit.quality import Counts
from credit.simulation import simulate
from privacy.charges import Budget
from privacy.errors import PrivacyError
from privacy.mechanism import Audience, ReleaseKind

KINDS = ("scorecard", "gam", "mlp")
SIZES = (2000, 1200, 800)
GENEROUS = Budget(50.0, 1e-5)


@pytest.fixture(scope="module")
def tables(market):
    return [market.people(size, seed) for seed, size in enumerate(SIZES)]


@pytest.fixture(scope="module")
def hold_outs(market):
    return [market.people(size, 10 + seed) for seed, size in enumerate(SIZES)]


@pytest.fixture(scope="module")
def strangers(market):
    return market.people(12000, 77)


def totals_of(learner, tables, hold_outs):
    """Run the releases that are left as secure aggregation would, and keep their sums."""
    totals = []
    while not learner.done:
        used = tables if learner.mechanism.releases[learner.released].audience is Audience.TRAINING else hold_outs
        parts = [learner.task(1000.0).contribution(table, len(used)) for table in used]
        totals.append(np.sum(parts, axis=0))
        learner.absorb(totals[-1], len(used))
    return totals


@pytest.fixture(scope="module", params=KINDS)
def learnt(request, market, tables, hold_outs):
    """A finished learner, and the sums it was taught with."""
    plan = plan_mechanism(GENEROUS, Training(request.param, 3, hold_out=0.2))
    learner = Learner(market.schema, request.param, plan, seed=4)
    return learner, totals_of(learner, tables, hold_outs)


def again(learner):
    return Learner(learner.schema, learner.kind, learner.mechanism, learner.seed)


def one_hot(embedding, table):
    bins = embedding.bins(table)
    return np.hstack(
        [np.eye(len(features.frequency))[bins[:, j]] for j, features in enumerate(embedding.binning.features)]
    )


def same(one, other):
    this, that = ((m.parameters.tobytes(), m.calibration, m.pairs) for m in (one, other))
    return this == that


def test_the_same_sums_give_the_same_model_and_evaluation_bit_by_bit(learnt):
    learner, totals = learnt
    replayed = again(learner)
    for total in totals:
        replayed.absorb(total, 3)
    assert replayed.done
    assert same(replayed.model(), learner.model())
    assert replayed.model().embedding.binning == learner.model().embedding.binning
    assert replayed.evaluation.as_dict() == learner.evaluation.as_dict()


@pytest.mark.parametrize("stop", [0, 1, 2, 5])
def test_whoever_stops_after_a_release_goes_on_from_the_sums_and_asks_the_same(learnt, stop):
    learner, totals = learnt
    whole, resumed = again(learner), again(learner)
    for total in totals[:stop]:
        whole.absorb(total, 3)
    for total in totals[:stop]:
        resumed.absorb(total, 3)
    for total in totals[stop:]:
        assert resumed.question().pack().sha256 == whole.question().pack().sha256
        assert resumed.question().pack().sha256 == resumed.question().pack().sha256  # asking changes nothing
        whole.absorb(total, 3)
        resumed.absorb(total, 3)
    assert same(resumed.model(), learner.model())


def test_every_release_but_the_evaluation_changes_what_is_asked_next(learnt):
    learner, totals = learnt
    replayed, asked = again(learner), []
    for total in totals:
        asked.append(replayed.question().pack().sha256)
        replayed.absorb(total, 3)
    assert len(set(asked)) == len(asked)


def test_a_sum_that_is_one_step_different_gives_another_model(learnt):
    learner, totals = learnt
    for release in (2, len(totals) - 3):
        replayed = again(learner)
        for i, total in enumerate(totals):
            replayed.absorb(total + (1 << 30) * (i == release), 3)
        assert not same(replayed.model(), learner.model())


def test_with_hardly_any_noise_the_model_is_as_good_as_logistic_regression_on_its_bins(learnt, tables, strangers):
    learner, _ = learnt
    model, everybody, labels = learner.model(), pd.concat(tables), strangers.bad.to_numpy()
    reference = LogisticRegression(max_iter=2000).fit(one_hot(model.embedding, everybody), everybody.bad)
    best = metrics.auc(labels, reference.predict_proba(one_hot(model.embedding, strangers))[:, 1])
    found = metrics.quality(labels, model.probability(strangers))
    assert best > 0.75
    assert found.auc > best - 0.012
    assert found.ece < 0.025


def test_with_hardly_any_noise_the_evaluation_is_that_of_the_held_out_people(learnt, hold_outs):
    learner, _ = learnt
    everybody = pd.concat(hold_outs)
    exact = metrics.quality(everybody.bad.to_numpy(), learner.model().probability(everybody))
    found = learner.evaluation
    whole = found.segments[0]
    assert whole.name == "everybody" and not found.contradicted
    assert found.held_out.value == pytest.approx(len(everybody), rel=0.01)
    trained_on = sum(SIZES) if learner.kind == "scorecard" else 0
    assert (found.left_out or 0) == pytest.approx(trained_on, rel=0.01), "of other models nobody can be left out"
    assert whole.people.value == pytest.approx(len(everybody) + trained_on, rel=0.01)
    assert whole.auc.value == pytest.approx(exact.auc, abs=0.015)
    assert whole.ks.value == pytest.approx(exact.ks, abs=0.03)


def test_where_nobody_has_moved_the_stability_of_scores_says_so(learnt):
    """0.1 is where a lender is to look into it; people drawn alike should be far below."""
    learner, _ = learnt
    assert learner.evaluation.psi_score.value < 0.05
    assert all(figure.value < 0.05 for figure in learner.evaluation.psi_features.values())


@pytest.mark.parametrize("kind", KINDS)
def test_lenders_who_train_by_themselves_reach_nearly_the_same(market, tables, strangers, kind):
    plan = market.plan(
        ReleaseKind.GRAM, *[ReleaseKind.TRAIN] * 6, ReleaseKind.CALIBRATION, noise=0.3, bound=0
    ).model_copy(update={"bins": 14})
    local = tuple(
        r.model_copy(update={"steps": 4, "sampling_rate": 0.25}) if r.kind is ReleaseKind.TRAIN else r
        for r in plan.releases
    )
    learner = simulate(Learner(market.schema, kind, plan.model_copy(update={"releases": local}), 0), tables)
    assert metrics.auc(strangers.bad.to_numpy(), learner.model().probability(strangers)) > 0.75
    assert metrics.ece(strangers.bad.to_numpy(), learner.model().probability(strangers)) < 0.04


def test_a_simulation_gives_the_evaluation_to_people_nobody_trained_on(market, tables, hold_outs):
    seen = []

    def note(learner):
        seen.append((learner.released, learner.evaluation is not None))

    plan = plan_mechanism(GENEROUS, Training("scorecard", 3, steps=2, hold_out=0.2))
    learner = simulate(Learner(market.schema, "scorecard", plan, 0), tables, hold_outs=hold_outs[::-1], progress=note)
    assert [released for released, _ in seen] == list(range(1, len(plan.releases) + 1))
    assert [evaluated for _, evaluated in seen] == [False] * (len(seen) - 1) + [True]
    assert learner.done


@pytest.mark.parametrize("kind", KINDS)
def test_before_the_descent_the_model_says_the_base_rate_of_everybody(market, tables, kind):
    learner = Learner(market.schema, kind, market.plan(ReleaseKind.GRAM, ReleaseKind.GRADIENT), 0)
    for _ in range(2):
        learner.absorb(sum(learner.task().contribution(table, 3) for table in tables), 3)
        said = learner.model().probability(tables[0])
        assert said == pytest.approx(np.full(len(said), learner.binning.base_rate), abs=1e-4)
    true = pd.concat(tables).bad.mean()
    assert learner.binning.base_rate == pytest.approx(true, abs=0.02)


def test_the_model_is_the_mean_of_the_last_half_of_the_descent(market, tables):
    plan = market.plan(ReleaseKind.GRAM, *[ReleaseKind.GRADIENT] * 5)
    learner, iterates = Learner(market.schema, "scorecard", plan, 0), []
    while not learner.done:
        if learner.released > 2:
            iterates.append(learner.question().weights)  # where the next step starts is where the last one ended
            mean = np.mean(iterates[-max(1, round(len(iterates) / 2)) :], axis=0)
            base = learner.binning.base_rate
            expected = fold("scorecard", mean, learner.question().whitening, math.log(base / (1 - base)))
            assert learner.model().parameters == pytest.approx(expected)
        learner.absorb(sum(learner.task().contribution(table, 3) for table in tables), 3)
    assert len(iterates) == 4
    assert min(np.linalg.norm(a - b) for a, b in pairwise(iterates)) > 1e-3


def test_more_noise_shortens_the_steps_and_more_people_lengthen_them(market, tables):
    def moved(noise, lenders):
        plan = market.plan(ReleaseKind.GRADIENT)
        noisy = plan.releases[1].model_copy(update={"noise_multiplier": noise})
        plan = plan.model_copy(update={"releases": (plan.releases[0], noisy)})
        learner = Learner(market.schema, "scorecard", plan, 0)
        learner.absorb(sum(learner.task().contribution(table, len(lenders)) for table in lenders), len(lenders))
        before = learner.model().parameters
        task = learner.task()
        exact = sum(task.form(len(lenders)).on_grid(task.exact(table)) for table in lenders)
        learner.absorb(exact, len(lenders))
        return np.linalg.norm(learner.model().parameters - before)

    lengths = [moved(noise, tables) for noise in (1.0, 100.0, 400.0)]
    assert lengths == sorted(set(lengths), reverse=True)
    assert moved(100.0, tables * 3) > 1.5 * lengths[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_full_of_noise_ends_with_a_model_all_the_same(market, tables, kind):
    plan = market.plan(
        ReleaseKind.GRAM, *[ReleaseKind.GRADIENT] * 3, ReleaseKind.CALIBRATION, ReleaseKind.EVALUATION, noise=3000.0
    )
    learner = simulate(Learner(market.schema, kind, plan, 0), tables, hold_outs=tables)
    said = learner.model().probability(tables[0])
    assert ((said > 0) & (said < 1)).all()
    check_calibration(learner.model().calibration)


def test_where_the_clip_lies_changes_neither_sensitivity_nor_noise_nor_charge(market, tables, monkeypatch):
    plan = market.plan(ReleaseKind.GRAM, ReleaseKind.GRADIENT)
    forms, scales = [], []
    for reach in (0.5, 1.5, 6.0):
        monkeypatch.setattr(descent, "CLIP_REACH", reach)
        learner = Learner(market.schema, "scorecard", plan, 0)
        for _ in range(2):
            learner.absorb(sum(learner.task().contribution(table, 3) for table in tables), 3)
        form = learner.task().form(3)
        forms.append((form.sensitivity, form.noise_multiplier, form.honest, form.unit))
        scales.append(learner.chosen.scale)
    assert set(forms) == {(1.0, 1.0, forms[0][2], forms[0][3])}
    assert scales[0] / scales[2] == pytest.approx(12, rel=0.2)


def test_a_step_is_the_same_whatever_the_unit_of_the_clip(market, tables):
    """The plan's clip norm is a unit: coordinates are scaled to it."""

    def moved(clip_norm):
        plan = market.plan(ReleaseKind.GRAM, ReleaseKind.GRADIENT, noise=0.1)
        learner = Learner(market.schema, "scorecard", plan.model_copy(update={"clip_norm": clip_norm}), 0)
        while not learner.done:
            learner.absorb(sum(learner.task().contribution(table, 3) for table in tables), 3)
        return learner.model().logit(tables[0])

    assert np.abs(moved(0.25) - moved(8.0)).mean() < 0.05


def test_there_is_no_model_and_no_gradient_before_the_histogram(market):
    learner = Learner(market.schema, "scorecard", market.plan(ReleaseKind.GRAM), 0)
    with pytest.raises(ModelError, match="before the histogram"):
        learner.model()
    learner.released = 1
    with pytest.raises(ModelError, match="before the histogram"):
        learner.question()


def test_sums_in_another_order_are_refused_and_change_nothing(learnt):
    learner, totals = learnt
    replayed = again(learner)
    for release, wrong in ((0, 1), (0, 2), (1, 0), (1, 2), (2, 1), (2, -1), (2, -2)):
        while replayed.released < release:
            replayed.absorb(totals[replayed.released], 3)
        before = replayed.question().pack().sha256
        with pytest.raises((PrivacyError, ModelError)):
            replayed.absorb(totals[wrong], 3)
        assert replayed.released == release
        assert replayed.question().pack().sha256 == before


def test_after_the_last_release_nothing_is_asked_or_taken_in(learnt):
    learner, totals = learnt
    assert learner.done
    for refused in (learner.question, learner.task, lambda: learner.absorb(totals[-1], 3)):
        with pytest.raises((ModelError, IndexError)):
            refused()
    assert learner.released == len(totals)


PEOPLE = np.random.default_rng(0).normal(-1.2, 1.3, 200_000)
EDGES = np.linspace(-4.5, 2.5, 15)
SEEN = (KNOTS > -4) & (KNOTS < 1.5)


def counts_of(shift, slope, bend, size=1.0):
    """Expected counts of a crowd whose honest log-odds are this parabola of what the model says."""
    group = np.searchsorted(EDGES, PEOPLE, side="right")
    chance = expit(shift + slope * PEOPLE + bend * PEOPLE**2)
    return size * np.stack([np.bincount(group, part, len(EDGES) + 1) for part in (1 - chance, chance)])


def fitted(counts, noise):
    return calibrated(Counts(counts, noise), Shape.of(counts.sum(axis=0), EDGES))


def parabola(shift, slope, bend):
    return shift + slope * KNOTS + bend * KNOTS**2


MISCALIBRATED = [
    (0.4, 0.8, 0.05),
    (-0.5, 1.3, -0.03),
    (1.5, 1.0, 0.0),
    (-2.0, 1.0, 0.0),
    (0.0, 0.5, 0.0),
    (0.0, 2.5, 0.0),
    (0.3, 0.6, 0.1),
    (2.5, 1.0, 0.0),
    (4.0, 1.0, 0.0),
    (0.0, 1.0, 0.2),
]


@pytest.mark.parametrize("truth", MISCALIBRATED, ids=str)
def test_a_parabola_is_recovered_where_people_are(truth):
    want = parabola(*truth)
    rising = SEEN & (np.gradient(want) > 0.1)
    # A knot where the parabola falls is held up; beyond it everything is lifted.
    rising &= np.cumsum((np.gradient(want) < 0.05) & (KNOTS > -1.2)) == 0
    rising &= np.cumsum(((np.gradient(want) < 0.05) & (KNOTS < -1.2))[::-1])[::-1] == 0
    assert rising.sum() > 5
    assert np.array(fitted(counts_of(*truth), 0.0))[rising] == pytest.approx(want[rising], abs=0.05)


@pytest.mark.parametrize("truth", [(0.4, 0.8, 0.05), (-0.5, 1.3, -0.03), (0.0, 1.0, 0.0)], ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_noise_moves_the_calibration_little_where_people_are_many(truth, seed):
    noisy = counts_of(*truth) + np.random.default_rng(seed).normal(0, 5, (2, len(EDGES) + 1))
    dense = (KNOTS > -3.5) & (KNOTS < 1)
    assert np.array(fitted(noisy, 5.0))[dense] == pytest.approx(parabola(*truth)[dense], abs=0.15)


def test_probabilities_that_are_honest_stay_as_they_are():
    assert fitted(counts_of(0.0, 1.0, 0.0), 0.0) == pytest.approx(UNCALIBRATED, abs=0.005)


def test_few_people_hardly_move_what_was_believed():
    found = np.array(fitted(counts_of(3.0, 1.0, 0.0, size=5 / len(PEOPLE)), 0.0))
    assert 0 < found[KNOTS == -1][0] + 1 < 1.5


def test_beyond_the_people_seen_the_calibration_goes_on_in_parallel():
    found = np.array(fitted(counts_of(0.4, 0.8, 0.05), 0.0))
    assert np.diff(found)[KNOTS[1:] < -9] == pytest.approx(0.5)
    assert np.diff(found)[KNOTS[:-1] > 8.5] == pytest.approx(0.5)


@settings(max_examples=effort(100, 50))
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.1, 10.0, 1e4]),
    st.sampled_from([0.0, 1e-3, 1.0, 30.0, 1e6]),
    st.floats(-6, 6),
    st.floats(-2, 4),
    st.floats(-1, 1),
)
def test_a_calibration_never_reorders_people_whatever_was_counted(seed, size, noise, shift, slope, bend):
    clean = counts_of(shift, slope, bend, size / len(PEOPLE) * 100)
    found = fitted(clean + np.random.default_rng(seed).normal(0, noise, clean.shape), noise)
    check_calibration(found)
    assert (np.diff(found) > 1e-3).all()


@pytest.mark.parametrize("noise", [0.01, 1.0, 1e3, 1e9])
def test_counts_that_are_pure_noise_leave_most_models_as_they_were(noise):
    generator = np.random.default_rng(5)
    found = [fitted(generator.normal(0, noise, (2, len(EDGES) + 1)), noise) for _ in range(40)]
    for values in found:
        check_calibration(values)
    unmoved = [np.abs(np.array(values) - KNOTS).max() < 1e-9 for values in found]
    assert np.mean(unmoved) > 0.8


@pytest.mark.parametrize("seed", range(10))
def test_few_bad_people_in_much_noise_do_not_move_the_level(seed):
    """A rare outcome at a small epsilon: 70 bad of 20,000, twenty deviations of noise for each cell's handful."""
    logits = np.random.default_rng(seed).normal(-5.8, 0.6, 20_000)
    labels = (np.random.default_rng(seed + 100).random(20_000) < expit(logits)).astype(np.int64)
    counts = count_scores(logits, labels, EDGES).reshape(2, -1)
    found = fitted(counts + np.random.default_rng(seed + 200).normal(0, 20, counts.shape), 20.0)
    expected = expit(np.interp(logits, KNOTS, found)).sum()
    assert labels.sum() / 3 < expected < labels.sum() * 3


def test_nobody_at_all_leaves_the_model_as_it_was():
    assert fitted(np.zeros((2, len(EDGES) + 1)), 0.0) == UNCALIBRATED
    assert fitted(np.full((2, len(EDGES) + 1), -5.0), 1.0) == UNCALIBRATED


def test_a_whole_calibration_makes_scores_honest(market, tables, monkeypatch):
    plan = market.plan(ReleaseKind.GRAM, *[ReleaseKind.GRADIENT] * 6, ReleaseKind.CALIBRATION, noise=0.3)
    monkeypatch.setattr(descent, "CLIP_REACH", 0.3)  # so small a clip bends probabilities
    learner = Learner(market.schema, "scorecard", plan, 0)
    everybody = pd.concat(tables)
    labels = everybody.bad.to_numpy()
    while not learner.done:
        before = learner.model() if learner.released else None
        learner.absorb(sum(learner.task().contribution(table, 3) for table in tables), 3)
    after = learner.model()
    assert metrics.ece(labels, before.probability(everybody)) > 0.08
    assert metrics.ece(labels, after.probability(everybody)) < 0.03
    order = np.argsort(before.logit(everybody), kind="stable")
    assert (np.diff(after.logit(everybody)[order]) >= 0).all()
    assert math.isclose(after.probability(everybody).mean(), labels.mean(), abs_tol=0.01)
