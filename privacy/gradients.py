"""Clipped gradients of a linear model over one-hot rows, summed by look-ups
(:mod:`privacy.onehot`).

The bound: a person's row is scaled by a whole number, a quotient rounded towards zero, so that
scale times norm is ``clip_norm`` at most, ``MARGIN`` below it for the rounding of a square root and
a division.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from privacy.charges import LARGEST_CLIP, LEAST_CLIP
from privacy.clipping import LARGEST_OFFSET, MARGIN, root, sigmoid
from privacy.errors import PrivacyError
from privacy.onehot import (
    LARGEST_NORM,
    SLICE,
    Cells,
    Floats,
    Layout,
    Whole,
    counted,
    in_steps,
    tensor,
)

ROW_BITS, SCALE_BITS = 16, 18
GRADIENT_UNIT = 2.0 ** -(ROW_BITS + SCALE_BITS)
"""What a 1 in a gradient's sum stands for, times the clip norm."""


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
        rounded = tuple(in_steps(table, ROW_BITS) for table in (first + constant, *others))
        return cls(Layout(tuple(map(len, tables))), rounded, weights, offset, clip)

    def __post_init__(self) -> None:
        if not LEAST_CLIP <= self.clip_norm <= LARGEST_CLIP:
            raise PrivacyError(
                f"gradients are clipped to a norm in [{LEAST_CLIP:g}, {LARGEST_CLIP:g}]"
            )
        if not abs(self.offset) <= LARGEST_OFFSET:
            raise PrivacyError(f"an offset lies within {LARGEST_OFFSET:g}")
        in_steps(self.weights, ROW_BITS)
        doubles = [part.astype(np.float64) for part in self.parts]
        norm = sum(float(np.linalg.norm(part, axis=1).max()) for part in doubles)
        logit = sum(float(np.abs(part @ self.weights).max()) for part in doubles)
        if not (norm < LARGEST_NORM and logit * 2.0**ROW_BITS < 2.0**61):
            raise PrivacyError("the rows or weights are too large, or not numbers")

    def prepare(self) -> None:
        """Make the tables that people are looked up in, before there are any."""
        _ = self._logits, self._squares

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
        weights = in_steps(self.weights, ROW_BITS)
        each = [part @ weights for part in self.parts]
        return [self.layout.look_up(group, each) for group in self._groups]

    @property
    def _groups(self) -> range:
        return range(len(self.layout.groups))

    @cached_property
    def _squares(self) -> dict[tuple[int, int], torch.Tensor]:
        """By pair of groups, what two cells add to a row's squared norm."""
        found = {}
        for first, second in self.layout.pairs:
            pairs = itertools.product(self.layout.groups[first], self.layout.groups[second])
            found[first, second] = tensor(self._square(first, second, list(pairs)))
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
            scales = self._scales(groups, tensor(labels[part])).double()
            for held, group in zip(total, groups, strict=True):
                np.add(held, counted(group.long(), scales, len(held)), out=held)
        return np.concatenate(total)

    def _scales(self, groups: list[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """(people,) whole numbers; times the row a clipped gradient, in units of ``clip_norm *
        GRADIENT_UNIT``."""
        looked_up = zip(self._logits, groups, strict=True)
        steps = sum(torch.index_select(table, 0, cells) for table, cells in looked_up)
        logit = torch.as_tensor(steps).double() * 2.0 ** (-2 * ROW_BITS)
        residual = sigmoid(logit + self.offset) - (labels > 0).double()
        norm = root(self._squared_norms(groups).double())
        room = (residual.abs() * norm).clamp_(min=self.clip_norm * 2.0**ROW_BITS)
        return (residual * (MARGIN / GRADIENT_UNIT / room)).trunc_().to(torch.int64)

    def _squared_norms(self, groups: list[torch.Tensor]) -> torch.Tensor:
        total = torch.zeros_like(groups[0], dtype=torch.int64)
        places, found = torch.empty_like(groups[0]), torch.empty_like(total)
        for (first, second), table in self._squares.items():
            cells = groups[first]
            if first != second:
                size = self.layout.size(second)
                cells = torch.add(groups[second], groups[first], alpha=size, out=places)
            total += torch.index_select(table, 0, cells, out=found)
        return total

    def total(self, counts: Whole) -> Whole:
        """(directions,) the sum of clipped gradients: whole multiples of ``clip_norm *
        GRADIENT_UNIT``."""
        cuts = np.cumsum([self.layout.size(group) for group in self._groups])[:-1]
        total = np.zeros(self.size, object)
        scales = self.layout.by_feature(np.split(counts, cuts))
        for in_cells, part in zip(scales, self.parts, strict=True):
            total += in_cells.astype(object) @ part.astype(object)
        return total.astype(np.int64)
