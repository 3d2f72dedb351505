"""Each person's one row, whatever the order and the chunks they come in.

Two looks: the first, at names, outcomes and dates alone, finds for each member which row counts and refuses what is not
sound before a feature is read; the second yields the rows that count, chunk by chunk. Between the looks a source may
change. Nobody is then counted twice: a row counts if its date is the one found before and no other did.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clients.errors import SourceError
from credit.features import FeatureRegistry, date_columns

NEVER = np.iinfo(np.int64).min
UNDATED = NEVER + 1
_UNSOUND = np.int8(2)


@dataclass(frozen=True)
class Part:
    """Some rows: whose they are, when they are of (microseconds; 0 where nothing is dated), columns of the registry."""

    names: Sequence[str | None]
    when: NDArray[np.int64]
    table: pd.DataFrame
    unreadable: Mapping[str, int] = field(default_factory=dict)
    """By column: values that are there but are not what they are declared to be. Counted where it was asked for."""


class Source(ABC):
    """A lender's rows. ``where`` is what a refusal calls it, ``dated`` says whether a person may have several."""

    @property
    @abstractmethod
    def where(self) -> str: ...

    @property
    def dated(self) -> bool:
        return False

    @abstractmethod
    def parts(self, columns: Sequence[str], registry: FeatureRegistry | None, flaws: bool = False) -> Iterator[Part]:
        """All rows, a bounded number at a time, with these columns of the registry. Raises SourceError.

        Args:
            flaws: count what cannot be read as what it is declared to be; it is missing either way.
        """

    def people(self) -> list[str]:
        """The names in it, each once, in the order of their first row; no feature is read."""
        names: dict[str, None] = {}
        for part in self.parts((), None):
            names.update((name, None) for name in part.names if name is not None)
        return list(names)

    def rows(self, members: Sequence[str], registry: FeatureRegistry) -> Iterator[pd.DataFrame]:
        """The declared columns of these people, a bounded number at a time, each person once.

        Args:
            members: different names.

        Returns:
            tables whose index is the person's place in ``members``, their order as it comes.

        Raises:
            SourceError: at once, when a member has several rows of which none is the latest, or an outcome that is
                not 0 or 1; from the iterator, when the rows cannot be read.
        """
        places = {name: place for place, name in enumerate(members)}
        held = survey(self, places, registry)
        if (held.times > 1).any() or (held.outcome == _UNSOUND).any():
            raise self._unsound()
        return self._chunks(places, held, registry)

    def _unsound(self) -> SourceError:
        if self.dated:
            return SourceError(
                f"{self.where} does not hold each member once at the latest date, with an outcome of 0 or 1; "
                "run: tahini node check-data"
            )
        return SourceError(
            f"{self.where} does not hold each member once with an outcome of 0 or 1; import it again, or say in "
            "data.toml which row is the latest"
        )

    def _chunks(self, places: Mapping[str, int], held: Held, registry: FeatureRegistry) -> Iterator[pd.DataFrame]:
        seen = np.zeros(len(places), dtype=bool)
        for part in self.parts([registry.target, *registry.names, *date_columns(registry)], registry):
            place = _places(part.names, places)
            counts = place >= 0
            counts[counts] = part.when[counts] == held.latest[place[counts]]
            whose = place[counts]
            table = part.table[counts].set_axis(whose, axis=0)
            if seen[whose].any() or len(np.unique(whose)) < len(whose) or not set(table[registry.target]) <= {0, 1}:
                raise self._unsound()
            seen[whose] = True
            if len(whose):
                yield table


@dataclass(frozen=True)
class Held:
    """By member: rows, their latest date, how many have it, and the outcome there (2 if it is neither 0 nor 1)."""

    rows: NDArray[np.int32]
    latest: NDArray[np.int64]
    times: NDArray[np.int32]
    outcome: NDArray[np.int8]


def survey(source: Source, places: Mapping[str, int], registry: FeatureRegistry) -> Held:
    """Which row of each member counts; reads names, dates and outcomes."""
    held = Held(
        np.zeros(len(places), dtype=np.int32),
        np.full(len(places), NEVER, dtype=np.int64),
        np.zeros(len(places), dtype=np.int32),
        np.zeros(len(places), dtype=np.int8),
    )
    for part in source.parts([registry.target], registry):
        place = _places(part.names, places)
        ours = place >= 0
        whose, when = place[ours], part.when[ours]
        np.add.at(held.rows, whose, 1)
        different = np.unique(whose)
        before = held.latest[different]
        np.maximum.at(held.latest, whose, when)
        held.times[different[held.latest[different] > before]] = 0
        latest = when == held.latest[whose]
        np.add.at(held.times, whose[latest], 1)
        labels = part.table[registry.target][ours][latest]
        sound = labels.isin([0, 1]).to_numpy()
        held.outcome[whose[latest]] = np.where(sound, labels.where(sound, 0).to_numpy(dtype=np.int8), _UNSOUND)
    return held


def _places(names: Sequence[str | None], places: Mapping[str, int]) -> NDArray[np.int64]:
    """Each row's person as a place, -1 for others."""
    return np.fromiter((places.get(name, -1) for name in names), dtype=np.int64, count=len(names))  # type: ignore[arg-type]
