"""A source as its description says: rows of a file or database under the registry's names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clients.errors import SourceError
from clients.sources.columns import Conversion, Reader, Wanted, conversions, dates
from clients.sources.description import DATA_FILE, Description, FileDescription, load_description
from clients.sources.files import FileReader
from clients.sources.people import UNDATED, Part, Source
from clients.sources.sql import SqlReader, database_url
from credit.features import FeatureRegistry

PERSON, WHEN = "person", "when"


def reader_of(description: Description, home: Path) -> Reader:
    """What reads the rows; nothing is opened yet. Raises SourceError where the database's URL is not to be had."""
    if isinstance(description, FileDescription):
        return FileReader(home / description.path, description.kind, description.delimiter)
    return SqlReader(database_url(description, home), description.table, description.query)


@dataclass(frozen=True)
class MappedSource(Source):
    description: Description
    reader: Reader
    where: str = DATA_FILE

    @classmethod
    def load(cls, home: Path) -> MappedSource:
        """From ``data.toml`` in a node's home. Raises SourceError."""
        description = load_description(home / DATA_FILE)
        return cls(description, reader_of(description, home), str(home / DATA_FILE))

    @property
    def dated(self) -> bool:
        return self.description.latest_by is not None

    def keys(self) -> dict[str, Wanted]:
        """Whose a row is, and when it is of."""
        wanted = {PERSON: Wanted(self.description.person, "text")}
        if self.description.latest_by is not None:
            wanted[WHEN] = Wanted(self.description.latest_by, "date")
        return wanted

    def conversions(self, registry: FeatureRegistry) -> tuple[Conversion, ...]:
        """Of every column that the registry declares.

        Raises:
            SourceError: the description maps something to a column that is not there, or something that the registry
                does not know.
        """
        found = conversions(self.description.columns, registry)
        known, there = {one.name for one in found}, self.reader.columns()
        if unknown := sorted(self.description.columns.keys() - known):
            raise SourceError(f"{self.where}: columns.{unknown[0]} is neither a feature, the outcome nor a date")
        asked = {one.name: one.wanted.column for one in found} | {k: w.column for k, w in self.keys().items()}
        for name, column in asked.items():
            if column not in there:
                raise SourceError(
                    f"{self.where}: {name!r} is to be read from a column {column!r}, which is not there; "
                    f"the columns are {', '.join(there)}"
                )
        return found

    def parts(self, columns: Sequence[str], registry: FeatureRegistry | None, flaws: bool = False) -> Iterator[Part]:
        chosen = [one for one in self.conversions(registry) if one.name in columns] if registry is not None else []
        wanted = self.keys() | {_key(place): one.wanted for place, one in enumerate(chosen)}
        if flaws:
            read = ((place, one.wanted) for place, one in enumerate(chosen) if one.wanted.form == "number")
            wanted |= {_flaw(place): Wanted(asked.column, "flaw") for place, asked in read}
        if registry is None and (absent := {one.column for one in wanted.values()} - set(self.reader.columns())):
            raise SourceError(f"{self.where}: there is no column {min(absent)!r}")
        for batch in self.reader.batches(wanted):
            table = pd.DataFrame({one.name: one.of(batch[_key(place)]) for place, one in enumerate(chosen)})
            names = [name if isinstance(name, str) else None for name in batch[PERSON].to_numpy(dtype=object)]
            unreadable = {
                one.name: one.unreadable(batch[_key(place)], batch.get(_flaw(place)), table[one.name])
                for place, one in enumerate(chosen if flaws else ())
            }
            yield Part(names, self.when(batch), table, unreadable)

    def when(self, batch: pd.DataFrame) -> NDArray[np.int64]:
        """The moments of these rows, in microseconds; alike where nothing is dated."""
        if WHEN not in batch:
            return np.zeros(len(batch), dtype=np.int64)
        found = dates(batch[WHEN])
        moments = found.to_numpy(dtype="datetime64[us]").astype(np.int64)
        return np.where(found.isna().to_numpy(), UNDATED, moments)


def _key(place: int) -> str:
    """Under which a reader is asked for a column; a feature may be called what it likes."""
    return f"c{place}"


def _flaw(place: int) -> str:
    return f"flaw{place}"
