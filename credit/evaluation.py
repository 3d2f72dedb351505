"""What people add to the releases that say how good a model is, each for itself.

Scores are counted in *groups*: a few ranges of the model's log-odds, which follow from released
figures (:mod:`credit.groups`) and are part of the question. The calibration counts people who were
trained on, good and bad apart, each scored as if left out where that can be told
(:mod:`credit.left_out`). The evaluation counts held-out people: in the same groups, for everybody
and for each segment, and in about four bins of every feature. What figures come out of the noisy
sums, :mod:`credit.quality` says.

**Sensitivity.** To the calibration a person adds ``GROUP_WEIGHT`` to one group and 1 to one of the
finer cells, where good and bad are counted together: an L2 norm of ``sqrt(GROUP_WEIGHT^2 + 1)``. To
the evaluation they add ``everybody`` to one group, ``segment`` to one group of each other segment
they are in, of which there are ``others`` at most, and 1 to one bin of each of J features, all
different coordinates: at most ``sqrt(everybody^2 + others * segment^2 + J)``.
One release with such weights costs what separate releases would: squared mu of Gaussians adds up,
and coordinate i has the share weight_i^2 of it (Dong, Roth & Su 2019). It is one message instead of
three, and one attempt that may have to be repeated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from credit.binning import FeatureBins
from credit.errors import ModelError
from credit.features import FeatureSchema
from law.categories import DataCategory

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
AGE = re.compile(r"(?i)(?<![a-z])age(?![a-z])|年龄")
EVERYBODY = "everybody"
AGE_BANDS = ((0, 25), (25, 35), (35, 50), (50, 200))
MOST_GROUPS = 64
GROUP_WEIGHT = 3
"""How many times a person counts in the groups of a calibration; in the finer cells once."""
BROAD_BINS = 4
EVERYBODY_SHARE, SEGMENT_SHARE = 15.0, 3.0
"""Of the squared sensitivity, for each 1 that features have: what everybody needs comes first, then
segments, then stability."""


def count_scores(logits: Floats, labels: Whole, edges: Floats) -> Whole:
    """(2 groups,) exact counts, good and then bad; each person adds 1 to one of them."""
    return np.concatenate([count_cells(logits[labels == label], edges) for label in (0, 1)])


def count_cells(logits: Floats, edges: Floats) -> Whole:
    """(cells,) exact counts, good and bad together."""
    found = np.searchsorted(edges, np.nan_to_num(logits), side="right")
    return np.bincount(found, minlength=len(edges) + 1)


def check_edges(edges: Floats) -> None:
    """Raises ModelError unless they cut log-odds into a few groups."""
    sound = edges.ndim == 1 and 1 <= len(edges) < MOST_GROUPS and np.isfinite(edges).all()
    if not (sound and (np.diff(edges) > 0).all()):
        raise ModelError(f"groups of scores are cut at up to {MOST_GROUPS - 1} rising log-odds")


def broad(bins: FeatureBins) -> Whole:
    """For each bin of a feature, 'missing' included, the broad bin that it is in: ``BROAD_BINS`` of
    about equal frequency at most, and 'missing' by itself as the last."""
    known = np.asarray(bins.frequency[:-1])
    middle = (np.cumsum(known) - known / 2) / max(float(known.sum()), 1e-9)
    found = np.unique((middle * BROAD_BINS).astype(np.int64), return_inverse=True)[1]
    return np.append(found, found.max() + 1)


@dataclass(frozen=True)
class Segments:
    """Groups that a model must serve, beside everybody: thin files, without any bureau history, and
    thick ones; age bands."""

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
        return (*files, *bands)

    @property
    def count(self) -> int:
        return len(self.names)

    @property
    def others(self) -> int:
        """In how many segments one person can be, beside everybody."""
        return bool(self.bureau) + bool(self.age)

    @property
    def weights(self) -> tuple[int, int]:
        """How many times a person counts for everybody and for another segment; features count
        once."""
        features = len(self.schema.features)
        each = SEGMENT_SHARE * features / max(self.others, 1)
        return round(math.sqrt(EVERYBODY_SHARE * features)), max(1, round(math.sqrt(each)))

    @property
    def sensitivity(self) -> float:
        """L2 norm of what one person adds to an evaluation, at most."""
        everybody, segment = self.weights
        return math.sqrt(everybody**2 + self.others * segment**2 + len(self.schema.features))

    def rows(self, table: pd.DataFrame) -> Iterator[NDArray[np.bool_]]:
        """Who of a table is in each segment, in the order of :attr:`names`."""
        if self.bureau:
            thin = table[list(self.bureau)].isna().all(axis=1).to_numpy()
            yield thin
            yield ~thin
        if self.age:
            years = table[self.age].to_numpy(dtype=np.float64)
            for low, high in AGE_BANDS:
                yield (years >= low) & (years < high)
