"""From a budget to a plan that spends it, never more and hardly less."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credit.planning import BINS, CLIP_NORM, SHARES, STEPS, Training, plan_mechanism, spent
from privacy.accounting import epsilon_of
from privacy.charges import Budget
from privacy.errors import PrivacyError
from privacy.mechanism import LEAST_HONEST, Audience, ReleaseKind

budgets = st.builds(Budget, st.floats(0.05, 40), st.sampled_from([1e-9, 1e-6, 1e-5, 1e-3]))


@st.composite
def consortia(draw):
    lenders = draw(st.integers(3, 60))
    bound = draw(st.none() | st.integers(0, lenders - LEAST_HONEST))
    return lenders, bound


@settings(max_examples=60)
@given(
    budgets,
    st.sampled_from(["scorecard", "gam", "mlp"]),
    consortia(),
    st.none() | st.integers(1, 60),
    st.none() | st.integers(0, 6),
    st.sampled_from([0.0, 0.05, 0.5]),
)
def test_a_plan_spends_the_budget_and_no_more(budget, model, consortium, steps, spare, hold_out):
    lenders, bound = consortium
    plan = plan_mechanism(
        budget, Training(model, lenders, steps=steps, collusion_bound=bound, spare_attempts=spare, hold_out=hold_out)
    )
    cost = epsilon_of(plan.charges(), budget.delta)
    assert 0.99 * budget.epsilon <= cost <= budget.epsilon
    if hold_out:
        held = epsilon_of(plan.charges(Audience.HOLD_OUT), budget.delta)
        assert 0.99 * budget.epsilon <= held <= budget.epsilon
    assert (plan.epsilon, plan.delta, plan.hold_out) == (budget.epsilon, budget.delta, hold_out)
    # Enough lenders for a sum that protects, and as many as are sure to be there.
    assert plan.collusion_bound + LEAST_HONEST <= plan.threshold <= lenders
    assert plan.threshold >= lenders - plan.spare_attempts
    kinds = [release.kind for release in plan.releases]
    descent = STEPS[model] if steps is None else steps
    assert kinds == [
        ReleaseKind.HISTOGRAM,
        ReleaseKind.GRAM,
        *[ReleaseKind.GRADIENT] * descent,
        *[ReleaseKind.PAIRS] * (model == "gam"),
        ReleaseKind.CALIBRATION,
        *[ReleaseKind.EVALUATION] * bool(hold_out),
    ]


@pytest.mark.parametrize(("epsilon", "steps", "spare"), [(1.0, 2, 0), (2.0, 2, 1)])
def test_a_local_plan_spends_the_budget_and_no_more(epsilon, steps, spare):
    budget = Budget(epsilon, 1e-5)
    plan = plan_mechanism(budget, Training("scorecard", 6, kind="local", steps=steps, spare_attempts=spare))
    assert 0.99 * epsilon <= epsilon_of(plan.charges(), 1e-5) <= epsilon
    assert [r.kind for r in plan.releases].count(ReleaseKind.TRAIN) == steps
    assert ReleaseKind.GRADIENT not in {r.kind for r in plan.releases}


def test_the_shares_of_the_releases_are_those_stated():
    plan = plan_mechanism(Budget(1.0, 1e-5), Training("scorecard", 9, spare_attempts=0))
    parts = {r.kind: 0.0 for r in plan.releases}
    for release in plan.releases:
        parts[release.kind] += release.noise_multiplier**-2
    whole = sum(parts.values())
    for kind, share in SHARES.items():
        assert parts[kind] / whole == pytest.approx(share)
    assert parts[ReleaseKind.GRADIENT] / whole == pytest.approx(0.69)
    assert (plan.clip_norm, plan.bins) == (CLIP_NORM, BINS)


def test_each_spare_attempt_makes_every_release_noisier():
    plans = [
        plan_mechanism(Budget(1.0, 1e-5), Training("scorecard", 9, spare_attempts=n, hold_out=0.1)) for n in range(4)
    ]
    for releases in zip(*(plan.releases for plan in plans), strict=True):
        noises = [release.noise_multiplier for release in releases]
        assert noises == sorted(set(noises))


def test_a_smaller_epsilon_or_delta_makes_every_release_noisier():
    tight, loose = Budget(0.5, 1e-6), Budget(1.0, 1e-6)
    for smaller, larger in ((tight, loose), (Budget(1.0, 1e-9), loose)):
        plans = [plan_mechanism(budget, Training("mlp", 9, hold_out=0.1)) for budget in (smaller, larger)]
        assert all(a.noise_multiplier > b.noise_multiplier for a, b in zip(*(p.releases for p in plans), strict=True))


@pytest.mark.parametrize(
    ("lenders", "bound", "spare", "threshold"),
    [(2, 0, 1, 2), (3, 1, 1, 3), (4, 1, 1, 3), (6, 2, 1, 5), (9, 3, 1, 8), (30, 10, 1, 29)],
)
def test_a_third_may_collude_and_one_attempt_is_spare_for_whoever_drops_out(lenders, bound, spare, threshold):
    plan = plan_mechanism(Budget(1.0, 1e-5), Training("scorecard", lenders))
    assert (plan.collusion_bound, plan.spare_attempts, plan.threshold) == (bound, spare, threshold)


def test_what_is_spent_grows_to_the_whole_without_its_spare_attempts():
    plan = plan_mechanism(Budget(2.0, 1e-5), Training("scorecard", 9, spare_attempts=0, hold_out=0.2))
    costs = [spent(plan, [1] * n) for n in range(len(plan.releases) + 1)]
    assert costs[0] == 0
    assert all(a < b for a, b in pairwise(costs[:-1]))
    assert costs[-1] == pytest.approx(costs[-2], rel=1e-9)  # the evaluation costs others
    assert costs[-1] == pytest.approx(epsilon_of(plan.charges(), 1e-5), rel=1e-9)
    spare = plan_mechanism(Budget(2.0, 1e-5), Training("scorecard", 9, spare_attempts=2))
    assert spent(spare, [1] * len(spare.releases)) < 2.0 * 0.99


def test_what_is_spent_counts_every_attempt_of_either_audience_and_never_more_than_nodes_let_happen():
    plan = plan_mechanism(Budget(1.0, 1e-5), Training("scorecard", 9, spare_attempts=1, hold_out=0.2))
    once, charges = [1] * len(plan.releases), [release.charge for release in plan.releases]
    *training, held = charges
    assert spent(plan, once) == pytest.approx(epsilon_of(training, 1e-5), rel=1e-9)
    for number in (0, 2, len(training) - 1):
        again = [1 + (at == number) for at in range(len(plan.releases))]
        truth = epsilon_of([*training, training[number]], 1e-5)
        assert spent(plan, once) < spent(plan, again) == pytest.approx(truth, rel=1e-9)
    again = [*once[:-1], 2]
    assert spent(plan, once) < spent(plan, again) == pytest.approx(epsilon_of([held, held], 1e-5), rel=1e-9)
    assert spent(plan, [9] * len(plan.releases)) == plan.epsilon, "the nodes refuse attempts that were not reserved"


WRONG = {
    "lenders": (1, 0, -3),
    "collusion_bound": (9, -1),
    "steps": (0, -1, 998),
    "spare_attempts": (-1, 101),
    "hold_out": (-0.1, 0.51, math.nan),
}
TOO_MANY_COLLUDE = [{"lenders": 2, "collusion_bound": 1}, {"lenders": 3, "collusion_bound": 2}]


@pytest.mark.parametrize(
    "wrong", [*TOO_MANY_COLLUDE, *({name: value} for name, values in WRONG.items() for value in values)], ids=str
)
def test_a_plan_that_makes_no_sense_is_refused(wrong):
    with pytest.raises((ValueError, PrivacyError)):
        plan_mechanism(Budget(1.0, 1e-5), Training("scorecard", **({"lenders": 9} | wrong)))


@pytest.mark.parametrize("kind", ["distributed", "local"])
def test_a_budget_too_small_is_refused(kind):
    with pytest.raises(PrivacyError, match="cannot be reached"):
        plan_mechanism(Budget(1e-9, 1e-15), Training("scorecard", 9, kind=kind))
