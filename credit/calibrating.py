"""Honest probabilities: what the log-odds of a model are worth, from one released count of scores
among good and bad.

A parabola in the log-odds, where Platt 1999 has a line: clipping bends probabilities more than it
shifts them. It is fitted to the bad people of each group by weighted least squares, with a prior
for no change, and made to rise where it would fall, so that the order of people stays as it is. A
group counts by the inverse of the variance of its bad people less those predicted, chance and noise
together.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import expit

from credit.groups import Shape
from credit.models import KNOTS, UNCALIBRATED
from credit.quality import Counts

Floats = NDArray[np.float64]

PRIOR_PEOPLE = 5.0
"""Weight of the belief that probabilities are right as they are."""
LARGEST_COEFFICIENT, LEAST_SLOPE = 10.0, 0.05
CELL_DEVIATIONS = 3.0
WEIGHINGS = 2
"""How often it is fitted, with weights by the probabilities found before."""


def calibrated(counts: Counts, shape: Shape) -> tuple[float, ...]:
    """Honest log-odds at each of ``KNOTS``; as they are where people do not stand out of the
    noise."""
    people = np.maximum(counts.people.sum(axis=0), 0.0)
    if people.sum() <= CELL_DEVIATIONS * counts.number.error:
        return UNCALIBRATED
    weights = people / people.sum()
    centre = float(weights @ shape.nodes.mean(axis=1))

    def parabola(found: Floats, at: Floats) -> Floats:
        moved = at - centre
        return np.asarray(found[0] + found[1] * moved + found[2] * moved**2)

    def missed(found: Floats, deviation: Floats) -> Floats:
        rate = expit(parabola(found, shape.nodes)).mean(axis=1)
        chance = (counts.people[1] - people * rate) / deviation
        return np.concatenate([chance, math.sqrt(PRIOR_PEOPLE) * (found - unchanged)])

    found = unchanged = np.array([centre, 1.0, 0.0])
    for _ in range(WEIGHINGS):
        rate = expit(parabola(found, shape.nodes)).mean(axis=1)
        noise = counts.noise**2 * (rate**2 + (1 - rate) ** 2)
        deviation = np.sqrt(people * rate * (1 - rate) + noise + 1e-9)
        found = least_squares(missed, found, args=(deviation,)).x
    if not np.isfinite(found).all() or np.abs(found).max() > LARGEST_COEFFICIENT:
        return UNCALIBRATED
    return _rising(parabola(found, KNOTS), (shape.nodes.min(), shape.nodes.max()), centre)


def _rising(values: Floats, seen: tuple[float, float], centre: float) -> tuple[float, ...]:
    """The same where it rises and somebody was seen; with the slope 1 beyond."""
    steps = np.diff(KNOTS)
    first, last = np.searchsorted(KNOTS, seen)
    rises = np.maximum(np.diff(values), LEAST_SLOPE * steps)
    rises[: max(first - 1, 0)], rises[last:] = steps[0], steps[0]
    middle = int(np.argmin(np.abs(KNOTS - centre)))
    risen = values[middle] + np.concatenate([[0.0], np.cumsum(rises)]) - np.sum(rises[:middle])
    return tuple(risen.tolist())
