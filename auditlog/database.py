"""One database, two kinds of transaction: many readers, one writer at a time. SQLite or PostgreSQL.

A write transaction holds the writer's lock from its first statement (``BEGIN IMMEDIATE``, or an
advisory lock in PostgreSQL), so that a state change and its log entries commit together and in one
order. SQLite runs in WAL mode with ``synchronous=FULL``, PostgreSQL with ``synchronous_commit=on``:
what was acknowledged is on the disk.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DatabaseError, DataError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionInTime
from sqlalchemy.orm import Session

from ops import metrics
from protocol.errors import Malformed, StorageFailed

PRAGMAS = (
    "page_size=16384",  # entries come by the thousand; counts for a new file only
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",
    "busy_timeout=10000",
    # INSERT OR REPLACE, too, then fires the triggers that keep histories append-only
    "recursive_triggers=ON",
    "wal_autocheckpoint=4000",
)
POSTGRESQL = "postgresql+psycopg"
POSTGRESQL_OPTIONS = {
    "options": (
        "-c synchronous_commit=on -c lock_timeout=10s -c idle_in_transaction_session_timeout=15s"
    ),
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
    "connect_timeout": 10,
}
"""Acknowledged means on the disk. Who is gone, at either end of the connection, is noticed within
half a minute: keepalives say so of a connection that rests, the user timeout (RFC 5482) of one that
waits for what it sent to be acknowledged."""
MAX_CONNECTIONS = 15
"""Kept open by one process. A connection that is opened for one request costs PostgreSQL a process,
and the request milliseconds."""
_WRITING = "tahini_writing"
FEW = 200
"""Up to so many rows a statement for each is quicker than a temporary table."""
_WRITERS_LOCK = 0x7461_6869_6E69
"""Key of the advisory lock that every writing transaction takes: the word tahini."""


def _configure(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _on_connect(connection: Any, _record: Any) -> None:
            connection.isolation_level = None
            try:
                for pragma in PRAGMAS:
                    connection.execute(f"PRAGMA {pragma}")
            except UnicodeDecodeError as error:  # SQLite quotes what it found in a damaged file
                raise sqlite3.DatabaseError("the database file is damaged") from error

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Any) -> None:
        options = connection.get_execution_options()
        writing = options.get(_WRITING, False)
        if options.get("isolation_level") == "AUTOCOMMIT":
            return
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
        elif writing:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})")


def database_url(location: Path | str) -> str:
    """The SQLAlchemy URL of an SQLite file, or of a PostgreSQL database given as
    ``postgresql://…``.

    Raises:
        StorageFailed: a URL of any other kind.
    """
    if isinstance(location, Path):
        return f"sqlite:///{location}"
    scheme, separator, rest = location.partition("://")
    if not separator or scheme not in {"postgres", "postgresql", POSTGRESQL}:
        raise StorageFailed("a database is an SQLite file or a postgresql:// URL")
    return f"{POSTGRESQL}://{rest}"


class Database:
    """The registry's storage.

    Args:
        location: path of an SQLite file, or a ``postgresql://`` URL.
    """

    def __init__(self, location: Path | str) -> None:
        url = database_url(location)
        options: dict[str, Any] = {}
        if url.startswith(POSTGRESQL):
            options = {
                "connect_args": POSTGRESQL_OPTIONS,
                "pool_size": MAX_CONNECTIONS,
                "max_overflow": 0,
            }
        self.engine = create_engine(url, hide_parameters=True, **options)
        _configure(self.engine)
        self._writer = threading.Lock()
        self._reading = self.engine
        if self.dialect == "postgresql":
            self._reading = self.engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self.engine.dialect.name

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent view; nothing is written. Raises StorageFailed."""
        with told_apart(), Session(self._reading, expire_on_commit=False) as session:
            yield session
            session.commit()  # psycopg forgets a connection's prepared statements at a rollback

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Commit everything or nothing.

        Raises:
            StorageFailed: the database refused (disk full, locked, gone); nothing was written.
        """
        with (
            self._writer,
            told_apart(),
            self.engine.connect().execution_options(**{_WRITING: True}) as connection,
            connection.begin(),
            Session(connection) as session,
        ):
            yield session
            session.flush()

    @contextmanager
    def aside(self) -> Iterator[Connection]:
        """A connection on which each statement commits by itself, beside the writers: it waits for
        none of them.

        Only for what is no part of the registry's history and stands alone. Raises StorageFailed.
        """
        with (
            told_apart(),
            self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        ):
            yield connection

    def truncate_journal(self) -> None:
        """Fold SQLite's write-ahead log into the database, so that what was deleted is nowhere in
        the files."""
        if self.dialect != "sqlite":
            return
        with (
            self._writer,
            self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        ):
            # a long reader must not hold up every writer
            connection.exec_driver_sql("PRAGMA busy_timeout = 200")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql("PRAGMA busy_timeout = 10000")

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def told_apart() -> Iterator[None]:
    """The database's own failures become StorageFailed; a broken rule of the schema stays what it
    is."""
    try:
        yield
    except DataError as error:
        raise Malformed("the request holds a value that the database cannot hold") from error
    except (OperationalError, InterfaceError) as error:
        raise failed(error.orig or error) from error
    except NoConnectionInTime as error:
        raise failed(error) from error
    except (InternalError, DatabaseError) as error:
        ours = "append-only" in str(error.orig) or type(error) not in {InternalError, DatabaseError}
        if ours:
            raise
        raise failed(error.orig or error) from error


AWAY = "the registry's database does not answer; nothing was recorded"
"""What callers are told instead of the database's own words, which hold its address."""


