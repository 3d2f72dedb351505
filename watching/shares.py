"""Shares of noisy counts, with intervals that know of chance and of noise. Pure.

The interval is Wilson's with the noise in it: all r with (s - r)^2 <= z^2 (r (1 - r)/n + v), where
s is the share that was seen, n the people and v the variance that noise gives to s: that of the
part, and s^2 times that of the whole, over n^2. Without noise it is Wilson's own
(:func:`lending.intervals.wilson`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from lending.intervals import CONFIDENCE, Estimate

TOO_WIDE = 0.02
"""Half an interval, beyond which a share is told only if it is still smaller than half the
share."""
FEWEST_DEVIATIONS = 4.0
"""A whole that is not so many deviations of its noise above zero is no denominator."""


@dataclass(frozen=True, slots=True)
class Noisy:
    """A released count and the standard deviation of its noise."""

    value: float
    std: float = 0.0

    def plus(self, other: Noisy) -> Noisy:
        """Of two counts with noise of their own."""
        return Noisy(self.value + other.value, math.hypot(self.std, other.std))


@dataclass(frozen=True, slots=True)
class NoisyShare:
    """A share of people; ``rate`` is of what stands behind the counts."""

    rate: Estimate
    people: float
    noise: float
    """Standard deviation that noise alone gives to the share."""
    error: float
    """With chance."""

    @property
    def speaks(self) -> bool:
        """Whether it is worth telling; else there are too few people to say."""
        half = (self.rate.high - self.rate.low) / 2
        return half <= max(TOO_WIDE, self.rate.value / 2)


def share_of(part: Noisy, whole: Noisy, confidence: float = CONFIDENCE) -> NoisyShare | None:
    """The share, or None where noise leaves no denominator.

    Args:
        whole: of the same people; the noise of the two is independent.
    """
    if whole.value <= max(FEWEST_DEVIATIONS * whole.std, 0.0):
        return None
    n, seen = whole.value, part.value / whole.value
    v = (part.std**2 + (seen * whole.std) ** 2) / n**2
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    # (1 + z2/n) r^2 - (2 seen + z2/n) r + seen^2 - z2 v <= 0
    a, b, c = 1 + z2 / n, 2 * seen + z2 / n, seen**2 - z2 * v
    root = math.sqrt(max(b * b - 4 * a * c, 0.0))
    low, high = (max(min(one, 1.0), 0.0) for one in ((b - root) / (2 * a), (b + root) / (2 * a)))
    value = min(max(seen, 0.0), 1.0)
    error = math.sqrt(v + value * (1 - value) / n)
    return NoisyShare(Estimate(value, low, high), n, math.sqrt(v), error)
