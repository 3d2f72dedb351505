"""What releases cost, against closed forms and other accountants."""

import math
import warnings

import numpy as np
import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.pld import PLDAccountant
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.accountants import PRVAccountant, RDPAccountant
from scipy.optimize import brentq
from scipy.stats import norm

from privacy.accounting import calibrate, epsilon_of, gaussian_epsilon, gaussian_multiplier, rho_of
from privacy.charges import MAX_STEPS, MIN_NOISE_MULTIPLIER, Budget, Charge, merge
from privacy.errors import PrivacyError

DELTA = 1e-5


def gdp_epsilon(mu, delta):
    """Dong, Roth & Su 2019, corollary 2.13, solved for epsilon."""

    def excess(epsilon):
        return norm.cdf(-epsilon / mu + mu / 2) - math.exp(epsilon) * norm.cdf(-epsilon / mu - mu / 2) - delta

    return brentq(excess, 0, 600, xtol=1e-12)


def one_sampled_step_epsilon(sigma, rate, delta):
    """One Poisson-sampled Gaussian: the hockey-stick divergence in closed form, the worse of add and remove."""

    def remove(epsilon):  # P = (1-q) N(0) + q N(1) against Q = N(0); P > e^eps Q right of x
        ratio = (math.exp(epsilon) - 1 + rate) / rate
        x = sigma**2 * math.log(ratio) + 0.5
        p = (1 - rate) * norm.sf(x / sigma) + rate * norm.sf((x - 1) / sigma)
        return p - math.exp(epsilon) * norm.sf(x / sigma)

    def add(epsilon):  # Q against P; Q > e^eps P left of x
        ratio = (math.exp(-epsilon) - 1 + rate) / rate
        if ratio <= 0:
            return 0.0
        x = sigma**2 * math.log(ratio) + 0.5
        p = (1 - rate) * norm.cdf(x / sigma) + rate * norm.cdf((x - 1) / sigma)
        return norm.cdf(x / sigma) - math.exp(epsilon) * p

    return brentq(lambda epsilon: max(remove(epsilon), add(epsilon)) - delta, 1e-9, 100, xtol=1e-12)


@pytest.mark.parametrize(
    "charges",
    [
        [Charge(1.0)],
        [Charge(0.5)],
        [Charge(5.0, steps=10)],
        [Charge(30.0, steps=40)],
        [Charge(2.0), Charge(3.0), Charge(2.0, steps=2)],
        [Charge(100.0, steps=1000), Charge(1.5)],
        [Charge(20.0)],
    ],
)
@pytest.mark.parametrize("delta", [1e-5, 1e-8])
def test_full_batch_gaussians_cost_what_gaussian_dp_says_and_never_less(charges, delta):
    mu = math.sqrt(sum(c.steps / c.noise_multiplier**2 for c in charges))
    truth = gdp_epsilon(mu, delta)
    assert truth <= epsilon_of(charges, delta) <= truth * 1.001


@pytest.mark.parametrize(("sigma", "rate"), [(0.6, 0.1), (1.0, 0.01), (1.0, 0.5), (2.0, 0.3)])
def test_one_sampled_step_costs_what_its_closed_form_says_and_never_less(sigma, rate):
    truth = one_sampled_step_epsilon(sigma, rate, DELTA)
    assert truth <= epsilon_of([Charge(sigma, rate)], DELTA) <= truth * 1.001 + 1e-3


def pld_epsilon(charges, delta):
    """Google's accountant at its own, ten times finer discretisation, charge after charge, nothing in closed form."""
    accountant = PLDAccountant()
    for charge in charges:
        event = GaussianDpEvent(charge.noise_multiplier)
        if charge.sampling_rate < 1:
            event = PoissonSampledDpEvent(charge.sampling_rate, event)
        accountant.compose(SelfComposedDpEvent(event, charge.steps))
    return accountant.get_epsilon(delta)


