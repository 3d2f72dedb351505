"""Proportions, their differences and ratios, each with an interval. Pure.

No figure about a group is shown without one: of 20 people nothing follows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from lending.errors import PortfolioError

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and the interval that holds it with the confidence it was made for."""

    value: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many.

    Raises:
        PortfolioError: of nobody, or more than all.
    """

    part: int
    whole: int

    def __post_init__(self) -> None:
        if not 0 <= self.part <= self.whole or not self.whole:
            raise PortfolioError(f"{self.part} of {self.whole} is no share: count again")

    @property
    def value(self) -> float:
        return self.part / self.whole


def wilson(share: Share, confidence: float = CONFIDENCE) -> Estimate:
    """Wilson's score interval (Wilson 1927, without continuity correction)."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    n, p = share.whole, share.value
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low = 0.0 if share.part == 0 else max(middle - half, 0.0)
    high = 1.0 if share.part == share.whole else min(middle + half, 1.0)
    return Estimate(p, low, high)


def difference(one: Share, other: Share, confidence: float = CONFIDENCE) -> Estimate:
    """One share less the other: Newcombe's hybrid score interval (Newcombe 1998, method 10)."""
    a, b = wilson(one, confidence), wilson(other, confidence)
    value = a.value - b.value
    low = value - math.hypot(a.value - a.low, b.high - b.value)
    return Estimate(value, low, value + math.hypot(a.high - a.value, b.value - b.low))


def ratio(one: Share, other: Share, confidence: float = CONFIDENCE) -> Estimate:
    """One share over the other, infinite over nothing: by the method of variance estimates recovery
    (MOVER) from the Wilson intervals of both (Donner and Zou 2012)."""
    a, b = wilson(one, confidence), wilson(other, confidence)
    low = _lower(a, b)
    below = _lower(b, a)
    value = a.value / b.value if b.value else math.inf
    return Estimate(value, low, 1 / below if below else math.inf)


def _lower(a: Estimate, b: Estimate) -> float:
    """The lower end of a over b; the upper end is that of b over a, turned round."""
    mine, its = (one * (2 * of.value - one) for one, of in ((a.low, a), (b.high, b)))
    product = a.value * b.value
    return mine / (product + math.sqrt(max(product**2 - mine * its, 0.0))) if mine else 0.0
