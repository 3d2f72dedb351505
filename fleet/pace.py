"""How often to look for work: often while there is some, rarely while there is none."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

LASTING_S = 20.0
"""How long after the last piece of work more is expected soon: longer than a release takes."""


@dataclass
class Pace:
    """Seconds between two looks, while work comes and while it does not."""

    quick: float
    idle: float
    clock: Callable[[], float] = time.monotonic
    _until: float = field(default=0.0, init=False)

    def worked(self) -> None:
        """There was something to do."""
        self._until = self.clock() + LASTING_S

    @property
    def pause(self) -> float:
        """How long to wait until the next look."""
        return self.quick if self.clock() < self._until else self.idle
