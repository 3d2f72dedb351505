"""What several sources tell of several people, each by its own deadline: whoever is answered by all
of theirs waits for nobody else's.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

MOMENT_S = 0.02
"""So long whoever asks waits itself, as long as a table of the lender's own takes to answer: then
those who were asked about together go on together."""
Told = TypeVar("Told")


class Alarms:
    """One thread that does what is due: at most once each, and nothing for long."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def at(self, moment: float, act: Callable[[], object]) -> None:
        """Do it at this moment of ``time.monotonic``, or at once where that has passed."""
        with self._changed:
            closed = self._closed
            if not closed:
                heapq.heappush(self._due, one := (moment, next(self._numbers), act))
                if self._due[0] is one:
                    self._changed.notify()
            if self._thread is None and not closed:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        if closed:
            act()

    def close(self) -> None:
        """All of it is due now; whatever comes later is done at once."""
        with self._changed:
            self._closed = True
            left, self._due = self._due, []
            self._changed.notify()
        for _, _, act in sorted(left, key=lambda one: one[:2]):
            act()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._due or self._due[0][0] > time.monotonic()):
                    self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
                if self._closed:
                    return
                _, _, act = heapq.heappop(self._due)
            act()


class Gathering(Generic[Told]):
    """Answers that come from several sides, about several people.

    Args:
        waits: for each person, by place, the sources whose answers are still to come.
        found: for each person, what is known of them already; taken over and added to.
    """

    def __init__(self, waits: Sequence[set[str]], found: Sequence[dict[str, Told]]) -> None:
        self._waits, self._found = list(waits), list(found)
        self._coming: dict[int, Future[dict[str, Told]]] = {}
        self._changed = threading.Condition()

    def tell(self, source: str, told: Mapping[int, Mapping[str, Told]]) -> None:
        """What a source says of people, by their places; whatever it said of one before stands."""
        with self._changed:
            for place in [one for one in told if source in self._waits[one]]:
                self._waits[place].discard(source)
                self._found[place].update(told[place])
            ended = [one for one in self._coming if not self._waits[one]]
            heard = [(self._coming.pop(one), self._found[one]) for one in ended]
            self._changed.notify_all()
        for coming, found in heard:
            coming.set_result(found)

    def unanswered(self, source: str) -> list[int]:
        """Of whom it has not said anything yet."""
        with self._changed:
            return [one for one, waits in enumerate(self._waits) if source in waits]

    def first(self) -> list[dict[str, Told] | Future[dict[str, Told]]]:
        """As soon as anybody is answered by all of theirs, or a moment has passed: what was told of
        each of them, and of the others what will be."""
        with self._changed:
            self._changed.wait_for(lambda: not all(self._waits), MOMENT_S)
            for place, waits in enumerate(self._waits):
                if waits:
                    self._coming[place] = Future()
            return [self._coming.get(one, found) for one, found in enumerate(self._found)]
