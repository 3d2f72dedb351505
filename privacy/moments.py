"""Second moments of clipped one-hot rows, summed as weighted counts of pairs of cells
(:mod:`privacy.onehot`).

The bound: a person's outer product has a whole weight, the squared clip over the row's squared norm
rounded down, so that weight times squared norm is the squared clip at most, without any rounding
elsewhere.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from privacy.charges import LARGEST_CLIP
from privacy.errors import PrivacyError
from privacy.onehot import SLICE, Cells, Exact, Floats, Layout, Whole, counted, in_steps

MOMENT_BITS, WEIGHT_BITS = 12, 16
WHOLE_WEIGHT = 128
OFF_DIAGONAL_WEIGHT = 181
"""Over ``WHOLE_WEIGHT`` just below the square root of 2, so that with entries off the diagonal
counted so many times, what one person adds to one triangle has the norm of their whole matrix at
most, and the noise in both triangles together is that of the whole matrix."""
OFF_DIAGONAL = WHOLE_WEIGHT / OFF_DIAGONAL_WEIGHT
"""Undoes the weight of an entry off the diagonal."""
MOMENT_UNIT = 2.0 ** -(2 * MOMENT_BITS + WEIGHT_BITS) / WHOLE_WEIGHT
LARGEST_ENTRY = 2.0**20
"""Of a table, in steps of its grid."""
LIMB_BITS, HIGH_BITS = 20, 53


@dataclass(frozen=True)
class ClippedMoments:
    """The outer product of a row with itself, summed over people, each row scaled to norm ``clip``
    at most.

    A row is each feature's ``tables[feature][cell]``, one after the other, and a 1.

    Raises:
        PrivacyError: the rows or the clip are too large for their sums to be exact. Depends on no
            data.
    """

    layout: Layout
    tables: tuple[Whole, ...]
    clip: float

    @classmethod
    def of(cls, tables: Sequence[Floats], clip: float) -> ClippedMoments:
        rounded = tuple(in_steps(table, MOMENT_BITS) for table in tables)
        return cls(Layout(tuple(map(len, tables))), rounded, clip)

    def __post_init__(self) -> None:
        largest = max(float(np.abs(table).max()) for table in self.tables)
        if not (largest < LARGEST_ENTRY and 0 < self.clip <= LARGEST_CLIP):
            raise PrivacyError(f"vectors of norm {self.clip:g} cannot be summed exactly")

    def prepare(self) -> None:
        """Make the tables that people are looked up in, before there are any."""
        _ = self._squares

    @property
    def counters(self) -> int:
        """Size of :meth:`counts`."""
        return sum(math.prod(shape) for shape in self._pair_shapes)

    @property
    def _pair_shapes(self) -> list[tuple[int, ...]]:
        shape = self.layout.shape
        return [shape(a) + (shape(b) if a != b else ()) for a, b in self.layout.pairs]

    @property
    def width(self) -> int:
        return 1 + sum(int(table.shape[1]) for table in self.tables)

    @cached_property
    def _squares(self) -> list[torch.Tensor]:
        each = [(table * table).sum(axis=1) for table in self.tables]
        return [self.layout.look_up(group, each) for group in range(len(self.layout.groups))]

    def counts(self, cells: Cells) -> Whole:
        """Of people: for each pair of cells the sum of the weights of who is in both; not yet
        private. Counts of different people add up.

        Args:
            cells: (people, features).
        """
        sizes = [self.layout.size(group) for group in range(len(self.layout.groups))]
        pairs = list(self.layout.pairs)
        total = [np.zeros(math.prod(shape), np.int64) for shape in self._pair_shapes]
        for start in range(0, len(cells), SLICE):
            groups = [one.long() for one in self.layout.grouped(cells[start : start + SLICE])]
            weights = self._weights(groups).double()
            both = torch.empty_like(groups[0])
            for held, (a, b) in zip(total, pairs, strict=True):
                places = groups[a]
                if a != b:
                    places = torch.add(groups[b], groups[a], alpha=sizes[b], out=both)
                np.add(held, counted(places, weights, len(held)), out=held)
        return np.concatenate(total)

    def _weights(self, groups: list[torch.Tensor]) -> torch.Tensor:
        """(people,) how much a row's outer product counts, in steps of 2^-``WEIGHT_BITS``: one, or
        the squared clip over its squared norm, rounded down."""
        most = int(self.clip**2 * 4.0**MOMENT_BITS) << WEIGHT_BITS
        squared = torch.full_like(groups[0], 4**MOMENT_BITS)
        for table, cells in zip(self._squares, groups, strict=True):
            squared += table[cells]
        return torch.div(most, squared, rounding_mode="floor").clamp_(max=1 << WEIGHT_BITS)

    def total(self, counts: Whole) -> Exact:
        """(width (width + 1) / 2,) upper triangle, row by row, as :func:`second_moments` reads it:
        whole multiples of ``MOMENT_UNIT``, of any size."""
        upper, lower = self._limbs(self._pair_counts(counts))
        rows, columns = np.triu_indices(self.width)
        weights = np.where(rows == columns, WHOLE_WEIGHT, OFF_DIAGONAL_WEIGHT)
        high = upper[rows, columns]
        if np.abs(high).max() >= 1 << (HIGH_BITS - LIMB_BITS):
            high = high.astype(object)
        return np.asarray(((high << LIMB_BITS) + lower[rows, columns]) * weights)

    def _pair_counts(self, counts: Whole) -> Whole:
        """(cells + 1, cells + 1) over all features: the weights of who is in both cells. The last
        cell is everybody's, and stands for the constant."""
        layout = self.layout
        starts = np.cumsum([0, *layout.sizes])
        full = np.zeros((starts[-1] + 1,) * 2, np.int64)
        cut = 0
        for (a, b), shape in zip(layout.pairs, self._pair_shapes, strict=True):
            features = layout.groups[a] + (layout.groups[b] if a != b else ())
            of_pair = counts[cut : cut + math.prod(shape)].reshape(shape)
            cut += of_pair.size
            for one, other in itertools.combinations_with_replacement(range(len(shape)), 2):
                alone = of_pair.sum(axis=tuple(set(range(len(shape))) - {one, other}))
                rows = slice(starts[features[one]], starts[features[one] + 1])
                columns = slice(starts[features[other]], starts[features[other] + 1])
                if one != other:
                    full[rows, columns], full[columns, rows] = alone, alone.T
                elif a == b:
                    full[rows, columns] = np.diag(alone)
        full[-1, :-1] = full[:-1, -1] = np.diagonal(full)[:-1]
        full[-1, -1] = full[: starts[1], -1].sum()
        return full

    def _limbs(self, pairs: Whole) -> tuple[Whole, Whole]:
        """(width, width) what the cells' tables make of the counts, in two limbs, so that nothing
        is beyond 63 bits: the upper one times 2^``LIMB_BITS``, and the lower one."""
        tables = [*self.tables, np.array([[1 << MOMENT_BITS]])]
        cuts = np.cumsum([len(table) for table in tables])[:-1]
        columns = zip(np.split(pairs, cuts, axis=1), tables, strict=True)
        half = np.split(np.hstack([part @ table for part, table in columns]), cuts)
        upper = [table.T @ (part >> LIMB_BITS) for table, part in zip(tables, half, strict=True)]
        lower = [
            table.T @ (part % (1 << LIMB_BITS)) for table, part in zip(tables, half, strict=True)
        ]
        return np.vstack(upper), np.vstack(lower)


def second_moments(upper: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """The symmetric (width, width) matrix of a released sum of :class:`ClippedMoments`,
    weights undone."""
    if upper.shape != (width * (width + 1) // 2,):
        raise PrivacyError(f"{upper.size} second moments do not make a matrix of width {width}")
    matrix = np.zeros((width, width))
    rows, columns = np.triu_indices(width)
    matrix[rows, columns] = np.where(rows == columns, upper, upper * OFF_DIAGONAL)
    return np.asarray(matrix + np.triu(matrix, 1).T)
