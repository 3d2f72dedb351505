"""A warm start: bins, coordinates and first weights of an earlier model, which cost nobody anything."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import logit
from support.world import schema_of

from credit.errors import ModelError
from credit.foresight import foreseen
from credit.learning import Beginning, Learner
from credit.metrics import auc
from credit.planning import SHARES, WARM_SHARES, Training, plan_mechanism
from credit.simulation import simulate
from privacy.accounting import epsilon_of
from privacy.charges import Budget
from privacy.mechanism import Audience, ReleaseKind

BUDGET = Budget(1.0, 1e-5)
ROOMY, GENEROUS = Budget(3.0, 1e-5), Budget(50.0, 1e-5)
LINEAR = ("scorecard", "gam")


def plan(kind="scorecard", warm=True, budget=GENEROUS, **asked):
    return plan_mechanism(budget, Training(kind, 3, warm=warm, **asked))


@pytest.fixture(scope="module")
def tables(market):
    return [market.people(size, seed) for seed, size in enumerate((2000, 1200, 800))]


@pytest.fixture(scope="module")
def later(market):
    return [market.people(size, 20 + seed) for seed, size in enumerate((2000, 1200, 800))]


@pytest.fixture(scope="module", params=["scorecard", "gam", "mlp"])
def before(request, market, tables):
    return simulate(Learner(market.schema, request.param, plan(request.param, warm=False), 4), tables)


@pytest.fixture(scope="module")
def scorecard(market, tables):
    return simulate(Learner(market.schema, "scorecard", plan(warm=False), 4), tables)


def begun(before, **asked):
    mechanism = plan(before.kind, **asked)
    return Learner(before.schema, before.kind, mechanism, before.seed, Beginning.of(before))


def released(learner, tables, count):
    """After so many releases."""
    while learner.released < count:
        parts = [learner.task(1000.0).contribution(table, len(tables)) for table in tables]
        learner.absorb(np.sum(parts, axis=0), len(tables))
    return learner


def test_before_its_first_step_it_says_what_the_earlier_model_says_at_the_base_rate_of_today(before, later, market):
    learner = released(begun(before), later, 1)
    now, then = learner.embedding.binning, before.embedding.binning
    assert now.features == then.features
    counted = sum(len(table) for table in later)
    assert now.population == pytest.approx(counted, rel=0.05) and now.population != then.population
    people = market.people(500, 99)
    moved = logit(now.base_rate) - logit(then.base_rate)
    plain = (replace(one.model(), pairs=(), calibration=learner.model().calibration) for one in (learner, before))
    said, earlier = (model.raw_logit(people) for model in plain)
    assert said == pytest.approx(earlier + moved, abs=1e-6)


def test_each_step_moves_it_towards_people_of_today(scorecard, later):
    """Whoever was late is good now: the weights of late payments fall."""
    turned = [table.assign(bad=np.where(table["late"] > 3, 0, table["bad"])) for table in later]
    learner = begun(scorecard, steps=4)
    late = []
    for count in range(1, 6):
        released(learner, turned, count)
        late.append(learner.model().raw_logit(turned[0][turned[0]["late"] > 3]).mean())
    assert all(one > following for one, following in pairwise(late)), late


def test_it_asks_for_less_than_half_the_releases_for_the_same_price(before):
    cold, warm = plan(before.kind, warm=False, budget=BUDGET), plan(before.kind, budget=BUDGET)
    assert 2 * len(warm.releases) <= len(cold.releases)
    for one in (cold, warm):
        assert epsilon_of(one.charges(Audience.TRAINING), one.delta) == pytest.approx(1.0, rel=1e-3)
    kinds = [release.kind for release in warm.releases]
    assert kinds[0] is ReleaseKind.HISTOGRAM and ReleaseKind.GRAM not in kinds
    assert sum(WARM_SHARES.values()) < sum(SHARES.values())


def test_with_few_people_it_ranks_no_worse_than_a_model_that_begins_anew_with_twice_the_releases(market):
    """Noise and all, of two thousand people: the median, as no start helps where noise ruined the earlier model."""
    test = market.people(8000, 5)
    gains = []
    for run in range(3):
        halves = [
            [market.people(size, 100 * run + 10 * at + half) for at, size in enumerate((1000, 600, 400))]
            for half in range(2)
        ]
        earlier = simulate(Learner(market.schema, "scorecard", plan(warm=False, budget=ROOMY), run), halves[0])
        anew = simulate(Learner(market.schema, "scorecard", plan(warm=False, budget=ROOMY), run), halves[1])
        warm = simulate(begun(earlier, budget=ROOMY), halves[1])
        ranked = (auc(test["bad"].to_numpy(), one.model().probability(test)) for one in (warm, anew))
        gains.append(next(ranked) - next(ranked))
    assert np.median(gains) > -0.01, gains


def test_what_began_warm_can_be_begun_with(scorecard, later):
    second = simulate(begun(scorecard), later)
    third = released(begun(second), later, 1)
    assert third.embedding.binning.features == scorecard.embedding.binning.features
    assert third.weights.tolist() == second.weights.tolist()


def test_it_is_a_fold_over_the_sums_as_any_other(scorecard, later):
    learner, totals = begun(scorecard), []
    while not learner.done:
        totals.append(np.sum([learner.task().contribution(table, 3) for table in later], axis=0))
        learner.absorb(totals[-1], 3)
    again = begun(scorecard)
    for total in totals:
        again.absorb(total, 3)
    assert again.model().parameters == pytest.approx(learner.model().parameters)


def test_what_can_be_told_of_its_quality_is_foreseen(market):
    mechanism = plan(budget=BUDGET, hold_out=0.1)
    known = foreseen(("scorecard", market.schema), mechanism, 3, 15_000, 0.07)
    assert known is not None and known.everybody is not None


@pytest.mark.parametrize("kind", LINEAR)
def test_it_is_refused_for_another_model_other_features_or_with_moments_of_its_own(scorecard, market, kind):
    place = Beginning.of(scorecard)
    other = schema_of({"name": "late", "kind": "integer", "category": "repayment", "low": 0, "high": 60})
    if kind != scorecard.kind:
        with pytest.raises(ModelError, match="same kind on the same features"):
            Learner(market.schema, kind, plan(kind), 0, place)
    with pytest.raises(ModelError, match="same kind on the same features"):
        Learner(other, "scorecard", plan(), 0, place)
    with pytest.raises(ModelError, match="coordinates already"):
        Learner(market.schema, "scorecard", plan(warm=False), 0, place)


def test_a_model_that_is_not_made_yet_is_not_begun_with(market, tables):
    learner = Learner(market.schema, "scorecard", plan(warm=False), 0)
    with pytest.raises(ModelError, match="released model"):
        Beginning.of(learner)
    with pytest.raises(ModelError, match="released model"):
        Beginning.of(released(learner, tables, 3))
