"""How good a model is on people nobody trained on, from one noisy histogram over all lenders.

What a person adds to it is in :mod:`credit.evaluation`. From the noisy counts follow AUC, KS,
calibration and population stability, each with a standard error: the histogram is noised again,
which costs nothing, and the figure computed again. No lender's own figures exist anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from credit.binning import Binning
from credit.evaluation import Floats, ScoreCells, Segments, evaluation_weight
from credit.features import FeatureSchema

REDRAWS = 200
PSI_FLOOR = 1e-4


@dataclass(frozen=True)
class Figure:
    """A figure and its standard error from the noise (not from the sample)."""

    value: float
    error: float


@dataclass(frozen=True)
class SegmentQuality:
    """One segment's figures; ``auc`` and the rest are absent where the noise is as large as the
    group."""

    name: str
    people: Figure
    bad_rate: Figure | None
    auc: Figure | None
    ks: Figure | None
    ece: Figure | None
    observed_to_expected: Figure | None
    """Bad people over the sum of predicted probabilities: 1 if the level of risk is right, however
    rare the bad."""


@dataclass(frozen=True)
class ModelEvaluation:
    """What a campaign may say about its model: the whole, the segments, the stability of scores and
    features."""

    segments: tuple[SegmentQuality, ...]
    psi_score: Figure | None
    psi_features: dict[str, Figure]

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def _tidy(counts: Floats) -> Floats:
    return np.maximum(counts, 0.0)


def auc_of(counts: Floats) -> float:
    """AUC of (2, cells) counts, which may be noisy; people in the same cell count half."""
    good, bad = counts
    below = np.cumsum(good) - good / 2
    return float((bad * below).sum() / max(bad.sum() * good.sum(), 1e-9))


def ks_of(counts: Floats) -> float:
    good, bad = _tidy(counts)
    apart = np.cumsum(good) / max(good.sum(), 1e-9) - np.cumsum(bad) / max(bad.sum(), 1e-9)
    return float(np.abs(apart).max())


def ece_of(counts: Floats, groups: int = 10) -> float:
    """Expected calibration error of (2, cells) counts in ``groups`` of about equal size."""
    good, bad = counts
    people = _tidy(good + bad)
    group = np.minimum(
        (np.cumsum(people) - people / 2) / max(people.sum(), 1e-9) * groups, groups - 1
    ).astype(int)
    total = np.bincount(group, people, groups)
    expected = np.bincount(group, people / (1 + np.exp(-ScoreCells.CENTRES)), groups)
    seen = np.bincount(group, bad, groups)
    return float(np.abs(expected - seen)[total > 0].sum() / max(people.sum(), 1e-9))


def observed_to_expected_of(counts: Floats) -> float:
    """Bad people over those expected, of (2, cells) counts."""
    expected = counts.sum(axis=0) @ (1 / (1 + np.exp(-ScoreCells.CENTRES)))
    return float(counts[1].sum() / max(expected, 1e-9))


def psi_of(expected: Floats, actual: Floats) -> float:
    """Population stability index of two (noisy) distributions (Siddiqi 2006, chapter 8)."""
    e, a = (np.maximum(_tidy(x) / max(_tidy(x).sum(), 1e-9), PSI_FLOOR) for x in (expected, actual))
    return float(((a - e) * np.log(a / e)).sum())


def deciles(counts: Floats) -> NDArray[np.int64]:
    """Ten groups of score cells with about equal numbers of people."""
    people = _tidy(counts.sum(axis=0))
    group: NDArray[np.int64] = np.minimum(
        (np.cumsum(people) - people / 2) / max(people.sum(), 1e-9) * 10, 9
    ).astype(int)
    return group


def _figure(
    of: Callable[[Floats], float], counts: Floats, noise: float, rng: np.random.Generator
) -> Figure:
    """A figure of noisy counts. Noising them again shows how far noise carries it on average, which
    is taken off, and how far it scatters; both are in the error."""
    plain = of(counts)
    again = [of(counts + rng.normal(0, noise, counts.shape)) for _ in range(REDRAWS)]
    carried = float(np.mean(again)) - plain
    return Figure(max(plain - carried, 0.0), math.hypot(float(np.std(again)), carried))


def evaluate(
    total: Floats,
    noise_std: float,
    schema: FeatureSchema,
    binning: Binning,
    trained_on: Floats | None,
) -> ModelEvaluation:
    """Figures of a released evaluation.

    Args:
        total: the noisy sum, weights as :class:`credit.tasks.EvaluationTask` lays it out.
        noise_std: of each of its coordinates.
        binning: whose frequencies are those of the training population.
        trained_on: (2, cells) noisy score counts of the training population, if there are any.
    """
    rng = np.random.default_rng(0)
    segments = Segments.of(schema)
    weight = evaluation_weight(len(schema.features))
    scores, rest = np.split(total, [ScoreCells.SIZE * segments.count])
    noise = noise_std / weight
    by_segment = scores.reshape(segments.count, 2, ScoreCells.WIDTH) / weight
    qualities = []
    for name, counts in zip(segments.names, by_segment, strict=True):
        people = Figure(float(counts.sum()), noise * math.sqrt(counts.size))
        bad = Figure(float(counts[1].sum()), noise * math.sqrt(ScoreCells.WIDTH))
        if people.value < 3 * people.error or bad.value < 3 * bad.error:
            qualities.append(SegmentQuality(name, people, None, None, None, None, None))
            continue
        rate = Figure(bad.value / people.value, bad.error / people.value)
        figures = [
            _figure(of, counts, noise, rng)
            for of in (auc_of, ks_of, ece_of, observed_to_expected_of)
        ]
        qualities.append(SegmentQuality(name, people, rate, *figures))
    psi = {}
    expected = [np.asarray(bins.frequency) for bins in binning.features]
    parts = np.split(rest, np.cumsum([len(part) for part in expected])[:-1])
    for name, before, seen in zip(schema.names, expected, parts, strict=True):
        psi[name] = _figure(partial(psi_of, before), seen, noise_std, rng)
    psi_score = None
    if trained_on is not None:
        group = deciles(trained_on)
        usual = np.bincount(group, trained_on.sum(axis=0), 10).astype(np.float64)
        counted = np.bincount(group, by_segment[0].sum(axis=0), 10).astype(np.float64)
        psi_score = _figure(
            partial(psi_of, usual), counted, noise * math.sqrt(2 * ScoreCells.WIDTH / 10), rng
        )
    return ModelEvaluation(tuple(qualities), psi_score, psi)
