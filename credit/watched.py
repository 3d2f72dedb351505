"""What everybody who applied adds to the release that watches who comes through the door.

**Sensitivity.** A person is in one group of scores, by decision; in the same group of each segment
they are in, ``others`` at most; and in one bin of each of J features, 'missing' included. These are
different coordinates: one person changes the vector by ``sqrt(1 + others + J)`` in L2 norm at most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from credit.contributions import Floats, Steps, SumTask
from credit.evaluation import Segments, count_cells, count_scores
from credit.models import CreditModel


@dataclass(frozen=True)
class IntakeLayout:
    """How the sum is laid out: groups by decision, groups by segment, bins by feature."""

    groups: int
    segments: tuple[str, ...]
    bins: tuple[int, ...]

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
        bins = tuple(len(one.frequency) for one in self.scored.embedding.binning.features)
        return IntakeLayout(len(self.edges) + 1, self.segments.names, bins)

    @property
    def shape(self) -> tuple[int, float, float]:
        one_person = 1 + self.segments.others + len(self.layout.bins)
        return self.layout.size, math.sqrt(one_person), 1.0

    def told(self, total: Steps) -> dict[str, Any]:
        """Exact counts by name, as ``credit.watcher`` names figures: for their owner's eyes."""
        decided, by_segment, features = self.layout.split(np.asarray(total, dtype=np.float64))
        return {
            "groups": decided.tolist(),
            "segments": dict(zip(self.segments.names, by_segment.tolist(), strict=True)),
            "features": {
                name: counts.tolist()
                for name, counts in zip(self.schema.names, features, strict=True)
            },
        }

    def count(self, table: pd.DataFrame) -> Steps:
        logits = self.scored.raw_logit(table)
        counted = [count_scores(logits, self.labels(table), self.edges)]
        counted += [count_cells(logits[rows], self.edges) for rows in self.segments.rows(table)]
        bins = self.scored.embedding.bins(table)
        for column, size in enumerate(self.layout.bins):
            counted.append(np.bincount(bins[:, column], minlength=size))
        return np.concatenate(counted).astype(np.int64)