def failed(error: BaseException) -> StorageFailed:
    """The database's own words, for the journal: a StorageFailed with a cause."""
    metrics.database_failed()
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return StorageFailed(
        f"the registry's database did not answer as it should ({reason}); nothing was recorded"
    )


def upsert(
    session: Session,
    table: Any,
    key: Sequence[str],
    change: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
) -> None:
    """Insert ``rows`` into a mapped class or table.

    Where a row with the same ``key`` columns exists, set its ``change`` columns, or leave it alone
    if there are none.
    """
    make = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement: Any = make(table)
    if change:
        statement = statement.on_conflict_do_update(
            index_elements=list(key), set_={name: statement.excluded[name] for name in change}
        )
    else:
        statement = statement.on_conflict_do_nothing(index_elements=list(key))
    session.execute(statement, [dict(row) for row in rows])


def among(column: str, ids: Sequence[int]) -> str:
    """A condition on a column of numbers, without a parameter for each."""
    listed = ", ".join(str(int(one)) for one in ids)
    return f"{column} IN ({listed})"


def bulk_insert(
    session: Session, table: str, columns: Mapping[str, str], rows: Iterable[tuple[Any, ...]]
) -> None:
    """Insert many rows in the driver's fastest way: COPY in PostgreSQL, one prepared statement in
    SQLite.

    Args:
        table: a table's name. columns: each column's name and PostgreSQL type. Both are the
            caller's constants. Values of type timestamp have a time zone; they are stored as UTC.
    """
    rows = list(rows)
    if not rows:
        return
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        _copy(connection, table, columns, rows)
    else:
        connection.exec_driver_sql(_insertion(table, columns, "?"), _plain(columns, rows))


def bulk_upsert(
    session: Session,
    table: str,
    columns: Mapping[str, str],
    key: Sequence[str],
    change: Sequence[str],
    rows: Iterable[tuple[Any, ...]],
) -> None:
    """As :func:`bulk_insert`; where a row with the same ``key`` columns exists, set its ``change``
    columns.

    PostgreSQL takes many rows into a temporary table of the connection's own, and from there in one
    statement.
    """
    rows = list(rows)
    if not rows:
        return
    connection = session.connection()
    changes = ", ".join(f"{name} = excluded.{name}" for name in change)
    conflict = f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"
    if connection.dialect.name != "postgresql":
        connection.exec_driver_sql(
            f"{_insertion(table, columns, '?')} {conflict}", _plain(columns, rows)
        )
        return
    if len(rows) <= FEW:
        times = _times(columns)
        plain = [tuple(_without_zone(row, times)) for row in rows]
        connection.exec_driver_sql(f"{_insertion(table, columns, '%s')} {conflict}", plain)
        return
    names = ", ".join(columns)
    waiting = f"waiting_{table}"
    fields = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {waiting} ({fields}) ON COMMIT DELETE ROWS"
    )
    _copy(connection, waiting, columns, rows)
    connection.exec_driver_sql(
        f"INSERT INTO {table} ({names}) SELECT {names} FROM {waiting} {conflict}"  # noqa: S608
    )
    connection.exec_driver_sql(f"DELETE FROM {waiting}")  # noqa: S608 - the transaction may need it again


def utc(value: datetime | str | None) -> datetime | None:
    """A time as the driver reads it, when SQLAlchemy's types are not in between."""
    if value is None:
        return None
    return (value if isinstance(value, datetime) else datetime.fromisoformat(value)).replace(
        tzinfo=UTC
    )


def _insertion(table: str, columns: Mapping[str, str], mark: str) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))})"  # noqa: S608


def _times(columns: Mapping[str, str]) -> list[int]:
    """Places of the times among the columns."""
    return [at for at, kind in enumerate(columns.values()) if kind == "timestamp"]


def _copy(
    connection: Any, table: str, columns: Mapping[str, str], rows: Iterable[tuple[Any, ...]]
) -> None:
    # in COPY's binary form a time of a zone is the same eight bytes as that time in UTC without one
    kinds = ["timestamptz" if kind == "timestamp" else kind for kind in columns.values()]
    try:
        with (
            connection.connection.cursor() as cursor,
            cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)") as copy,
        ):
            copy.set_types(kinds)
            for row in rows:
                copy.write_row(row)
    except (
        psycopg.Error
    ) as error:  # COPY is the driver's own: SQLAlchemy does not see what it raises
        raise failed(error) from error


def _plain(columns: Mapping[str, str], rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    times = _times(columns)
    return [_as_text(row, times) for row in rows] if times else list(rows)


def _without_zone(row: tuple[Any, ...], times: Sequence[int]) -> list[Any]:
    """PostgreSQL's timestamp without time zone: ours are UTC."""
    found = list(row)
    for at in times:
        value = found[at]
        if value is not None:
            found[at] = (
                value.replace(tzinfo=None)
                if value.tzinfo is UTC
                else value.astimezone(UTC).replace(tzinfo=None)
            )
    return found


def _as_text(row: tuple[Any, ...], times: Sequence[int]) -> tuple[Any, ...]:
    """Times as SQLAlchemy writes them into SQLite."""
    return tuple(
        value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        if at in times and value is not None
        else value
        for at, value in enumerate(row)
    )
