"""Schema migrations of the registry's database, with Alembic."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.orm import Session

from auditlog.database import Database, told_apart

MIGRATIONS = Path(__file__).parent / "migrations"


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def migrate(database: Database, revision: str = "head") -> None:
    """Bring the schema to ``revision``; raises StorageFailed."""
    config = _alembic()
    config.attributes["engine"] = database.engine
    with told_apart():
        if revision == "head" and revision_of(database) == newest_revision():
            return
        if revision == "base" or revision.startswith("-"):
            command.downgrade(config, revision)
        else:
            command.upgrade(config, revision)


def revision_of(database: Database) -> str | None:
    """Which migration ran last; None for an empty database. Raises StorageFailed."""
    with database.read() as session:
        return current_revision(session)


def current_revision(session: Session) -> str | None:
    """Which migration ran last; None for an empty database."""
    return MigrationContext.configure(session.connection()).get_current_revision()


@cache
def newest_revision() -> str | None:
    """The last migration that this code knows; the files are read once."""
    return ScriptDirectory.from_config(_alembic()).get_current_head()
