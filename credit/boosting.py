"""Which pairs of features are asked about, and the step that a released sum gives them.

Once the scorecard has descended, one release sums residuals and curvatures over a coarse table for
each of the most promising pairs (:mod:`credit.pairs`). A Newton step in each cell, shrunk by as
much as the noise in it deserves, is the pair's term; a pair in which nothing stands out of noise
and chance gets none, so that small populations keep their scorecard.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from credit.binning import FeatureBins
from credit.embedding import Embedding, points
from credit.pairs import (
    CURVATURE_WEIGHT,
    LARGEST_EFFECT,
    MOST_LEVELS,
    MOST_PAIRS,
    Floats,
    Pairs,
    PairTerm,
)

LEAST_PAIRS, ENOUGH_PAIRS, LEAST_LEVELS = 3, 10, 3
NOISE_TO_CHANCE = 1.2
"""More pairs and finer tables until the noise in a cell is this many times what chance does to
it."""
MISSING_MASS = 0.01
SEEN_DEVIATIONS = 3.0


def levels_of(bins: FeatureBins, most: int, ordered: bool) -> tuple[int, ...]:
    """A level for each bin: ``most`` of about equal mass (the ``most - 1`` commonest codes and the
    others); missing is a level of its own where it is not rare, else it counts with the first."""
    mass = np.asarray(bins.frequency[:-1])
    if ordered:
        middle = (np.cumsum(mass) - mass / 2) / max(float(mass.sum()), 1e-9)
        level = np.minimum((middle * most).astype(int), most - 1)
    else:
        level = np.empty(len(mass), dtype=int)
        level[np.argsort(-mass, kind="stable")] = np.minimum(np.arange(len(mass)), most - 1)
    _, level = np.unique(level, return_inverse=True)
    missing = int(level.max()) + 1 if bins.frequency[-1] > MISSING_MASS else 0
    return (*level.tolist(), missing)


def candidates(embedding: Embedding, weights: Floats, noise_multiplier: float) -> Pairs:
    """The pairs worth asking about, without effects: those of the features that the scorecard leans
    on most.

    How many, and how fine, follows from released figures alone: the population, and the noise of
    one table.
    """
    per_bin, _ = points(embedding, weights)
    binning = embedding.binning
    leaning = [
        _spread(np.asarray(bins.frequency), part)
        for bins, part in zip(binning.features, per_bin, strict=True)
    ]
    most, levels = _affordable(binning.population, binning.base_rate, noise_multiplier)
    tables = [
        levels_of(bins, levels, column.feature.kind != "category")
        for bins, column in zip(binning.features, embedding.grid.columns, strict=True)
    ]
    useful = [j for j, table in enumerate(tables) if max(table) > 0]
    if len(useful) < 2:
        useful = list(range(len(tables)))
    ranked = sorted(
        itertools.combinations(useful, 2), key=lambda pair: -leaning[pair[0]] * leaning[pair[1]]
    )
    chosen = [(i, j, (max(tables[i]) + 1) * (max(tables[j]) + 1)) for i, j in ranked[:most]]
    return tuple(PairTerm(i, j, tables[i], tables[j], (0.0,) * cells) for i, j, cells in chosen)


def _spread(frequency: Floats, values: Floats) -> float:
    return float(frequency @ (values - frequency @ values) ** 2)


def _affordable(population: float, base_rate: float, noise_multiplier: float) -> tuple[int, int]:
    """How many pairs, and levels of each feature."""
    for levels in range(MOST_LEVELS, LEAST_LEVELS - 1, -1):
        chance = population * base_rate * (1 - base_rate) / levels**2
        pairs = int(min(NOISE_TO_CHANCE**2 * chance / noise_multiplier**2, MOST_PAIRS))
        if pairs >= ENOUGH_PAIRS:
            return pairs, levels
    return max(pairs, LEAST_PAIRS), LEAST_LEVELS


def boosted(pairs: Pairs, total: Floats, noise_std: float) -> Pairs:
    """The pairs after one step on a released :func:`residual_sums`, in its units (not grid
    steps)."""
    found = []
    for pair, sums in zip(
        pairs, np.split(total, np.cumsum([2 * len(p.effects) for p in pairs])[:-1]), strict=True
    ):
        residual, weighted = np.split(sums, 2)
        step = newton_step(
            residual.reshape(pair.shape),
            weighted.reshape(pair.shape) / CURVATURE_WEIGHT,
            noise_std,
            noise_std / CURVATURE_WEIGHT,
        )
        effects = np.clip(np.asarray(pair.effects) + step.ravel(), -LARGEST_EFFECT, LARGEST_EFFECT)
        found.append(replace(pair, effects=tuple(effects.tolist())))
    return tuple(found)


def newton_step(
    residual: Floats, curvature: Floats, noise_std: float, curvature_noise: float
) -> Floats:
    """Effects of a (rows, columns) table: pure interaction, shrunk to what stands out of noise and
    chance.

    A cell's ratio of residual to curvature has variance ``(curvature + noise^2) / curvature^2``.
    Rows and columns are taken out by weighted least squares, because a scorecard has them already;
    the variance of what is left over and above noise and chance is the prior of an empirical-Bayes
    estimate (Efron & Morris 1973).
    """
    seen = curvature > SEEN_DEVIATIONS * curvature_noise + 1
    sure = np.where(seen, curvature, 1.0)
    precision = np.where(seen, sure**2 / (sure + noise_std**2), 0.0)
    pure = np.where(seen, residual / sure, 0.0)
    rows, columns = pure.shape
    design = np.hstack(
        [np.repeat(np.eye(rows), columns, axis=0), np.tile(np.eye(columns), (rows, 1))]
    )
    root = np.sqrt(precision.ravel())
    margins, *_ = np.linalg.lstsq(design * root[:, None], pure.ravel() * root, rcond=None)
    pure = np.where(seen, pure - (design @ margins).reshape(pure.shape), 0.0)
    free = max(int(seen.sum()) - (rows + columns - 1), 1) / max(int(seen.sum()), 1)
    excess = (precision * (precision * pure**2 - free)).sum() / max(
        float((precision**2).sum()), 1e-12
    )
    prior = max(float(excess), 0.0)
    return np.asarray(pure * prior * precision / (prior * precision + 1.0))
