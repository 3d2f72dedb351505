"""What everybody who applied adds to the release that watches who comes through the door.

**Sensitivity.** A person is in one group of scores, by decision; in the same group of each segment
they are in, ``others`` at most; and in one bin of each of J features, 'missing' included. These are
different coordinates: one person changes the vector by ``sqrt(1 + others + J)`` in L2 norm at most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from credit.contributions import Floats, Steps, SumTask
from credit.evaluation import Segments, count_cells, count_scores
from credit.features import FeatureSchema
from credit.models import CreditModel


@dataclass(frozen=True)
class IntakeLayout:
    """How the sum is laid out: groups by decision, groups by segment, bins by feature."""

    groups: int
    segments: tuple[str, ...]
    bins: tuple[int, ...]

    @classmethod
    def of(cls, model: CreditModel, edges: Floats, schema: FeatureSchema) -> IntakeLayout:
        bins = tuple(len(one.frequency) for one in model.embedding.binning.features)
        return cls(len(edges) + 1, Segments.of(schema).names, bins)

    @property
    def size(self) -> int:
        return self.groups * (2 + len(self.segments)) + sum(self.bins)

    def split(self, vector: Floats) -> tuple[Floats, Floats, list[Floats]]:
        """(2, groups) by decision, (segments, groups), and (bins,) of each feature."""
        decided, by_segment, features = np.split(
            vector, np.cumsum([2 * self.groups, len(self.segments) * self.groups])
        )
        return (
            decided.reshape(2, self.groups),
            by_segment.reshape(len(self.segments), self.groups),
            np.split(features, np.cumsum(self.bins)[:-1]),
        )


@dataclass(frozen=True)
class IntakeTask(SumTask):
    """The schema's outcome says whether somebody was approved (1) or not (0)."""

    scored: CreditModel
    edges: Floats

    @cached_property
    def segments(self) -> Segments:
        return Segments.of(self.schema)

    @cached_property
    def layout(self) -> IntakeLayout:
        return IntakeLayout.of(self.scored, self.edges, self.schema)

    @property
    def shape(self) -> tuple[int, float, float]:
        one_person = 1 + self.segments.others + len(self.layout.bins)
        return self.layout.size, math.sqrt(one_person), 1.0

    def count(self, table: pd.DataFrame) -> Steps:
        logits = self.scored.raw_logit(table)
        counted = [count_scores(logits, self.labels(table), self.edges)]
        counted += [count_cells(logits[rows], self.edges) for rows in self.segments.rows(table)]
        bins = self.scored.embedding.bins(table)
        for column, size in enumerate(self.layout.bins):
            counted.append(np.bincount(bins[:, column], minlength=size))
        return np.concatenate(counted).astype(np.int64)
