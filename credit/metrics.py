"""How good a credit model is. Labels: 1 is bad; predictions: probability of bad. All figures on a
hold-out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Quality:
    """AUC, KS and Gini in [0, 1] (Gini may be negative), Brier score, expected calibration error
    (ECE).

    ``observed_to_expected`` is the number of bad people over the sum of their predicted
    probabilities, 1 if the level of risk is right; ``observed_to_expected_error`` is its standard
    error. Of a rare outcome ECE says little: where one in 300 is bad, a model that says one in
    10,000 errs by 0.003.
    """

    auc: float
    ks: float
    gini: float
    brier: float
    ece: float
    observed_to_expected: float
    observed_to_expected_error: float


def auc(labels: Labels, probability: Floats) -> float:
    """Area under the ROC curve: the chance that a random bad ranks above a random good; ties count
    half."""
    bad = int(labels.sum())
    good = len(labels) - bad
    if bad == 0 or good == 0:
        raise ValueError("AUC needs both good and bad borrowers")
    ranks = rankdata(probability)
    return float((ranks[labels == 1].sum() - bad * (bad + 1) / 2) / (bad * good))


def roc_curve(labels: Labels, probability: Floats) -> tuple[Floats, Floats]:
    """False and true positive rates at every distinct threshold, from (0, 0) to (1, 1)."""
    order = np.argsort(-probability, kind="stable")
    bad = np.cumsum(labels[order])
    good = np.cumsum(1 - labels[order])
    last_of_tie = np.r_[np.diff(probability[order]) != 0, True]
    return (
        np.r_[0.0, good[last_of_tie] / max(good[-1], 1)],
        np.r_[0.0, bad[last_of_tie] / max(bad[-1], 1)],
    )


def ks(labels: Labels, probability: Floats) -> float:
    """Kolmogorov-Smirnov: the largest distance between the two classes' score distributions."""
    false_positive, true_positive = roc_curve(labels, probability)
    return float(np.max(true_positive - false_positive))


def reliability(
    labels: Labels, probability: Floats, bins: int = 10
) -> list[tuple[float, float, int]]:
    """(mean predicted, observed bad rate, count) in ``bins`` groups of equal size, lowest risk
    first."""
    groups = np.array_split(np.argsort(probability, kind="stable"), bins)
    return [
        (float(probability[g].mean()), float(labels[g].mean()), len(g)) for g in groups if len(g)
    ]


def ece(labels: Labels, probability: Floats, bins: int = 10) -> float:
    """Expected calibration error over equal-size groups (Naeini et al. 2015)."""
    return sum(abs(p - y) * n for p, y, n in reliability(labels, probability, bins)) / len(labels)


def observed_to_expected(labels: Labels, probability: Floats) -> tuple[float, float]:
    """Bad people over those expected, and its standard error by chance, as if as many were expected
    as observed."""
    expected = max(float(probability.sum()), 1e-9)
    bad = int(labels.sum())
    return bad / expected, math.sqrt(bad * (1 - bad / len(labels))) / expected


def quality(labels: Labels, probability: Floats) -> Quality:
    area, (ratio, error) = auc(labels, probability), observed_to_expected(labels, probability)
    return Quality(
        auc=area,
        ks=ks(labels, probability),
        gini=2 * area - 1,
        brier=float(np.mean((probability - labels) ** 2)),
        ece=ece(labels, probability),
        observed_to_expected=ratio,
        observed_to_expected_error=error,
    )
