"""A released model as look-up tables: a value finds its bin, a bin its contribution, the sum its
score.

Log-odds are whole multiples of 2^-40 of the log-odds of bad, because a model scores on a grid on
which sums are exact (:mod:`privacy.clipping`): so the sum of look-ups *is* the model's raw
log-odds, to the last bit and in any order; a GAM's pairs, which are doubles, are added in its own
order. The score falls as log-odds rise, in steps, and where each step is was found by asking the
model's own calibration and scaling. A value becomes a number or a code as it does in training
(:mod:`credit.values`).

A column that somebody did not let us ask, or disputes, is :data:`NEUTRAL`: it adds what the mean
person of the binning's frequencies has there, never what *missing* adds.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import getitem

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from credit.binning import FeatureBins
from credit.features import Feature
from credit.grid import FeatureCells
from credit.models import KNOTS, CreditModel, layers
from credit.pairs import PairTerm
from credit.scaling import FACTOR, HIGHEST, LOWEST, OFFSET, score
from credit.values import code, is_missing, number
from crypto.errors import TahiniError
from privacy.clipping import GRID_BITS, inputs_on_grid, layers_on_grid

Floats = NDArray[np.float64]

UNIT_BITS = 2 * GRID_BITS
UNIT = 2.0**-UNIT_BITS
"""Of log-odds: what a 1 in a table stands for."""
NEUTRAL = -1
"""The bin of a column that is left out: last in every table, as Python counts."""
KNOTS_PER_UNIT = 2.0
FIRST_KNOT, LAST_KNOT = float(KNOTS[0]), float(KNOTS[-1])
FIRST_PLACE = int(FIRST_KNOT * KNOTS_PER_UNIT)
STILL = 1e-6
"""So close to the mean person's log-odds that a secant would be rounding, the tangent is taken."""
LEAST_SLOPE = 0.005
"""Of a calibration. Above it, the stretch of log-odds in which rounding decides between two scores
(2e-13 points) is shorter than :data:`UNIT`: it holds one of a scorecard's sums or none. Training
leaves no slope below 0.05."""


class ScoreError(TahiniError):
    """A model, or what is to be scored with it, cannot be used: says which and why."""


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """One feature: where its bins begin or which codes they hold, and what each bin adds.

    ``units`` and ``deviations`` have a place for each bin, then 'missing', then :data:`NEUTRAL`;
    a deviation is log-odds above those of the mean person, in doubles.
    """

    feature: Feature
    name: str
    is_code: bool
    edges: tuple[float, ...]
    bin_of_code: Mapping[str | None, int]
    other: int
    """The bin of codes that the schema does not list; of categories only."""
    frequency: tuple[float, ...]
    missing: int
    units: tuple[int, ...]
    deviations: tuple[float, ...]

    def bin(self, value: object) -> int:
        """The bin of one value. Raises ScoreError, which names the feature and never the value."""
        if self.is_code:
            if type(value) is str and value in self.bin_of_code:  # a code is its own code
                return self.bin_of_code[value]
            return self.bin_of_code.get(code(value), self.other)
        said = value if type(value) is float else number(value)
        if said == said:  # a number
            return bisect_right(self.edges, said)
        if is_missing(value):
            return self.missing
        raise ScoreError(f"what stands for {self.name!r} is no number; write a number, or nothing")


@dataclass(frozen=True, slots=True)
class PairTable:
    """What two features add together beyond each alone, split half and half between them.

    Rows and columns are levels, then :data:`NEUTRAL`, which holds means: a neutral feature has no
    share, and the other one what its own level means.
    """

    first: int
    second: int
    first_levels: tuple[int, ...]
    second_levels: tuple[int, ...]
    effects: tuple[tuple[float, ...], ...]
    first_shares: tuple[tuple[float, ...], ...]
    second_shares: tuple[tuple[float, ...], ...]

    def place(self, bins: Sequence[int]) -> tuple[int, int]:
        return self.first_levels[bins[self.first]], self.second_levels[bins[self.second]]


