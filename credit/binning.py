"""Bins, as one private release leaves them.

How people are counted for them is in :mod:`credit.grid`, how bins are cut out of the noisy counts
in :mod:`credit.cutting`, and what a model makes of them in :mod:`credit.embedding`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FeatureBins:
    """Bins of a number begin at ``edges``, but for the first; those of a category are
    ``bin_of_code``, 'other' last.

    ``frequency`` sums to 1; the last bin is 'missing'.
    """

    edges: tuple[float, ...]
    bin_of_code: tuple[int, ...]
    frequency: tuple[float, ...]


@dataclass(frozen=True)
class Binning:
    """What the histogram release becomes: bins of every feature, the noisy population and base
    rate."""

    features: tuple[FeatureBins, ...]
    population: float
    base_rate: float
