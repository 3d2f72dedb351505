"""Bins, from one private release.

Three steps, of which only the first touches data:

1. *Cells*. Each feature has a fixed, data-independent grid: whole numbers one by one near zero and eight cells per
   decade beyond, within the public range that the registry declares. One histogram over all cells, good and bad apart,
   is one release: a person adds 1 in each feature, so the L2 sensitivity is ``sqrt(features)``.
2. *Bins*. The noisy histogram is cut into about ``bins`` groups of equal weight; heavy cells (a point mass at zero)
   stand alone, so that what remains shares the other bins. Missing is a bin of its own.
3. *Embedding*. One-hot bins times the square root of a smoothing kernel over neighbouring bins, centred, scaled to
   unit mean square per feature. A linear model on it is a scorecard on the bins (see :func:`points`), but gradient
   descent on it converges in few steps and the noise spreads over neighbours instead of hitting rare bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from credit.errors import FeatureError
from credit.features import Feature, FeatureRegistry
from credit.values import code, codes, numbers

Floats = NDArray[np.float64]
Cells = NDArray[np.int32]

CELLS_PER_DECADE = 8
WHOLE_NUMBERS_UP_TO = 20
SMALLEST, LARGEST = 1e-3, 1e9
NOISE_CELL = 2.5
"""Cells below this many standard deviations of their noise count as empty."""
MIN_MASS = 0.01
FLOOR_DEVIATIONS = 3.0
KERNEL_RANGE, KERNEL_OWN = 1.0, 0.05
MIN_VARIANCE = 0.02
MIN_POPULATION = 50.0
MAX_BINS = 512


def _positive_edges(kind: str) -> Floats:
    if kind == "integer":
        first = math.log10(WHOLE_NUMBERS_UP_TO + 0.5) + 1 / CELLS_PER_DECADE
        far = 10 ** np.arange(first, math.log10(LARGEST), 1 / CELLS_PER_DECADE)
        return np.concatenate([np.arange(0.5, WHOLE_NUMBERS_UP_TO + 0.6), np.floor(far) + 0.5])
    decades = round(math.log10(LARGEST / SMALLEST))
    return np.append(1e-12, SMALLEST * 10 ** (np.arange(decades * CELLS_PER_DECADE + 1) / CELLS_PER_DECADE))


@dataclass(frozen=True)
class FeatureCells:
    """The grid of one feature. The last cell is 'missing'; a category has a cell 'other' before it."""

    feature: Feature

    @cached_property
    def edges(self) -> Floats:
        positive = _positive_edges(self.feature.kind)
        edges: Floats = np.append(-positive[::-1], positive)
        low = -math.inf if self.feature.low is None else self.feature.low
        high = math.inf if self.feature.high is None else self.feature.high
        inside: Floats = edges[(edges > low) & (edges < high)]
        return inside

    @property
    def size(self) -> int:
        if self.feature.kind == "category":
            return len(self.feature.values) + 2
        return len(self.edges) + 2

    def of(self, column: pd.Series) -> Cells:
        """Cell numbers of a column; what is missing or no number is 'missing', undeclared codes are 'other'."""
        if self.feature.kind == "category":
            places: dict[str | None, int] = {code(value): i for i, value in enumerate(self.feature.values)}
            places[None], other = self.size - 1, len(self.feature.values)
            found = codes(column)
            return np.fromiter((places.get(one, other) for one in found), dtype=np.int32, count=len(found))
        values = numbers(column).values
        missing = np.isnan(values)
        bounded = np.nan_to_num(values, nan=0.0, posinf=LARGEST, neginf=-LARGEST)
        return np.where(missing, np.int32(self.size - 1), np.searchsorted(self.edges, bounded).astype(np.int32))


@dataclass(frozen=True)
class Grid:
    """The grids of all features, and the layout of the one histogram over them."""

    registry: FeatureRegistry

    @cached_property
    def columns(self) -> tuple[FeatureCells, ...]:
        return tuple(FeatureCells(feature) for feature in self.registry.features)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        return tuple(column.size for column in self.columns)

    @property
    def size(self) -> int:
        """Cells of :meth:`histogram`."""
        return 2 * sum(self.sizes)

    @property
    def sensitivity(self) -> float:
        """L2 norm of what one person adds to :meth:`histogram`."""
        return math.sqrt(len(self.columns))

    def cells(self, table: pd.DataFrame) -> Cells:
        """(people, features) cell numbers."""
        return np.stack([column.of(table[column.feature.name]) for column in self.columns], axis=1)

    def histogram(self, cells: Cells, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Exact counts of every feature's cells, among the good and then among the bad. Not yet private."""
        parts = [
            np.bincount(cells[labels == label, j], minlength=size)
            for label in (0, 1)
            for j, size in enumerate(self.sizes)
        ]
        return np.concatenate(parts).astype(np.int64)

    def split(self, histogram: Floats) -> list[Floats]:
        """A (noisy) histogram by feature; each (2, cells), good before bad."""
        if histogram.shape != (self.size,):
            raise FeatureError(f"a histogram of {len(histogram)} cells does not fit registry {self.registry.name!r}")
        both = histogram.reshape(2, -1)
        return np.split(both, np.cumsum(self.sizes)[:-1], axis=1)

    def totals(self, histogram: Floats) -> tuple[float, float]:
        """Good and bad people in a (noisy) histogram: every feature counts them all once, so the mean over features."""
        good, bad = np.sum([counts.sum(axis=1) for counts in self.split(histogram)], axis=0) / len(self.columns)
        return float(good), float(bad)

    def population(self, histogram: Floats) -> float:
        """The number of people in a (noisy) histogram, at least ``MIN_POPULATION``."""
        return max(sum(self.totals(histogram)), MIN_POPULATION)

    def base_rate(self, histogram: Floats) -> float:
        """The share of bad in a (noisy) histogram, kept within [0.01, 0.99]."""
        return float(np.clip(self.totals(histogram)[1] / self.population(histogram), 0.01, 0.99))


