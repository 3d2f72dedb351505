"""A desk over each kind of database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.counter import Counter, counter
from support.house import Ground
from support.lending_house import LendingHouse, lending_house

from desk.standing import ModelStanding


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


@pytest.fixture
def asked_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A desk asks whether its models were recalled when a test has it ask, and not beside it."""
    monkeypatch.setattr(ModelStanding, "start", lambda self: None)


@pytest.fixture
def lender(after_release: Ground, tmp_path: Path, asked_by_hand: None) -> Iterator[LendingHouse]:
    """A lender whose desk is in a house, with the usual campaign's model."""
    with lending_house(after_release, tmp_path) as opened:
        yield opened
