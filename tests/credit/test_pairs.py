"""Pairwise terms: what a person adds, what is found in the noise, and what is left alone."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from support.effort import effort
from support.world import schema_of

from credit import metrics
from credit.binning import FeatureBins
from credit.boosting import boosted, candidates, levels_of, newton_step
from credit.cutting import make_binning
from credit.embedding import Embedding
from credit.errors import ModelError
from credit.grid import Grid
from credit.learning import Learner
from credit.models import CreditModel
from credit.pairs import (
    CURVATURE_WEIGHT,
    LARGEST_EFFECT,
    MOST_PAIRS,
    PAIR_UNIT,
    added,
    as_data,
    check_pairs,
    pairs_from,
    residual_sums,
)
from credit.planning import Training, plan_mechanism
from credit.simulation import simulate
from privacy.charges import Budget
from privacy.mechanism import ReleaseKind


@pytest.fixture(scope="module")
def embedding(market):
    return market.embedding()


@pytest.fixture(scope="module")
def pairs(embedding):
    return candidates(embedding, np.random.default_rng(0).uniform(-1, 1, embedding.width), 1.0)


@pytest.fixture(scope="module")
def crowd(market, embedding):
    return bins_of(market, embedding, 50)[0]


def bins_of(market, embedding, size, seed=0):
    table = market.people(size, seed)
    return embedding.bins(table), table["bad"].to_numpy(dtype=np.int64)


@settings(max_examples=effort(200, 60))
@given(st.floats(allow_nan=True, allow_infinity=True), st.integers(0, 1), st.integers(0, 49))
def test_a_person_adds_one_for_each_pair_at_most(crowd, pairs, logit, label, who):
    bins = crowd[who : who + 1]
    adds = residual_sums(pairs, bins, np.array([logit]), np.array([label])) * PAIR_UNIT
    for part in np.split(adds, np.cumsum([2 * len(pair.effects) for pair in pairs])[:-1]):
        assert np.linalg.norm(part) <= 1


def test_what_a_person_adds_is_residual_and_curvature(market, embedding, pairs):
    bins, labels = bins_of(market, embedding, 500)
    logits = np.random.default_rng(1).normal(0, 3, 500)
    p = expit(logits)
    total = residual_sums(pairs, bins, logits, labels) * PAIR_UNIT
    start = 0
    for pair in pairs:
        count = len(pair.effects)
        places = pair.places(bins)
        expected = [np.bincount(places, values, count) for values in (labels - p, CURVATURE_WEIGHT * p * (1 - p))]
        assert total[start : start + 2 * count] == pytest.approx(np.concatenate(expected), abs=500 * 2 * PAIR_UNIT)
        start += 2 * count


def test_nobody_changes_what_others_add(market, embedding, pairs):
    bins, labels = bins_of(market, embedding, 400)
    logits = np.random.default_rng(2).normal(0, 3, 400)
    whole = residual_sums(pairs, bins, logits, labels)
    parts = [slice(0, 1), slice(1, 130), slice(130, 400)]
    summed = sum(residual_sums(pairs, bins[p], logits[p], labels[p]) for p in parts)
    assert (summed == whole).all()


def table_of(effects, people=40_000.0, rate=0.2):
    """Exact sums of a market of even cells in which these effects are missing from the model."""
    curvature = np.full(effects.shape, people / effects.size * rate * (1 - rate))
    return effects * curvature, curvature


INTERACTION = np.outer([-1.0, 0.0, 1.0], [1.0, -2.0, 1.0]) * 0.2


def test_an_interaction_that_stands_out_is_found():
    found = newton_step(*table_of(INTERACTION), 1e-3, 1e-3)
    assert found == pytest.approx(INTERACTION, rel=0.05)


def test_what_each_feature_says_alone_is_left_to_the_scorecard():
    apart = np.add.outer([-0.5, 0.1, 0.4], [0.3, 0.0, -0.3])
    assert np.abs(newton_step(*table_of(apart), 1.0, 0.5)).max() < 1e-9
    together = newton_step(*table_of(apart + INTERACTION), 1e-3, 1e-3)
    assert together == pytest.approx(INTERACTION, rel=0.05)


def test_noise_is_not_taken_for_an_interaction():
    """Over many draws of noise and chance alone, what is found is a small part of what a plain Newton step would be."""
    generator = np.random.default_rng(3)
    plain, found = [], []
    for _ in range(300):
        residual, curvature = table_of(np.zeros((3, 3)))
        residual = residual + generator.normal(0, np.sqrt(curvature + 40.0**2))
        plain.append((residual / curvature) ** 2)
        found.append(newton_step(residual, curvature, 40.0, 20.0) ** 2)
    assert np.mean(found) < 0.1 * np.mean(plain)


def test_an_interaction_is_shrunk_by_the_noise_upon_it_and_no_more_than_that():
    generator = np.random.default_rng(4)
    errors = {"shrunk": [], "plain": [], "nothing": []}
    for _ in range(300):
        residual, curvature = table_of(INTERACTION)
        residual = residual + generator.normal(0, np.sqrt(curvature + 150.0**2))
        errors["shrunk"].append((newton_step(residual, curvature, 150.0, 75.0) - INTERACTION) ** 2)
        errors["plain"].append((residual / curvature - INTERACTION) ** 2)
        errors["nothing"].append(INTERACTION**2)
    mean = {name: np.mean(values) for name, values in errors.items()}
    assert mean["shrunk"] < min(mean["plain"], mean["nothing"])


def test_cells_that_drown_in_noise_say_nothing():
    residual, curvature = table_of(INTERACTION, people=100.0)
    assert (newton_step(residual * 1e3, curvature, 1e3, 1e3) == 0).all()


def test_the_features_that_the_scorecard_leans_on_are_paired_first(embedding):
    weights = np.zeros(embedding.width)
    starts = np.cumsum([0, *[len(table) for table in embedding.tables]])
    for feature, scale in ((1, 3.0), (4, 2.0), (0, 1.0)):
        weights[starts[feature] : starts[feature + 1]] = scale * np.linspace(-1, 1, len(embedding.tables[feature]))
    first = candidates(embedding, weights, 1.0)[0]
    assert {first.first, first.second} == {1, 4}


@pytest.mark.parametrize("people", [100, 3_000, 10_000, 30_000, 300_000])
def test_larger_populations_are_asked_for_more_pairs_and_finer_tables(people):
    schema = schema_of(*({"name": f"f{i}", "kind": "number", "category": "consumption"} for i in range(12)))
    grid = Grid(schema)
    table = pd.DataFrame(dict.fromkeys(schema.names, np.exp(np.linspace(0, 5, 100))))
    counts = grid.histogram(table, (np.arange(100) % 2).astype(np.int64)) * (people / 100)
    binning = make_binning(grid, counts, 0.01, 14)
    asked = candidates(Embedding(grid, binning), np.zeros(Embedding(grid, binning).width), 10.0)
    assert 3 <= len(asked) <= MOST_PAIRS
    affordable = {100: (3, 3), 300_000: (28, 5)}
    if people in affordable:
        assert (len(asked), max(asked[0].first_levels) + 1) == affordable[people]
    check_pairs(asked, Embedding(grid, binning))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0, 0.5), st.integers(3, 5), st.booleans())
def test_levels_are_numbered_from_zero_in_order_and_missing_stands_apart(mass, missing, most, ordered):
    levels = levels_of(FeatureBins((), (), (*mass, missing)), most, ordered)
    assert len(levels) == len(mass) + 1
    assert set(levels) == set(range(max(levels) + 1))
    assert max(levels[:-1]) < most
    if ordered:
        assert list(levels[:-1]) == sorted(levels[:-1])
    assert (levels[-1] > max(levels[:-1])) == (missing > 0.01)


def test_effects_never_grow_beyond_what_is_let_through(pairs):
    total = np.concatenate([np.tile([1e6, -1e6], len(pair.effects)) for pair in pairs])
    for _ in range(3):
        pairs = boosted(pairs, total, 1.0)
    assert max(abs(effect) for pair in pairs for effect in pair.effects) <= LARGEST_EFFECT


def test_pairs_survive_json(pairs):
    assert pairs_from(json.loads(json.dumps(as_data(pairs)))) == pairs


@pytest.mark.parametrize("data", [None, {}, [1], [{"first": 0}], [{"first": "x", "second": 1}]])
def test_what_is_no_pair_is_refused(data):
    with pytest.raises(ModelError, match="not pairwise terms"):
        pairs_from(data)


def test_a_gam_needs_two_features(market):
    schema = schema_of(market.schema.features[0].model_dump(mode="json"))
    with pytest.raises(ModelError, match="two features"):
        Learner(schema, "gam", plan_mechanism(Budget(1.0, 1e-5), Training("gam", 3)), 0)


# ---- the whole: a market in which two features tell something only together ----

QUARTERS = schema_of(
    *({"name": name, "kind": "integer", "category": "consumption", "low": 0, "high": 15} for name in "abc")
)


def quarters(size, seed):
    generator = np.random.default_rng(seed)
    table = pd.DataFrame(generator.integers(0, 16, (size, 3)).astype(float), columns=["a", "b", "c"])
    risk = -1.5 + 0.05 * table.a + 0.05 * table.b + 2.0 * (table.a - 7.5) * (table.b - 7.5) / 7.5**2
    return table.assign(bad=(generator.random(size) < expit(risk)).astype(int))


@pytest.fixture(scope="module")
def learnt():
    tables, test = [quarters(8000, seed) for seed in range(3)], quarters(20_000, 9)
    budget = Budget(1.0, 1e-5)
    models = {
        kind: simulate(
            Learner(QUARTERS, kind, plan_mechanism(budget, Training(kind, 3, collusion_bound=0)), 0), tables
        ).model()
        for kind in ("scorecard", "gam")
    }
    return models, test


def test_a_gam_learns_under_noise_what_a_scorecard_cannot(learnt):
    models, test = learnt
    found = {kind: metrics.auc(test.bad.to_numpy(), model.probability(test)) for kind, model in models.items()}
    assert found["gam"] > found["scorecard"] + 0.08
    assert metrics.ece(test.bad.to_numpy(), models["gam"].probability(test)) < 0.04


def test_a_gam_is_released_with_its_pairs(learnt, tmp_path):
    models, test = learnt
    models["gam"].save(tmp_path / "model")
    loaded = CreditModel.load(tmp_path / "model")
    assert loaded.pairs == models["gam"].pairs != ()
    assert (loaded.probability(test) == models["gam"].probability(test)).all()
    without = replace(loaded, pairs=())
    assert not np.allclose(without.logit(test), loaded.logit(test))


def test_the_raw_logit_is_the_networks_and_the_pairs(learnt):
    models, test = learnt
    gam, few = models["gam"], test.head(200)
    bins = gam.embedding.bins(few)
    net = replace(gam, pairs=()).raw_logit(few)
    assert (gam.raw_logit(few) == net + added(gam.pairs, bins)).all()
    assert torch.from_numpy(net).isfinite().all()


def test_a_gams_plan_has_one_release_of_pairs_and_no_other_models_has_any():
    for kind, wanted in (("scorecard", 0), ("gam", 1), ("mlp", 0)):
        plan = plan_mechanism(Budget(1.0, 1e-5), Training(kind, 3))
        assert [release.kind for release in plan.releases].count(ReleaseKind.PAIRS) == wanted