@dataclass(frozen=True)
class FeatureBins:
    """``bin_of_cell`` maps cells to bins; ``frequency`` sums to 1; the last bin is 'missing'."""

    bin_of_cell: tuple[int, ...]
    frequency: tuple[float, ...]


@dataclass(frozen=True)
class Binning:
    """What the histogram release becomes: bins of every feature, the noisy population and base rate."""

    features: tuple[FeatureBins, ...]
    population: float
    base_rate: float


def make_binning(grid: Grid, histogram: Floats, noise_std: float, bins: int) -> Binning:
    """Post-processing of a noisy histogram whose cells carry Gaussian noise of ``noise_std``."""
    population, both = grid.population(histogram), noise_std * math.sqrt(2)
    features = tuple(
        _category_bins(counts.sum(axis=0), population, both)
        if column.feature.kind == "category"
        else _numeric_bins(counts.sum(axis=0), population, both, bins)
        for column, counts in zip(grid.columns, grid.split(histogram), strict=True)
    )
    return Binning(features, population, grid.base_rate(histogram))


def _finish(bin_of_cell: list[int], weights: list[float], missing: float) -> FeatureBins:
    mass = np.maximum([*weights, missing], 1e-9)
    return FeatureBins((*bin_of_cell, len(weights)), tuple((mass / mass.sum()).tolist()))


def _category_bins(counts: Floats, population: float, noise_std: float) -> FeatureBins:
    """One bin per code; codes that are rare or no more than noise share one."""
    known = counts[:-1]
    keep = np.flatnonzero(known > max(MIN_MASS * population, NOISE_CELL * noise_std))
    missing = counts[-1] if counts[-1] > NOISE_CELL * noise_std else 0.0
    if len(keep) >= len(known) - 1:
        return _finish(list(range(len(known))), np.maximum(known, 0).tolist(), missing)
    bin_of_cell = np.full(len(known), len(keep))
    bin_of_cell[keep] = np.arange(len(keep))
    weights = np.bincount(bin_of_cell, np.maximum(known, 0), len(keep) + 1)
    return _finish(bin_of_cell.tolist(), weights.tolist(), missing)


def _numeric_bins(counts: Floats, population: float, noise_std: float, bins: int) -> FeatureBins:
    clean = np.where(counts > NOISE_CELL * noise_std, counts, 0.0)
    cells, missing = clean[:-1], float(clean[-1])
    if cells.sum() <= 0:
        cells = np.ones(len(cells))
    floor = max(MIN_MASS * population, FLOOR_DEVIATIONS * noise_std)
    heavy = cells >= max(cells.sum() / bins, floor)
    target = max(cells[~heavy].sum() / max(bins - int(heavy.sum()), 1), floor)
    bin_of_cell: list[int] = []
    weights: list[float] = []
    open_weight = 0.0
    for weight, alone in zip(cells.tolist(), heavy.tolist(), strict=True):
        if alone and open_weight > floor / 2:
            weights.append(open_weight)
            open_weight = 0.0
        bin_of_cell.append(len(weights))
        open_weight += weight
        if alone or open_weight >= target:
            weights.append(open_weight)
            open_weight = 0.0
    if open_weight > floor / 2 or not weights:
        weights.append(open_weight)
    else:
        weights[-1] += open_weight
    return _finish([min(b, len(weights) - 1) for b in bin_of_cell], weights, missing)


