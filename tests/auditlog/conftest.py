"""Fixtures: a campaign in which rosters were committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.house import Ground, House


def use(house: House) -> None:
    house.activate()
    for lender in house.borrowers:
        for release in (0, 1):
            house.open_gate(release, lender)


@pytest.fixture
def used(ground_after: Callable[..., Ground], tmp_path: Path) -> Iterator[House]:
    """Two releases in which every lender has committed a roster."""
    with ground_after(use).copy(tmp_path / "house").opened() as opened:
        yield opened
