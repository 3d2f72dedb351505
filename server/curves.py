"""What a campaign's evaluation shows beside its figures: ROC, calibration, and how scores are
distributed.

All of it follows from the noisy sums over people that were released and kept, so that nothing more
is asked of anybody and nothing more is spent. Bands are what noise and chance do: counts are drawn
again with the variance that :mod:`credit.quality` states, and the curve computed again. Pure but
for reading the sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from credit.quality import Measured
from privacy.mechanism import ReleaseKind
from protocol.campaigns import Campaign
from server.errors import CoordinatorError
from server.home import load_release
from server.run import learner_of

REDRAWS, NORMAL_95 = 200, 1.96
RATES = np.linspace(0.0, 1.0, 21)
"""False positive rates at which the ROC is read off."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Points with the 95% interval that noise and chance leave around each; x, y, lower, upper."""

    points: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class EvaluationCurves:
    """What can be drawn of one evaluation, of everybody whom it measured."""

    roc: Curve
    """True positive rate by false positive rate: people who will not repay are the positives."""
    calibration: Curve
    """Share that did not repay, by the predicted share, in the groups of the release."""
    scores: Curve
    """Share of people by predicted probability of not repaying, in the same groups."""


def evaluation_curves(folder: Path, campaign: Campaign) -> EvaluationCurves | None:
    """The curves of a campaign whose evaluation was released; None where there was none, or by
    a version before 0.9, or where the model that it began with is kept no more.

    Raises:
        CoordinatorError: a kept sum is damaged.
    """
    kinds = [release.kind for release in campaign.mechanism.releases]
    if ReleaseKind.EVALUATION not in kinds:
        return None
    try:
        learner = learner_of(campaign, folder.parent)
    except CoordinatorError:
        if campaign.begins_with is None:
            raise
        return None  # the model that it began with is not kept any more
    while learner.measured is None:
        kept = load_release(folder, learner.released)
        if kept is None or len(kept.total) != learner.task().size:
            return None  # not made, or made by a version that counted otherwise
        learner.absorb(kept.total, kept.contributors)
    return curves_of(learner.measured)


def curves_of(measured: Measured) -> EvaluationCurves:
    """The curves of counts of good and bad people by group."""
    predicted = measured.mean
    return EvaluationCurves(
        _banded(lambda counts: _roc(counts, measured), RATES, measured),
        _banded(_observed, predicted, measured),
        _banded(_shares, predicted, measured),
    )


def _banded(of: Callable[[Floats], Floats], at: Floats, measured: Measured) -> Curve:
    counts = measured.counts
    plain = np.clip(of(counts.people), 0, 1)
    rng = np.random.default_rng(0)
    deviation = np.sqrt(counts.variance)
    drawn = rng.normal(size=(REDRAWS, *deviation.shape)) * deviation
    half = NORMAL_95 * np.std([of(counts.people + one) for one in drawn], axis=0)
    lower, upper = np.clip(plain - half, 0, 1), np.clip(plain + half, 0, 1)
    columns = (one.tolist() for one in (at, plain, lower, upper))
    return Curve(tuple(zip(*columns, strict=True)))


def _roc(counts: Floats, measured: Measured) -> Floats:
    """True positive rates at :data:`RATES`: from the riskiest people downwards, within groups as
    probabilities have it."""
    within = np.stack([1 - measured.probability, measured.probability])
    within /= within.sum(axis=2, keepdims=True)
    people = (np.maximum(counts, 0)[..., None] * within).reshape(2, -1)
    good, bad = (np.cumsum(one[::-1]) for one in people)
    false, true = (np.concatenate([[0.0], one / max(float(one[-1]), 1e-9)]) for one in (good, bad))
    found: Floats = np.interp(RATES, false, true)
    return found


def _observed(counts: Floats) -> Floats:
    return np.asarray(counts[1] / np.maximum(counts.sum(axis=0), 1.0))


def _shares(counts: Floats) -> Floats:
    people = np.maximum(counts.sum(axis=0), 0)
    return np.asarray(people / max(float(people.sum()), 1.0))
