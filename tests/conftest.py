"""Fixtures: a house with everybody enrolled, one with a campaign under way, and a database of each kind."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import alembic.command
import pytest
from alembic.config import Config
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from hypothesis import HealthCheck, settings
from sqlalchemy import text
from support.effort import effort
from support.house import Ground, House
from support.waiting import PATIENCE_S

from auditlog.database import Database
from benchmarks.postgresql import postgresql_server
from consent.storage.migrating import migrate
from protocol.schema import now

settings.register_profile(
    "house", max_examples=effort(100, 50), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")

for part in (
    "connect",
    "read",
    "write",
    "pool",
):  # where a test names none: five seconds are not long on a busy machine
    setattr(DEFAULT_TIMEOUT_CONFIG, part, PATIENCE_S)


YOUNG = timedelta(minutes=10)
"""Until then a house at rest is as good as new."""
LONGEST = (
    "test_demo",
    "test_run",
    "test_workers",
    "test_writer",
    "test_gate",
    "test_campaign_commands",
    "test_learning",
    "test_commands",
    "test_crashes",
    "test_registry_faults",
    "test_lease",
    "test_damage",
    "test_bad_rows",
    "test_standing",
    "test_tasks",
    "test_load",
    "test_security",
    "test_operation",
    "test_killing",
    "test_openapi",
    "test_end_to_end",
    "test_attack_through_sources",
)
"""Files that go first, so that processes that share the tests end together."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="session", autouse=True)
def _migrated_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An SQLite database that is still empty becomes a copy of a migrated one, which is quicker than to migrate each.

    What the migrations do is tested in ``test_migrations.py``, step by step.
    """
    template, upgrade = tmp_path_factory.mktemp("migrated") / "migrated.db", alembic.command.upgrade
    database = Database(template)
    migrate(database)
    database.close()

    def copied(config: Config, revision: str) -> None:
        engine = config.attributes.get("engine")  # ours; Flower migrates databases of its own
        empty = False
        if engine is not None and engine.dialect.name == "sqlite" and revision == "head":
            with engine.connect() as connection:  # the file has a header as soon as somebody has looked into it
                empty = not connection.scalar(text("SELECT count(*) FROM sqlite_master"))
        if empty:
            with closing(sqlite3.connect(template)) as whole, closing(sqlite3.connect(engine.url.database)) as copy:
                whole.backup(copy)
        else:
            upgrade(config, revision)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alembic.command, "upgrade", copied)
        yield


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """A house at rest, of which every test gets a copy: to found one anew takes seconds."""
    return Ground.decided(tmp_path_factory.mktemp("ground") / "house")


@pytest.fixture
def house(ground: Ground, tmp_path: Path) -> Iterator[House]:
    """Borrowers enrolled and decided; no campaign yet."""
    with ground.copy(tmp_path / "house").opened() as opened:
        yield opened


@pytest.fixture
def listening(ground: Ground, tmp_path: Path) -> Iterator[House]:
    """As ``house``, with the registry at a real socket, for tests that are about sockets and other processes."""
    with ground.copy(tmp_path / "house").opened(http=True) as opened:
        yield opened


@pytest.fixture(scope="session")
def ground_after(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ground]:
    """The house at rest after something happened in it; anew once it is old, because campaigns expire in an hour."""
    made: dict[Callable[[House], object], tuple[datetime, Ground]] = {}

    def after(happens: Callable[[House], object]) -> Ground:
        if happens not in made or now() - made[happens][0] > YOUNG:
            found = ground.after(tmp_path_factory.mktemp("after") / "house", happens)
            made[happens] = now(), found
        return made[happens][1]

    return after


@pytest.fixture(scope="session")
def after_release(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """The usual campaign has ended and released its model; to run it takes seconds."""
    return ground.released(tmp_path_factory.mktemp("released") / "house")


@pytest.fixture
def active(ground_after: Callable[..., Ground], tmp_path: Path) -> Iterator[House]:
    """A campaign of two rounds, approved by every lender."""
    with ground_after(House.activate).copy(tmp_path / "house").opened() as opened:
        yield opened


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Callable[[], str]]:
    """URLs of fresh databases on a PostgreSQL server of this test session's own."""
    with postgresql_server() as server:
        yield server.fresh


@pytest.fixture(params=["sqlite", "postgresql"])
def make_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Database]]:
    """Fresh, migrated databases of one kind; the test runs once for each kind."""
    made: list[Database] = []

    def make() -> Database:
        location: Path | str = tmp_path_factory.mktemp("log") / "log.db"
        if request.param == "postgresql":
            location = request.getfixturevalue("postgresql")()
        made.append(Database(location))
        migrate(made[-1])
        return made[-1]

    yield make
    for database in made:
        database.close()
