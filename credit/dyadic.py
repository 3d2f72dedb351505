"""A tree over all doubles that no data shaped, and where on it a noisy histogram says that people
are.

Doubles in order are 64-bit integers in order: bits as sign and magnitude. A *cell of level k* is a
block of ``2^(52-k)`` neighbouring doubles: a binade (1 to 2, 2 to 4, ...) in ``2^k`` equal parts.
So 660 and 850 points are about as far apart as 6.6e11 and 8.5e11 fen, or 6.6e-7 and 8.5e-7.

No histogram has room for all cells of a fine level, and needs none: cells are counted *modulo*
:data:`WRAP`. People in up to :data:`WRAP` neighbouring cells stand apart in it wherever they are,
and where they are the coarser level says, whose cells are :data:`RATIO` times as wide. So five
levels tell apart what differs by a four-millionth, at any scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
MANTISSA_BITS = 52
RATIO_BITS = 5
RATIO = 1 << RATIO_BITS
"""A cell of one level is so many of the next."""
WRAP = 256
LARGEST = float(np.finfo(np.float64).max)
SMALLEST = 5e-324


def order(values: Floats) -> Places:
    """Doubles as integers in the same order, each from its own bits; both zeros are 0. Infinities
    are the largest."""
    bits = np.clip(values, -LARGEST, LARGEST).view(np.int64)
    magnitude = bits & np.int64(0x7FFF_FFFF_FFFF_FFFF)
    return np.where(bits < 0, -magnitude, magnitude)


def double(place: int) -> float:
    """Inverse of :func:`order`."""
    return math.copysign(float(np.int64(abs(place)).view(np.float64)), place)


def width(level: int) -> int:
    """Doubles in one cell of a level."""
    return 1 << (MANTISSA_BITS - level)


def wrapped(places: Places, level: int) -> Places:
    """The cell of each place at a level, modulo :data:`WRAP`."""
    return (places >> (MANTISSA_BITS - level)) & (WRAP - 1)


@dataclass(frozen=True)
class Block:
    """Neighbouring doubles ``first`` to ``end`` (not included), in places, and how many people
    stand among them.

    ``counted`` says for each level whether it counts them.
    """

    first: int
    end: int
    weight: float
    counted: tuple[bool, ...]
