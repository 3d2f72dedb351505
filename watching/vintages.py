"""How the loans of a cohort age, from events that lenders count together. Pure.

A borrower is in the cohort of their first loan, a month, a quarter or a year of disbursement, and
has at most one event: the age, in whole months on book, by which it was first bad
(:func:`lending.portfolio.vintages.bad_age`). Two releases make a curve:

- *booked*: how many borrowers a cohort has, once (sensitivity 1);
- *series*: for each age the events of that age (:mod:`privacy.continual`), one series for each
  cohort. Cohorts are different people, so that the series of all of them cost a borrower as much as
  one.

A step is released when the youngest loan of the cohort has reached that age, so that no point of a
curve mixes the young with the old.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from privacy.charges import Charge
from privacy.continual import Series
from privacy.sums import NoisySum
from watching.errors import WatchError
from watching.shares import Noisy, NoisyShare, share_of

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class VintageForm:
    """What is released about one cohort, by group (bands, say; one for all).

    Args:
        months: ages of the curve, from 1.
        groups: how many.
        series_noise: deviation of the series over its sensitivity.
        booked_noise: that of the count of borrowers.
        honest: lenders whose shares of the noise must reach the target alone.
    """

    months: int
    groups: int
    series_noise: float
    booked_noise: float
    honest: int

    @property
    def series(self) -> Series:
        return Series(self.months, self.groups, self.series_noise, self.honest)

    @property
    def booked(self) -> NoisySum:
        return NoisySum(self.groups, 1.0, self.booked_noise, self.honest)

    @property
    def charges(self) -> tuple[Charge, ...]:
        """What both cost a borrower, for the whole life of the curve."""
        return self.series.charge, Charge(self.booked_noise)


@dataclass(frozen=True, slots=True)
class NoisyPoint:
    """A cohort at one age: cumulative, and by then for good."""

    age: int
    bad: Noisy
    share: NoisyShare | None
    """None where noise leaves nobody to divide by."""

    @property
    def speaks(self) -> bool:
        return self.share is not None and self.share.speaks


def curve(
    form: VintageForm, booked: Floats, released: Floats, lenders: int
) -> tuple[NoisyPoint, ...]:
    """Everybody of one cohort, from age 1 to as many as were released.

    Args:
        booked: (groups,) the decoded count of borrowers.
        released: (ages so far, groups) decoded totals of the series.
        lenders: how many contributed.

    Raises:
        WatchError: counts of other groups.
    """
    if booked.shape != (form.groups,):
        raise WatchError(f"{booked.size} counts are not of the {form.groups} groups of this form")
    wide = float(np.sqrt(form.groups))
    whole = Noisy(float(booked.sum()), form.booked.noise_std(lenders) * wide)
    running = form.series.running(released).sum(axis=1)
    stds = form.series.running_std(lenders)[: len(released)] * wide
    bad = [Noisy(float(one), float(std)) for one, std in zip(running, stds, strict=True)]
    return tuple(NoisyPoint(at, one, share_of(one, whole)) for at, one in enumerate(bad, start=1))


@dataclass(frozen=True, slots=True)
class EventsOfMonth:
    """Events of one calendar month, beside what the ages of the loans on book let expect."""

    observed: Noisy
    expected: float
    """At the reference's hazards: so of as many loans of the same ages and bands."""
    ratio: float
    error: float
    """Of the ratio, with chance (Poisson) and noise, if nothing has changed."""
    p_value: float


def events_beside_expected(
    observed: Noisy, at_risk: Floats, hazards: Floats, at_risk_std: float
) -> EventsOfMonth | None:
    """At equal age and band: whether more go bad now than did of such loans before; None where
    nothing is expected.

    Args:
        observed: all events of the month.
        at_risk: (ages, bands) borrowers who were that old in this month.
        hazards: (ages, bands) the share of them that had their event in such a month before.
        at_risk_std: of the noise in each count of ``at_risk``, independent.
    """
    expected = float((at_risk * hazards).sum())
    if expected <= 0:
        return None
    spread = observed.std**2 + at_risk_std**2 * float((hazards**2).sum()) + expected
    error = float(np.sqrt(spread)) / expected
    ratio = observed.value / expected
    return EventsOfMonth(observed, expected, ratio, error, 2 * float(ndtr(-abs(ratio - 1) / error)))
