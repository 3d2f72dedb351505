"""Points that go the way a feature declares: against scikit-learn, and on released models."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.isotonic import IsotonicRegression

from credit.embedding import points
from credit.learning import Learner
from credit.monotone import isotonic, monotone
from credit.simulation import simulate
from privacy.mechanism import ReleaseKind

pairs = st.lists(st.tuples(st.floats(-5, 5), st.floats(0.001, 10)), min_size=1, max_size=30)


@given(pairs)
def test_pooling_adjacent_violators_is_isotonic_regression(found):
    values, weights = np.array(found).T
    expected = IsotonicRegression().fit_transform(np.arange(len(values)), values, sample_weight=weights)
    assert isotonic(values, weights) == pytest.approx(expected, abs=1e-9)


def directed(schema, **directions):
    given = {one.name: one.model_copy(update={"direction": directions.get(one.name)}) for one in schema.features}
    return schema.model_copy(update={"features": tuple(given.values())})


@pytest.mark.parametrize(("direction", "sign"), [("up", 1), ("down", -1)])
def test_a_noisy_scorecard_goes_the_declared_way_and_other_features_keep_their_points(market, direction, sign):
    tables = [market.people(300, seed) for seed in range(3)]
    plan = market.plan(ReleaseKind.GRAM, *[ReleaseKind.GRADIENT] * 4, noise=6.0)
    schema = directed(market.schema, balance=direction, age=direction)
    model = simulate(Learner(schema, "scorecard", plan, 0), tables).model()
    names = list(schema.names)
    found, _ = points(model.embedding, model.parameters)
    for name in ("balance", "age"):
        assert np.all(sign * np.diff(found[names.index(name)][:-1]) > -1e-9)
    generator = np.random.default_rng(0)
    rough = model.parameters + generator.normal(0, 0.3, len(model.parameters))
    before, intercept = points(model.embedding, rough)
    after, moved = points(model.embedding, monotone(model.embedding, rough))
    for j, name in enumerate(names):
        if name in ("balance", "age"):
            frequency = np.asarray(model.embedding.binning.features[j].frequency)
            wanted = before[j].copy()
            wanted[:-1] = sign * isotonic(sign * before[j][:-1], frequency[:-1])
            common = frequency @ wanted
            assert after[j] == pytest.approx(wanted - common, abs=1e-8)
            intercept += common
        else:
            assert after[j] == pytest.approx(before[j])
    assert moved == pytest.approx(intercept)


def test_weights_that_go_the_declared_way_stay_as_they_are_and_a_category_has_none(market):
    tables = [market.people(300, seed) for seed in range(3)]
    learner = simulate(Learner(market.schema, "scorecard", market.plan(ReleaseKind.GRAM), 0), tables)
    embedding = learner.embedding
    weights = np.random.default_rng(0).normal(size=embedding.width)
    assert monotone(embedding, weights).tolist() == weights.tolist()
    housing = market.schema["housing"].model_dump()
    with pytest.raises(ValidationError, match="can have no direction"):
        type(market.schema["housing"]).model_validate(housing | {"direction": "up"})
