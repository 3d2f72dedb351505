"""Coordinates in which a few steps of gradient descent suffice: whitening from one private release.

In the inputs' own coordinates descent is slow along directions in which features agree (six months
of the same bill) and no number of steps that the budget allows gets there. Multiplying inputs by
``(C + floor)^(-1/2)``, where C is their second-moment matrix, makes every direction that carries
signal equally long, so that descent becomes Newton's method for a logistic regression, up to the
floor, which is the ridge of that regression.

C is released with symmetric Gaussian noise. Its eigenvalues are cleaned as random-matrix theory
says: what lies within the semicircle of the noise is nothing, what stands out is brought back to
what it was before the noise pushed it (the spiked Wigner model: Baik, Ben Arous & Peche 2005;
Benaych-Georges & Nadakuditi 2011).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FLOOR = 0.5
"""Ridge, relative to the unit mean square of a feature."""
FLOOR_PER_EDGE = 1.5
LEAST_DIRECTIONS, MOST_DIRECTIONS = 4, 16
ROW_SLACK = 1.2
"""Rows are cut to this many times the mean squared norm before their moments are taken."""


def row_clip(mean_square: float) -> float:
    """The norm to which rows are cut before their second moments are summed; public."""
    return math.sqrt(ROW_SLACK * mean_square)


def whitening(
    moments: Floats, noise_std: float, population: float, leading_only: bool = False
) -> Floats:
    """The (d, d) matrix by which inputs are to be multiplied; (d, k) for the k leading directions.

    Args:
        moments: (d, d) noisy *sum* of x x^T over people.
        noise_std: standard deviation of the noise of each entry off the diagonal, as a sum.
        population: noisy number of people, to turn sums into means.
        leading_only: keep only directions that stand out of the noise, for a model that cannot
            afford the others.
    """
    edge = 2 * noise_std / population * math.sqrt(len(moments))
    values, vectors = np.linalg.eigh(moments / population)
    # whose sign is otherwise the library's choice
    vectors = vectors * np.where(vectors.sum(axis=0) < 0, -1.0, 1.0)
    above = np.sqrt(np.maximum(values**2 - edge**2, 0.0))
    cleaned = np.where(values > edge, (values + above) / 2, 0.0)
    floor = max(FLOOR, FLOOR_PER_EDGE * edge)
    if leading_only:
        kept = slice(-min(max(int((cleaned > 0).sum()), LEAST_DIRECTIONS), MOST_DIRECTIONS), None)
        return np.asarray(vectors[:, kept] / np.sqrt(cleaned[kept] + floor))
    return np.asarray((vectors / np.sqrt(cleaned + floor)) @ vectors.T)