@pytest.mark.parametrize(
    ("delta", "charges"),
    [
        (1e-5, [Charge(1.0)]),
        (1e-9, [Charge(0.5)]),
        (1e-5, [Charge(20.0)]),
        (1e-9, [Charge(30.0, steps=40)]),
        (1e-5, [Charge(100.0, steps=1000), Charge(1.5)]),
        (1e-5, [Charge(0.8, 0.1)]),
        (1e-5, [Charge(50.0, 0.5)]),
        (1e-5, [Charge(1.0, 0.01, 500)]),
        (1e-9, [Charge(2.0, 0.2, 50)]),
        (1e-5, [Charge(3.0), Charge(4.0, 0.5, 2)]),
        (1e-9, [Charge(4.0), Charge(8.0, steps=10), Charge(1.5, 0.02, 100)]),
        (1e-5, [Charge(3.0, 0.9, 20), Charge(4.0, 0.1, 30), Charge(6.0)]),
        (1e-9, [Charge(40.0, steps=3), Charge(20.0, 0.3, 10)]),
    ],
)
def test_any_mixture_costs_what_a_finer_accountant_says_and_never_less(charges, delta):
    truth = pld_epsilon(charges, delta)
    assert truth <= epsilon_of(charges, delta) <= truth * 1.01


