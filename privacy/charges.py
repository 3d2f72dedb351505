"""Charges and budgets: what a release does to a person, and the most that may be done. Plain
values, no arithmetic.

A :class:`Charge` describes a mechanism, never a lossy number: ledgers store charges, and
:mod:`privacy.accounting` computes epsilon from all of them together.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from privacy.errors import PrivacyError

MIN_NOISE_MULTIPLIER, MAX_NOISE_MULTIPLIER = 0.1, 1e6
MAX_STEPS = 100_000
"""Beyond these limits a release protects nobody, or tells nothing (and its noise would leave the
ring that sums are made in), and composing it would take hours."""
LEAST_CLIP, LARGEST_CLIP = 1e-3, 1e3
"""Clip norms far from where squares of norms would vanish or overflow."""


@dataclass(frozen=True, order=True)
class Charge:
    """``steps`` Gaussian releases, each over a Poisson sample of rate ``sampling_rate``.

    ``noise_multiplier`` is the standard deviation of the noise divided by one person's L2
    contribution.
    """

    noise_multiplier: float
    sampling_rate: float = 1.0
    steps: int = 1

    def __post_init__(self) -> None:
        noise = MIN_NOISE_MULTIPLIER <= self.noise_multiplier <= MAX_NOISE_MULTIPLIER
        if not (noise and 0 < self.sampling_rate <= 1 and 1 <= self.steps <= MAX_STEPS):
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
    listed = []
    for (sigma, rate), count in steps.items():
        whole, rest = divmod(count, MAX_STEPS)
        listed += [Charge(sigma, rate, MAX_STEPS)] * whole + (
            [Charge(sigma, rate, rest)] if rest else []
        )
    return tuple(sorted(listed))
