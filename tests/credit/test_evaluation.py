"""Figures from noisy counts, against the same figures from people."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from support.effort import effort
from support.world import schema_of

import credit.quality
from credit import metrics
from credit.binning import Binning, FeatureBins
from credit.embedding import Embedding
from credit.evaluation import AGE_BANDS, ScoreCells, Segments, evaluation_weight
from credit.models import CreditModel, size
from credit.quality import auc_of, deciles, ece_of, evaluate, ks_of, observed_to_expected_of, psi_of
from credit.questions import Question
from credit.tasks import task_of
from privacy.mechanism import ReleaseKind

scored = st.lists(st.tuples(st.floats(-9, 9), st.integers(0, 1)), min_size=2, max_size=80).filter(
    lambda rows: len({label for _, label in rows}) == 2
)


def counted(logits, labels):
    return ScoreCells.count(logits, labels).reshape(2, -1).astype(float)


def columns(rows):
    return np.array([r[0] for r in rows]), np.array([r[1] for r in rows])


def crowd(size, seed=0, slope=1.0):
    generator = np.random.default_rng(seed)
    logits = generator.normal(-1.2, 1.2, size)
    return logits, (generator.random(size) < expit(slope * logits)).astype(int)


@given(st.floats(), st.integers(0, 1))
def test_everybody_stands_in_one_score_cell_whatever_the_model_says(logit, label):
    counts = counted(np.array([logit]), np.array([label]))
    assert counts.shape == (2, ScoreCells.WIDTH)
    assert counts.sum() == counts[label].sum() == 1


def test_cells_are_a_fifth_wide_and_centres_are_their_middles():
    assert np.diff(ScoreCells.EDGES) == pytest.approx(np.full(80, 0.2))
    for cell, centre in enumerate(ScoreCells.CENTRES):
        assert counted(np.array([centre]), np.array([1]))[1].argmax() == cell


@settings(max_examples=effort(100, 50))
@given(scored)
def test_auc_of_counts_is_that_of_people_but_for_pairs_in_the_same_cell(rows):
    logits, labels = columns(rows)
    counts = counted(logits, labels)
    undecided = (counts[0] * counts[1]).sum() / counts[0].sum() / counts[1].sum() / 2
    assert auc_of(counts) == pytest.approx(metrics.auc(labels, logits), abs=undecided + 1e-9)
    centres = ScoreCells.CENTRES[np.searchsorted(ScoreCells.EDGES, logits)]
    assert auc_of(counts) == pytest.approx(metrics.auc(labels, centres))


@settings(max_examples=effort(100, 50))
@given(scored)
def test_ks_of_counts_is_that_of_people_but_within_a_cell(rows):
    logits, labels = columns(rows)
    counts = counted(logits, labels)
    within = (counts / counts.sum(axis=1, keepdims=True)).max()
    exact = max(metrics.ks(labels, logits), metrics.ks(labels, -logits))
    assert exact - within - 1e-9 <= ks_of(counts) <= exact + 1e-9


@pytest.mark.parametrize("slope", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_ece_of_counts_is_that_of_people_within_half_a_cell(slope, shift):
    logits, labels = crowd(20000, slope=slope)
    said = logits + shift
    exact = metrics.ece(labels, expit(said))
    # A cell is 0.2 of log-odds wide, so its centre is off by 0.1 / 4 of probability at most.
    assert ece_of(counted(said, labels)) == pytest.approx(exact, abs=0.01)
    if slope == 1 and not shift:
        assert ece_of(counted(said, labels)) < 0.015
    if shift:
        assert ece_of(counted(said, labels)) > 0.1


def test_psi_by_hand():
    before, after = np.array([50.0, 50.0]), np.array([25.0, 75.0])
    assert psi_of(before, after) == pytest.approx(0.25 * math.log(2) + 0.25 * math.log(1.5))
    assert psi_of(before, 10 * before) == 0
    assert psi_of(before, np.array([-3.0, 75.0])) == pytest.approx(
        (1e-4 - 0.5) * math.log(1e-4 / 0.5) + 0.5 * math.log(2)
    )
    assert math.isfinite(psi_of(before, np.zeros(2)))


def test_deciles_hold_about_a_tenth_each():
    counts = counted(*crowd(50000))
    group = deciles(counts)
    assert (np.diff(group) >= 0).all()
    assert (group.min(), group.max()) == (0, 9)
    shares = np.bincount(group, counts.sum(axis=0), 10) / counts.sum()
    assert shares == pytest.approx(np.full(10, 0.1), abs=0.06)


def column(name, category, kind="integer", **more):
    sensitive = {"sensitivity": "sensitive"} if category == "income" else {}
    return {"name": name, "kind": kind, "category": category} | sensitive | more


AGES = ("age", "AGE", "age_years", "applicant_age", "age at application", "package_age_group", "年龄", "借款人年龄")
NO_AGES = ("stage", "agency", "mileage", "average")


@pytest.mark.parametrize(("name", "found"), [*((name, True) for name in AGES), *((name, False) for name in NO_AGES)])
def test_age_is_known_by_its_name_among_facts_of_identity(name, found):
    for category in ("identity", "age"):
        assert Segments.of(schema_of(column(name, category))).age == (name if found else None)
    assert Segments.of(schema_of(column(name, "repayment"))).age is None
    assert Segments.of(schema_of(column(name, "identity", "category", values=["young"]))).age is None


def test_segments_are_those_that_the_registry_can_tell_apart():
    everybody = Segments.of(schema_of(column("late", "repayment")))
    assert (everybody.names, everybody.per_person) == (("everybody",), 1)
    filed = Segments.of(schema_of(column("late", "repayment"), column("score", "bureau")))
    assert (filed.names, filed.per_person) == (("everybody", "thin file", "thick file"), 2)
    aged = Segments.of(schema_of(column("age", "identity")))
    assert (aged.count, aged.per_person) == (1 + len(AGE_BANDS), 2)


def test_a_thin_file_has_no_bureau_fact_at_all_and_bands_split_at_their_limits(market):
    segments = Segments.of(market.schema)
    table = pd.DataFrame(
        {
            "late": [1.0] * 6,
            "balance": [math.nan, 1.0, math.nan, math.nan, math.nan, math.nan],
            "inquiries": [math.nan, math.nan, 0.0, math.nan, math.nan, math.nan],
            "housing": [None, None, None, "own", None, None],
            "age": [24.0, 25.0, 34.0, 35.0, math.nan, -1.0],
        }
    )
    rows = dict(zip(segments.names, segments.rows(table), strict=True))
    assert rows["everybody"].all()
    assert rows["thin file"].tolist() == [True, False, False, False, True, True]
    assert (rows["thin file"] != rows["thick file"]).all()
    assert rows["age 0 to 24"].tolist() == [True, False, False, False, False, False]
    assert rows["age 25 to 34"].tolist() == [False, True, True, False, False, False]
    assert rows["age 35 to 49"].tolist() == [False, False, False, True, False, False]
    assert segments.per_person == 3


@settings(max_examples=60)
@given(age=st.floats() | st.none(), balance=st.floats() | st.none())
def test_nobody_is_in_more_segments_than_stated(market, age, balance):
    segments = Segments.of(market.schema)
    table = pd.DataFrame(
        {"late": [0.0], "balance": [balance], "inquiries": [None], "housing": [None], "age": [age]}
    ).astype({"balance": float, "inquiries": float, "age": float})
    assert sum(int(rows.sum()) for rows in segments.rows(table)) <= segments.per_person


@pytest.mark.parametrize(("features", "weight"), [(1, 1), (2, 1), (5, 2), (23, 5), (400, 20)])
def test_score_cells_weigh_as_much_as_all_features_together(features, weight):
    assert evaluation_weight(features) == weight


@pytest.fixture(scope="module")
def model(market):
    embedding: Embedding = market.embedding()
    parameters = np.random.default_rng(5).normal(0, 0.5, size("scorecard", embedding.width))
    return CreditModel("scorecard", embedding, parameters)


@pytest.fixture(scope="module")
def task(market, model):
    asked = Question(
        ReleaseKind.EVALUATION, model.embedding.binning, weights=model.parameters, calibration=model.calibration
    )
    return task_of(market.schema, model.kind, market.plan(ReleaseKind.EVALUATION), 1, asked)


def test_a_held_out_person_changes_the_evaluation_by_the_stated_sensitivity_at_most(market, task):
    people = market.people(200)
    whole, _, unit = task.exact(people), *task.shape[1:]
    changes = [np.linalg.norm((whole - task.exact(people.drop(index=i))).astype(float)) * unit for i in range(40)]
    assert max(changes) == pytest.approx(task.shape[1])
    assert task.shape[1] == pytest.approx(math.sqrt(3 * 2**2 + 5))


def test_without_noise_every_figure_is_that_of_the_held_out_people(market, model, task):
    people = market.people(4000, seed=8)
    found = evaluate(task.exact(people).astype(float), 1e-9, market.schema, model.embedding.binning, None)
    segments = Segments.of(market.schema)
    assert [quality.name for quality in found.segments] == list(segments.names)
    for quality, rows in zip(found.segments, segments.rows(people), strict=True):
        logits, labels = model.logit(people[rows]), people.bad[rows].to_numpy()
        assert quality.people.value == pytest.approx(rows.sum())
        assert quality.bad_rate.value == pytest.approx(labels.mean())
        assert quality.auc.value == pytest.approx(metrics.auc(labels, logits), abs=0.02)
        assert quality.ks.value == pytest.approx(metrics.ks(labels, logits), abs=0.04)
        assert quality.ece.value == pytest.approx(metrics.ece(labels, expit(logits)), abs=0.03)
    assert found.psi_score is None
    assert list(found.psi_features) == list(market.schema.names)
    assert all(figure.value < 0.02 for figure in found.psi_features.values())  # the binning is of such people


def test_features_whose_people_have_moved_show_it(market, model, task):
    people = market.people(3000, seed=8)
    people["late"] += 4
    found = evaluate(task.exact(people).astype(float), 1e-9, market.schema, model.embedding.binning, None)
    assert found.psi_features["late"].value > 0.25
    assert found.psi_features["balance"].value < 0.02


def test_scores_are_compared_with_those_of_the_training_population(market, model, task):
    people = market.people(4000, seed=8)
    before = counted(model.logit(market.people(4000, seed=9)), market.people(4000, seed=9).bad.to_numpy())

    def psi_score(table):
        total = task.exact(table).astype(float)
        return evaluate(total, 1e-9, market.schema, model.embedding.binning, before).psi_score.value

    assert psi_score(people) < 0.02
    riskier = people[people.late > 2]
    assert psi_score(riskier) > 0.1


def evaluated(market, model, task, noise, seed=0, people=4000):
    exact = task.exact(market.people(people, seed=8)).astype(float)
    noisy = exact + np.random.default_rng(seed).normal(0, noise, exact.shape)
    return evaluate(noisy, noise, market.schema, model.embedding.binning, None)


def test_errors_grow_with_the_noise(market, model, task):
    found = [evaluated(market, model, task, noise) for noise in (0.01, 0.3, 3.0)]
    for figure in ("people", "bad_rate", "auc", "ks", "ece", "observed_to_expected"):
        errors = [getattr(evaluation.segments[0], figure).error for evaluation in found]
        assert errors == sorted(set(errors)), figure
        assert errors[0] < 0.01 * 30
    for name in market.schema.names:
        errors = [evaluation.psi_features[name].error for evaluation in found]
        assert errors == sorted(set(errors)), name


def test_the_count_of_a_segment_has_the_error_it_states(market, model, task, monkeypatch):
    monkeypatch.setattr(credit.quality, "REDRAWS", 2)
    segments = list(Segments.of(market.schema).rows(market.people(4000, seed=8)))
    misses = []
    for seed in range(12):
        found = evaluated(market, model, task, 3.0, seed)
        for quality, rows in zip(found.segments, segments, strict=True):
            misses.append((quality.people.value - rows.sum()) / quality.people.error)
    assert 0.75 < np.std(misses) < 1.25
    assert abs(np.mean(misses)) < 0.45


@pytest.fixture(scope="module")
def draws(market, model, task):
    """What there is to find, and what is found with less noise than an epsilon of 8 brings."""
    return evaluated(market, model, task, 1e-9), [evaluated(market, model, task, 2.0, seed) for seed in range(6)]


@pytest.mark.parametrize("figure", ["auc", "ks", "ece"])
def test_a_figure_misses_by_no_more_than_the_error_it_states(draws, figure):
    """Errors are worth stating only if they cover the bias of noise on empty cells as well."""
    truth, noisy = draws
    misses = []
    for found in noisy:
        for quality, exact in zip(found.segments, truth.segments, strict=True):
            if getattr(quality, figure) is not None:
                miss = getattr(quality, figure).value - getattr(exact, figure).value
                misses.append(miss / getattr(quality, figure).error)
    assert abs(np.mean(misses)) < 1
    assert np.mean(np.abs(misses) < 3) > 0.9


def test_groups_that_the_noise_drowns_have_no_figures(market, model, task):
    found = evaluated(market, model, task, 40.0, people=1000)
    drowned = [quality for quality in found.segments if quality.auc is None]
    assert len(drowned) >= 4
    for quality in drowned:
        assert (quality.bad_rate, quality.ks, quality.ece) == (None, None, None)
        assert math.isfinite(quality.people.value)
        assert quality.people.error > 0
    whole = evaluated(market, model, task, 0.5, people=1000)
    assert all(quality.auc is not None for quality in whole.segments)


def test_pure_noise_has_no_figures_and_breaks_nothing(market, model, task):
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(0, 1e6, task.shape[0])
        found = evaluate(noise, 1e6, market.schema, model.embedding.binning, counted(*crowd(100)))
        assert all(quality.auc is None for quality in found.segments)
        assert all(math.isfinite(figure.value) for figure in found.psi_features.values())


def test_the_same_release_always_gives_the_same_figures(market, model, task):
    assert evaluated(market, model, task, 1.0).as_dict() == evaluated(market, model, task, 1.0).as_dict()


def test_figures_survive_as_plain_values(market, model, task):
    plain = evaluated(market, model, task, 1.0).as_dict()
    assert set(plain) == {"segments", "psi_score", "psi_features"}
    assert set(plain["segments"][0]["auc"]) == {"value", "error"}


def test_a_registry_of_one_feature_is_evaluated_too():
    one = schema_of(column("late", "repayment", low=0, high=9))
    binning = Binning((FeatureBins((1.0,), (), (0.5, 0.4, 0.1)),), 100.0, 0.2)
    counts = counted(*crowd(500)).ravel()
    found = evaluate(np.concatenate([counts, [250, 200, 50]]), 1e-9, one, binning, None)
    assert found.segments[0].people.value == pytest.approx(500)
    assert found.psi_features["late"].value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("shift", [0.0, 1.0, -2.0])
def test_observed_over_expected_of_counts_is_that_of_people(shift):
    logits, labels = crowd(20_000)
    exact, _ = metrics.observed_to_expected(labels, expit(logits + shift))
    assert observed_to_expected_of(counted(logits + shift, labels)) == pytest.approx(exact, rel=0.02)
