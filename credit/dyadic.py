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
from collections.abc import Sequence
from dataclasses import dataclass, replace

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
CROWDED = 0.5
"""A block is not cut at a level where others hide more than this share of it behind the same
places."""
SURE_DEVIATIONS = 3.0
"""Nor where its weight is less than this many deviations of what tells its halves apart."""


EMPTY_DEVIATIONS = 1.5
"""A half with less than this many deviations of its weight counts as empty."""


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


def refined(
    blocks: Sequence[Block], levels: Sequence[int], counts: Floats, noise_std: float, enough: float
) -> list[Block]:
    """Blocks in order, those heavier than ``enough`` cut as finely as the noise lets them, down to
    the finest level.

    Args:
        levels: coarse to fine, each :data:`RATIO` times as fine as the one before.
        counts: (levels, WRAP) noisy counts of cells.
        noise_std: of each of them.

    At each level a heavy block is halved again and again. Its weight stays; how it divides is what
    the cells of both halves hold, less what the other blocks have at the same places if they are
    evenly filled.
    """
    for number, (level, wheel) in enumerate(zip(levels, counts, strict=True)):
        shares = [_even(block, number, level) for block in blocks]
        everybody = np.sum(
            [share * block.weight for share, block in zip(shares, blocks, strict=True)], axis=0
        )
        found: list[Block] = []
        for block, share in zip(blocks, shares, strict=True):
            others = everybody - share * block.weight
            if (
                share.any()
                and block.weight > enough
                and others[share > 0].sum() <= CROWDED * block.weight
            ):
                found += _halved(block, level, wheel - others, noise_std, enough)
            else:
                found.append(block)
        blocks = found
    return list(blocks)


def _even(block: Block, number: int, level: int) -> Floats:
    """(WRAP,) where people of a block stand at a level if it is evenly filled; sums to 1, or 0 if
    it is not counted."""
    share = np.zeros(WRAP)
    if block.counted[number]:
        shift = MANTISSA_BITS - level
        first = block.first >> shift
        last = (block.end - 1) >> shift
        if last - first >= 4 * WRAP:
            share[:] = 1.0
        else:
            np.add.at(share, np.arange(first, last + 1) % WRAP, 1.0)
    return np.asarray(share / max(share.sum(), 1.0))


def _halved(
    block: Block, level: int, wheel: Floats, noise_std: float, enough: float
) -> list[Block]:
    shift = MANTISSA_BITS - level
    first = block.first >> shift
    end = ((block.end - 1) >> shift) + 1
    if not 2 <= end - first <= WRAP or block.weight <= enough:
        return [block]
    middle = (first + end) // 2
    below, above = (
        float(wheel[np.arange(*cells) % WRAP].sum()) for cells in ((first, middle), (middle, end))
    )
    noise = noise_std * math.sqrt(end - first)
    if block.weight < SURE_DEVIATIONS * noise / 2:
        return [block]
    lower = min(max(below + (block.weight - below - above) / 2, 0.0), block.weight)
    least = EMPTY_DEVIATIONS * noise / 2
    lower = 0.0 if lower < least else block.weight if block.weight - lower < least else lower
    cut = middle << shift
    halves = (
        replace(block, end=cut, weight=lower),
        replace(block, first=cut, weight=block.weight - lower),
    )
    return [part for half in halves for part in _halved(half, level, wheel, noise_std, enough)]
