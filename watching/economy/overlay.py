"""What the economy does to the bad rate of a vintage, as far as the vintages show it. Pure.

The logit of a vintage's bad rate at one age, on the means of a few public series over the months
that its loans lived through until then:

    logit(rate_v) = level + sum_j slope_j (x_vj - mean_j) + what vintages differ by otherwise.

- A rate is known with an error (chance and noise), which the logit inherits as error / (r (1 - r)).
  What vintages differ by otherwise has a variance of its own, by the method of moments (DerSimonian
  & Laird 1986). Vintages count by the inverse of both.
- *Neighbours*: vintages of neighbouring months live through the same months, so what is not in the
  series makes them err together. Where what is left over has a lag-one correlation rho above 0,
  all variances are taken (1 + rho) / (1 - rho) times as large (Bartlett 1935).
- *Ridge*: a slope is expected to be 0, give or take ``PRIOR`` for each standard deviation of its
  series. So few vintages say little, and not something wild; the error of a slope is that of the
  posterior (closed form), which the ridge is in.
- *Scenario*: the level of the last vintage's months, plus the slopes times what the series are
  moved by. Its error is of the slopes, the level, and what vintages differ by otherwise; not of a
  world with other rules than those of the months that were seen. A scenario beyond what was ever
  seen says so.

There is nothing else in it: the coefficients are all of the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from lending.intervals import CONFIDENCE, Estimate
from watching.economy.series import PublicSeries, month_number, table
from watching.errors import WatchError

Floats = NDArray[np.float64]
PRIOR = 0.5
"""Of the logit, for one standard deviation of a series: about half as many again."""
LEAST_VINTAGES = 12
"""And four for each series."""
PER_SERIES = 4
LEAST_SPREAD = 1e-9
MAX_TOGETHER = 0.9
"""Of rho: beyond it so few vintages cannot tell it from 1."""


@dataclass(frozen=True, slots=True)
class VintageRate:
    """Bad by one age, of those lent to in one month."""

    month: int
    """As :func:`watching.economy.series.month_number` counts."""
    borrowers: float
    bad: float
    noise: float = 0.0
    """Standard deviation of the noise in ``bad``."""

    @property
    def logit(self) -> tuple[float, float]:
        """With half a person on either side, and its standard error."""
        bad, good = max(self.bad, 0.0) + 0.5, max(self.borrowers - self.bad, 0.0) + 0.5
        return math.log(bad / good), math.hypot(
            math.sqrt(1 / bad + 1 / good), self.noise * (1 / bad + 1 / good)
        )


def vintage_rates(text: str) -> tuple[VintageRate, ...]:
    """From a CSV of ``month`` (YYYY-MM), ``borrowers``, ``bad`` and, where it was released with
    noise, ``noise``.

    Raises:
        WatchError: a row that is none; says which.
    """
    found = []
    for number, row in enumerate(
        table(text, {"month": True, "borrowers": True, "bad": True, "noise": False}), 2
    ):
        try:
            borrowers, bad, noise = (
                float(row.get(one, 0)) for one in ("borrowers", "bad", "noise")
            )
            one = VintageRate(_month(row["month"].strip()), borrowers, bad, noise)
        except ValueError as error:
            raise WatchError(f"line {number} of the vintages: {error}") from error
        if not (0 < borrowers < 1e12 and 0 <= noise < 1e12 and abs(bad) <= borrowers + 6 * noise):
            raise WatchError(
                f"line {number} of the vintages: {bad:g} bad of {borrowers:g} borrowers is no share"
            )
        found.append(one)
    if len({one.month for one in found}) < len(found):
        raise WatchError("a month stands twice among the vintages: add its rows up first")
    return tuple(sorted(found, key=lambda one: one.month))


def _month(text: str) -> int:
    year, dash, month = text.partition("-")
    if not (
        dash and year.isdecimal() and len(year) == 4 and month.isdecimal() and 1 <= int(month) <= 12
    ):
        raise ValueError(f"{text!r} is no month such as 2026-03")
    return month_number(text)


@dataclass(frozen=True, slots=True)
class Slope:
    """Of the logit, for one point (percentage point) of a series."""

    key: str
    per_point: Estimate
    seen_low: float
    """The least mean over a vintage's months, the most, that of all and that of the last."""
    seen_high: float
    middle: float
    last: float


@dataclass(frozen=True)
class Overlay:
    """A fitted overlay: everything that a scenario is computed from."""

    age: int
    vintages: int
    slopes: tuple[Slope, ...]
    level: Estimate
    """The bad rate at the mean of the series."""
    other: float
    """Standard deviation, of the logit, of what vintages differ by otherwise."""
    stretch: float
    """By how much all variances were enlarged because neighbours err together."""
    covariance: Floats
    """Of level and slopes, per point."""

    @property
    def tells(self) -> tuple[str, ...]:
        """The series whose slope is beyond what chance makes of none."""
        return tuple(one.key for one in self.slopes if not one.per_point.holds(0.0))


@dataclass(frozen=True, slots=True)
class TooShort:
    """Why nothing can be said."""

    why: str


@dataclass(frozen=True, slots=True)
class Stressed:
    """A vintage whose months are like the last one's, and one in the scenario."""

    usual: Estimate
    stressed: Estimate
    beyond: tuple[str, ...]
    """Series that the scenario moves to where no vintage ever was."""


