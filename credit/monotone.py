"""Points that rise or fall where the schema says so: post-processing, which costs no budget.

A declared direction is knowledge that no data was needed for, so noise that contradicts it is noise
(or the declaration is wrong). Points of a feature's bins are replaced by the nearest that are
monotone, in squared distance weighted by how many people are in each bin (isotonic regression by
pooling adjacent violators: Barlow et al. 1972), which takes no direction's mean away. 'Missing' has
no place in an order and keeps its points.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from credit.embedding import Embedding

Floats = NDArray[np.float64]

LEAST_WEIGHT = 1e-9


def isotonic(values: Floats, weights: Floats) -> Floats:
    """The nearest values that never fall, by pooling adjacent violators."""
    means: list[float] = []
    masses: list[float] = []
    sizes: list[int] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, mass, size = value, max(weight, LEAST_WEIGHT), 1
        while means and means[-1] > mean:
            before, heavy = means.pop(), masses.pop()
            mean = (before * heavy + mean * mass) / (heavy + mass)
            mass, size = heavy + mass, size + sizes.pop()
        means.append(mean)
        masses.append(mass)
        sizes.append(size)
    return np.repeat(means, sizes)


def monotone(embedding: Embedding, weights: Floats) -> Floats:
    """A scorecard's weights whose points go the way that each feature declares; the same weights
    where they do already, or where nothing is declared."""
    found = weights.copy()
    cuts = np.cumsum([0, *(len(table) for table in embedding.tables)])
    columns = zip(
        embedding.grid.columns,
        embedding.binning.features,
        embedding.tables,
        pairwise(cuts.tolist()),
        strict=True,
    )
    for column, bins, table, (first, end) in columns:
        if column.feature.direction is None:
            continue
        sign = 1.0 if column.feature.direction == "up" else -1.0
        frequency = np.asarray(bins.frequency)
        points = table @ weights[first:end]
        wanted = points.copy()
        wanted[:-1] = sign * isotonic(sign * points[:-1], frequency[:-1])
        if np.array_equal(wanted, points):
            continue
        # tables are centred, so what is common to all bins is the intercept's
        common = float(frequency @ wanted)
        found[first:end] = np.linalg.lstsq(table, wanted - common, rcond=None)[0]
        found[-1] += common
    return found
