"""Each person's one row, whatever the order and the chunks they come in.

Two looks: the first, at names, outcomes and dates alone, finds for each member which row counts;
the second yields the rows that count, chunk by chunk.

Nothing but the noisy answer may depend on a row (invariant 10), so no row is a reason to refuse:
who has no row that can be used (no outcome of 0 or 1 in the latest one, several of which none is
the latest, a date that is none) is left out, without a word. The operator's own check counts them
(:mod:`clients.data.profiling`). Between the looks a source may change; nobody is then counted
twice: a row counts if its date is the one found before and no other did.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clients.data.columns import Told, nobody
from clients.data.members import Members
from clients.errors import SourceError
from credit.features import FeatureSchema, date_columns
from credit.values import NO_DATE, UNREADABLE_DATE

Labels = NDArray[np.int8]
NO_OUTCOME = np.int8(2)


@dataclass(frozen=True)
class Period:
    """Microseconds from ``first`` to before ``end``: only rows that are dated so are rows."""

    first: int
    end: int

    def holds(self, when: NDArray[np.int64]) -> NDArray[np.bool_]:
        return (when >= self.first) & (when < self.end)


ALWAYS = Period(NO_DATE, np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Part:
    """Some rows: whose they are, when they are of, columns of the schema."""

    names: Sequence[str | None] | NDArray[np.object_]
    """Empty where members were asked for."""
    whose: NDArray[np.int64]
    """Their places among the members; empty where nobody was asked for."""
    when: NDArray[np.int64]
    """Microseconds, 0 where nothing is dated, ``NO_DATE`` or ``UNREADABLE_DATE``."""
    table: pd.DataFrame
    unreadable: Mapping[str, int] = field(default_factory=dict)
    """By column: values that are there but are not what they are declared to be. They are missing
    in the table."""


def labels_of(outcomes: pd.Series) -> Labels:
    """0 (good), 1 (bad), or ``NO_OUTCOME``."""
    values = outcomes.to_numpy(dtype=np.float64)
    return np.where(values == 1, np.int8(1), np.where(values == 0, np.int8(0), NO_OUTCOME))


class Source(ABC):
    """A lender's rows. ``where`` is what a refusal calls it, ``dated`` says whether a person may
    have several."""

    @property
    @abstractmethod
    def where(self) -> str: ...

    @property
    @abstractmethod
    def dated(self) -> bool: ...

    @abstractmethod
    def parts(
        self,
        columns: Sequence[str],
        schema: FeatureSchema | None,
        members: Members | None = None,
        told: Told = nobody,
    ) -> Iterator[Part]:
        """All rows, a bounded number at a time, with these columns of the schema.

        Args:
            members: only rows of these people; nothing but the name of any other row is looked at.
            told: hears of places where a row should be and is none.

        Raises:
            SourceError: the rows cannot be read, or the columns are not there; never because of
                what is in a row.
        """

    def people(self, period: Period | None = None) -> list[str]:
        """The names in it, each once, in the order of their first row; no feature is read. Of a
        period, who has a row of it. Raises SourceError."""
        self._require_dates(period)
        names: dict[str, None] = {}
        for part in self.parts((), None):
            found = part.names
            if period is not None:
                found = np.asarray(found, dtype=object)[period.holds(part.when)]
            names.update((name, None) for name in found if name is not None)
        return list(names)

    def _require_dates(self, period: Period | None) -> None:
        """Raises SourceError."""
        if period is not None and not self.dated:
            raise SourceError(
                f"{self.where}: people of some days are asked for; say latest_by, whose column "
                "dates each row"
            )

    def rows(
        self, members: Sequence[str], schema: FeatureSchema, period: Period | None = None
    ) -> Iterator[pd.DataFrame]:
        """The declared columns of these people, a bounded number at a time, each person once or not
        at all.

        Args:
            members: different names.
            period: only rows of it are rows.

        Returns:
            tables whose index is the person's place in ``members``, their order as it comes.

        Raises:
            SourceError: the columns are not there, or the rows cannot be read; from the iterator
                too.
        """
        self._require_dates(period)
        roster = Members(members)
        return self._chunks(roster, survey(self, roster, schema, period), schema)

    def _chunks(
        self, roster: Members, held: LatestRows, schema: FeatureSchema
    ) -> Iterator[pd.DataFrame]:
        seen = np.zeros(len(roster), dtype=bool)
        at = np.empty(len(roster), dtype=np.int64)
        usable = held.usable
        columns = [schema.target, *schema.names, *date_columns(schema)]
        for part in self.parts(columns, schema, roster):
            whose = part.whose
            counts = usable[whose] & (part.when == held.latest[whose]) & ~seen[whose]
            counts &= labels_of(part.table[schema.target]) != NO_OUTCOME
            counts &= _first(whose, counts, at)
            seen[whose[counts]] = True
            if counts.all():
                yield part.table.set_axis(whose, axis=0)
            elif counts.any():
                yield part.table[counts].set_axis(whose[counts], axis=0)


@dataclass(frozen=True)
class LatestRows:
    """The latest row of each member: rows, their latest date, how many have it, and the outcome
    there."""

    rows: NDArray[np.int32]
    latest: NDArray[np.int64]
    times: NDArray[np.int32]
    outcome: Labels

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Who has one row that is the latest, with an outcome."""
        return np.asarray((self.times == 1) & (self.outcome != NO_OUTCOME))


def survey(
    source: Source, roster: Members, schema: FeatureSchema, period: Period | None = None
) -> LatestRows:
    """Which row of each member counts; reads names, dates and outcomes. A row with no readable
    date, or of another period, is no row."""
    within = period or ALWAYS
    held = LatestRows(
        np.zeros(len(roster), dtype=np.int32),
        np.full(len(roster), NO_DATE, dtype=np.int64),
        np.zeros(len(roster), dtype=np.int32),
        np.zeros(len(roster), dtype=np.int8),
    )
    for part in source.parts([schema.target], schema, roster):
        whose, when = part.whose, part.when
        outcome = labels_of(part.table[schema.target])
        if not source.dated:  # all of one date
            np.add.at(held.times, whose, 1)
            held.latest[whose] = when
            held.outcome[whose] = outcome
            continue
        dated = (when != UNREADABLE_DATE) & within.holds(when)
        whose, when = whose[dated], when[dated]
        np.add.at(held.rows, whose, 1)
        before = held.latest[whose]
        np.maximum.at(held.latest, whose, when)
        held.times[whose[held.latest[whose] > before]] = 0
        latest = when == held.latest[whose]
        np.add.at(held.times, whose[latest], 1)
        held.outcome[whose[latest]] = outcome[dated][latest]
    if not source.dated:
        held.rows[:] = held.times
    return held


def _first(
    whose: NDArray[np.int64], counts: NDArray[np.bool_], at: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """The first row that counts of each person; ``at`` has room for a number for each."""
    rows = np.flatnonzero(counts)
    at[whose[rows[::-1]]] = rows[::-1]  # of several the last that is written stays, which is first
    found = np.zeros(len(whose), dtype=bool)
    found[rows] = at[whose[rows]] == rows
    return found
