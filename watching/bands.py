"""Observed beside expected by score band, how each band was decided, and how loans move between
arrears: figures of one table of noisy counts each. Pure.

In each table a person is in one cell: of the month's decisions once, of the labels that matured
once, of the moves of a month once in that month.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from lending.portfolio.book import ARREARS_BUCKETS, ArrearsBucket
from watching.errors import WatchError
from watching.intake import ShareChange
from watching.shares import Noisy, NoisyShare, share_of

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BandRate:
    """One band: the share that was observed, and the one that was expected."""

    band: str
    share: NoisyShare | None
    expected: float
    expected_error: float | None = 0.0
    """Of a share that was counted itself; None where too few were."""

    @property
    def speaks(self) -> bool:
        return self.share is not None and self.share.speaks


def by_band(
    bands: Sequence[str], expected: Sequence[float], table: Floats, std: float
) -> tuple[BandRate, ...]:
    """Bad against expected (calibration), or approved against what was usual.

    Args:
        table: (bands, 2) those that are counted, and the rest: with noise of deviation ``std``.

    Raises:
        WatchError: other bands.
    """
    if table.shape != (len(bands), 2) or len(expected) != len(bands):
        raise WatchError(f"a table of shape {table.shape} is not of these {len(bands)} bands")
    found = []
    for band, usual, (part, rest) in zip(bands, expected, table, strict=True):
        found.append(BandRate(band, _of_two(Noisy(part, std), Noisy(rest, std)), usual))
    return tuple(found)


def beside(usual: Sequence[BandRate], now: Sequence[BandRate]) -> tuple[BandRate, ...]:
    """What is now, with what was counted before as what is expected, error and all."""
    found = []
    for before, after in zip(usual, now, strict=True):
        share = before.share
        value = 0.0 if share is None else share.rate.value
        error = share.error if share is not None and before.speaks else None
        found.append(replace(after, expected=value, expected_error=error))
    return tuple(found)


def _of_two(part: Noisy, rest: Noisy) -> NoisyShare | None:
    """The share of ``part`` in both together. Noise of the part is in the whole too, so a share s
    moves by 1 - s of the part's and by s of the rest's."""
    whole = part.plus(rest)
    if share_of(part, whole) is None:
        return None
    seen = part.value / whole.value
    own = math.hypot((1 - seen) * part.std, seen * rest.std)
    return share_of(Noisy(part.value, own), Noisy(whole.value))


@dataclass(frozen=True, slots=True)
class BandShift:
    """How much a share moved at equal band: the mean over the reference's bands, so that who comes
    does not matter."""

    change: ShareChange
    p_value: float


def at_equal_band(rates: Sequence[BandRate], weights: Sequence[float]) -> BandShift | None:
    """Over the bands that speak; None where none does.

    Args:
        weights: the reference's share of each band.
    """
    told = [
        (one.share, one.expected, one.expected_error, weight)
        for one, weight in zip(rates, weights, strict=True)
        if one.share is not None and one.speaks and weight > 0
        if one.expected_error is not None
    ]
    total = sum(weight for *_, weight in told)
    if not told or total <= 0:
        return None
    value = sum(w * (share.rate.value - usual) for share, usual, _, w in told) / total
    variance = sum(
        w**2 * (s.noise**2 + usual * (1 - usual) / s.people + before**2)
        for s, usual, before, w in told
    )
    error = math.sqrt(variance) / total
    p_value = 2 * float(ndtr(-abs(value) / error)) if error > 0 else float(value == 0)
    return BandShift(ShareChange(value, error), p_value)


@dataclass(frozen=True, slots=True)
class NoisyRoll:
    """Of the loans in one bucket of arrears, those that are in another a month later."""

    before: ArrearsBucket
    after: ArrearsBucket
    share: NoisyShare


def rolls(counts: Floats, std: float) -> tuple[NoisyRoll, ...]:
    """The moves of one month that can be told; those out of a bucket that noise hides are left out.

    Args:
        counts: (buckets, buckets) loans by where they were and are
            (:data:`lending.portfolio.book.ARREARS_BUCKETS`), one for each person, with noise of
            deviation ``std``.

    Raises:
        WatchError: another table.
    """
    size = len(ARREARS_BUCKETS)
    if counts.shape != (size, size):
        raise WatchError(f"moves are between {size} buckets of arrears, not {counts.shape}")
    found = []
    for at, before in enumerate(ARREARS_BUCKETS):
        for to, after in enumerate(ARREARS_BUCKETS):
            rest = Noisy(float(np.delete(counts[at], to).sum()), std * math.sqrt(size - 1))
            share = _of_two(Noisy(float(counts[at, to]), std), rest)
            if share is not None and share.speaks:
                found.append(NoisyRoll(before, after, share))
    return tuple(found)
