"""One database, two kinds of transaction: many readers, one writer at a time.

A write transaction holds the writer's lock from its first statement (``BEGIN IMMEDIATE``), so that a state change
and its log entry commit together and in one order. SQLite runs in WAL mode with ``synchronous=FULL``: what was
acknowledged is on the disk.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from consent.errors import StorageFailed

MIGRATIONS = Path(__file__).parent / "migrations"
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON", "busy_timeout=10000")
_WRITING = "tahini_writing"


def _configure(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
            "busy_timeout=10000",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Any) -> None:
        writing = connection.get_execution_options().get(_WRITING, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


class Database:
    """The registry's storage over SQLite."""

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self._engine = create_engine(self.url, hide_parameters=True)
        _configure(self._engine)
        self._writer = threading.Lock()

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema to ``revision``."""
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["engine"] = self._engine
        if revision == "base" or revision.startswith("-"):
            command.downgrade(config, revision)
        else:
            command.upgrade(config, revision)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent view; nothing is written."""
        with Session(self._engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Commit everything or nothing.

        Raises:
            StorageFailed: the database refused (disk full, locked, gone); nothing was written.
        """
        with self._writer, self._engine.connect().execution_options(**{_WRITING: True}) as connection:
            try:
                with connection.begin(), Session(connection) as session:
                    yield session
                    session.flush()
            except OperationalError as error:
                reason = str(error.orig).splitlines()[0]
                raise StorageFailed(
                    f"the registry's database did not accept the write ({reason}); nothing was recorded"
                ) from error

    def truncate_journal(self) -> None:
        """Fold the write-ahead log into the database, so that what was deleted is nowhere in the files."""
        with self._writer, self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        self._engine.dispose()