@dataclass(frozen=True, slots=True)
class LookUp:
    """A whole model. ``bounds`` rise: the least raw log-odds at which each score below ``highest``
    is reached."""

    tables: tuple[FeatureTable, ...]
    pairs: tuple[PairTable, ...]
    constant: int
    calibration: tuple[float, ...]
    slopes: tuple[float, ...]
    highest: int
    bounds: tuple[float, ...]
    units: tuple[tuple[int, ...], ...]
    apart: tuple[tuple[float, ...], ...]
    ways: tuple[tuple[str, tuple[float, ...] | None, int, FeatureTable], ...]
    """``units``, ``deviations`` and, for numbers, ``edges`` of all tables: so that a score costs
    microseconds."""

    def bins(self, values: Mapping[str, object], neutral: frozenset[str]) -> list[int]:
        """One person's; a feature that is ``neutral`` needs no value. Raises ScoreError."""
        found = []
        try:
            for name, edges, missing, table in self.ways:
                if neutral and name in neutral:
                    found.append(NEUTRAL)
                    continue
                value = values[name]
                if value is None:
                    found.append(missing)
                elif edges is not None and type(value) is float:
                    found.append(bisect_right(edges, value) if value == value else missing)
                else:
                    found.append(table.bin(value))
            return found
        except KeyError as error:
            raise ScoreError(
                f"nothing is said of {error.args[0]!r}, which the model reads; where it is not "
                "known, say null"
            ) from error

    def raw(self, bins: Sequence[int]) -> float:
        """Log-odds of bad, not calibrated: :meth:`credit.models.CreditModel.raw_logit`."""
        units = self.constant + sum(map(getitem, self.units, bins))
        together = 0.0
        for pair in self.pairs:
            row, column = pair.place(bins)
            together += pair.effects[row][column]
        return units * UNIT + together

    def _segment(self, raw: float) -> int:
        """Of the calibration: between which two knots ``raw`` lies."""
        at = math.floor(raw * KNOTS_PER_UNIT) - FIRST_PLACE
        return min(max(at, 0), len(self.slopes) - 1)

    def calibrated(self, raw: float) -> float:
        """Honest log-odds of bad: :meth:`credit.models.CreditModel.logit`."""
        if raw <= FIRST_KNOT:
            return self.calibration[0]
        if raw >= LAST_KNOT:
            return self.calibration[-1]
        at = self._segment(raw)
        knot = (at + FIRST_PLACE) / KNOTS_PER_UNIT
        return self.slopes[at] * (raw - knot) + self.calibration[at]

    def score(self, raw: float) -> int:
        """The shown score, of 350 to 950."""
        return self.highest - bisect_right(self.bounds, raw)

    def deviations(self, bins: Sequence[int]) -> list[float]:
        """Of each feature: log-odds above the mean person's, its halves of pairs included."""
        found = list(map(getitem, self.apart, bins))
        for pair in self.pairs:
            row, column = pair.place(bins)
            found[pair.first] += pair.first_shares[row][column]
            found[pair.second] += pair.second_shares[row][column]
        return found

    @property
    def mean_raw(self) -> float:
        """The mean person's log-odds, not calibrated."""
        return self.raw([NEUTRAL] * len(self.tables))

    def rate(self, raw: float, mean: float) -> float:
        """Points for each unit of log-odds on the way from the ``mean`` person to somebody: the
        secant of calibration and scaling, so that contributions add up after them too."""
        away = raw - mean
        if abs(away) < STILL:
            return -FACTOR * self.slopes[self._segment(mean)]
        return (self._unrounded(raw) - self._unrounded(mean)) / away

    def _unrounded(self, raw: float) -> float:
        return min(max(OFFSET - FACTOR * self.calibrated(raw), LOWEST), HIGHEST)


def compiled(model: CreditModel) -> LookUp:
    """The tables of a scorecard or a GAM.

    Raises:
        ScoreError: it is neither, or its calibration leaves open where a score begins.
    """
    if model.kind == "mlp":
        raise ScoreError(
            "a neural network (mlp) decides nothing here: what each feature adds to its score "
            "cannot be told; train a scorecard or a gam"
        )
    cells, binned = model.embedding.grid.columns, model.embedding.binning.features
    units, constant = _units(model)
    tables = tuple(map(_feature_table, cells, binned, units))
    pairs = tuple(_pair_table(pair, binned) for pair in model.pairs)
    highest, bounds = _bounds(model)
    slopes = np.diff(model.calibration) / np.diff(KNOTS)
    return LookUp(
        tables,
        pairs,
        constant,
        tuple(model.calibration),
        tuple(slopes.tolist()),
        highest,
        bounds,
        tuple(table.units for table in tables),
        tuple(table.deviations for table in tables),
        tuple((one.name, None if one.is_code else one.edges, one.missing, one) for one in tables),
    )


