"""What a model makes of people's bins.

One-hot bins times the square root of a smoothing kernel over neighbouring bins, centred, scaled to
unit mean square per feature. A linear model on it is a scorecard on the bins (see :func:`points`),
but gradient descent on it converges in few steps and the noise spreads over neighbours instead of
hitting rare bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from credit.binning import Binning, FeatureBins
from credit.edges import Edges
from credit.errors import FeatureError
from credit.grid import FeatureCells, Grid

Floats = NDArray[np.float64]
Bins = NDArray[np.int32]

KERNEL_RANGE, KERNEL_OWN = 1.0, 0.05
MIN_VARIANCE = 0.02
MAX_BINS = 512


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
    return np.asarray(
        centred / math.sqrt(max(float(frequency @ (centred**2).sum(1)), MIN_VARIANCE))
    )


def _sound(bins: FeatureBins, column: FeatureCells) -> bool:
    """Bins numbered from 0, at least one and 'missing', with frequencies that sum to 1; edges
    rise."""
    count = len(bins.frequency) - 1
    if column.feature.kind == "category":
        codes = bins.bin_of_code
        fits = (
            len(codes) == column.size - 1
            and not bins.edges
            and min(codes) >= 0
            and max(codes) < count
        )
    else:
        edges = np.array(bins.edges)
        fits = len(edges) == count - 1 and not bins.bin_of_code and bool(np.isfinite(edges).all())
        fits = fits and bool((np.diff(edges) > 0).all())
    frequent = 1 <= count < MAX_BINS and min(bins.frequency) >= 0
    return fits and frequent and math.isclose(sum(bins.frequency), 1, rel_tol=1e-6)


@dataclass(frozen=True)
class Embedding:
    """Turns people's bins into model inputs of unit mean square per feature, with a constant 1 at
    the end."""

    grid: Grid
    binning: Binning

    def __post_init__(self) -> None:
        """Raises FeatureError unless the binning has sound bins for exactly this grid's
        features."""
        columns, features = self.grid.columns, self.binning.features
        fits = len(columns) == len(features) and all(map(_sound, features, columns))
        released = 0 < self.binning.base_rate < 1 and 1 <= self.binning.population < math.inf
        if not (fits and released):
            raise FeatureError(f"the binning does not belong to registry {self.grid.schema.name!r}")

    @cached_property
    def tables(self) -> tuple[Floats, ...]:
        return tuple(
            _table(bins, ordered=column.feature.kind != "category")
            for column, bins in zip(self.grid.columns, self.binning.features, strict=True)
        )

    @cached_property
    def own_moments(self) -> tuple[Floats, ...]:
        """For each feature the second moments of its inputs, as its bins' frequencies have them."""
        frequencies = (np.asarray(bins.frequency) for bins in self.binning.features)
        return tuple(
            table.T @ (frequency[:, None] * table)
            for table, frequency in zip(self.tables, frequencies, strict=True)
        )

    @property
    def width(self) -> int:
        return sum(len(table) for table in self.tables) + 1

    @property
    def mean_square(self) -> float:
        """Mean squared L2 norm of a row: one per feature, and the constant."""
        return len(self.tables) + 1.0

    @cached_property
    def _single(self) -> list[NDArray[np.float32]]:
        return [table.astype(np.float32) for table in self.tables]

    def bins(self, table: pd.DataFrame) -> Bins:
        """(people, features) bin numbers, each from one value; the last is 'missing'."""
        columns = zip(self.grid.columns, self.binning.features, strict=True)
        by_feature = [_bins(bins, cells, table[cells.feature.name]) for cells, bins in columns]
        return np.stack(by_feature).T

    def parts(self, matrix: Floats) -> tuple[list[Floats], Floats]:
        """What each feature's bins add to :meth:`rows` times ``matrix`` (width, directions): (bins,
        directions) each, and what the constant adds."""
        cuts = np.cumsum([len(table) for table in self.tables])
        *parts, constant = np.split(matrix, cuts)
        return [table @ part for table, part in zip(self.tables, parts, strict=True)], constant[0]

    def projected(self, bins: Bins, matrix: Floats) -> Floats:
        """(people, directions): :meth:`rows` times ``matrix`` (width, directions), one table
        look-up per feature.

        The products are of tables, not of people, and sums go element by element: nobody's row
        depends on who else is there, as it could in a product over people
        (:mod:`privacy.clipping`).
        """
        parts, constant = self.parts(matrix)
        out = np.tile(constant, (len(bins), 1))
        for j, part in enumerate(parts):
            out += part[bins[:, j]]
        return out

    def rows(self, bins: Bins) -> NDArray[np.float32]:
        """(people, width) inputs."""
        parts = [table[bins[:, j]] for j, table in enumerate(self._single)]
        return np.hstack([*parts, np.ones((len(bins), 1), dtype=np.float32)])


def _bins(bins: FeatureBins, cells: FeatureCells, column: pd.Series) -> Bins:
    if cells.feature.kind == "category":
        return np.array([*bins.bin_of_code, len(bins.frequency) - 1], dtype=np.int32)[
            cells.of(column)
        ]
    values = column.to_numpy(dtype=np.float64)
    found = Edges(np.array(bins.edges)).passed(values)
    return np.where(np.isnan(values), np.int32(len(bins.frequency) - 1), found)


def points(embedding: Embedding, weights: Floats) -> tuple[list[Floats], float]:
    """A scorecard's weights as log-odds per bin of each feature, and the intercept."""
    parts, constant = embedding.parts(weights[:, None])
    return [part[:, 0] for part in parts], float(constant[0])
