"""A source as its description says: rows of a file or database under the schema's names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clients.data.columns import Conversion, Reader, Told, conversions, listed, moments_of, nobody
from clients.data.description import DATA_FILE, Description, FileDescription, load_description
from clients.data.files import FileReader
from clients.data.members import STRANGER, Members
from clients.data.people import Part, Source
from clients.errors import SourceError
from credit.ahead import ahead
from credit.features import FeatureSchema
from credit.values import codes
from law.packs import objection

NAMELESS: NDArray[np.object_] = np.zeros(0, object)
NOBODYS: NDArray[np.int64] = np.zeros(0, np.int64)


def reader_of(description: Description, home: Path) -> Reader:
    """What reads the rows; nothing is opened yet. Raises SourceError where the database's URL is
    not to be had."""
    if isinstance(description, FileDescription):
        one = description
        return FileReader(home, one.path, one.kind, one.delimiter, one.encoding, one.quoting)
    from clients.data.sql import SqlReader, database_url  # with SQLAlchemy, which files do without

    return SqlReader(
        database_url(description, home), description.table, description.query, description.schema_
    )


@dataclass(frozen=True)
class MappedSource(Source):
    description: Description
    reader: Reader
    where: str = DATA_FILE

    @classmethod
    def load(cls, home: Path, file: str = DATA_FILE) -> MappedSource:
        """From ``data.toml`` in a node's home, or a file like it. Raises SourceError."""
        description = load_description(home / file)
        return cls(description, reader_of(description, home), str(home / file))

    @property
    def dated(self) -> bool:
        return self.description.latest_by is not None

    def conversions(self, schema: FeatureSchema) -> tuple[Conversion, ...]:
        """Of every column that the schema declares.

        Raises:
            SourceError: the description maps something to a column that is not there or whose name
                gives away what the schema may not use, or something that the schema does not know.
        """
        found = conversions(self.description.columns, schema)
        known = {one.name for one in found}
        if unknown := sorted(self.description.columns.keys() - known):
            raise SourceError(
                f"{self.where}: columns.{unknown[0]} is neither a feature, the outcome nor a date"
            )
        columns = {one.name: one.source.column for one in found}
        self._require(columns)
        for one in schema.features:
            column = columns[one.name]
            if why := objection(schema.jurisdictions, one.categories, column):
                raise SourceError(
                    f"{self.where}: {one.name!r} is read from a column {column!r}, which {why}"
                )
        return found

    def _require(self, asked: dict[str, str]) -> None:
        """The columns are there, by what is to be read from them."""
        there = self.reader.columns()
        for name, column in (asked | self._keys).items():
            if column not in there:
                raise SourceError(
                    f"{self.where}: {name!r} is to be read from a column {column!r}, which is not "
                    f"there; {listed(there)}"
                )

    @property
    def _keys(self) -> dict[str, str]:
        """Whose a row is, and when it is of."""
        keys = {"person": self.description.person}
        return (
            keys
            if self.description.latest_by is None
            else keys | {"latest_by": self.description.latest_by.column}
        )

    def parts(
        self,
        columns: Sequence[str],
        schema: FeatureSchema | None,
        members: Members | None = None,
        told: Told = nobody,
    ) -> Iterator[Part]:
        chosen = (
            [one for one in self.conversions(schema) if one.name in columns]
            if schema is not None
            else []
        )
        if schema is None:
            self._require({})
        asked = list(dict.fromkeys([*self._keys.values(), *(one.source.column for one in chosen)]))

        def of(whole: pd.DataFrame) -> Part:
            return self._part(whole, chosen, members)

        with closing(ahead(of, self.reader.batches(asked, told))) as found:
            yield from found

    def _part(
        self, whole: pd.DataFrame, chosen: Sequence[Conversion], members: Members | None
    ) -> Part:
        batch, names, whose = whole, NAMELESS, NOBODYS
        if members is None:
            names = codes(whole[self.description.person])
        else:  # before anything else of a row is looked at
            whose = members.places(whole[self.description.person])
            theirs = whose != STRANGER
            if not theirs.all():
                batch, whose = whole[theirs].reset_index(drop=True), whose[theirs]
        found = {one.name: one.of(batch[one.source.column]) for one in chosen}
        columns = {
            name: pd.Series(each.values, batch.index, each.values.dtype, copy=False)
            for name, each in found.items()
        }
        table = pd.DataFrame(columns, batch.index, copy=False)
        unreadable = {name: each.unreadable for name, each in found.items()}
        return Part(names, whose, self._when(batch), table, unreadable)

    def _when(self, batch: pd.DataFrame) -> NDArray[np.int64]:
        """The moments of these rows; alike where nothing is dated."""
        if self.description.latest_by is None:
            return np.zeros(len(batch), dtype=np.int64)
        return moments_of(self.description.latest_by, batch[self.description.latest_by.column])