@pytest.mark.parametrize(("sigma", "rate", "steps"), [(1.0, 0.01, 500), (0.8, 0.05, 60), (2.0, 0.2, 50)])
def test_sampled_training_costs_what_two_other_accountants_say(sigma, rate, steps):
    ours = epsilon_of([Charge(sigma, rate, steps)], DELTA)
    witnesses = []
    for accountant in (PRVAccountant(), RDPAccountant()):
        accountant.history = [(sigma, rate, steps)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            witnesses.append(accountant.get_epsilon(DELTA))
    tight, loose = witnesses
    assert ours == pytest.approx(tight, rel=0.01, abs=0.01)  # PRV promises 0.01
    assert ours < loose


def test_a_mixture_costs_what_opacus_accountant_says():
    # Two noise levels; a full batch is a sample of everybody.
    accountant = PRVAccountant()
    accountant.history = [(4.0, 1.0, 3), (1.5, 0.05, 60)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tight = accountant.get_epsilon(DELTA)
    assert epsilon_of([Charge(4.0, steps=3), Charge(1.5, 0.05, 60)], DELTA) == pytest.approx(tight, rel=0.01, abs=0.01)


@given(st.floats(1e-3, 50), st.floats(1e-12, 0.1))
def test_the_epsilon_of_a_gaussian_is_on_its_own_curve(mu, delta):
    epsilon = gaussian_epsilon(mu, delta)
    curve = norm.cdf(-epsilon / mu + mu / 2) - math.exp(epsilon + norm.logcdf(-epsilon / mu - mu / 2))
    assert epsilon >= 0
    assert curve <= delta * (1 + 1e-6) + 1e-15
    assert epsilon == 0 or curve == pytest.approx(delta, rel=1e-6, abs=1e-15)


full_batch = st.lists(st.builds(Charge, st.floats(0.5, 1000), st.just(1.0), st.integers(1, 100)), max_size=6)


@given(full_batch, st.sampled_from([1e-5, 1e-9]))
def test_rho_is_half_of_squared_mu_and_bounds_epsilon(charges, delta):
    rho = rho_of(charges)
    assert rho == pytest.approx(sum(c.steps / (2 * c.noise_multiplier**2) for c in charges), rel=1e-12)
    # Bun & Steinke 2016, proposition 1.3.
    assert epsilon_of(charges, delta) <= (rho + 2 * math.sqrt(rho * math.log(1 / delta))) * (1 + 2e-4)


def test_rho_of_nothing_is_nothing_and_of_a_sample_is_not_known():
    assert rho_of([]) == 0
    assert rho_of([Charge(2.0)]) == 0.125
    assert rho_of([Charge(2.0), Charge(2.0, 0.5)]) == math.inf
    assert rho_of(iter([Charge(2.0, 0.999), Charge(2.0)])) == math.inf


def test_what_protects_nobody_is_infinite_and_not_an_error():
    assert epsilon_of([Charge(0.1, steps=200)], DELTA) == math.inf
    assert epsilon_of([Charge(0.1, steps=200), Charge(2.0, 0.1)], DELTA) == math.inf
    assert 1000 < epsilon_of([Charge(0.1, steps=20)], DELTA) < math.inf


def test_a_ledger_longer_than_one_release_can_be_is_still_counted():
    ledger = [Charge(3000.0, steps=MAX_STEPS), Charge(3000.0, steps=MAX_STEPS)]
    assert epsilon_of(ledger, DELTA) == pytest.approx(gdp_epsilon(math.sqrt(2 * MAX_STEPS) / 3000, DELTA), rel=1e-3)


def test_nothing_costs_nothing():
    assert epsilon_of([], DELTA) == 0


def test_charges_cost_the_same_in_any_order():
    charges = [Charge(1.5, 0.1, 3), Charge(4.0), Charge(1.5, 0.1, 2), Charge(2.0)]
    assert epsilon_of(charges, DELTA) == epsilon_of(charges[::-1], DELTA) == epsilon_of(merge(charges), DELTA)


charge_lists = st.lists(
    st.builds(Charge, st.sampled_from([1.0, 2.0, 2.5]), st.sampled_from([0.1, 1.0]), st.integers(1, 9)), max_size=8
)


@settings(deadline=None)
@given(charge_lists, st.randoms())
def test_merging_is_canonical_and_loses_no_step(charges, shuffler):
    shuffled = list(charges)
    shuffler.shuffle(shuffled)
    merged = merge(charges)
    assert merge(shuffled) == merge(merged) == merged
    assert sum(c.steps for c in merged) == sum(c.steps for c in charges)
    mechanisms = [(c.noise_multiplier, c.sampling_rate) for c in merged]
    assert mechanisms == sorted({(c.noise_multiplier, c.sampling_rate) for c in charges})


@pytest.mark.parametrize("rate", [0.02, 1.0])
def test_more_steps_cost_more(rate):
    costs = [epsilon_of([Charge(3.0, rate, steps)], DELTA) for steps in (1, 2, 4, 16, 64)]
    assert costs == sorted(set(costs))


def test_less_noise_a_higher_rate_and_a_smaller_delta_cost_more():
    cost = epsilon_of([Charge(2.0, 0.1, 10)], DELTA)
    assert epsilon_of([Charge(1.9, 0.1, 10)], DELTA) > cost
    assert epsilon_of([Charge(2.0, 0.11, 10)], DELTA) > cost
    assert epsilon_of([Charge(2.0, 0.1, 10)], DELTA / 2) > cost


def test_one_more_charge_never_costs_less():
    spent = [Charge(2.0, 0.1, 10)]
    assert epsilon_of([*spent, Charge(500.0)], DELTA) >= epsilon_of(spent, DELTA)


@pytest.mark.parametrize(
    ("epsilon", "rate", "steps", "fixed"),
    [
        (1.0, 1.0, 1, ()),
        (3.0, 1.0, 50, ()),
        (2.0, 0.05, 40, ()),
        (4.0, 0.1, 20, (Charge(3.0), Charge(4.0, 0.5, 2))),
        (8.0, 1.0, 1, ()),
        (0.05, 1.0, 1, ()),
        (1.0, 1.0, 3, (Charge(6.0), Charge(9.0, steps=2))),
    ],
)
def test_calibration_finds_the_least_noise_that_fits(epsilon, rate, steps, fixed):
    sigma = calibrate(Budget(epsilon, DELTA), rate, steps, fixed)
    assert epsilon_of([*fixed, Charge(sigma, rate, steps)], DELTA) <= epsilon
    assert epsilon_of([*fixed, Charge(sigma * 0.998, rate, steps)], DELTA) > epsilon


def test_calibration_of_one_full_release_is_the_analytic_gaussian():
    sigma = calibrate(Budget(2.0, DELTA), 1.0, 1)
    assert gdp_epsilon(1 / sigma, DELTA) <= 2.0
    assert gdp_epsilon(1 / sigma, DELTA) == pytest.approx(2.0, rel=3e-3)


def test_calibration_is_refused_when_other_releases_leave_nothing():
    with pytest.raises(PrivacyError, match="leave nothing"):
        calibrate(Budget(1.0, DELTA), 1.0, 1, [Charge(1.0)])


def test_what_remains_is_less_noise_for_who_asks_last():
    """Full batches: squared mu of the whole budget, less that of the others."""
    budget, fixed = Budget(2.0, DELTA), (Charge(5.0), Charge(4.0))
    whole = calibrate(budget, 1.0, 1) ** -2
    left = whole - rho_of(fixed) * 2
    assert calibrate(budget, 1.0, 1, fixed) == pytest.approx(left**-0.5, rel=1e-3)
    assert calibrate(budget, 1.0, 10, fixed) == pytest.approx((left / 10) ** -0.5, rel=1e-3)


@pytest.mark.parametrize("share", [1e-4, 0.25, 1.0])
def test_a_share_is_of_squared_mu(share):
    budget = Budget(3.0, DELTA)
    assert gaussian_multiplier(budget, share) == pytest.approx(gaussian_multiplier(budget, 1.0) * share**-0.5)
    assert gaussian_multiplier(budget, 1.0) == calibrate(budget, 1.0, 1)
    assert epsilon_of([Charge(gaussian_multiplier(budget, share), steps=round(1 / share))], DELTA) <= 3.0 * (1 + 1e-9)


def test_shares_of_a_budget_add_up_to_the_budget():
    budget = Budget(2.0, DELTA)
    charges = [Charge(gaussian_multiplier(budget, share)) for share in (0.2, 0.3, 0.5)]
    assert epsilon_of(charges, DELTA) == pytest.approx(2.0, rel=5e-3)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.0001, 1.5, float("nan"), float("inf")])