def fit(
    vintages: Sequence[VintageRate], series: Sequence[PublicSeries], age: int
) -> Overlay | TooShort:
    """The overlay of the vintages whose months all series cover, or why there is none.

    Raises:
        WatchError: no series, an age that is none.
    """
    if not series or not 1 <= age <= 120:
        raise WatchError("an overlay needs a series or more, and an age of 1 to 120 months")
    rows = [
        (one, [each.mean(one.month + 1, one.month + age) for each in series]) for one in vintages
    ]
    used = [(one, [x for x in row if x is not None]) for one, row in rows if None not in row]
    needed = LEAST_VINTAGES + PER_SERIES * len(series)
    if len(used) < needed:
        return TooShort(
            f"{len(used)} of {len(vintages)} vintages are as old as {age} months in months that "
            f"the series cover; {needed} are needed before anything can be said of "
            f"{len(series)} series"
        )
    x = np.array([row for _, row in used])
    still = [
        one.key for one, spread in zip(series, x.std(axis=0), strict=True) if spread < LEAST_SPREAD
    ]
    if still:
        return TooShort(f"{still[0]} did not change over these vintages: leave it out")
    logits = np.array([one.logit for one, _ in used])
    return _fitted(x, logits[:, 0], logits[:, 1], series, age)


def _fitted(
    x: Floats, y: Floats, errors: Floats, series: Sequence[PublicSeries], age: int
) -> Overlay:
    middle, spread = x.mean(axis=0), x.std(axis=0)
    design = np.column_stack([np.ones(len(x)), (x - middle) / spread])
    other = _between(design, y, errors)
    stretch = _together(design, y)
    scaled, covariance = _ridge(design, y, (errors**2 + other**2) * stretch)
    back = np.diag(np.append(1.0, 1 / spread))
    values, covariance = back @ scaled, back @ covariance @ back
    deviations = np.sqrt(np.diagonal(covariance))
    slopes = tuple(
        Slope(one.key, _interval(values[at], deviations[at]), *_seen(x[:, at - 1]))
        for at, one in enumerate(series, start=1)
    )
    level = _rate(_interval(values[0], deviations[0]))
    return Overlay(age, len(x), slopes, level, other, stretch, covariance)


def _seen(column: Floats) -> tuple[float, float, float, float]:
    return float(column.min()), float(column.max()), float(column.mean()), float(column[-1])


def _ridge(design: Floats, y: Floats, variances: Floats) -> tuple[Floats, Floats]:
    """Posterior mean and covariance of level and slopes, in deviations of the series."""
    prior = np.diag(np.append(0.0, np.full(design.shape[1] - 1, PRIOR**-2)))
    covariance = np.asarray(
        np.linalg.inv(design.T @ (design / variances[:, None]) + prior), np.float64
    )
    return np.asarray(covariance @ design.T @ (y / variances)), covariance


def _together(design: Floats, y: Floats) -> float:
    """By how much variances grow because neighbours err together; 1 if they do not."""
    rest = y - design @ np.linalg.lstsq(design, y)[0]
    around = float(rest @ rest)
    rho = float(rest[1:] @ rest[:-1]) / around if around > 0 else 0.0
    rho = min(max(rho, 0.0), MAX_TOGETHER)
    return (1 + rho) / (1 - rho)


def _between(design: Floats, y: Floats, errors: Floats) -> float:
    """What vintages differ by otherwise: the excess of the weighted squares over their mean."""
    weights = errors**-2
    information = np.linalg.pinv(design.T @ (design * weights[:, None]))
    rest = y - design @ (information @ (design.T @ (weights * y)))
    hat = np.trace(information @ (design.T @ (design * (weights**2)[:, None])))
    excess = float(weights @ rest**2) - (len(y) - design.shape[1])
    return math.sqrt(max(excess / (weights.sum() - hat), 0.0))


def stress(overlay: Overlay, moves: Mapping[str, float]) -> Stressed:
    """What the bad rate would be, if the series were so many points higher than in the last
    vintage's months.

    Raises:
        WatchError: a series that the overlay does not have.
    """
    keys = [one.key for one in overlay.slopes]
    if unknown := sorted(set(moves) - set(keys)):
        raise WatchError(f"the overlay has no series {unknown[0]!r}: it has {', '.join(keys)}")
    middle = _logit(overlay.level.value)
    away = np.array([one.last - one.middle for one in overlay.slopes])
    by = np.array([moves.get(one, 0.0) for one in keys])
    beyond = tuple(
        one.key
        for one, move in zip(overlay.slopes, by, strict=True)
        if move and not one.seen_low <= one.last + move <= one.seen_high
    )
    values = np.array([middle, *(one.per_point.value for one in overlay.slopes)])

    def rate(points: Floats) -> Estimate:
        at = np.append(1.0, points)
        variance = float(at @ overlay.covariance @ at) + overlay.other**2
        return _rate(_interval(float(at @ values), math.sqrt(variance)))

    return Stressed(rate(away), rate(away + by), beyond)


def _interval(value: float, deviation: float) -> Estimate:
    half = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * deviation
    return Estimate(float(value), float(value - half), float(value + half))


FURTHEST = 50.0
"""Of a logit, from where on a rate is 0 or 1."""


def _rate(logits: Estimate) -> Estimate:
    return Estimate(
        *(
            1 / (1 + math.exp(-max(min(one, FURTHEST), -FURTHEST)))
            for one in (logits.value, logits.low, logits.high)
        )
    )


def _logit(rate: float) -> float:
    return math.log(rate / (1 - rate))
