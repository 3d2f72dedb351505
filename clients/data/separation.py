"""How well one feature alone separates good from bad, over rows of any number: exact counts, for
their owner alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from credit.dyadic import MANTISSA_BITS, order

MIN_OUTCOMES = 20
"""Good and bad rows each, below which separation is chance."""
LEVEL = 12
"""Values are told apart to a four-thousandth of themselves, whatever their scale: as finely as a
leak needs."""

Counts = NDArray[np.int64]


def separation(good: Counts, bad: Counts, ordered: bool) -> float | None:
    """AUC of groups with these counts, in their order or by their share of bad; 0.5 at least, None
    of too few."""
    if good.sum() < MIN_OUTCOMES or bad.sum() < MIN_OUTCOMES:
        return None
    if not ordered:
        by_share = np.argsort(bad / np.maximum(good + bad, 1), kind="stable")
        good, bad = good[by_share], bad[by_share]
    below = np.cumsum(good) - good
    area = float((bad * (below + good / 2)).sum() / (float(good.sum()) * float(bad.sum())))
    return max(area, 1 - area)


@dataclass
class Ranks:
    """Numbers in order, with how many good and bad rows have each; grows with the different values,
    not the rows."""

    places: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    counts: Counts = field(default_factory=lambda: np.zeros((2, 0), dtype=np.int64))

    def add(self, values: NDArray[np.float64], outcome: NDArray[np.int8]) -> None:
        """Rows with a number and an outcome of 0 or 1."""
        more = order(values) >> (MANTISSA_BITS - LEVEL)
        places, which = np.unique(np.concatenate([self.places, more]), return_inverse=True)
        counts = np.zeros((2, len(places)), dtype=np.int64)
        counts[:, which[: len(self.places)]] = self.counts
        np.add.at(counts, (outcome.astype(np.int64), which[len(self.places) :]), 1)
        self.places, self.counts = places, counts

    @property
    def auc(self) -> float | None:
        return separation(self.counts[0], self.counts[1], ordered=True)
