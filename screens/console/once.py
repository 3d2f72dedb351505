"""A button that is tapped twice acts once: what came of the first tap answers the second."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_KEPT = 1_000


@dataclass
class ActedOnce:
    """What was done, by the random number of the form that asked for it; the oldest are forgotten.

    One act at a time: a second tap waits for the first. What was refused may be tried again.
    """

    _done: OrderedDict[str, str] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def act(self, once: str, do: Callable[[], str]) -> str:
        """Where to go after ``do``, which is not done again under the same ``once``."""
        with self._lock:
            if once not in self._done:
                self._done[once] = do()
                if len(self._done) > MAX_KEPT:
                    self._done.popitem(last=False)
            return self._done[once]
