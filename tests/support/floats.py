"""Comparisons of computed floats, whose last bits differ between processors and their mathematical libraries."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

RELATIVE = 1e-9


def never_falls(values: Sequence[float]) -> bool:
    """Whether each is at least the one before it, but for rounding."""
    return all(after >= before - RELATIVE * max(abs(before), abs(after)) for before, after in pairwise(values))


def never_rises(values: Sequence[float]) -> bool:
    """Whether each is at most the one before it, but for rounding."""
    return never_falls([-value for value in values])
