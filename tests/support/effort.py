"""How hard the random tests try. ``TAHINI_EFFORT=1`` is the whole of it; ``make test`` takes a part, to stay short."""

import os

EFFORT = float(os.environ.get("TAHINI_EFFORT", "0.1"))


def effort(count: int, least: int = 3) -> int:
    """``count`` at full effort, fewer otherwise."""
    return max(least, round(count * EFFORT))
