"""Clipped sums over rows of one-hot inputs, in whole numbers: look-ups where a product would be.

A person's row is the sum of what their cells add, one cell of each feature. So everything that a
sum needs of a row is a look-up in a table that belongs to nobody:

- its logit, and its squared norm, from tables over pairs of features (Gram matrices of what cells
  add);
- the sum of scaled rows is what each cell adds, times the sum of the scales of who is in it;
- the sum of scaled outer products likewise, from a weighted count of each pair of cells.

Tables lie on a grid, so all of it is sums of whole numbers below 2^63: order, slices, threads, the
device and *who else is there* change nothing. Per person there are a sigmoid, a square root and a
division, each a function of this person alone, rounded as IEEE 754 says. What one person adds has
norm ``clip_norm`` at most, as computed. For networks with hidden layers there is
:mod:`privacy.clipping`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from privacy.charges import LARGEST_CLIP, LEAST_CLIP
from privacy.clipping import LARGEST_OFFSET, MARGIN, device, sigmoid
from privacy.errors import PrivacyError

Whole = NDArray[np.int64]
Floats = NDArray[np.float64]
Cells = NDArray[np.integer[Any]]
Exact = NDArray[np.int64] | NDArray[np.object_]
"""Whole numbers: a machine's, or Python's, of any size."""

ROW_BITS, SCALE_BITS = 16, 18
GRADIENT_UNIT = 2.0 ** -(ROW_BITS + SCALE_BITS)
"""What a 1 in a gradient's sum stands for, times the clip norm."""
MOMENT_BITS, WEIGHT_BITS = 12, 16
WHOLE_WEIGHT = 128
OFF_DIAGONAL_WEIGHT = 181
"""Over ``WHOLE_WEIGHT`` just below the square root of 2, so that with entries off the diagonal
counted so many times, what one person adds to one triangle has the norm of their whole matrix at
most, and the noise in both triangles together is that of the whole matrix."""
OFF_DIAGONAL = WHOLE_WEIGHT / OFF_DIAGONAL_WEIGHT
"""Undoes the weight of an entry off the diagonal."""
MOMENT_UNIT = 2.0 ** -(2 * MOMENT_BITS + WEIGHT_BITS) / WHOLE_WEIGHT
CELLS_IN_GROUP, CELLS_IN_PAIRS = 256, 1 << 22
LARGEST_NORM = 2.0**31
"""Of a row, in steps of its grid: squares fit into 62 bits."""
LARGEST_ENTRY = 2.0**20
"""Of a table of moments, in steps of its grid."""
LIMB_BITS, HIGH_BITS = 20, 53
SLICE = 1 << 16
"""People at a time: their cells stay in a processor's cache."""


@dataclass(frozen=True)
class Layout:
    """How many cells each feature has, and which features are looked up together.

    Consecutive features are one *group* while their cells together are at most ``CELLS_IN_GROUP``:
    half as many groups are a quarter as many pairs. Where tables over pairs of groups would take
    more than ``CELLS_IN_PAIRS`` cells, each feature is a group by itself.
    """

    sizes: tuple[int, ...]

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The features of each group."""
        found = _grouped(self.sizes, CELLS_IN_GROUP)
        cells = sum(math.prod(self.sizes[feature] for feature in group) for group in found)
        return found if cells**2 <= 2 * CELLS_IN_PAIRS else _grouped(self.sizes, 1)

    def shape(self, group: int) -> tuple[int, ...]:
        return tuple(self.sizes[feature] for feature in self.groups[group])

    def size(self, group: int) -> int:
        return int(np.prod(self.shape(group)))

    @property
    def pairs(self) -> Iterator[tuple[int, int]]:
        """Every two groups, and each with itself."""
        return itertools.combinations_with_replacement(range(len(self.groups)), 2)

    def grouped(self, cells: Cells) -> list[torch.Tensor]:
        """(people,) cell of each group, out of (people, features) cells."""
        found = []
        for group, features in enumerate(self.groups):
            columns = tuple(cells[:, feature] for feature in features)
            found.append(_tensor(np.ravel_multi_index(columns, self.shape(group))))
        return found


def _grouped(sizes: tuple[int, ...], most: int) -> tuple[tuple[int, ...], ...]:
    found: list[tuple[int, ...]] = []
    room = 0
    for feature, size in enumerate(sizes):
        if size <= room:
            found[-1] += (feature,)
            room //= size
        else:
            found.append((feature,))
            room = most // size
    return tuple(found)


def _whole(values: Floats, bits: int) -> Whole:
    """In steps of 2^-bits, rounded.

    Raises:
        PrivacyError: they are too large, or not numbers.
    """
    steps = np.rint(np.asarray(values, np.float64) * 2.0**bits)
    if not (np.abs(steps) < LARGEST_NORM).all():
        raise PrivacyError("the rows or weights are too large, or not numbers")
    return steps.astype(np.int64)


def _tensor(values: Whole) -> torch.Tensor:
    return torch.from_numpy(values).to(device())


def _table(layout: Layout, group: int, by_feature: Sequence[Whole]) -> Whole:
    """What a cell of a group looks up: the sum over its features, whose tables these are."""
    total = np.zeros((), np.int64)
    for place, feature in enumerate(layout.groups[group]):
        shape = [1] * len(layout.groups[group])
        shape[place] = layout.sizes[feature]
        total = total + by_feature[feature].reshape(shape)
    return np.broadcast_to(total, layout.shape(group)).reshape(-1).copy()


def _by_feature(layout: Layout, groups: Sequence[Whole]) -> list[Whole]:
    """Inverse of grouping for counts: those of each feature's cells."""
    found = []
    for group, counts in enumerate(groups):
        shaped = counts.reshape(layout.shape(group))
        for place in range(shaped.ndim):
            others = tuple(axis for axis in range(shaped.ndim) if axis != place)
            found.append(shaped.sum(axis=others))
    return found


