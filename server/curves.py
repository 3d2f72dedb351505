"""What a campaign's evaluation shows beside its figures: ROC, calibration, and how scores are
distributed.

All of it follows from the noisy sum over held-out people that was released and kept, so that
nothing more is asked of anybody and nothing more is spent. Bands are what the noise does: the sum
is noised again, and again computed (as in :mod:`credit.quality`). Pure but for reading the sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from credit.evaluation import ScoreCells
from credit.quality import deciles
from credit.tasks import EvaluationTask
from privacy.mechanism import ReleaseKind
from protocol.campaigns import Campaign
from server.errors import CoordinatorError
from server.home import load_release
from server.run import learner_of

REDRAWS, NORMAL_95 = 200, 1.96
RATES = np.linspace(0.0, 1.0, 21)
"""False positive rates at which the ROC is read off."""
BROAD = 4
"""Score cells that are shown together, a fifth of log-odds wide each."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Points with the 95% interval that the noise leaves around each; x, y, lower, upper."""

    points: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class EvaluationCurves:
    """What can be drawn of one evaluation, of everybody who was held out."""

    roc: Curve
    """True positive rate by false positive rate: people who will not repay are the positives."""
    calibration: Curve
    """Share that did not repay, by the predicted share, in groups of about equal size."""
    scores: Curve
    """Share of people by predicted probability of not repaying, in broad cells."""


def evaluation_curves(folder: Path, campaign: Campaign) -> EvaluationCurves | None:
    """The curves of a campaign whose evaluation was released; None where there was none.

    Raises:
        CoordinatorError: a kept sum is damaged.
    """
    kinds = [release.kind for release in campaign.mechanism.releases]
    if ReleaseKind.EVALUATION not in kinds:
        return None
    last = kinds.index(ReleaseKind.EVALUATION)
    learner = learner_of(campaign)
    while learner.released < last:
        before = load_release(folder, learner.released)
        if before is None:
            return None
        learner.absorb(before.total, before.contributors)
    kept = load_release(folder, last)
    if kept is None:
        return None
    task = learner.task()
    if not isinstance(task, EvaluationTask):
        raise CoordinatorError(f"release {last} of {campaign.id!r} is no evaluation")
    vector = task.decode(kept.total, kept.contributors)
    counts = vector[: ScoreCells.SIZE].reshape(2, ScoreCells.WIDTH) / task.weight
    return curves_of(counts, task.noise_std(kept.contributors) / task.weight)


def curves_of(counts: Floats, noise: float) -> EvaluationCurves:
    """The curves of (2, cells) noisy counts of good and bad by score, whose noise has this standard
    deviation in each cell."""
    group = deciles(counts)
    seen = np.unique(group[counts.sum(axis=0) > 0])
    return EvaluationCurves(
        _banded(_roc, RATES, counts, noise),
        _banded(
            lambda one: _observed(one, group)[seen], _expected(counts, group)[seen], counts, noise
        ),
        _banded(_shares, _broad_centres(), counts, noise),
    )


def _banded(of: Callable[[Floats], Floats], at: Floats, counts: Floats, noise: float) -> Curve:
    plain = of(counts)
    rng = np.random.default_rng(0)
    again = np.array([of(counts + rng.normal(0, noise, counts.shape)) for _ in range(REDRAWS)])
    half = NORMAL_95 * again.std(axis=0)
    lower, upper = np.clip(plain - half, 0, 1), np.clip(plain + half, 0, 1)
    columns = (one.tolist() for one in (at, plain, lower, upper))
    return Curve(tuple(zip(*columns, strict=True)))


def _roc(counts: Floats) -> Floats:
    """True positive rates at :data:`RATES`: from the riskiest cell downwards."""
    good, bad = (np.cumsum(np.maximum(one, 0)[::-1]) for one in counts)
    false, true = (np.concatenate([[0.0], one / max(float(one[-1]), 1e-9)]) for one in (good, bad))
    found: Floats = np.interp(RATES, false, true)
    return found


def _grouped(values: Floats, group: NDArray[np.int64]) -> Floats:
    return np.bincount(group, values, 10).astype(np.float64)


def _observed(counts: Floats, group: NDArray[np.int64]) -> Floats:
    people = np.maximum(_grouped(counts.sum(axis=0), group), 1e-9)
    return np.clip(_grouped(counts[1], group) / people, 0, 1)


def _expected(counts: Floats, group: NDArray[np.int64]) -> Floats:
    people = np.maximum(counts.sum(axis=0), 0)
    chance = 1 / (1 + np.exp(-ScoreCells.CENTRES))
    return _grouped(people * chance, group) / np.maximum(_grouped(people, group), 1e-9)


def _broad(values: Floats) -> Floats:
    """Cells together, :data:`BROAD` at a time; the outermost ones are with their neighbours."""
    found: Floats = np.add.reduceat(values, np.arange(0, len(values), BROAD))
    return found


def _broad_centres() -> Floats:
    chance = 1 / (1 + np.exp(-ScoreCells.CENTRES))
    return _broad(chance) / _broad(np.ones_like(chance))


def _shares(counts: Floats) -> Floats:
    people = np.maximum(_broad(counts.sum(axis=0)), 0)
    return people / max(float(people.sum()), 1e-9)
