"""Fixtures: a house with everybody enrolled, one with a campaign under way, and a database of each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import alembic.command
import pytest
from alembic.config import Config
from hypothesis import HealthCheck, settings
from support.house import Ground, House

from auditlog.database import Database
from benchmarks.postgresql import postgresql_server
from consent.storage.migrating import migrate

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


LONGEST = (
    "test_demo",
    "test_workers",
    "test_crashes",
    "test_lease",
    "test_damage",
    "test_registry_faults",
    "test_gate",
    "test_operation",
    "test_fuzz",
    "test_tokens",
    "test_decisions",
    "test_api",
    "test_security",
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
            path = Path(engine.url.database)
            empty = not (path.exists() and path.stat().st_size)
        if empty:
            engine.dispose()
            path.touch()
            path.write_bytes(template.read_bytes())
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


@pytest.fixture
def active(house: House) -> House:
    """A campaign of two rounds, approved by every lender."""
    house.activate()
    return house


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """URLs of fresh databases on a PostgreSQL server of this test session's own."""
    with postgresql_server(tmp_path_factory.mktemp("postgresql")) as server:
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
