"""Into which groups scores are counted, and how people lie within them; from released figures.

Few groups mean little noise, for each adds its own; so many that each holds ``PER_NOISE`` times as
many bad people as noise, between ``LEAST`` and ``MOST``. They are cut where a model with so much
spread would have its people, weighing where the bad are against where everybody is: ranking is
measured among bad people, calibration among all. One cut is at the base rate, where the two
distributions of scores are furthest apart if probabilities are right.

Within groups people are spread as finer counts of everybody have it, good and bad together, as far
as those tell more than noise; else as a normal distribution through the groups would: the normal
scores of the shares below each edge, straight between the edges and on beyond.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr, ndtri

Floats = NDArray[np.float64]

LEAST, MOST, PER_NOISE = 6, 20, 10.0
BAD_WEIGHT = 0.6
"""How much the bad count where groups are cut; everybody has the rest."""
GRID = np.linspace(-5.0, 5.0, 2001)
LEAST_SPREAD = 0.05
LEAST_SHARE = 1e-3
NODES = 15
"""Places that stand for the people of a group."""
FINER = np.linspace(-4.0, 4.0, 17)
"""Further edges, in standard deviations: half of one apart."""
DOUBT = 4.0
"""Finer counts are expected to be off by so many times what the groups alone would say."""


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of log-odds among people, as predicted; normal otherwise."""

    mean: float
    deviation: float

    def at(self, normal: Floats) -> Floats:
        """Log-odds of normal scores."""
        return np.asarray(self.mean + max(self.deviation, LEAST_SPREAD) * normal)


def groups_for(bad: float, noise_std: float) -> int:
    """How many groups so many bad people, each group with such noise, are counted in."""
    return int(np.clip(bad / (PER_NOISE * max(noise_std, 1e-9)), LEAST, MOST))


def cut(spread: Spread, base_rate: float, groups: int) -> Floats:
    """(groups - 1,) rising log-odds between groups."""
    scores = spread.at(GRID)
    people = np.exp(-(GRID**2) / 2)
    bad = people * expit(scores)
    below = BAD_WEIGHT * np.cumsum(bad) / bad.sum()
    below += (1 - BAD_WEIGHT) * np.cumsum(people) / people.sum()
    edges = np.interp(np.arange(1, groups) / groups, below, scores)
    middle = float(logit(base_rate))
    nearest = int(np.argmin(np.abs(edges - middle)))
    bounds = np.concatenate([[-np.inf], edges, [np.inf]])
    if bounds[nearest] < middle < bounds[nearest + 2]:
        edges[nearest] = middle
    return np.asarray(edges)


def finer(spread: Spread, edges: Floats) -> Floats:
    """Rising log-odds: the edges of groups, and others between and beyond."""
    return np.unique(np.concatenate([edges, spread.at(FINER)]))


@dataclass(frozen=True)
class FineCounts:
    """Noisy counts of people, good and bad together, between finer edges."""

    people: Floats
    edges: Floats
    noise: float

    def below(self, counted: Floats, edges: Floats, scores: Floats) -> Floats:
        """Shares of people below each of :attr:`edges`.

        Args:
            counted: people by group, between ``edges``.
            scores: normal scores of :attr:`edges` as the groups alone have them.
        """
        total = counted.sum()
        expected = np.diff(ndtr(scores), prepend=0.0, append=1.0) * total
        doubt = (DOUBT * expected) ** 2
        found = (self.people * doubt + expected * self.noise**2) / (doubt + self.noise**2 + 1e-9)
        found = np.maximum(found, LEAST_SHARE * expected + 1e-9 * total)
        group = np.searchsorted(edges, np.append(self.edges, np.inf), side="left")
        found *= (counted / np.bincount(group, found))[group]
        return np.asarray(np.cumsum(found)[:-1] / total)


@dataclass(frozen=True)
class Shape:
    """(groups, ``NODES``) log-odds of people, as many at each of a group's."""

    nodes: Floats

    @classmethod
    def of(cls, people: Floats, edges: Floats, fine: FineCounts | None = None) -> Shape:
        """From (noisy) counts of people by group, and finer ones."""
        counted = np.maximum(people, LEAST_SHARE * max(float(people.sum()), 1.0))
        below = np.concatenate([[0.0], np.cumsum(counted) / counted.sum()])
        scores, places = ndtri(below[1:-1]), edges
        if fine is not None:
            places = fine.edges
            scores = ndtri(fine.below(counted, edges, _normal(places, edges, scores)))
        within = (np.arange(NODES) + 0.5) / NODES
        wanted = ndtri(below[:-1, None] + np.diff(below)[:, None] * within)
        return cls(_normal(wanted, scores, places))

    def probability(self, calibration: tuple[Floats, Floats]) -> Floats:
        """(groups, nodes) honest probabilities, by the knots and values of a calibration."""
        return np.asarray(expit(np.interp(self.nodes, *calibration)))


def _normal(wanted: Floats, known: Floats, values: Floats) -> Floats:
    """Values at ``wanted``, straight between the (rising) ``known`` and on with the mean slope of
    all."""
    found = np.interp(wanted, known, values)
    if len(known) == 1:
        return np.asarray(values[0] + (wanted - known[0]))
    slope = (values[-1] - values[0]) / (known[-1] - known[0])
    found += slope * np.minimum(wanted - known[0], 0)
    found += slope * np.maximum(wanted - known[-1], 0)
    return np.asarray(found)
