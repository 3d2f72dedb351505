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

from privacy.clipping import device
from privacy.errors import PrivacyError

Whole = NDArray[np.int64]
Floats = NDArray[np.float64]
Cells = NDArray[np.integer[Any]]
Exact = NDArray[np.int64] | NDArray[np.object_]
"""Whole numbers: a machine's, or Python's, of any size."""

CELLS_IN_GROUP, CELLS_IN_PAIRS = 256, 1 << 22
MOST_CELLS_IN_PAIRS = 1 << 24
"""128 MiB for a table over pairs. What would need more is refused, whoever is there."""
LARGEST_NORM = 2.0**31
"""Of a row, in steps of its grid: squares fit into 62 bits."""
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

    def __post_init__(self) -> None:
        """Raises PrivacyError where pairs of cells would not fit into memory."""
        if sum(self.sizes) ** 2 > 2 * MOST_CELLS_IN_PAIRS:
            raise PrivacyError(
                f"{len(self.sizes)} features of {sum(self.sizes)} bins have too many pairs of bins"
            )

    def shape(self, group: int) -> tuple[int, ...]:
        return tuple(self.sizes[feature] for feature in self.groups[group])

    def size(self, group: int) -> int:
        return math.prod(self.shape(group))

    @property
    def pairs(self) -> Iterator[tuple[int, int]]:
        """Every two groups, and each with itself."""
        return itertools.combinations_with_replacement(range(len(self.groups)), 2)

    def grouped(self, cells: Cells) -> list[torch.Tensor]:
        """(people,) cell of each group, out of (people, features) cells."""
        if len(cells) and not ((cells >= 0) & (cells < np.array(self.sizes))).all():
            raise PrivacyError("there is no such cell")
        found = []
        for first, *others in self.groups:
            places = cells[:, first].astype(np.int32)
            for feature in others:
                places = places * self.sizes[feature] + cells[:, feature]
            found.append(tensor(places))
        return found

    def look_up(self, group: int, by_feature: Sequence[Whole]) -> torch.Tensor:
        """What each cell of a group stands for: the sum over its features, whose tables these
        are."""
        total = np.zeros((), np.int64)
        for place, feature in enumerate(self.groups[group]):
            shape = [1] * len(self.groups[group])
            shape[place] = self.sizes[feature]
            total = total + by_feature[feature].reshape(shape)
        return tensor(np.broadcast_to(total, self.shape(group)).reshape(-1).copy())

    def by_feature(self, groups: Sequence[Whole]) -> list[Whole]:
        """Inverse of grouping for counts: those of each feature's cells."""
        found = []
        for group, counts in enumerate(groups):
            shaped = counts.reshape(self.shape(group))
            for place in range(shaped.ndim):
                others = tuple(axis for axis in range(shaped.ndim) if axis != place)
                found.append(shaped.sum(axis=others))
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


def in_steps(values: Floats, bits: int) -> Whole:
    """In steps of 2^-bits, rounded.

    Raises:
        PrivacyError: they are too large, or not numbers.
    """
    steps = np.rint(np.asarray(values, np.float64) * 2.0**bits)
    if not (np.abs(steps) < LARGEST_NORM).all():
        raise PrivacyError("the rows or weights are too large, or not numbers")
    return steps.astype(np.int64)


def tensor(values: Cells) -> torch.Tensor:
    """Where sums are taken: on a GPU where torch sees one."""
    return torch.tensor(values, device=device())


def counted(cells: torch.Tensor, scales: torch.Tensor, size: int) -> Whole:
    """Sum of the scales of who is in each cell; a double holds every partial sum of a slice."""
    sums = torch.zeros(size, dtype=torch.float64, device=scales.device)
    sums.scatter_add_(0, cells, scales)
    return np.asarray(sums.to(torch.int64).cpu().numpy())
