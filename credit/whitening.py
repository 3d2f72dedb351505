"""Coordinates in which a few steps of gradient descent suffice: whitening from one private release.

In the inputs' own coordinates descent is slow along directions in which features agree (six months
of the same bill) and no number of steps that the budget allows gets there. Multiplying inputs by
``(C + floor)^(-1/2)``, where C is their second-moment matrix, makes every direction that carries
signal equally long, so that descent becomes Newton's method for a logistic regression, up to the
floor, which is the ridge of that regression.

C is released with symmetric Gaussian noise, but not all of it has to be believed. What a feature
has to do with itself, and that it has nothing to do with the constant, follows from its bins'
frequencies, which the histogram released with less noise. Of the rest only directions count that
vary by more than noise could reach; their eigenvalues are cleaned as random-matrix theory says:
what lies within the semicircle of the noise is nothing, what stands out is brought back to what it
was before the noise pushed it (the spiked Wigner model: Baik, Ben Arous & Peche 2005;
Benaych-Georges & Nadakuditi 2011).

The scale of the coordinates decides who is clipped. It follows from C, the base rate
and how much noise there will be (:mod:`credit.descent`), so it costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from credit.descent import Descent

Floats = NDArray[np.float64]

FLOOR, FLOOR_PER_EDGE = 0.5, 1.5
"""Least ridge, relative to the unit mean square of a feature, where noise is within lenders or a
model has hidden layers; and its share of the noise's edge."""
LEAST_DIRECTIONS, MOST_DIRECTIONS = 4, 16
ROW_SLACK = 1.2
"""Rows are cut to this many times the mean squared norm before their moments are taken."""


def row_clip(mean_square: float) -> float:
    """The norm to which rows are cut before their second moments are summed; public."""
    return math.sqrt(ROW_SLACK * mean_square)


@dataclass(frozen=True)
class Coordinates:
    """What inputs are multiplied by before a gradient is asked for, and why.

    Args:
        matrix: (d, k), ``scale`` times a whitening.
        scale: gradients are this many times as long as in whitened coordinates, curvatures its
            square.
        floor: the ridge.
        directions: mean squared norm of a whitened row: how many directions of unit length there
            are.
        resolved: directions whose covariance with other features stands out of the noise.
        edge: what noise alone makes of the eigenvalues of that covariance.
    """

    matrix: Floats
    scale: float
    floor: float
    directions: float
    resolved: int
    edge: float


def believed(
    moments: Floats, own: Sequence[Floats], noise_std: float, population: float
) -> tuple[Floats, int, float]:
    """The (d, d) second moments as means, the directions resolved, and the edge of the noise.

    Args:
        moments: (d, d) noisy *sum* of x x^T over people; the last input is the constant.
        own: second moments of each feature's inputs alone, from its bins' frequencies; their sizes
            and the constant's add up to d.
        noise_std: standard deviation of the noise of each entry off the diagonal, as a sum.
        population: noisy number of people, to turn sums into means.

    Two features' directions of variance a and b have a covariance of sqrt(a b) at most, so among k
    directions one with less variance than the edge ``2 noise sqrt(k)`` tells nothing and only adds
    noise: the k largest are kept for which each exceeds it.
    """
    parts = [np.linalg.eigh(block) for block in own]
    variance = np.concatenate([*(np.maximum(values, 0.0) for values, _ in parts), [1.0]])
    turn = block_diag(*[vectors for _, vectors in parts], np.eye(1))
    feature = np.repeat(np.arange(len(own) + 1), [*map(len, own), 1])
    noise = noise_std / population
    order = np.argsort(-variance, kind="stable")
    exceeds = variance[order] > 2 * noise * np.sqrt(np.arange(1, len(order) + 1))
    kept = order[: int(np.cumprod(exceeds).sum())]
    between = feature[kept][:, None] != feature[kept]
    for side in (0, 1):
        between &= np.expand_dims(feature[kept] != len(own), side)
    across = (turn.T @ (moments / population) @ turn)[np.ix_(kept, kept)]
    edge = 2 * noise * math.sqrt(max(len(kept), 1))
    values, vectors = np.linalg.eigh(np.where(between, across, 0.0))
    cleaned = (vectors * _cleaned(values, edge)) @ vectors.T
    found = np.diag(variance)
    found[np.ix_(kept, kept)] += np.where(between, cleaned, 0.0)
    return np.asarray(turn @ found @ turn.T), len(kept), edge


def _cleaned(values: Floats, edge: float) -> Floats:
    """Eigenvalues of either sign as they were before noise of this edge was added."""
    size = np.abs(values)
    above = np.sqrt(np.maximum(size**2 - edge**2, 0.0))
    return np.where(size > edge, np.sign(values) * (size + above) / 2, 0.0)


def coordinates(
    moments: Floats,
    own: Sequence[Floats],
    noise_std: float,
    population: float,
    descent: tuple[Descent, float] | None = None,
) -> Coordinates:
    """Coordinates for a linear model, from released figures alone; see :func:`believed`.

    Args:
        descent: the gradients to come and the plan's clip norm, if the noise is of one sum: then
            the ridge is theirs, and the coordinates are scaled so that the plan's clip is theirs.

    A clip in these coordinates is the clip over ``scale`` in whitened ones. Gradients are summed
    and noised in units of the clip, so neither sensitivity nor charge knows of it.
    """
    matrix, resolved, edge = believed(moments, own, noise_std, population)
    values, vectors = np.linalg.eigh(matrix)
    values = np.maximum(values, 0.0)
    floor, scale = max(FLOOR, FLOOR_PER_EDGE * edge), 1.0
    if descent is not None:
        planned, clip_norm = descent
        floor = planned.floor(values)
        scale = clip_norm / planned.clip(values, floor)
    white = (vectors / np.sqrt(values + floor)) @ vectors.T
    directions = float((values / (values + floor)).sum())
    return Coordinates(scale * white, scale, floor, directions, resolved, edge)


def leading(moments: Floats, noise_std: float, population: float) -> Coordinates:
    """The (d, k) whitening of the k leading directions, those that stand out of the noise, for a
    model that cannot afford the others. Arguments as of :func:`believed`."""
    edge = 2 * noise_std / population * math.sqrt(len(moments))
    values, vectors = np.linalg.eigh(moments / population)
    # whose sign is otherwise the library's choice
    vectors = vectors * np.where(vectors.sum(axis=0) < 0, -1.0, 1.0)
    cleaned = np.maximum(_cleaned(values, edge), 0.0)
    floor = max(FLOOR, FLOOR_PER_EDGE * edge)
    found = int((cleaned > 0).sum())
    kept = slice(-min(max(found, LEAST_DIRECTIONS), MOST_DIRECTIONS), None)
    matrix = vectors[:, kept] / np.sqrt(cleaned[kept] + floor)
    directions = float((cleaned[kept] / (cleaned[kept] + floor)).sum())
    return Coordinates(np.asarray(matrix), 1.0, floor, directions, found, edge)
