"""How many edges each of many values has passed, by comparing or by its bits: a search of a sorted
list, one value after the other, costs ten times as much."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from credit.dyadic import LARGEST, MANTISSA_BITS, Places, order

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]

FEW = 32
"""Edges that are compared with every value, one by one."""
FINEST_LEVEL, MOST_APART, MOST_CELLS = 6, 3, 1 << 18
"""Of a look-up by bits: its level, edges that lie within one of its cells, and cells."""


class _ByBits(NamedTuple):
    """``passed`` of each cell of ``1 << shift`` neighbouring doubles from ``first``, but for the
    edges ``apart``, which do not begin one."""

    shift: int
    first: int
    passed: Counts
    apart: list[int]


@dataclass(frozen=True, eq=False)
class Edges:
    """Finite doubles that rise."""

    values: Floats

    def passed(self, values: Floats) -> Counts:
        """How many edges are at most as large as each value; 0 for what is no number. Each from its
        own value."""
        if len(self.values) <= FEW:
            found = np.zeros(len(values), np.uint8)
            for edge in self.values.tolist():
                found += values >= edge
            return found.astype(np.int32)
        if self._by_bits is None:
            number = ~np.isnan(values)
            return np.searchsorted(self.values, values, side="right").astype(np.int32) * number
        places = order(np.where(np.isnan(values), -np.inf, values))
        shift, first, passed, apart = self._by_bits
        cells = np.clip((places >> shift) - first, 0, len(passed) - 1)
        found_by_bits: Counts = passed[cells]
        for place in apart:
            found_by_bits += places >= place
        return found_by_bits

    @cached_property
    def _places(self) -> Places:
        return order(self.values)

    @cached_property
    def _by_bits(self) -> _ByBits | None:
        """None where it would take too many cells, or minus infinity, which bits count as the
        least double, would pass an edge."""
        if self.values[0] <= -LARGEST:
            return None
        for level in range(FINEST_LEVEL + 1):
            shift = MANTISSA_BITS - level
            begins = self._places % (1 << shift) == 0
            cells = self._places[begins] >> shift
            if np.count_nonzero(~begins) <= MOST_APART and np.ptp(cells) < MOST_CELLS:
                first = int(cells[0]) - 1
                within = np.arange(first, int(cells[-1]) + 1)
                passed = np.searchsorted(cells, within, side="right").astype(np.int32)
                return _ByBits(shift, first, passed, self._places[~begins].tolist())
        return None
