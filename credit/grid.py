"""Grid of cells over every feature, at any scale: what the one private histogram release counts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from credit.dyadic import (
    LARGEST,
    MANTISSA_BITS,
    RATIO_BITS,
    SMALLEST,
    WRAP,
    Block,
    double,
    order,
    width,
    wrapped,
)
from credit.edges import Edges
from credit.errors import FeatureError
from credit.features import Feature, FeatureSchema
from credit.values import by_code, code, numbers

Floats = NDArray[np.float64]
Cells = NDArray[np.int32]
MIN_POPULATION = 50.0
USUAL = 2
"""Level of the cells in the usual scales, 2^-40 to 2^50: 1e-12 to 1e15."""
LEAST_BINADE = -1022
USUAL_BINADES = (-40, 50)
UNUSUAL_BINADES = 64
WHOLE_NUMBERS_UP_TO = 20
CELLS_IN_RANGE, LEVELS_IN_RANGE = 16, 2
"""A narrow public range has at least so many cells, and so many levels."""
LEVELS = 4
"""Levels at which one value is counted."""
CELL_WEIGHT = 2
"""A value counts so many times in its cell for once at a level."""
TOTALS_SHARE = 8
"""Good and bad people are counted with a ``TOTALS_SHARE``-th of the squared weight of everything
else."""


def _usual_edges(kind: str) -> Floats:
    """Where cells above zero begin."""
    first, last = USUAL_BINADES
    near = np.ldexp(
        (1 + np.arange(1 << USUAL) / (1 << USUAL))[None, :], np.arange(first, last)[:, None]
    ).ravel()
    far = np.ldexp(1.0, np.arange(last, 1024, UNUSUAL_BINADES))
    if kind == "integer":
        whole = np.arange(1.0, WHOLE_NUMBERS_UP_TO + 2)
        return np.concatenate([whole, near[near > whole[-1]], far])
    tiny = np.ldexp(1.0, np.arange(first - UNUSUAL_BINADES, LEAST_BINADE, -UNUSUAL_BINADES)[::-1])
    return np.concatenate([[SMALLEST], tiny, near, far])


@dataclass(frozen=True)
class FeatureCells:
    """The grid of one feature. The last cell is 'missing'; a category has a cell 'other' before
    it."""

    feature: Feature

    @cached_property
    def _range(self) -> tuple[float, float]:
        low = -LARGEST if self.feature.low is None else self.feature.low
        high = LARGEST if self.feature.high is None else self.feature.high
        return low, high

    @cached_property
    def _level(self) -> int:
        """Of the cells, outside the unusual scales: finer than usual where a public range is
        narrow."""
        low, high = self._range
        if (
            self.feature.low is None
            or self.feature.high is None
            or len(self._usual) >= CELLS_IN_RANGE
        ):
            return USUAL
        first, last = order(np.array([low, high]))
        level = USUAL
        while level < self._finest and (last - first) // width(level) < CELLS_IN_RANGE:
            level += 1
        return level

    @cached_property
    def _finest(self) -> int:
        """The coarsest level that tells everything apart: doubles, or whole numbers within the
        public range."""
        reach = max(map(abs, self._range))
        whole = self.feature.kind == "integer"
        return min(MANTISSA_BITS, max(math.frexp(reach)[1] - 1, 0)) if whole else MANTISSA_BITS

    @cached_property
    def _usual(self) -> Floats:
        positive, (low, high) = _usual_edges(self.feature.kind), self._range
        edges = np.concatenate([-positive[::-1], [0.0], positive])
        return np.asarray(edges[(edges > low) & (edges <= high)])

    @cached_property
    def edges(self) -> Floats:
        """Where cells begin, but for the first; a value on an edge is above it."""
        if self._level == USUAL:
            return self._usual
        size, (first, last) = width(self._level), order(np.array(self._range))
        return np.array(
            [double(place) for place in range((first // size + 1) * size, int(last) + 1, size)]
        )

    @cached_property
    def _bounds(self) -> NDArray[np.int64]:
        """Places of the edges, and of the range's ends."""
        low, high = order(np.array(self._range))
        return np.concatenate([[low], order(self.edges), [high + 1]])

    @cached_property
    def _counted(self) -> dict[int, NDArray[np.bool_]]:
        """By level, coarse to fine, which cells' values are counted there: each at the first that
        cut it in two.

        Missing is not, nor zero, nor whole numbers that have a cell of their own.
        """
        if self.feature.kind == "category":
            return {}
        spans = np.diff(self._bounds)
        apart = np.zeros(self.size - 1, dtype=bool)
        if self.feature.kind == "integer":
            ends = np.append(self.edges, self._range[1] + 1)
            apart = ends - np.append(self._range[0], self.edges) <= 1
        most = LEVELS if self._level == USUAL else LEVELS_IN_RANGE
        last = min(self._finest + RATIO_BITS, MANTISSA_BITS + 1)
        levels = range(self._level, min(self._level + RATIO_BITS * most + 1, last), RATIO_BITS)
        cuts = np.array([(spans >= 2 * width(level)) & ~apart for level in levels]).reshape(
            len(levels), len(spans)
        )
        cuts &= np.cumsum(cuts, axis=0) <= most
        return {
            level: np.append(cut, False)
            for level, cut in zip(levels, cuts, strict=True)
            if cut.any()
        }

    @property
    def levels(self) -> tuple[int, ...]:
        """At which values are counted too, modulo :data:`credit.dyadic.WRAP`; coarse to fine."""
        return tuple(self._counted)

    @property
    def size(self) -> int:
        """Cells of :meth:`of`."""
        if self.feature.kind == "category":
            return len(self.feature.values) + 2
        return len(self.edges) + 2

    @property
    def coordinates(self) -> int:
        """Of this feature in the release: cells, then the levels."""
        return self.size + WRAP * len(self.levels)

    @cached_property
    def _levels_of_cell(self) -> NDArray[np.int64]:
        """(cells, levels) as 0 and 1."""
        return (
            np.array(list(self._counted.values()), dtype=np.int64)
            .reshape(len(self._counted), self.size)
            .T
        )

    @property
    def squared_sensitivity(self) -> int:
        """Of what one person adds to these coordinates."""
        return CELL_WEIGHT**2 + int(self._levels_of_cell.sum(axis=1).max())

    def of(self, column: pd.Series) -> Cells:
        """Cell numbers of a column; what is missing or no number is 'missing', undeclared codes are
        'other'."""
        if self.feature.kind == "category":
            known = {code(value): place for place, value in enumerate(self.feature.values)}
            known[None] = self.size - 1
            return by_code(column, lambda one: known.get(one, self.size - 2), np.int32)
        return self._of_numbers(numbers(column).values)

    def _of_numbers(self, values: Floats) -> Cells:
        return np.where(np.isnan(values), np.int32(self.size - 1), self._passed.passed(values))

    @cached_property
    def _passed(self) -> Edges:
        return Edges(self.edges)

    def counts(self, column: pd.Series) -> NDArray[np.int64]:
        """(coordinates,) exact counts of a column, weighted. Not yet private."""
        if self.feature.kind == "category":
            return self._in_cells(self.of(column))
        values = numbers(column).values
        cells = self._of_numbers(values)
        parts = [self._in_cells(cells)]
        if self._counted:
            places = order(np.clip(np.nan_to_num(values), *self._range))
            cells = cells.astype(np.intp)  # as look-ups take them
            for level, counted in self._counted.items():
                parts.append(np.bincount(wrapped(places[counted[cells]], level), minlength=WRAP))
        return np.concatenate(parts).astype(np.int64)

    def _in_cells(self, cells: NDArray[np.integer]) -> NDArray[np.int64]:
        return CELL_WEIGHT * np.bincount(cells, minlength=self.size)

    def blocks(self, weights: Floats) -> list[Block]:
        """The cells but for 'missing', with these weights, as :func:`credit.cutting.refined` takes
        them."""
        bounds = self._bounds.tolist()
        counted = [tuple(map(bool, row)) for row in self._levels_of_cell.tolist()[:-1]]
        return [
            Block(*block)
            for block in zip(bounds[:-1], bounds[1:], weights.tolist(), counted, strict=True)
        ]