def _counted(cells: torch.Tensor, scales: torch.Tensor, size: int) -> Whole:
    """Sum of the scales of who is in each cell; a double holds every partial sum of a slice."""
    return np.asarray(torch.bincount(cells, scales, size).to(torch.int64).cpu().numpy())


@dataclass(frozen=True)
class ClippedGradients:
    """The gradient of the logistic loss of a linear model, summed over people, each scaled to norm
    ``clip_norm`` at most.

    Args:
        layout: of the cells.
        parts: for each feature what its cells add to a row, (cells, directions), in steps of
            2^-``ROW_BITS``.
        weights: (directions,) of the model.
        offset: added to the logit.

    Raises:
        PrivacyError: rows or logits could be too large to be summed exactly, or the clip or the
            offset is none. Depends on no data.
    """

    layout: Layout
    parts: tuple[Whole, ...]
    weights: Floats
    offset: float
    clip_norm: float

    @classmethod
    def of(
        cls, tables: Sequence[Floats], constant: Floats, weights: Floats, offset: float, clip: float
    ) -> ClippedGradients:
        """For rows that are a constant and what each feature's cells add to it."""
        first, *others = tables
        rounded = tuple(_whole(table, ROW_BITS) for table in (first + constant, *others))
        return cls(Layout(tuple(map(len, tables))), rounded, weights, offset, clip)

    def __post_init__(self) -> None:
        if not LEAST_CLIP <= self.clip_norm <= LARGEST_CLIP:
            raise PrivacyError(
                f"gradients are clipped to a norm in [{LEAST_CLIP:g}, {LARGEST_CLIP:g}]"
            )
        if not abs(self.offset) <= LARGEST_OFFSET:
            raise PrivacyError(f"an offset lies within {LARGEST_OFFSET:g}")
        doubles = [part.astype(np.float64) for part in self.parts]
        norm = sum(float(np.linalg.norm(part, axis=1).max()) for part in doubles)
        logit = sum(float(np.abs(part @ self.weights).max()) for part in doubles)
        if not (norm < LARGEST_NORM and logit * 2.0**ROW_BITS < 2.0**61):
            raise PrivacyError("the rows or weights are too large, or not numbers")

    @property
    def counters(self) -> int:
        """Size of :meth:`counts`."""
        return sum(map(self.layout.size, self._groups))

    @property
    def size(self) -> int:
        """Of :meth:`total`."""
        return len(self.weights)

    @cached_property
    def _logits(self) -> list[torch.Tensor]:
        """By group, in steps of 2^-2 ``ROW_BITS``."""
        weights = _whole(self.weights, ROW_BITS)
        each = [part @ weights for part in self.parts]
        return [_tensor(_table(self.layout, g, each)) for g in self._groups]

    @property
    def _groups(self) -> range:
        return range(len(self.layout.groups))

    @cached_property
    def _squares(self) -> dict[tuple[int, int], torch.Tensor]:
        """By pair of groups, what two cells add to a row's squared norm."""
        found = {}
        for first, second in self.layout.pairs:
            pairs = itertools.product(self.layout.groups[first], self.layout.groups[second])
            found[first, second] = _tensor(self._square(first, second, list(pairs)))
        return found

    def _square(self, first: int, second: int, pairs: list[tuple[int, int]]) -> Whole:
        shapes = (self.layout.shape(first), self.layout.shape(second))
        table = np.zeros(shapes[0] + (shapes[1] if first != second else ()), np.int64)
        letters = {feature: place for place, feature in enumerate(self.layout.groups[first])}
        if first != second:
            letters |= {
                feature: len(shapes[0]) + place
                for place, feature in enumerate(self.layout.groups[second])
            }
        for one, other in pairs:
            product = self.parts[one] @ self.parts[other].T
            if one == other:
                product = np.diagonal(product)
            shape = [1] * table.ndim
            shape[letters[one]] = self.layout.sizes[one]
            shape[letters[other]] = self.layout.sizes[other]
            if letters[one] > letters[other]:
                product = product.T
            table += product.reshape(shape) * (1 if first == second else 2)
        return table.reshape(-1)

    def counts(self, cells: Cells, labels: Whole) -> Whole:
        """Of people: for each cell of each group the sum of what scales their rows. Not yet
        private; counts of different people add up.

        Args:
            cells: (people, features).
            labels: (people,) of 0 and 1.
        """
        total = [np.zeros(self.layout.size(group), np.int64) for group in self._groups]
        for start in range(0, len(cells), SLICE):
            part = slice(start, start + SLICE)
            groups = self.layout.grouped(cells[part])
            scales = self._scales(groups, _tensor(labels[part])).double()
            for held, group in zip(total, groups, strict=True):
                np.add(held, _counted(group, scales, len(held)), out=held)
        return np.concatenate(total)

    def _scales(self, groups: list[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """(people,) whole numbers; times the row a clipped gradient, in units of ``clip_norm *
        GRADIENT_UNIT``."""
        logit = sum(table[cells] for table, cells in zip(self._logits, groups, strict=True))
        logit = torch.as_tensor(logit).double() * 2.0 ** (-2 * ROW_BITS)
        residual = sigmoid(logit + self.offset) - (labels > 0).double()
        norm = torch.sqrt(self._squared_norms(groups).double())
        room = (residual.abs() * norm).clamp_(min=self.clip_norm * 2.0**ROW_BITS)
        return (residual * (MARGIN / GRADIENT_UNIT / room)).trunc_().to(torch.int64)

    def _squared_norms(self, groups: list[torch.Tensor]) -> torch.Tensor:
        total = torch.zeros_like(groups[0])
        for (first, second), table in self._squares.items():
            if first == second:
                total += table[groups[first]]
            else:
                total += table[groups[first] * self.layout.size(second) + groups[second]]
        return total

    def total(self, counts: Whole) -> Whole:
        """(directions,) the sum of clipped gradients: whole multiples of ``clip_norm *
        GRADIENT_UNIT``."""
        cuts = np.cumsum([self.layout.size(group) for group in self._groups])[:-1]
        total = np.zeros(self.size, object)
        for counted, part in zip(
            _by_feature(self.layout, np.split(counts, cuts)), self.parts, strict=True
        ):
            total += counted.astype(object) @ part.astype(object)
        return total.astype(np.int64)


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
        rounded = tuple(_whole(table, MOMENT_BITS) for table in tables)
        return cls(Layout(tuple(map(len, tables))), rounded, clip)

    def __post_init__(self) -> None:
        largest = max(float(np.abs(table).max()) for table in self.tables)
        if not (largest < LARGEST_ENTRY and 0 < self.clip <= LARGEST_CLIP):
            raise PrivacyError(f"vectors of norm {self.clip:g} cannot be summed exactly")

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
        return [_tensor(_table(self.layout, g, each)) for g in range(len(self.layout.groups))]

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
            groups = self.layout.grouped(cells[start : start + SLICE])
            weights = self._weights(groups).double()
            for held, (a, b) in zip(total, pairs, strict=True):
                places = groups[a] if a == b else groups[a] * sizes[b] + groups[b]
                np.add(held, _counted(places, weights, len(held)), out=held)
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
            counted = counts[cut : cut + math.prod(shape)].reshape(shape)
            cut += counted.size
            for one, other in itertools.combinations_with_replacement(range(len(shape)), 2):
                alone = counted.sum(axis=tuple(set(range(len(shape))) - {one, other}))
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
