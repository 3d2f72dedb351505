"""What releases cost a person, by composing privacy loss distributions.

A :class:`Charge` describes a mechanism, never a lossy number: the ledger stores charges, and epsilon is computed
from all of them together. Composition is Google's PLD accountant (Koskela et al. 2020, Doroshenko et al. 2022,
pessimistic discretisation: the figure is never below the truth), for add-or-remove-one-person neighbours.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.pld import PLDAccountant

from privacy.errors import PrivacyError

DISCRETISATION = 1e-3
"""Width of the privacy-loss grid. Coarser is faster and only ever more pessimistic (about 0.01% here)."""
MAX_NOISE_MULTIPLIER = 1e5


@dataclass(frozen=True, order=True)
class Charge:
    """``steps`` Gaussian releases, each over a Poisson sample of rate ``sampling_rate``.

    ``noise_multiplier`` is the standard deviation of the noise divided by one person's L2 contribution.
    """

    noise_multiplier: float
    sampling_rate: float = 1.0
    steps: int = 1

    def __post_init__(self) -> None:
        if not (0 < self.noise_multiplier < math.inf and 0 < self.sampling_rate <= 1 and self.steps >= 1):
            raise PrivacyError(f"not a release that can be charged: {self}")


@dataclass(frozen=True)
class Budget:
    """The most that may be spent: (epsilon, delta)-differential privacy."""

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        if not 0 < self.epsilon < math.inf:
            raise PrivacyError(f"epsilon must be greater than 0, not {self.epsilon}")
        if not 0 < self.delta < 1:
            raise PrivacyError(f"delta must lie between 0 and 1, not {self.delta}")


def merge(charges: Iterable[Charge]) -> tuple[Charge, ...]:
    """The same charges in canonical order, equal mechanisms counted together."""
    steps: Counter[tuple[float, float]] = Counter()
    for charge in charges:
        steps[charge.noise_multiplier, charge.sampling_rate] += charge.steps
    return tuple(sorted(Charge(sigma, rate, count) for (sigma, rate), count in steps.items()))


@lru_cache(maxsize=4096)
def _composed(charges: tuple[Charge, ...], delta: float) -> float:
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
