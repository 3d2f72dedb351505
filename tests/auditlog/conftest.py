"""Fixtures: a campaign in which rosters were committed."""

from __future__ import annotations

import pytest
from support.house import House


@pytest.fixture
def used(active: House) -> House:
    """Two releases in which every lender has committed a roster."""
    for lender in active.borrowers:
        for release in (0, 1):
            active.open_gate(release, lender)
    return active
