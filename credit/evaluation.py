"""What people who were held out add to an evaluation's histogram, each for itself.

A held-out person adds one to a score cell for everybody and one for each segment, by label, and one
to a bin of every feature. What figures come out of the noisy sum, :mod:`credit.quality` says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from credit.features import FeatureSchema
from law.categories import DataCategory

Floats = NDArray[np.float64]
AGE = re.compile(r"(?i)(?<![a-z])age(?![a-z])|年龄")
AGE_BANDS = ((0, 25), (25, 35), (35, 50), (50, 200))


class ScoreCells:
    """Cells of log-odds of bad, a fifth wide within +-8, for good and then for bad."""

    EDGES = np.linspace(-8.0, 8.0, 81)
    WIDTH = len(EDGES) + 1
    SIZE = 2 * WIDTH
    CENTRES = np.concatenate([[-8.1], (EDGES[1:] + EDGES[:-1]) / 2, [8.1]])

    @classmethod
    def count(cls, logits: Floats, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Exact counts; each person adds 1 to one cell."""
        cells = np.searchsorted(cls.EDGES, np.nan_to_num(logits)) + cls.WIDTH * labels
        return np.bincount(cells, minlength=cls.SIZE)


def evaluation_weight(features: int) -> int:
    """Score cells are counted this many times, so that features, of which there are many, do not
    drown them."""
    return max(1, round(math.sqrt(features)))


@dataclass(frozen=True)
class Segments:
    """Groups that a model must serve: everybody; thin files, without any bureau history, and thick
    ones; age bands."""

    schema: FeatureSchema
    bureau: tuple[str, ...]
    age: str | None

    @classmethod
    def of(cls, schema: FeatureSchema) -> Segments:
        bureau = tuple(f.name for f in schema.features if f.category is DataCategory.BUREAU)
        ages = [
            f.name
            for f in schema.features
            if f.kind != "category"
            and f.category in (DataCategory.AGE, DataCategory.IDENTITY)
            and AGE.search(f.name.replace("_", " "))
        ]
        return cls(schema, bureau, ages[0] if ages else None)

    @property
    def names(self) -> tuple[str, ...]:
        files = ("thin file", "thick file") if self.bureau else ()
        bands = tuple(f"age {low} to {high - 1}" for low, high in AGE_BANDS) if self.age else ()
        return ("everybody", *files, *bands)

    @property
    def count(self) -> int:
        return len(self.names)

    @property
    def per_person(self) -> int:
        """In how many segments one person can be."""
        return 1 + bool(self.bureau) + bool(self.age)

    def rows(self, table: pd.DataFrame) -> Iterator[NDArray[np.bool_]]:
        """Who of a table is in each segment, in the order of :attr:`names`."""
        yield np.ones(len(table), dtype=bool)
        if self.bureau:
            thin = table[list(self.bureau)].isna().all(axis=1).to_numpy()
            yield thin
            yield ~thin
        if self.age:
            years = table[self.age].to_numpy(dtype=np.float64)
            for low, high in AGE_BANDS:
                yield (years >= low) & (years < high)
