"""How hard the random tests try. ``TAHINI_EFFORT=1`` is the whole of it; ``make test`` takes a part, to stay short."""

import os
from collections.abc import Sequence
from typing import TypeVar

import pytest

Case = TypeVar("Case")
EFFORT = float(os.environ.get("TAHINI_EFFORT", "0.1"))


slow = pytest.mark.skipif(EFFORT < 0.3, reason="long: with TAHINI_EFFORT=0.3 or more")
"""A test of real processes that takes half a minute and looks closer at what a quicker one shows too."""


def part_of(cases: Sequence[Case], share: float = 0.3) -> list[Case]:
    """All cases at full effort; a share of them otherwise, spread over the list, the first and the last among them."""
    if share <= EFFORT:
        return list(cases)
    step = round(1 / share)
    return [case for at, case in enumerate(cases) if at % step == 0 or case is cases[-1]]


def effort(count: int, least: int = 3) -> int:
    """``count`` at full effort, fewer otherwise."""
    return max(least, round(count * EFFORT))
