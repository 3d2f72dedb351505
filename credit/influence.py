"""What one person's gradient made of the model, from figures that were released: the learner's half
of :mod:`credit.left_out`, which says what is done with it.

**The derivative.** A step of size r takes r/n times the sum of clipped gradients from the weights,
in coordinates in which people have the second moments M, and curvature k M shrinks what a step left
by 1 - r k M. So a gradient g that is asked for in every step moves the mean of the iterates T, the
last half, by -A g / n with ``A = mean over t in T of (1 - (1 - r k M)^t) / (k M)``, which is
diagonal where M is.

**The curvature.** A logistic loss curves by p (1 - p) in the direction of a person's row, but a
clipped gradient has the length of the clip whatever the weights: it does not curve. So k is the
mean of p (1 - p) over those who are not clipped: good people with p, bad people with 1 - p below
the clip over the typical length of a row. Where few are bad, that is half of b (1 - b) or less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from credit.descent import averaged
from credit.groups import GRID, Spread
from credit.left_out import Influence
from credit.whitening import Coordinates

Floats = NDArray[np.float64]
LEAST_CURVATURE = 1e-9


@dataclass(frozen=True)
class Descended:
    """A descent that was made: step size and number, people, and the clip norm, in its
    coordinates."""

    rate: float
    steps: int
    population: float
    clip_norm: float


def spectrum(chosen: Coordinates) -> tuple[Floats, Floats]:
    """Eigenvectors and eigenvalues of the second moments that square coordinates were made of."""
    lengths, vectors = np.linalg.eigh(chosen.matrix)
    return vectors, np.maximum((chosen.scale / lengths) ** 2 - chosen.floor, 0.0)


def curvature(spread: Spread, reach: float) -> float:
    """Mean p (1 - p) of those whose residual is below ``reach``, over all people."""
    weights = np.exp(-(GRID**2) / 2)
    bad = expit(spread.at(GRID))
    curved = (1 - bad) * (bad < reach) + bad * (1 - bad < reach)
    return float((weights * bad * (1 - bad) * curved).sum() / weights.sum())


def influence_of(chosen: Coordinates, descended: Descended, spread: Spread) -> Influence:
    """For a linear model; ``spread`` is of its log-odds among people."""
    vectors, values = spectrum(chosen)
    moments = chosen.scale**2 * values / (values + chosen.floor)
    length = chosen.scale * math.sqrt(max(chosen.directions, 1.0))
    curved = np.maximum(curvature(spread, descended.clip_norm / length) * moments, LEAST_CURVATURE)
    steps = descended.steps
    taken = np.arange(steps - averaged(steps) + 1, steps + 1)[:, None]
    moved = (1 - (1 - descended.rate * curved) ** taken).mean(axis=0) / curved
    diagonal = np.maximum(moved, 0.0) / descended.population
    return Influence(chosen.matrix @ vectors, diagonal, descended.clip_norm)