def test_a_share_that_is_no_share_is_refused(share):
    with pytest.raises(PrivacyError, match="share"):
        gaussian_multiplier(Budget(1.0, DELTA), share)


@pytest.mark.parametrize(
    ("sigma", "rate", "steps"),
    [
        *((sigma, 1.0, 1) for sigma in (0.0, -1.0, math.nan, math.inf, MIN_NOISE_MULTIPLIER * 0.999)),
        *((1.0, rate, 1) for rate in (0.0, -0.1, 1.01, math.nan)),
        *((1.0, 1.0, steps) for steps in (0, -3, MAX_STEPS + 1)),
    ],
)
def test_what_cannot_be_charged_is_refused(sigma, rate, steps):
    with pytest.raises(PrivacyError, match="can be charged"):
        Charge(sigma, rate, steps)


@pytest.mark.parametrize(
    ("epsilon", "delta"),
    [(0, DELTA), (-1, DELTA), (math.inf, DELTA), (math.nan, DELTA), (1, 0), (1, 1), (1, -1e-9), (1, math.nan)],
)
def test_a_budget_that_promises_nothing_is_refused(epsilon, delta):
    with pytest.raises(PrivacyError, match="must"):
        Budget(epsilon, delta)


def test_the_closed_form_witness_agrees_with_numeric_integration():
    # The witness is witnessed: the hockey-stick divergence on a fine grid.
    sigma, rate = 1.0, 0.5
    epsilon = one_sampled_step_epsilon(sigma, rate, DELTA)
    x = np.linspace(-12, 13, 400_001)
    q, p = norm.pdf(x), (1 - rate) * norm.pdf(x) + rate * norm.pdf(x - 1)
    both = [np.trapezoid(np.maximum(a - math.exp(epsilon) * b, 0), x) for a, b in ((p, q), (q, p))]
    assert max(both) == pytest.approx(DELTA, rel=1e-4)