def _units(model: CreditModel) -> tuple[list[list[int]], int]:
    """What each bin of each feature adds, and the constant, in units: by the model's own grids."""
    embedding = model.embedding
    sizes = [len(table) for table in embedding.tables]
    every = np.minimum(np.arange(max(sizes))[:, None], np.array(sizes) - 1).astype(np.int32)
    rows = inputs_on_grid(torch.from_numpy(embedding.rows(every))).numpy()
    dense = layers(model.kind, embedding.width, model.parameters, torch.device("cpu"))
    weights = layers_on_grid(dense)[0].weight[0].numpy()
    scale = 2.0**GRID_BITS
    products = (rows * scale).astype(np.int64) * (weights * scale).astype(np.int64)
    parts = np.split(products, np.cumsum(sizes), axis=1)
    found = [
        part[:size].sum(axis=1).tolist() for part, size in zip(parts, [*sizes, 1], strict=True)
    ]
    return found[:-1], int(found[-1][0])


def _feature_table(cells: FeatureCells, bins: FeatureBins, units: list[int]) -> FeatureTable:
    neutral = round(math.fsum(f * u for f, u in zip(bins.frequency, units, strict=True)))
    bin_of_code: dict[str | None, int] = {}
    other = 0
    if cells.feature.kind == "category":
        *listed, other = bins.bin_of_code
        bin_of_code = {code(one): at for one, at in zip(cells.feature.values, listed, strict=True)}
        bin_of_code[None] = len(units) - 1
    return FeatureTable(
        cells.feature,
        cells.feature.name,
        cells.feature.kind == "category",
        bins.edges,
        bin_of_code,
        other,
        bins.frequency,
        len(units) - 1,
        (*units, neutral),
        tuple((one - neutral) * UNIT for one in (*units, neutral)),
    )


def _pair_table(pair: PairTerm, binned: Sequence[FeatureBins]) -> PairTable:
    effects = np.asarray(pair.effects).reshape(pair.shape)
    first = np.bincount(pair.first_levels, binned[pair.first].frequency, pair.shape[0])
    second = np.bincount(pair.second_levels, binned[pair.second].frequency, pair.shape[1])
    of_first, of_second = effects @ second, first @ effects
    mean = float(first @ of_first)
    whole = np.block([[effects, of_first[:, None]], [of_second[None, :], np.array([[mean]])]])
    halves = (whole - mean) / 2
    first_shares, second_shares = halves.copy(), halves.copy()
    first_shares[-1, :] = second_shares[:, -1] = 0.0
    first_shares[:-1, -1], second_shares[-1, :-1] = of_first - mean, of_second - mean
    return PairTable(
        pair.first,
        pair.second,
        (*pair.first_levels, NEUTRAL),
        (*pair.second_levels, NEUTRAL),
        *(tuple(map(tuple, table.tolist())) for table in (whole, first_shares, second_shares)),
    )


def _bounds(model: CreditModel) -> tuple[int, tuple[float, ...]]:
    """The highest score that a model can give, and the bounds of those below: by bisection over all
    sums that a scorecard can have, or over doubles for a GAM.

    So a scorecard's score is the model's for every sum. A GAM's is unless log-odds come closer than
    5e-14 to a bound, where the model's own rounding decides; no test has found anybody there.
    """
    calibration = np.asarray(model.calibration)
    if (np.diff(calibration) < LEAST_SLOPE * np.diff(KNOTS)).any():
        raise ScoreError(
            "the model's calibration is so flat that where a score begins is left to rounding; "
            "train again with more people"
        )

    def shown(raw: Floats) -> NDArray[np.int64]:
        return score(np.asarray(expit(np.interp(raw, KNOTS, calibration))))

    highest, lowest = shown(KNOTS[[0, -1]]).tolist()
    wanted = np.arange(highest - 1, lowest - 1, -1)
    above, reached = np.full(len(wanted), KNOTS[0]), np.full(len(wanted), KNOTS[-1])
    while True:
        middle = (above + reached) / 2
        if not model.pairs:
            middle = np.floor(middle / UNIT) * UNIT
        if ((middle == above) | (middle == reached)).all():
            return highest, tuple(reached.tolist())
        there = shown(middle) <= wanted
        above, reached = np.where(there, above, middle), np.where(there, middle, reached)
