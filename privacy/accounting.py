"""What releases cost a person.

Releases over everybody are Gaussian, and Gaussians compose exactly: their squared mu add up (Dong,
Roth & Su 2019, https://arxiv.org/abs/1905.02383, corollary 3.3), and mu becomes epsilon by the
analytic formula (Balle & Wang 2018, https://arxiv.org/abs/1805.06530, theorem 8). Half of squared
mu is rho of zero-concentrated differential privacy (Bun & Steinke 2016), in which ledgers are kept
and shown. Releases over Poisson samples are composed by Google's privacy-loss-distribution
accountant (Koskela et al. 2020, Doroshenko et al. 2022), whose discretisation is pessimistic.
Neighbours differ by one person added or removed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

from privacy.charges import MAX_NOISE_MULTIPLIER, Budget, Charge, merge
from privacy.errors import PrivacyError

DISCRETISATION = 1e-3
"""Width of the privacy-loss grid. Coarser is faster and only ever more pessimistic (about 0.01%
here)."""
MARGIN = 1e-4
"""Added to the exact figure, relatively: noise is discrete and arithmetic is finite (far below
this)."""
HOPELESS = 1e4
"""Squared mu beyond which epsilon is in the thousands; not worth computing."""


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Smallest epsilon for which the Gaussian mechanism of sensitivity/deviation ``mu`` is
    (epsilon, delta)-private."""
    # Imported here: it takes half a second, and most commands load this module and compute nothing.
    from scipy.optimize import brentq
    from scipy.special import log_ndtr, ndtr

    def excess(epsilon: float) -> float:
        tail = math.exp(epsilon + float(log_ndtr(-epsilon / mu - mu / 2)))
        return float(ndtr(-epsilon / mu + mu / 2)) - tail - delta

    if excess(0.0) <= 0:
        return 0.0
    return float(
        brentq(
            excess,
            0.0,
            mu * (mu + 2 * math.sqrt(-2 * math.log(delta)) + 10),
            xtol=1e-12,
            rtol=1e-12,
        )
    )


def rho_of(charges: Iterable[Charge]) -> float:
    """Zero-concentrated differential privacy of full-batch charges; exact. Infinite if one is over
    a sample."""
    listed = list(charges)
    if any(charge.sampling_rate < 1 for charge in listed):
        return math.inf
    return math.fsum(charge.steps / charge.noise_multiplier**2 for charge in listed) / 2


@lru_cache(maxsize=4096)
def _composed(charges: tuple[Charge, ...], delta: float) -> float:
    full = rho_of(charge for charge in charges if charge.sampling_rate == 1)
    if 2 * full > HOPELESS:
        return math.inf
    sampled = [charge for charge in charges if charge.sampling_rate < 1]
    if not sampled:
        return gaussian_epsilon(math.sqrt(2 * full), delta) * (1 + MARGIN)
    # Imported here: they take two seconds, and most processes that load this module never compose
    # samples.
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant(value_discretization_interval=DISCRETISATION)
    if full:
        accountant.compose(GaussianDpEvent(1 / math.sqrt(2 * full)))
    for charge in sampled:
        event = PoissonSampledDpEvent(
            charge.sampling_rate, GaussianDpEvent(charge.noise_multiplier)
        )
        accountant.compose(SelfComposedDpEvent(event, charge.steps))
    return float(accountant.get_epsilon(delta)) * (1 + MARGIN)


def epsilon_of(charges: Iterable[Charge], delta: float) -> float:
    """The epsilon at ``delta`` of all ``charges`` together; 0 for none."""
    merged = merge(charges)
    return _composed(merged, delta) if merged else 0.0


def calibrate(
    budget: Budget, sampling_rate: float, steps: int, fixed: Iterable[Charge] = ()
) -> float:
    """Smallest noise multiplier (to 0.01%) with which ``steps`` sampled releases and ``fixed`` fit
    into ``budget``.

    Raises:
        PrivacyError: ``fixed`` alone exceeds it.
    """
    others = tuple(fixed)

    def fits(noise_multiplier: float) -> bool:
        return (
            epsilon_of((*others, Charge(noise_multiplier, sampling_rate, steps)), budget.delta)
            <= budget.epsilon
        )

    low, high = 0.1, 0.5
    while not fits(high):
        low = high
        high = high * 2
        if high > MAX_NOISE_MULTIPLIER:
            raise PrivacyError(
                f"epsilon {budget.epsilon} cannot be reached: other releases leave nothing for "
                "training"
            )
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def gaussian_multiplier(budget: Budget, share: float) -> float:
    """Noise multiplier of one Gaussian release that takes ``share`` of the budget.

    Shares are of squared mu, which adds up exactly: a share s leaves 1 - s for the rest. Raises
    PrivacyError for a budget so small that the noise would be more than can be planned.
    """
    if not 0 < share <= 1:
        raise PrivacyError(f"a share of the budget lies in (0, 1], not {share}")
    multiplier = calibrate(budget, 1.0, 1) / math.sqrt(share)
    if multiplier > MAX_NOISE_MULTIPLIER:
        raise PrivacyError(
            f"epsilon {budget.epsilon} is too small to be shared out among that many releases"
        )
    return multiplier
