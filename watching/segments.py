"""Figures of parts of the population: thin files, age bands, regions, where the noise lets it.
Pure.

A segmentation is one more question of the intake histogram (score band by level), so each costs
every applicant as much as a feature does. Age is looked at to see whom a model serves badly; it is
in no score (:mod:`law.packs`).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watching.cells import IntakeQuestion
from watching.errors import WatchError
from watching.intake import IntakeReference, Shift, shift
from watching.shares import Noisy

AGE_FROM = (18, 25, 35, 45, 60)


@dataclass(frozen=True)
class Segmentation:
    """Into which parts people are told apart."""

    name: str
    levels: tuple[str, ...]

    def question(self, bands: int) -> IntakeQuestion:
        """Score band by level, level by level; the last cell is everybody who has no level."""
        return IntakeQuestion(f"score by {self.name}", len(self.levels) * bands + 1)


THIN_FILES = Segmentation("file", ("thin", "thick"))
AGE_BANDS = Segmentation("age", ("18-24", "25-34", "35-44", "45-59", "60+"))


def age_level(years: int) -> int:
    """The level of :data:`AGE_BANDS`; -1 below its first."""
    return bisect_right(AGE_FROM, years) - 1


def apart(
    segmentation: Segmentation,
    references: Mapping[str, IntakeReference],
    counts: NDArray[np.float64],
    std: float,
) -> dict[str, Shift | None]:
    """The score's stability at each level; None where too few came to say anything.

    Args:
        references: of each level, over bands.
        counts: released answers to :meth:`Segmentation.question`.
        std: of the noise in each.

    Raises:
        WatchError: a level has no reference, or the counts are of other levels.
    """
    missing = [level for level in segmentation.levels if level not in references]
    width, rest = divmod(len(counts) - 1, len(segmentation.levels))
    if missing or rest or width < 2:
        raise WatchError(
            f"{len(counts)} counts and {len(references)} references are not of the "
            f"{len(segmentation.levels)} levels of {segmentation.name}"
        )
    found: dict[str, Shift | None] = {}
    for level, one in zip(segmentation.levels, counts[:-1].reshape(-1, width), strict=True):
        people = Noisy(float(one.sum()), std * math.sqrt(width))
        seen = shift(references[level], one, people, std)
        found[level] = seen if seen is not None and seen.speaks else None
    return found
