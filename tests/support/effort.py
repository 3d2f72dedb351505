"""How hard the random tests try. ``TAHINI_EFFORT=1`` is the whole of it; ``make test`` takes a part, to stay short."""

import os

import pytest

EFFORT = float(os.environ.get("TAHINI_EFFORT", "0.1"))


slow = pytest.mark.skipif(EFFORT < 0.3, reason="long: with TAHINI_EFFORT=0.3 or more")
"""A test of real processes that takes half a minute and looks closer at what a quicker one shows too."""


def effort(count: int, least: int = 3) -> int:
    """``count`` at full effort, fewer otherwise."""
    return max(least, round(count * EFFORT))
