"""A desk over each kind of database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.counter import Counter, counter


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Counter]:
    with counter(tmp_path / "desk.db") as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Counter]:
    """For what the database has a part in."""
    location: Path | str = tmp_path / "desk.db"
    if request.param == "postgresql":
        location = request.getfixturevalue("postgresql")(empty=True)
    with counter(location) as found:
        yield found
