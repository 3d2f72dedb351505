"""Bins cut out of one private release.

Two steps, of which only the first touches data:

1. *Cells*. Each number is counted in a cell of a fixed, data-independent grid over all doubles
   (whole numbers one by one near zero, a quarter of a binade in the usual scales, 64 binades
   beyond), and at a few finer levels of :mod:`credit.dyadic`, where it is counted
   modulo some hundred cells. A public range narrows the grid and saves levels. One vector holds all
   of it, and good and bad people in two coordinates of their own: one release.
2. *Bins*. Cells that hold more than a bin's worth are cut at the finer levels, as far as the noise
   allows; then cells are put together in about ``bins`` groups of equal weight. Heavy cells (a
   point mass at zero) stand alone, so that what remains shares the other bins. Missing is a bin of
   its own.

What a model makes of bins is in :mod:`credit.embedding`.

**Sensitivity.** Where a value is counted follows from this value alone. A person adds, in
coordinates that are all different: ``totals_weight`` to good or to bad; ``CELL_WEIGHT`` to one cell
of each feature; and 1 at each of the levels that count this cell of feature j, at most
``n_j = max over its cells``, which is public. So the L2 norm of what one person adds is at most
``sqrt(totals_weight^2 + sum_j (CELL_WEIGHT^2 + n_j))``, and who stands in such cells reaches it.
Outcomes are not crossed with cells: bins never used them, and without them two levels cost no more
noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from credit.binning import Binning, FeatureBins
from credit.dyadic import MANTISSA_BITS, WRAP, Block, double
from credit.grid import FeatureCells, FeatureCounts, Floats, Grid, noisy_counts

NOISE_CELL = 3.0
"""Cells below this many standard deviations of their noise count as empty."""
NEIGHBOURS = (1, 4)
"""Unless so many together stand out: where people are spread thinly over many cells."""
MIN_MASS = 0.01
FLOOR_DEVIATIONS = 3.0
SPLIT = 1.5
"""Cells that hold more than this many bins' worth are cut."""
CROWDED = 0.5
"""A block is not cut at a level where others hide more than this share of it behind the same
places."""
SURE_DEVIATIONS = 3.0
"""Nor where its weight is less than this many deviations of what tells its halves apart."""
EMPTY_DEVIATIONS = 1.5
"""A half with less than this many deviations of its weight counts as empty."""


def exact_bins(column: FeatureCells, counts: NDArray[np.int64], bins: int = 14) -> FeatureBins:
    """Bins of one feature's exact :meth:`FeatureCells.counts`, which are not private: for the owner
    of the rows."""
    found = noisy_counts(column, counts.astype(np.float64), 0.0)
    people = float(found.cells.sum())
    if column.feature.kind == "category":
        return _category_bins(found, people)
    return _numeric_bins(column, found, people, bins)


def make_binning(grid: Grid, histogram: Floats, noise_std: float, bins: int) -> Binning:
    """Post-processing of a noisy histogram whose coordinates carry Gaussian noise of
    ``noise_std``."""
    population = grid.population(histogram)
    features = tuple(
        _category_bins(counts, population)
        if column.feature.kind == "category"
        else _numeric_bins(column, counts, population, bins)
        for column, counts in grid.split(histogram, noise_std)
    )
    good, bad = grid.totals(histogram)
    least = max(noise_std / grid.totals_weight, 1.0) / 2
    good, bad = max(good, least), max(bad, least)
    return Binning(features, population, bad / (good + bad))


def _frequency(weights: Floats, missing: float) -> tuple[float, ...]:
    mass = np.maximum([*weights, missing], 1e-9)
    return tuple((mass / mass.sum()).tolist())


def _category_bins(counts: FeatureCounts, population: float) -> FeatureBins:
    """One bin per code; codes that are rare or no more than noise share one."""
    known = counts.cells[:-1]
    noise_std = counts.cell_noise
    keep = np.flatnonzero(known > max(MIN_MASS * population, NOISE_CELL * noise_std))
    missing = float(counts.cells[-1]) if counts.cells[-1] > NOISE_CELL * noise_std else 0.0
    if len(keep) >= len(known) - 1:
        return FeatureBins((), tuple(range(len(known))), _frequency(np.maximum(known, 0), missing))
    bin_of_code = np.full(len(known), len(keep))
    bin_of_code[keep] = np.arange(len(keep))
    weights = np.asarray(
        np.bincount(bin_of_code, np.maximum(known, 0), len(keep) + 1), dtype=np.float64
    )
    return FeatureBins((), tuple(bin_of_code.tolist()), _frequency(weights, missing))


def _standing_out(cells: Floats, noise_std: float) -> Floats:
    """Cells that stand out of their noise, alone or with their neighbours, the others empty."""
    seen = np.zeros(len(cells), dtype=bool)
    for wide in NEIGHBOURS:
        padded = np.append(cells, np.zeros(-len(cells) % wide)).reshape(-1, wide).sum(axis=1)
        seen |= np.repeat(padded > NOISE_CELL * math.sqrt(wide) * noise_std, wide)[: len(cells)]
    return np.where(seen, np.maximum(cells, 0.0), 0.0)


def _numeric_bins(
    column: FeatureCells, counts: FeatureCounts, population: float, bins: int
) -> FeatureBins:
    cells = _standing_out(counts.cells[:-1], counts.cell_noise)
    missing = float(counts.cells[-1]) if counts.cells[-1] > NOISE_CELL * counts.cell_noise else 0.0
    floor = max(MIN_MASS * population, FLOOR_DEVIATIONS * counts.cell_noise)
    enough = SPLIT * max(cells.sum() / bins, floor)
    blocks = refined(column.blocks(cells), column.levels, counts.levels, counts.level_noise, enough)
    groups, weights = _grouped(np.array([block.weight for block in blocks]), floor, bins)
    edges = [double(blocks[first].first) for first in groups[1:]]
    return FeatureBins(tuple(edges), (), _frequency(np.array(weights), missing))


def _grouped(cells: Floats, floor: float, bins: int) -> tuple[list[int], list[float]]:
    """The first cell of each bin, and the bins' weights."""
    if cells.sum() <= 0:
        return [0], [0.0]
    heavy = cells >= max(cells.sum() / bins, floor)
    target = max(cells[~heavy].sum() / max(bins - int(heavy.sum()), 1), floor)
    first = [0]
    weights = [0.0]
    closed = False
    for place, (weight, alone) in enumerate(zip(cells.tolist(), heavy.tolist(), strict=True)):
        if closed or (alone and weights[-1] > floor / 2):
            first.append(place)
            weights.append(0.0)
        weights[-1] += weight
        closed = alone or weights[-1] >= target
    if len(weights) > 1 and weights[-1] <= floor / 2:
        first.pop()
        last = weights.pop()
        weights[-1] += last
    return first, weights


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
