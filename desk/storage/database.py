"""One database, many readers, one writer at a time: an SQLite file or PostgreSQL.

A writing transaction holds the writer's lock from its first statement, so that what it checked is
still so when it commits. What was acknowledged is on the disk (``synchronous=FULL``,
``synchronous_commit=on``).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionInTime

from crypto.documents import document_hash
from desk.storage.tables import METADATA, schema
from desk.storage.triggers import statements
from ops import metrics
from protocol.errors import Conflict, StorageFailed

_COLUMNS = sorted(
    f"{table.name}.{column.name}" for table in METADATA.sorted_tables for column in table.columns
)
SCHEMA_VERSION = int(document_hash({"columns": _COLUMNS})[:7], 16)
"""Says which tables and columns there are: with other ones it is another number."""
PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",
    "busy_timeout=10000",
    # INSERT OR REPLACE, too, then fires the triggers that keep histories append-only
    "recursive_triggers=ON",
    "wal_autocheckpoint=4000",
)
DRIVER = "postgresql+psycopg"
POSTGRESQL_OPTIONS = {
    "options": (
        "-c synchronous_commit=on -c lock_timeout=10s -c idle_in_transaction_session_timeout=15s"
    ),
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "connect_timeout": 10,
}
CONNECTIONS = 15
_WRITING = "tahini_desk_writing"
_WRITERS_LOCK = 0x6465_736B
"""Key of the advisory lock that every writing transaction takes: the word desk."""
AWAY = "the desk's database does not answer; nothing was recorded"


def _configure(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _on_connect(connection: Any, _record: Any) -> None:
            connection.isolation_level = None
            for pragma in PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Any) -> None:
        writing = connection.get_execution_options().get(_WRITING, False)
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
        elif writing:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})")


def engine_of(location: Path | str) -> Engine:
    """An SQLite file, or a ``postgresql://`` URL. Raises StorageFailed for any other URL."""
    if isinstance(location, Path):
        # readers are threads of the service: each may use any connection of the pool, one at a time
        return create_engine(
            f"sqlite:///{location}",
            hide_parameters=True,
            connect_args={"check_same_thread": False},
            pool_size=CONNECTIONS,
            max_overflow=0,
        )
    scheme, separator, rest = location.partition("://")
    if not separator or scheme not in {"postgres", "postgresql", DRIVER}:
        raise StorageFailed("a database is an SQLite file or a postgresql:// URL")
    return create_engine(
        f"{DRIVER}://{rest}",
        hide_parameters=True,
        connect_args=POSTGRESQL_OPTIONS,
        pool_size=CONNECTIONS,
        max_overflow=0,
    )


class DeskDatabase:
    """The desk's storage; raises StorageFailed wherever the database does not do its part."""

    def __init__(self, location: Path | str) -> None:
        self.engine = engine_of(location)
        _configure(self.engine)
        self._writer = threading.Lock()
        self._reading = self.engine
        if self.engine.dialect.name == "postgresql":
            self._reading = self.engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )

    def create(self) -> None:
        """Make tables and triggers in an empty database. Raises Conflict where there are some."""
        with told_apart(), self.engine.begin() as connection:
            if inspect(connection).get_table_names():
                raise Conflict("the database holds tables already; a desk is made in an empty one")
            METADATA.create_all(connection)
            for statement in statements(connection.dialect.name):
                connection.exec_driver_sql(statement)
            connection.execute(insert(schema).values(version=SCHEMA_VERSION))

    def check(self) -> None:
        """Raises StorageFailed unless the tables are of this release."""
        with self.read() as connection:
            if not inspect(connection).has_table(schema.name):
                raise StorageFailed("the database is no desk's; make one with: tahini desk init")
            version = connection.scalar(select(schema.c.version))
        if version != SCHEMA_VERSION:
            raise StorageFailed(
                f"the desk's database has other tables ({version}) than this program reads "
                f"({SCHEMA_VERSION}); no release has had desks yet, so nothing changes one into "
                "the other: make a new one with: tahini desk init"
            )

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view; nothing is written."""
        with told_apart(), self._reading.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Commit everything or nothing."""
        with (
            self._writer,
            told_apart(),
            self.engine.connect().execution_options(**{_WRITING: True}) as connection,
            connection.begin(),
        ):
            yield connection

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def told_apart() -> Iterator[None]:
    """The database's own failures become StorageFailed; a broken rule of the schema stays what it
    is. Its words, which may hold its address, are for the journal alone (the cause)."""
    try:
        yield
    except (OperationalError, InterfaceError, NoConnectionInTime) as error:
        metrics.database_failed()
        raise StorageFailed(AWAY) from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        metrics.database_failed()
        raise StorageFailed(AWAY) from error
