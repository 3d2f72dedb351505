"""Sources of the lender's own: a table or view in a session that cannot write, or a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.dataset as ds
import sqlalchemy as sa

from clients.data.files import FileReader
from clients.data.sql import READ_ONLY
from desk.errors import SourceFailed
from desk.sources import AT_ONCE, About, Inquiry, Reading

T = TypeVar("T")
_Row = Mapping[str, Any] | sa.RowMapping
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,14})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True)
class SqlSource:
    """One row of a table or view of the lender's own, read in a session that cannot write.

    ``columns`` says in which column each feature stands; ``key`` holds pseudonyms.
    """

    about: About
    url: sa.URL = field(repr=False)
    table: str
    key: str
    columns: Mapping[str, str]
    observed_on: str | None = None
    booleans: Collection[str] = ()
    """Features that are true or false, which a database without truth values holds as 1 and 0."""

    @cached_property
    def _engine(self) -> sa.Engine:
        engine = sa.create_engine(
            self.url,
            hide_parameters=True,
            pool_size=AT_ONCE,
            isolation_level="AUTOCOMMIT",  # one statement is its own transaction
            pool_reset_on_return=None,
        )
        statements = READ_ONLY.get(engine.dialect.name)
        if statements is None:
            raise SourceFailed(
                f"source {self.about.name!r}: a {engine.dialect.name} database cannot be opened so "
                "that nothing can be written"
            )

        @sa.event.listens_for(engine, "connect")
        def _only_read(connection: Any, _record: Any) -> None:
            cursor = connection.cursor()
            for statement in statements[:1]:
                cursor.execute(statement)
            cursor.close()

        return engine

    @cached_property
    def _statement(self) -> sa.Select[Any]:
        names = [self.key, *self.columns.values(), *filter(None, (self.observed_on,))]
        columns: dict[str, sa.ColumnClause[Any]] = {name: sa.column(name) for name in names}
        table = sa.table(self.table, *columns.values())
        among = columns[self.key].in_(sa.bindparam("keys", expanding=True))
        return sa.select(*columns.values()).select_from(table).where(among)

    def ask(self, inquiry: Inquiry) -> Mapping[str, Reading]:
        with self._engine.connect() as connection:
            rows = connection.execute(self._statement, {"keys": [inquiry.pseudonym]}).fetchmany(2)
        return self._read([row._mapping for row in rows])

    def ask_together(
        self, inquiries: Sequence[Inquiry]
    ) -> dict[str, Mapping[str, Reading] | Exception]:
        rows: dict[str, list[_Row]] = {one.pseudonym: [] for one in inquiries}
        with self._engine.connect() as connection:
            found = connection.execute(self._statement, {"keys": sorted(rows)}).all()
        try:
            for row in found:
                rows[row._mapping[self.key]].append(row._mapping)
        except KeyError:  # to this database, other texts are the same: whose row it is, it must say
            return {one.application: _told(self.ask, one) for one in inquiries}
        return {one.application: _told(self._read, rows[one.pseudonym]) for one in inquiries}

    def _read(self, rows: Sequence[_Row]) -> dict[str, Reading]:
        found = _of_row(self, rows)
        for name in self.booleans:
            if name in found and found[name].value in (0, 1):
                found[name] = replace(found[name], value=bool(found[name].value))
        return found


def _told(
    read: Callable[[T], Mapping[str, Reading]], about: T
) -> Mapping[str, Reading] | Exception:
    try:
        return read(about)
    except Exception as error:  # one row is as nothing can read it; the others are not to blame
        return error


@dataclass(frozen=True)
class FileSource:
    """One row of a CSV or Parquet file of the lender's own; read again for each inquiry, so for
    small files, tries and demonstrations."""

    about: About
    path: Path
    key: str
    columns: Mapping[str, str]
    observed_on: str | None = None
    delimiter: str = ","
    encoding: str = "utf-8"

    def ask(self, inquiry: Inquiry) -> Mapping[str, Reading]:
        names = list(
            dict.fromkeys([self.key, *self.columns.values(), *filter(None, (self.observed_on,))])
        )
        if self.path.suffix == ".csv":
            return _of_row(self, list(self._rows(names, inquiry.pseudonym)))
        found = ds.dataset(self.path, format="parquet").to_table(
            columns=names, filter=ds.field(self.key) == inquiry.pseudonym
        )
        return _of_row(self, found.slice(0, 2).to_pylist())

    def _rows(self, names: Sequence[str], person: str) -> Iterator[_Row]:
        """Of a CSV file: a line that is no row is nobody's, and no value depends on another's."""
        reader = FileReader(self.path.parent, self.path.name, "csv", self.delimiter, self.encoding)
        if missing := sorted(set(names) - set(reader.columns())):
            raise SourceFailed(f"source {self.about.name!r}: there is no column {missing[0]!r}")
        for batch in reader.batches(names):
            for row in batch[batch[self.key] == person].to_dict("records"):
                yield {str(name): _typed(str(text)) for name, text in row.items()}


def _typed(text: str) -> Any:
    """What one text of a file says, whatever stands beside it: a number where it is written as one,
    so not ``01`` or ``+1``; a day, a truth value; nothing where it is empty; else the text."""
    if _WHOLE.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    if _DAY.fullmatch(text):
        with suppress(ValueError):
            return date.fromisoformat(text)
    return _TRUTH.get(text.lower(), text) if text else None


def _of_row(source: SqlSource | FileSource, rows: Sequence[_Row]) -> dict[str, Reading]:
    """Raises SourceFailed where the person has several rows: which one is meant is not ours to
    say."""
    if len(rows) > 1:
        raise SourceFailed(f"source {source.about.name!r} holds several rows of one person")
    if not rows:
        return {}
    (row,) = rows
    day = row[source.observed_on] if source.observed_on else None
    if isinstance(day, datetime):
        day = day.date()
    elif isinstance(day, str):  # SQLite has no dates
        day = date.fromisoformat(day)
    return {
        feature: Reading(_number(row[column]), day)
        for feature, column in source.columns.items()
        if row[column] is not None
    }


def _number(value: Any) -> Any:
    """Exact numbers, as databases have them, as the numbers that policies and models read."""
    if not isinstance(value, Decimal):
        return value
    return int(value) if value == value.to_integral_value() else float(value)
