"""Rows of a database, by SQLAlchemy: in a session that can only read, through a cursor that stays
on the server."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.pool import NullPool
from sqlalchemy.sql import quoted_name

from clients.data.columns import CHUNK_ROWS, Told, nobody
from clients.data.description import SqlDescription
from clients.errors import SourceError
from crypto.errors import KeyFileError
from crypto.keys import read_secret

READ_ONLY = {
    "postgresql": (
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SET TRANSACTION READ ONLY",
    ),
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
        SourceError: it is not there, others can read it, or it is not a database's URL; never what
            it says.
    """
    if description.url_env is not None:
        where = f"the environment variable {description.url_env}"
        text = os.environ.get(description.url_env, "")
    else:
        path = home / str(description.url_file)
        try:
            where = f"the file {path}"
            text = read_secret(path).decode(errors="replace")
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
        # opening it would make it
        raise SourceError(f"{where} names an SQLite file that is not there")
    if url.get_backend_name() not in READ_ONLY:
        raise SourceError(
            f"a {url.get_backend_name()} database cannot be opened so that nothing can be written"
        )
    return url


@dataclass(frozen=True)
class SqlReader:
    """A table, view or query of a database."""

    url: sa.URL
    table: str | None
    query: str | None
    schema: str | None = None

    def columns(self) -> tuple[str, ...]:
        with self._connected() as connection:
            if self.query is not None:
                return self._names(self._executed(connection, ()))
            return self._names(
                connection.execute(
                    sa.select(sa.text("*")).select_from(self._named(connection)).limit(0)
                )
            )

    def batches(self, columns: Sequence[str], told: Told = nobody) -> Iterator[pd.DataFrame]:
        wanted = list(dict.fromkeys(columns))
        with self._connected() as connection:
            result = self._executed(connection, wanted)
            there = self._names(result)
            places = [there.index(name) for name in wanted]
            for part in result.partitions(CHUNK_ROWS):
                yield pd.DataFrame(
                    {
                        name: pd.Series(
                            np.fromiter((row[place] for row in part), dtype=object, count=len(part))
                        )
                        for name, place in zip(wanted, places, strict=True)
                    }
                )

    def may_write(self) -> bool:
        """Whether the database would let this role write, which it need not; known of tables in
        PostgreSQL."""
        if self.table is None or self.url.get_backend_name() != "postgresql":
            return False
        with self._connected() as connection:
            table = self._named(connection)
            name = connection.dialect.identifier_preparer.format_table(table)
            return bool(connection.execute(_MAY_WRITE, {"name": name}).scalar())

    def made_by(self) -> str:
        """What the database computes the rows by: "query", "view", or nothing for a plain table."""
        if self.query is not None:
            return "query"
        with self._connected() as connection:
            table = self._named(connection)
            views = sa.inspect(connection).get_view_names(table.schema)
            return "view" if table.name in views else ""

    def _executed(self, connection: sa.Connection, columns: Sequence[str]) -> sa.CursorResult[Any]:
        """All rows, through a cursor that stays on the server. A query is sent as it was written,
        and nothing else."""
        streaming = connection.execution_options(stream_results=True, yield_per=CHUNK_ROWS)
        if self.query is not None:
            query = self.query.strip().rstrip(";")
            return streaming.exec_driver_sql(query, execution_options={"no_parameters": True})
        asked: list[sa.ColumnClause[Any]] = [
            sa.column(quoted_name(name, quote=True)) for name in columns
        ]
        return streaming.execute(sa.select(*asked).select_from(self._named(connection)))

    def _named(self, connection: sa.Connection) -> sa.TableClause:
        """The table. A name with a dot is a table's if there is such a table, else a schema's and a
        table's."""
        schema = self.schema
        table = str(self.table)
        if schema is None and "." in table:
            looking = sa.inspect(connection)
            if table not in {*looking.get_table_names(), *looking.get_view_names()}:
                schema, _, table = table.partition(".")
        where = None if schema is None else quoted_name(schema, quote=True)
        return sa.table(quoted_name(table, quote=True), schema=where)

    def _names(self, result: sa.CursorResult[Any]) -> tuple[str, ...]:
        names = tuple(str(name) for name in result.keys())  # noqa: SIM118  of a result, not of a mapping
        if twice := [name for place, name in enumerate(names) if name in names[:place]]:
            raise SourceError(f"two columns of what the database answers are named {twice[0]!r}")
        return names

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        """A connection that cannot write; raises SourceError, which quotes neither the URL nor a
        row."""
        backend = self.url.get_backend_name()
        try:
            engine = sa.create_engine(self.url, poolclass=NullPool, hide_parameters=True)
            with engine.connect() as connection:
                _read_far_values(connection)
                for statement in READ_ONLY[backend]:
                    connection.execute(sa.text(statement))
                yield connection
        except sa.exc.SQLAlchemyError as error:
            raise SourceError(
                f"the database did not answer as it should: {_about_names(error)}"
            ) from None
        except ModuleNotFoundError as error:
            raise SourceError(f"the driver of {self.url.drivername} is not installed") from error


def _read_far_values(connection: sa.Connection) -> None:
    """Have the driver give text for what it cannot always read: a row with such a value would end
    everybody's answer.

    PostgreSQL has dates that Python has not (``infinity``, the year 10000, before Christ); SQLite
    keeps text that may not be UTF-8.
    """
    driver = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        driver.text_factory = lambda text: text.decode("utf-8", errors="replace")  # type: ignore[union-attr]
    if connection.dialect.name == "postgresql":
        from psycopg.adapt import Loader

        class AsText(Loader):
            def load(self, data: Any) -> str:
                return bytes(data).decode("utf-8", errors="replace")

        for name in (
            "date",
            "time",
            "timetz",
            "timestamp",
            "timestamptz",
            "interval",
            "json",
            "jsonb",
        ):
            driver.adapters.register_loader(name, AsText)  # type: ignore[union-attr]
        connection.execute(sa.text("SET TimeZone = 'UTC'"))
        connection.execute(sa.text("SET DateStyle = 'ISO'"))


_NAMES = re.compile(r"no such (?:column|table): .*|near .*: syntax error", re.DOTALL)
"""What SQLite says of a statement before it looks at a row."""


def _about_names(error: sa.exc.SQLAlchemyError) -> str:
    """What the database said, if that is about the statement (a name, the syntax); else only the
    kind of error.

    In PostgreSQL that is class 42 of SQLSTATE, in MySQL the errors 1054, 1064 and 1146; no value of
    a row is in those.
    """
    said = getattr(error, "orig", None)
    state = str(getattr(said, "sqlstate", None) or "")
    first = said.args[0] if said is not None and said.args else None
    if state.startswith("42") or first in {1054, 1064, 1146} or _NAMES.fullmatch(str(said)):
        return " ".join(str(said).split("\n")[0].split())
    return f"{type(error).__name__}"