@dataclass(frozen=True)
class FeatureCounts:
    """What a (noisy) release says of one feature: people in each cell and (levels, WRAP), and the
    noise of both."""

    cells: Floats
    levels: Floats
    cell_noise: float
    level_noise: float


def noisy_counts(column: FeatureCells, part: Floats, noise_std: float) -> FeatureCounts:
    cells, levels = np.split(part, [column.size])
    return FeatureCounts(
        cells / CELL_WEIGHT, levels.reshape(-1, WRAP), noise_std / CELL_WEIGHT, noise_std
    )


@dataclass(frozen=True)
class Grid:
    """The grids of all features, and the layout of the one histogram over them."""

    schema: FeatureSchema

    @cached_property
    def columns(self) -> tuple[FeatureCells, ...]:
        return tuple(FeatureCells(feature) for feature in self.schema.features)

    @cached_property
    def totals_weight(self) -> int:
        """How many times a person counts among the good or the bad."""
        rest = sum(column.squared_sensitivity for column in self.columns)
        return max(round(math.sqrt(rest / TOTALS_SHARE)), 1)

    @property
    def size(self) -> int:
        """Coordinates of :meth:`histogram`."""
        return 2 + sum(column.coordinates for column in self.columns)

    @property
    def sensitivity(self) -> float:
        """L2 norm of what one person adds to :meth:`histogram`, at most."""
        return math.sqrt(
            self.totals_weight**2 + sum(column.squared_sensitivity for column in self.columns)
        )

    def histogram(self, table: pd.DataFrame, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Exact weighted counts of good and bad people, then of each feature's cells and levels.
        Not yet private."""
        totals = self.totals_weight * np.bincount(labels, minlength=2)
        parts = [column.counts(table[column.feature.name]) for column in self.columns]
        return np.concatenate([totals, *parts]).astype(np.int64)

    def split(
        self, histogram: Floats, noise_std: float
    ) -> Iterator[tuple[FeatureCells, FeatureCounts]]:
        """A (noisy) histogram by feature, weights taken off."""
        self._check(histogram)
        parts = np.split(
            histogram[2:], np.cumsum([column.coordinates for column in self.columns])[:-1]
        )
        for column, part in zip(self.columns, parts, strict=True):
            yield column, noisy_counts(column, part, noise_std)

    def totals(self, histogram: Floats) -> tuple[float, float]:
        """Good and bad people in a (noisy) histogram; the noise of each is a ``totals_weight``-th
        of a coordinate's."""
        self._check(histogram)
        good, bad = histogram[:2] / self.totals_weight
        return float(good), float(bad)

    def population(self, histogram: Floats) -> float:
        """The number of people in a (noisy) histogram, at least ``MIN_POPULATION``."""
        return max(sum(self.totals(histogram)), MIN_POPULATION)

    def _check(self, histogram: Floats) -> None:
        if histogram.shape != (self.size,):
            raise FeatureError(
                f"a histogram of {len(histogram)} cells does not fit registry {self.schema.name!r}"
            )
