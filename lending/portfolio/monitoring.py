"""Watching a model at work: who comes (stability), whether it is right (calibration, AUC), and what
can be said before anybody has repaid. Pure.

*Stability* compares counts over the released model's own bins, by the bin numbers that each
decision recorded: no function here could fit a bin. It is of who comes through the door; those who
were booked are another population, which the cut-off and the policy have chosen.

*Performance* is of mature labels only (:mod:`lending.account.default`): bad against expected by
band, AUC and KS. Before that, calibrated probabilities say how well they rank and what they
expect, if they are right: a change in what makes people default is what this cannot see.

Sources: Siddiqi 2006, chapter 8 (PSI); Yurdakul and Naranjo 2020, Statistical properties of the
population stability index, Journal of Risk Model Validation 14(4); Hanley and McNeil 1982;
NannyML's CBPE for the idea of the last part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from credit.metrics import auc, ks
from lending.account.default import Label
from lending.errors import PortfolioError
from lending.intervals import CONFIDENCE, Estimate, Share, wilson
from lending.portfolio.book import EVERYBODY, files_apart

Floats = NDArray[np.float64]
Population = Literal["through-the-door", "booked"]
EMPTY = 0.5
"""An empty bin counts as half a person, on either side: its share is not 0, and the index finite. A
bin that is empty on both sides is none."""
EFFECT = 0.1
"""By custom a shift worth looking at; by itself no alarm, for chance reaches it where few come."""
ALPHA = 0.01
PERIODS = 2


@dataclass(frozen=True, slots=True)
class BinCounts:
    """People by bin of one feature, or of the score, in one period; the last bin is 'missing'."""

    counts: tuple[int, ...]

    @classmethod
    def of(cls, bins: Sequence[int], size: int) -> BinCounts:
        """Of the bin numbers that decisions recorded, where the model has ``size`` bins.

        Raises:
            PortfolioError: a number that the model does not have.
        """
        if any(not 0 <= one < size for one in bins):
            raise PortfolioError(
                f"a bin number is outside of 0 to {size - 1}: these decisions are of another model"
            )
        return cls(tuple(np.bincount(np.asarray(bins, dtype=np.int64), minlength=size).tolist()))

    @property
    def people(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Stability:
    """A population stability index beside what chance alone makes of it."""

    psi: float
    null_mean: float
    null_99: float
    """99 of 100 periods without any change are below."""
    p_value: float
    points_shift: float | None
    """By how many points the shift moves the mean score; None where bins have no points."""
    population: Population


def stability(
    reference: BinCounts,
    now: BinCounts,
    population: Population = "through-the-door",
    points: Sequence[int] | None = None,
) -> Stability:
    """PSI of a score, or CSI of a feature, over bins that never change.

    Without any change it is distributed as chi-square with B - 1 degrees of freedom times
    (1/n + 1/m), where B bins hold n people then and m now (Yurdakul and Naranjo 2020).

    Raises:
        PortfolioError: other bins, or nobody in one of the two.
    """
    if len(reference.counts) != len(now.counts) or not reference.people or not now.people:
        raise PortfolioError(
            f"{reference.people} people in {len(reference.counts)} bins cannot be compared with "
            f"{now.people} in {len(now.counts)}: count both over the model's bins"
        )
    e, a = (np.asarray(one.counts, dtype=np.float64) for one in (reference, now))
    shift = None
    if points is not None:
        shift = float((a / a.sum() - e / e.sum()) @ np.asarray(points, dtype=np.float64))
    used = (e > 0) | (a > 0)
    e, a = (np.maximum(one[used], EMPTY) for one in (e, a))
    p, q = e / e.sum(), a / a.sum()
    psi = float(((q - p) * np.log(q / p)).sum())
    scale = 1 / reference.people + 1 / now.people
    free = max(int(used.sum()) - 1, 1)
    return Stability(
        psi,
        free * scale,
        float(chi2.ppf(0.99, free)) * scale,
        float(chi2.sf(psi / scale, free)),
        shift,
        population,
    )


def alarms(
    periods: Sequence[Mapping[str, Stability]], effect: float = EFFECT, alpha: float = ALPHA
) -> tuple[str, ...]:
    """What has shifted: by as much as ``effect``, beyond chance (``alpha`` shared among all that
    are watched, Bonferroni), and in each of the last :data:`PERIODS` periods, the latest last.

    Raises:
        PortfolioError: a figure is of those who were booked.
    """
    if any(one.population != "through-the-door" for found in periods for one in found.values()):
        raise PortfolioError(
            "an alarm is about who comes through the door: count applications, not loans"
        )
    last = periods[-PERIODS:]
    if len(last) < PERIODS:
        return ()

    def shifted(found: Mapping[str, Stability], name: str) -> bool:
        one = found.get(name)
        return one is not None and one.psi >= effect and one.p_value < alpha / len(found)

    return tuple(name for name in last[-1] if all(shifted(found, name) for found in last))


# --- performance


@dataclass(frozen=True, slots=True)
class Judged:
    """A loan with what was predicted of it when it was decided, and what it turned out to be."""

    band: str
    probability: float
    """Of bad."""
    label: Label
    thin: bool = False
    """Without any bureau history: see :func:`lending.portfolio.book.files_apart`."""


@dataclass(frozen=True, slots=True)
class BandCalibration:
    """Bad against expected in one band."""

    band: str
    loans: int
    expected: float
    """The mean predicted probability."""
    observed: Estimate
    adrift: bool
    """Expected is outside of the observed interval, chance shared among what is compared."""


def _mature(judged: Sequence[Judged]) -> list[tuple[Judged, int]]:
    """The clearly good (0) and bad (1) whose window has elapsed; immature ones would mix ages."""
    outcome = {"good": 0, "bad": 1}
    return [
        (one, outcome[one.label.performance]) for one in judged if one.label.performance in outcome
    ]


def calibrations(
    judged: Sequence[Judged], bands: Sequence[str]
) -> Mapping[str, tuple[BandCalibration, ...]]:
    """Of everybody who is mature, and of thin and thick files apart where there are both. Chance is
    shared among all that is compared."""
    apart = _mature_apart(judged)
    return {name: calibration(them, bands, len(apart)) for name, them in apart.items()}


def _mature_apart(judged: Sequence[Judged]) -> Mapping[str, Sequence[Judged]]:
    """A group that is everybody is not said twice."""
    found = files_apart(one for one, _ in _mature(judged))
    both = len(found) > 2
    return {name: them for name, them in found.items() if both or name == EVERYBODY}


def calibration(
    judged: Sequence[Judged], bands: Sequence[str], groups: int = 1
) -> tuple[BandCalibration, ...]:
    """By band, in this order; without those in which nobody is mature. ``groups`` are compared
    side by side."""
    mature = _mature(judged)
    found = []
    for band in bands:
        them = [(one.probability, bad) for one, bad in mature if one.band == band]
        if them:
            expected = math.fsum(p for p, _ in them) / len(them)
            share = Share(sum(bad for _, bad in them), len(them))
            strict = wilson(share, 1 - (1 - CONFIDENCE) / (groups * len(bands)))
            adrift = not strict.holds(expected)
            found.append(BandCalibration(band, len(them), expected, wilson(share), adrift))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Discrimination:
    """How well mature loans were ranked."""

    loans: int
    bad: int
    auc: Estimate
    ks: float


def discriminations(judged: Sequence[Judged]) -> Mapping[str, Discrimination]:
    """Of everybody who is mature, and of thin and thick files apart where there are both; without
    groups that nothing ranks."""
    found = {name: discrimination(them) for name, them in _mature_apart(judged).items()}
    return {name: one for name, one in found.items() if one is not None}


def discrimination(judged: Sequence[Judged]) -> Discrimination | None:
    """AUC and KS of mature loans; None while both kinds are not there."""
    mature = _mature(judged)
    labels = np.array([bad for _, bad in mature], dtype=np.int64)
    if not 0 < labels.sum() < len(labels):
        return None
    predicted = np.array([one.probability for one, _ in mature])
    area, bad = auc(labels, predicted), int(labels.sum())
    area_of = _with_error(area, bad, len(labels) - bad)
    return Discrimination(len(labels), bad, area_of, ks(labels, predicted))


def _with_error(area: float, bad: float, good: float) -> Estimate:
    """An AUC with its interval by the standard error of Hanley and McNeil (1982)."""
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    spread = (bad - 1) * (one - area**2) + (good - 1) * (two - area**2)
    error = math.sqrt(max(area * (1 - area) + spread, 0.0) / (bad * good))
    half = error * NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    return Estimate(area, max(area - half, 0.0), min(area + half, 1.0))


# --- before labels


@dataclass(frozen=True, slots=True)
class Expected:
    """What calibrated probabilities say of themselves, before anybody has repaid."""

    people: int
    auc: Estimate
    approved_bad_rate: Estimate | None
    """Of those who were approved, with what chance makes of it; None if nobody was."""
    declined_bad_rate: Estimate | None


def expected_performance(probabilities: ArrayLike, approved: ArrayLike) -> Expected:
    """Expected AUC and bad rates of everybody who was scored, if the probabilities are right.

    Of two people, i is bad and j good with probability p_i (1 - p_j): AUC is the share of such
    pairs in which p_i is the larger, ties half.

    Raises:
        PortfolioError: nobody, or nothing that is a probability between 0 and 1.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    chosen = np.asarray(approved, dtype=bool)
    if len(p) < 2 or p.shape != chosen.shape or not ((p > 0) & (p < 1)).all():
        raise PortfolioError(
            "expected performance needs two people or more, each with a probability between 0 and "
            "1 and whether they were approved"
        )
    value, place = np.unique(p, return_inverse=True)
    bad = np.bincount(place, p, len(value))
    good = np.bincount(place, 1 - p, len(value))
    own = np.bincount(place, p * (1 - p), len(value))  # nobody is a pair with themselves
    below = np.cumsum(good) - good
    wins = float((bad * below).sum() + (bad * good - own).sum() / 2)
    pairs = float(bad.sum() * good.sum() - own.sum())
    area = _with_error(wins / pairs, float(bad.sum()), float(good.sum()))
    return Expected(len(p), area, _expected_rate(p[chosen]), _expected_rate(p[~chosen]))


def _expected_rate(p: Floats) -> Estimate | None:
    """Of people who go bad each with their own probability."""
    if not len(p):
        return None
    rate = float(p.mean())
    half = (
        math.sqrt(float((p * (1 - p)).sum())) / len(p) * NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    )
    return Estimate(rate, max(rate - half, 0.0), min(rate + half, 1.0))
