"""What held-out people add, and what an evaluation says of a crowd, against the same figures from people."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from support.world import schema_of

from credit import metrics
from credit.binning import FeatureBins
from credit.embedding import Embedding
from credit.evaluation import AGE_BANDS, BROAD_BINS, Segments, broad, count_cells, count_scores
from credit.groups import FineCounts, Shape, Spread, cut, finer
from credit.models import KNOTS, CreditModel, size
from credit.quality import LARGEST_AUC_ERROR, Counts, TrainedOn, evaluate
from credit.questions import Question
from credit.tasks import task_of
from privacy.mechanism import ReleaseKind

FIGURES = ("bad_rate", "auc", "ks", "ece", "observed_to_expected")


@given(st.floats(), st.integers(0, 1))
def test_everybody_stands_in_one_group_whatever_the_model_says(score, label):
    counts = count_scores(np.array([score]), np.array([label]), np.array([-1.0, 0.0, 2.0])).reshape(2, 4)
    assert counts.sum() == counts[label].sum() == 1
    assert count_cells(np.array([score]), np.array([0.0])).sum() == 1


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
    nobody = Segments.of(schema_of(column("late", "repayment")))
    assert (nobody.names, nobody.others) == ((), 0)
    filed = Segments.of(schema_of(column("late", "repayment"), column("score", "bureau")))
    assert (filed.names, filed.others) == (("thin file", "thick file"), 1)
    aged = Segments.of(schema_of(column("age", "identity")))
    assert (aged.count, aged.others) == (len(AGE_BANDS), 1)


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
    assert rows["thin file"].tolist() == [True, False, False, False, True, True]
    assert (rows["thin file"] != rows["thick file"]).all()
    assert rows["age 0 to 24"].tolist() == [True, False, False, False, False, False]
    assert rows["age 25 to 34"].tolist() == [False, True, True, False, False, False]
    assert rows["age 35 to 49"].tolist() == [False, False, False, True, False, False]
    assert segments.others == 2


@settings(max_examples=60)
@given(age=st.floats() | st.none(), balance=st.floats() | st.none())
def test_nobody_is_in_more_segments_than_stated(market, age, balance):
    segments = Segments.of(market.schema)
    table = pd.DataFrame(
        {"late": [0.0], "balance": [balance], "inquiries": [None], "housing": [None], "age": [age]}
    ).astype({"balance": float, "inquiries": float, "age": float})
    assert sum(int(rows.sum()) for rows in segments.rows(table)) <= segments.others


@pytest.mark.parametrize("features", [1, 5, 23, 400])
def test_everybody_comes_before_segments_and_those_before_features(features):
    late = [column(f"late{i}", "repayment") for i in range(features - 1)]
    segments = Segments.of(schema_of(column("age", "identity"), *late))
    everybody, segment = segments.weights
    squares = everybody**2, segments.others * segment**2, features
    assert sum(squares) == pytest.approx(segments.sensitivity**2)
    shares = [square / sum(squares) for square in squares]
    assert shares == pytest.approx([0.79, 0.16, 0.05], abs=0.05)


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=40), st.floats(0, 1))
def test_broad_bins_are_few_in_order_and_missing_is_one_of_its_own(known, missing):
    found = broad(FeatureBins(tuple(range(len(known) - 1)), (), (*known, missing)))
    assert found[0] == 0 and set(np.diff(found)) <= {0, 1}
    assert found[-1] == found[-2] + 1 <= BROAD_BINS
    if len(known) >= 20 and max(known) < 3 * min(known):
        assert np.bincount(found[:-1], known) == pytest.approx(np.full(4, sum(known) / 4), rel=0.5)


@pytest.fixture(scope="module")
def model(market):
    """Probabilities that are about right: points fitted to many people."""
    embedding: Embedding = market.embedding()
    crowd = market.people(4000, seed=77)
    rows = embedding.rows(embedding.bins(crowd)).astype(float)
    parameters = np.zeros(size("scorecard", embedding.width))
    for _ in range(12):
        chance = expit(rows @ parameters)
        curved = (rows * (chance * (1 - chance))[:, None]).T @ rows + 2 * np.eye(len(parameters))
        parameters += np.linalg.solve(curved, rows.T @ (crowd.bad.to_numpy() - chance) - 2 * parameters)
    return CreditModel("scorecard", embedding, parameters)


@pytest.fixture(scope="module")
def trained(market, model):
    """Exact counts of a crowd that the model may have been trained on."""
    crowd = market.people(20_000, seed=9)
    return trained_on(model, crowd)


def trained_on(model, crowd, noise=0.0):
    scores, labels = model.raw_logit(crowd), crowd.bad.to_numpy()
    edges = cut(Spread(scores.mean(), scores.std()), labels.mean(), 12)
    counts = Counts(count_scores(scores, labels, edges).reshape(2, -1).astype(float), noise)
    cells = finer(Spread(scores.mean(), scores.std()), edges)
    fine = FineCounts(count_cells(scores, cells).astype(float), cells, noise)
    return TrainedOn(counts, Shape.of(counts.people.sum(axis=0), edges, fine), (KNOTS, KNOTS), False, 0.2), edges


@pytest.fixture(scope="module")
def task(market, model, trained):
    asked = Question(ReleaseKind.EVALUATION, model.embedding.binning, weights=model.parameters, edges=trained[1])
    return task_of(market.schema, model.kind, market.plan(ReleaseKind.EVALUATION), 1, asked)


def evaluated(market, model, task, trained, noise=1e-6, seed=0, people=None):
    table = market.people(4000, seed=8) if people is None else people
    exact = task.exact(table).astype(float)
    noisy = exact + np.random.default_rng(seed).normal(0, noise, exact.shape)
    return evaluate(noisy, noise, market.schema, model.embedding.binning, trained[0])[0]


def test_a_held_out_person_changes_the_evaluation_by_the_stated_sensitivity_at_most(market, task):
    people = market.people(200)
    whole, _, unit = task.exact(people), *task.shape[1:]
    changes = [np.linalg.norm((whole - task.exact(people.drop(index=i))).astype(float)) * unit for i in range(40)]
    assert max(changes) == pytest.approx(task.shape[1])
    everybody, segment = task.segments.weights
    assert task.shape[1] == pytest.approx(math.sqrt(everybody**2 + 2 * segment**2 + 5))


def test_without_noise_every_figure_is_that_of_the_held_out_people(market, model, task, trained):
    people = market.people(20_000, seed=8)
    found = evaluated(market, model, task, trained, people=people)
    segments = Segments.of(market.schema)
    assert [quality.name for quality in found.segments] == ["everybody", *segments.names]
    assert (found.untold, found.contradicted, found.left_out) == ((), False, None)
    groups = [np.ones(len(people), dtype=bool), *segments.rows(people)]
    for quality, rows in zip(found.segments, groups, strict=True):
        scores, labels = model.logit(people[rows]), people.bad[rows].to_numpy()
        assert quality.people.value == pytest.approx(rows.sum())
        assert quality.bad_rate.value == pytest.approx(labels.mean())
        assert quality.auc.value == pytest.approx(metrics.auc(labels, scores), abs=0.006)
        assert quality.ks.value == pytest.approx(metrics.ks(labels, scores), abs=0.03)
        assert quality.ece.value == pytest.approx(metrics.ece(labels, expit(scores)), abs=0.02)
        exact, _ = metrics.observed_to_expected(labels, expit(scores))
        assert quality.observed_to_expected.value == pytest.approx(exact, rel=0.03)
    assert list(found.psi_features) == list(market.schema.names)
    assert all(figure.value < 0.02 for figure in found.psi_features.values())  # the binning is of such people


def test_features_whose_people_have_moved_show_it(market, model, task, trained):
    people = market.people(6000, seed=8)
    people["late"] += 4
    found = evaluated(market, model, task, trained, people=people)
    assert found.psi_features["late"].value > 0.25
    assert found.psi_features["balance"].value < 0.03


def test_scores_are_compared_with_those_of_the_training_population(market, model, task, trained):
    people = market.people(6000, seed=8)
    assert evaluated(market, model, task, trained, people=people).psi_score.value < 0.02
    riskier = people[people.late > 2]
    assert evaluated(market, model, task, trained, people=riskier).psi_score.value > 0.1


def test_errors_grow_with_the_noise(market, model, task, trained):
    found = [evaluated(market, model, task, trained, noise) for noise in (0.01, 10.0, 40.0)]
    for figure in ("people", *FIGURES):
        errors = [getattr(evaluation.segments[0], figure).error for evaluation in found]
        assert errors == sorted(set(errors)), figure
    for name in market.schema.names:
        known = [one.psi_features[name].error for one in found if name in one.psi_features]
        assert known == sorted(set(known)) and known, name


def test_with_no_noise_there_is_still_the_error_of_sampling(market, model, task, trained):
    """Of AUC as DeLong, DeLong & Clarke-Pearson have it, from people instead of groups."""
    people = market.people(1500, seed=8)
    found = evaluated(market, model, task, trained, people=people).segments[0]
    scores, labels = model.logit(people), people.bad.to_numpy()
    good, bad = np.sort(scores[labels == 0]), np.sort(scores[labels == 1])
    ahead = np.searchsorted(good, bad) / len(good)
    behind = 1 - np.searchsorted(bad, good) / len(bad)
    delong = math.sqrt(ahead.var(ddof=1) / len(bad) + behind.var(ddof=1) / len(good))
    assert found.auc.error == pytest.approx(delong, rel=0.1)
    rate = labels.mean()
    assert found.bad_rate.error == pytest.approx(math.sqrt(rate * (1 - rate) / 1500), rel=0.05)


def test_a_figure_misses_by_no_more_than_the_error_it_states(market, model, task, trained):
    """Of these people and of this noise, for every segment that is told."""
    exact = evaluated(market, model, task, trained)
    misses = {figure: [] for figure in FIGURES}
    for seed in range(40):
        found = {one.name: one for one in evaluated(market, model, task, trained, 12.0, seed).segments}
        for truth in exact.segments:
            for figure, seen in misses.items():
                if truth.name in found:
                    one = getattr(found[truth.name], figure)
                    seen.append((one.value - getattr(truth, figure).value) / one.error)
    for figure, seen in misses.items():
        assert len(seen) > 60 and np.mean(np.abs(seen) < 2) > 0.93, figure


def test_groups_that_the_noise_drowns_have_no_figures(market, model, task, trained):
    found = evaluated(market, model, task, trained, 60.0, people=market.people(1000))
    assert len(found.untold) >= 4 and "age 0 to 24" in found.untold
    assert {one.name for one in found.segments}.isdisjoint(found.untold)
    assert len(found.segments) + len(found.untold) == 7
    assert all(one.auc.error <= LARGEST_AUC_ERROR for one in found.segments)
    assert set(found.untold_features) == set(market.schema.names) and not found.psi_features
    assert not evaluated(market, model, task, trained, 0.5).untold


def test_pure_noise_has_no_figures_and_breaks_nothing(market, model, task, trained):
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(0, 1e6, task.shape[0])
        one = replace(trained[0], left_out=True)
        found, _ = evaluate(noise, 1e6, market.schema, model.embedding.binning, one)
        assert all(quality.name == "everybody" for quality in found.segments), "by those trained on"
        assert set(found.untold_features) == set(market.schema.names)
        alone, _ = evaluate(noise, 1e6, market.schema, model.embedding.binning, trained[0])
        assert not alone.segments and alone.untold[0] == "everybody"


def test_people_trained_on_count_where_each_was_scored_as_if_left_out(market, model, task, trained):
    people = market.people(2000, seed=8)
    alone = evaluated(market, model, task, trained, 6.0, people=people)
    both = evaluated(market, model, task, (replace(trained[0], left_out=True), None), 6.0, people=people)
    assert alone.left_out is None and both.left_out == pytest.approx(20_000)
    assert both.segments[0].auc.error < 0.5 * alone.segments[0].auc.error
    assert both.segments[0].people.value > 20_000 > alone.segments[0].people.value
    assert both.segments[1:] == alone.segments[1:], "segments are of those held out"


def test_where_those_held_out_contradict_those_trained_on_the_former_count_alone(market, model, task, trained):
    """A model that leaks its training's outcomes must not be praised by them."""
    leaky = trained[0].counts.people.copy()
    leaky[1] = leaky[1].sum() * np.arange(12) ** 6 / (np.arange(12.0) ** 6).sum()
    wrong = replace(trained[0], left_out=True, counts=Counts(leaky, 1.0))
    found = evaluated(market, model, task, (wrong, None), 3.0)
    alone = evaluated(market, model, task, trained, 3.0)
    assert found.contradicted and found.left_out is None and found.remarks
    assert found.segments[0].auc.value == pytest.approx(alone.segments[0].auc.value, abs=0.03)
    assert not alone.remarks


def test_the_same_release_always_gives_the_same_figures(market, model, task, trained):
    first, again = (evaluated(market, model, task, trained, 1.0).as_dict() for _ in range(2))
    assert first == again


def test_figures_survive_as_plain_values(market, model, task, trained):
    plain = evaluated(market, model, task, trained, 1.0).as_dict()
    assert set(plain) == {
        "segments", "untold", "psi_score", "psi_features", "untold_features", "held_out", "left_out", "contradicted",
    }  # fmt: skip
    assert set(plain["segments"][0]["auc"]) == {"value", "error"}
