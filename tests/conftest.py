"""Fixtures: a house with everybody enrolled, and one with a campaign under way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.house import House, build

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Borrowers enrolled and decided; no campaign yet."""
    with build(tmp_path / "house") as built:
        built.decide_first()
        yield built


@pytest.fixture
def active(house: House) -> House:
    """A campaign of two rounds, approved by every lender."""
    house.activate()
    return house
