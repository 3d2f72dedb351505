"""What releases cost a person, by composing privacy loss distributions.

Composition is Google's PLD accountant (Koskela et al. 2020, Doroshenko et al. 2022,
pessimistic discretisation: the figure is never below the truth), for add-or-remove-one-person neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

from privacy.charges import Budget, Charge, merge
from privacy.errors import PrivacyError

DISCRETISATION = 1e-3
"""Width of the privacy-loss grid. Coarser is faster and only ever more pessimistic (about 0.01% here)."""
MAX_NOISE_MULTIPLIER = 1e5
HOPELESS = 1e4
"""Squared mu beyond which full-batch releases have an epsilon in the thousands; not worth the memory."""


@lru_cache(maxsize=4096)
def _composed(charges: tuple[Charge, ...], delta: float) -> float:
    if sum(charge.steps / charge.noise_multiplier**2 for charge in charges if charge.sampling_rate == 1) > HOPELESS:
        return math.inf
    # Imported here: they take two seconds, and most processes that load this module never compose anything.
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant(value_discretization_interval=DISCRETISATION)
    for charge in charges:
        event = GaussianDpEvent(charge.noise_multiplier)
        sampled = PoissonSampledDpEvent(charge.sampling_rate, event) if charge.sampling_rate < 1 else event
        accountant.compose(SelfComposedDpEvent(sampled, charge.steps))
    return float(accountant.get_epsilon(delta))


def epsilon_of(charges: Iterable[Charge], delta: float) -> float:
    """The epsilon at ``delta`` of all ``charges`` together; 0 for none."""
    merged = merge(charges)
    return _composed(merged, delta) if merged else 0.0


def calibrate(budget: Budget, sampling_rate: float, steps: int, fixed: Iterable[Charge] = ()) -> float:
    """Smallest noise multiplier (to 0.1%) with which ``steps`` sampled releases and ``fixed`` fit into ``budget``.

    Raises:
        PrivacyError: ``fixed`` alone exceeds it.
    """
    others = tuple(fixed)

    def fits(noise_multiplier: float) -> bool:
        return epsilon_of((*others, Charge(noise_multiplier, sampling_rate, steps)), budget.delta) <= budget.epsilon

    low, high = 0.0, 0.5
    while not fits(high):
        low, high = high, high * 2
        if high > MAX_NOISE_MULTIPLIER:
            raise PrivacyError(f"epsilon {budget.epsilon} cannot be reached: other releases leave nothing for training")
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def gaussian_multiplier(budget: Budget, share: float) -> float:
    """Noise multiplier of one Gaussian release that takes ``share`` of the budget.

    Shares are of squared mu in the sense of Gaussian DP (Dong, Roth & Su 2019), in which full-batch Gaussian
    releases add up exactly: a share s leaves 1 - s for the rest.
    """
    if not 0 < share < 1:
        raise PrivacyError(f"a share of the budget lies between 0 and 1, not {share}")
    return calibrate(budget, 1.0, 1) / math.sqrt(share)
