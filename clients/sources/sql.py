"""Rows of a database, by SQLAlchemy: in a session that can only read, through a cursor that stays on the server."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from clients.errors import SourceError
from clients.sources.columns import CHUNK_ROWS, Wanted, numbers
from clients.sources.description import SqlDescription
from crypto.errors import KeyFileError
from crypto.keys import read_secret

READ_ONLY = {
    "postgresql": ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET TRANSACTION READ ONLY"),
    "mysql": ("SET SESSION TRANSACTION READ ONLY", "COMMIT"),
    "mariadb": ("SET SESSION TRANSACTION READ ONLY", "COMMIT"),
    "oracle": ("SET TRANSACTION READ ONLY",),
    "sqlite": ("PRAGMA query_only = ON",),
}
"""What makes a session one that cannot write. A database that is not listed is not opened."""
_MAY_WRITE = sa.text(
    "SELECT bool_or(has_table_privilege(current_user, to_regclass(:name), right_)) "
    "FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS right_"
)


def database_url(description: SqlDescription, home: Path) -> sa.URL:
    """The URL, from where the description says it is.

    Raises:
        SourceError: it is not there, others can read it, or it is not a database's URL; never what it says.
    """
    if description.url_env is not None:
        where, text = f"the environment variable {description.url_env}", os.environ.get(description.url_env, "")
    else:
        path = home / str(description.url_file)
        try:
            where, text = f"the file {path}", read_secret(path).decode(errors="replace")
        except KeyFileError as error:
            raise SourceError(str(error).replace("key file", "file")) from error
    if not text.strip():
        raise SourceError(f"{where} does not hold the database's URL")
    try:
        url = sa.make_url(text.strip())
    except (sa.exc.ArgumentError, ValueError):
        raise SourceError(f"{where} does not hold the URL of a database") from None
    if url.drivername in {"postgres", "postgresql"}:
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise SourceError(f"{where} names an SQLite file that is not there")  # opening it would make it
    if url.get_backend_name() not in READ_ONLY:
        raise SourceError(f"a {url.get_backend_name()} database cannot be opened so that nothing can be written")
    return url


@dataclass(frozen=True)
class SqlReader:
    """A table, view or query of a database."""

    url: sa.URL
    table: str | None
    query: str | None

    def columns(self) -> tuple[str, ...]:
        with self._connected() as connection:
            return tuple(connection.execute(sa.select(sa.text("*")).select_from(self._rows()).limit(0)).keys())

    def batches(self, wanted: Mapping[str, Wanted]) -> Iterator[pd.DataFrame]:
        asked = list(dict.fromkeys(one.column for one in wanted.values()))
        rows = self._rows(asked)
        statement = sa.select(*(rows.c[name] for name in asked))
        with self._connected() as connection:
            streaming = connection.execution_options(stream_results=True, yield_per=CHUNK_ROWS)
            for part in streaming.execute(statement).partitions():
                by_name = dict(zip(asked, zip(*part, strict=True), strict=True))
                yield pd.DataFrame({name: _formed(by_name[one.column], one) for name, one in wanted.items()})

    def may_write(self) -> bool:
        """Whether the database would let this role write, which it need not; known of tables in PostgreSQL."""
        if self.table is None or self.url.get_backend_name() != "postgresql":
            return False
        with self._connected() as connection:
            return bool(connection.execute(_MAY_WRITE, {"name": self.table}).scalar())

    def _rows(self, columns: Sequence[str] = ()) -> sa.FromClause:
        named: list[sa.ColumnClause[Any]] = [sa.column(name) for name in columns]
        if self.query is not None:
            query = self.query.strip().rstrip(";").replace(":", r"\:")  # a colon is no parameter here
            return sa.text(query).columns(*named).subquery("source")
        *schema, table = str(self.table).split(".")
        return sa.table(table, *named, schema=".".join(schema) or None)

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        """A connection that cannot write; raises SourceError, which quotes neither the URL nor a row."""
        try:
            engine = sa.create_engine(self.url, poolclass=NullPool, hide_parameters=True)
            with engine.connect() as connection:
                for statement in READ_ONLY[self.url.get_backend_name()]:
                    connection.execute(sa.text(statement))
                yield connection
        except sa.exc.SQLAlchemyError as error:
            raise SourceError(f"the database did not answer as it should ({type(error).__name__})") from None
        except ModuleNotFoundError as error:
            raise SourceError(f"the driver of {self.url.drivername} is not installed") from error


def _formed(values: Sequence[Any], wanted: Wanted) -> pd.Series:
    if wanted.form == "number":
        return pd.Series(numbers(values))
    if wanted.form == "flaw":
        there = np.fromiter((value is not None and value != "" for value in values), dtype=bool, count=len(values))
        return pd.Series(there & np.isnan(numbers(values)))
    if wanted.form == "text":
        return pd.Series([_text(value) for value in values], dtype=object)
    return pd.Series([None if value is None else str(value) for value in values], dtype=object)


def _text(value: object) -> str | None:
    """As DuckDB writes it, so that a table says the same wherever it lies."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)