def _table(bins: FeatureBins, ordered: bool) -> Floats:
    """(bins, bins): row b is what a value in bin b becomes."""
    frequency = np.asarray(bins.frequency)
    count = len(frequency) - 1
    kernel = np.eye(count + 1)
    if ordered:
        position = np.arange(count) / max(count - 1, 1)
        near = np.exp(-np.abs(position[:, None] - position) / KERNEL_RANGE)
        kernel[:count, :count] = (1 - KERNEL_OWN) * near + KERNEL_OWN * np.eye(count)
    values, vectors = np.linalg.eigh(kernel)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    centred = root - frequency @ root
    return np.asarray(centred / math.sqrt(max(float(frequency @ (centred**2).sum(1)), MIN_VARIANCE)))


def _sound(bins: FeatureBins) -> bool:
    """Bins numbered from 0, at least one and 'missing', with frequencies that sum to 1."""
    inside = 2 <= len(bins.frequency) <= MAX_BINS and min(bins.bin_of_cell) >= 0
    inside = inside and max(bins.bin_of_cell) < len(bins.frequency)
    return inside and min(bins.frequency) >= 0 and math.isclose(sum(bins.frequency), 1, rel_tol=1e-6)


@dataclass(frozen=True)
class Embedding:
    """Turns cells into model inputs of unit mean square per feature, with a constant 1 at the end."""

    grid: Grid
    binning: Binning

    def __post_init__(self) -> None:
        """Raises FeatureError unless the binning maps exactly this grid's cells to its own bins."""
        sizes = tuple(len(bins.bin_of_cell) for bins in self.binning.features)
        fits = sizes == self.grid.sizes and all(_sound(bins) for bins in self.binning.features)
        released = 0 < self.binning.base_rate < 1 and 1 <= self.binning.population < math.inf
        if not (fits and released):
            raise FeatureError(f"the binning does not belong to registry {self.grid.registry.name!r}")

    @cached_property
    def tables(self) -> tuple[Floats, ...]:
        return tuple(
            _table(bins, ordered=column.feature.kind != "category")
            for column, bins in zip(self.grid.columns, self.binning.features, strict=True)
        )

    @property
    def width(self) -> int:
        return sum(len(table) for table in self.tables) + 1

    @property
    def mean_square(self) -> float:
        """Mean squared L2 norm of a row: one per feature, and the constant."""
        return len(self.tables) + 1.0

    @cached_property
    def _by_cell(self) -> list[NDArray[np.float32]]:
        return [
            table[np.asarray(bins.bin_of_cell)].astype(np.float32)
            for table, bins in zip(self.tables, self.binning.features, strict=True)
        ]

    def projected(self, cells: Cells, matrix: Floats) -> Floats:
        """(people, directions): :meth:`rows` times ``matrix`` (width, directions), one table look-up per feature.

        The products are of tables, not of people, and sums go element by element: nobody's row depends on who else is
        there, as it could in a product over people (:mod:`privacy.clipping`).
        """
        cuts = np.cumsum([len(table) for table in self.tables])
        *parts, constant = np.split(matrix, cuts)
        out = np.tile(constant[0], (len(cells), 1))
        for j, (table, part, bins) in enumerate(zip(self.tables, parts, self.binning.features, strict=True)):
            out += (table @ part)[np.asarray(bins.bin_of_cell)][cells[:, j]]
        return out

    def rows(self, cells: Cells) -> NDArray[np.float32]:
        """(people, width) inputs."""
        parts = [by_cell[cells[:, j]] for j, by_cell in enumerate(self._by_cell)]
        return np.hstack([*parts, np.ones((len(cells), 1), dtype=np.float32)])


def points(embedding: Embedding, weights: Floats) -> tuple[list[Floats], float]:
    """A scorecard's weights as log-odds per bin of each feature, and the intercept."""
    cuts = np.cumsum([len(table) for table in embedding.tables])[:-1]
    parts = np.split(weights[:-1], cuts)
    return [table @ part for table, part in zip(embedding.tables, parts, strict=True)], float(weights[-1])
