"""A button that is tapped twice acts once: what came of the first tap answers the second."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

MAX_KEPT = 1_000


@dataclass
class ActedOnce:
    """What was done, by the random number of the form that asked for it; the oldest are forgotten.

    A second tap of the same form waits for the first, and no form waits for another: what is slow
    keeps nobody from stopping it. What was refused may be tried again.
    """

    _done: OrderedDict[str, Future[str]] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def act(self, once: str, do: Callable[[], str]) -> str:
        """Where to go after ``do``, which is not done again under the same ``once``. Raises what it
        raises, in both taps."""
        mine: Future[str] = Future()
        with self._lock:
            known = self._done.setdefault(once, mine)
            if len(self._done) > MAX_KEPT:
                self._done.popitem(last=False)
        if known is mine:
            try:
                mine.set_result(do())
            except BaseException as error:
                with self._lock:
                    self._done.pop(once, None)
                mine.set_exception(error)
        return known.result()
