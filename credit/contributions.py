"""How a lender answers a release: exact whole numbers of its people, added up, and one share of the
noise.

A contribution may be asked of one table or of many with different people in each: counts of whole
numbers add up to the same however the people are cut into tables, and the noise is added once, to
the whole. Kinds of releases are in :mod:`credit.tasks`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from credit.ahead import ahead
from credit.features import FeatureSchema
from privacy.clipping import MOST_PEOPLE
from privacy.errors import PrivacyError
from privacy.mechanism import Mechanism, PlannedRelease
from privacy.onehot import Exact
from privacy.sums import NoisySum

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]

Tables = pd.DataFrame | Iterable[pd.DataFrame]
"""People: in one table, or in several with nobody in two of them, which are read once and in
turn."""


def each(tables: Tables) -> Iterable[pd.DataFrame]:
    return (tables,) if isinstance(tables, pd.DataFrame) else tables


class Task(Protocol):
    """One release over a lender's people."""

    @property
    def size(self) -> int:
        """Coordinates of a contribution."""
        ...

    def contribution(self, tables: Tables, contributors: int) -> Steps:
        """This lender's share of the noisy sum; everything that leaves the node, but for the
        masks."""
        ...

    def decode(self, total: Steps, contributors: int) -> Floats:
        """The released vector, from the sum of all contributions."""
        ...

    def noise_std(self, contributors: int) -> float:
        """Standard deviation of the noise in each coordinate of the released vector; 0 where it is
        within models."""
        ...


@dataclass(frozen=True)
class SumTask:
    """A task that is one noisy sum: subclasses say its form and how to count."""

    planned: PlannedRelease
    mechanism: Mechanism
    schema: FeatureSchema

    def form(self, contributors: int) -> NoisySum:
        size, sensitivity, unit = self.shape
        honest = self.mechanism.honest(contributors)
        return NoisySum(size, sensitivity, self.planned.noise_multiplier, honest, unit)

    @property
    def shape(self) -> tuple[int, float, float]:
        """Size, sensitivity, unit."""
        raise NotImplementedError

    @property
    def size(self) -> int:
        return self.shape[0]

    @property
    def counters(self) -> int:
        """Size of :meth:`count`."""
        return self.size

    def count(self, table: pd.DataFrame) -> Steps:
        """(counters,) what is counted of people: whole numbers that add up, whoever is together in
        a table."""
        raise NotImplementedError

    def coordinates(self, counts: Steps) -> Exact:
        """(size,) the exact contribution that the counts of all people amount to: linear, of whole
        numbers."""
        return counts

    def prepare(self) -> None:
        """Whatever counting needs that belongs to nobody, made before a row is read: who is there
        must not decide whether it can be made."""

    def exact(self, table: pd.DataFrame) -> Exact:
        return self.coordinates(self.count(table))

    def total(self, tables: Tables) -> Exact:
        """The exact contributions of all tables together, a few of them in memory at a time: while
        some are counted the next is read, and whole numbers add up to the same in any order.

        Raises:
            PrivacyError: more people than the sum has room for. It depends on their number only.
        """
        self.prepare()
        total = np.zeros(self.counters, dtype=np.int64)
        people = 0

        def counted(table: pd.DataFrame) -> tuple[int, Steps]:
            return len(table), self.count(table)

        with closing(ahead(counted, each(tables))) as found:
            for rows, counts in found:
                people += rows
                if people > MOST_PEOPLE:
                    raise PrivacyError("there are more people than the sum has room for")
                total += counts
        return self.coordinates(total)

    def contribution(self, tables: Tables, contributors: int) -> Steps:
        return self.form(contributors).share(self.total(tables))

    def decode(self, total: Steps, contributors: int) -> Floats:
        return self.form(contributors).decode(total)

    def noise_std(self, contributors: int) -> float:
        return self.form(contributors).noise_std(contributors)

    def labels(self, table: pd.DataFrame) -> NDArray[np.int64]:
        return table[self.schema.target].to_numpy(dtype=np.int64)
