"""Many callers, one transaction: what waits while one group is being done goes into the next.

Commits wait for the disk and log entries for the network; both cost the same for one as for many.
A group that fails is done again one by one, each by itself, so that nobody hears of another's
failure and no job is half done.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from crypto.errors import TahiniError
from protocol.errors import StorageFailed

MOST_AT_ONCE = 256
MOST_WAITING = 1024
Work = TypeVar("Work")
Done = TypeVar("Done")
logger = logging.getLogger("tahini.desk")


@dataclass
class Together(Generic[Work, Done]):
    """Threads, one as a rule, that each do whatever waits, in order of arrival. Until they are
    started, each caller does its own job.

    Args:
        do: does all of these jobs and says what came of each, or raises and has done none.
        name: of the threads. threads: more than one where groups wait for somebody else most of
            the time. most_waiting: jobs that may wait, 0 for any number; more are refused at once
            rather than kept in memory.
    """

    do: Callable[[Sequence[Work]], Sequence[Done]]
    name: str
    threads: int = 1
    most_waiting: int = MOST_WAITING
    _waiting: queue.Queue[tuple[Work, Future[Done]] | None] = field(init=False, repr=False)
    _running: list[threading.Thread] = field(default_factory=list, repr=False)
    _door: threading.Lock = field(default_factory=threading.Lock, repr=False)
    """Held by whoever comes in, and while the door is shut."""

    def __post_init__(self) -> None:
        self._waiting = queue.Queue(self.most_waiting)

    @property
    def ended(self) -> bool:
        """One of its threads is gone, though nobody stopped it."""
        return any(not thread.is_alive() for thread in self._running)

    def start(self) -> None:
        """Raises RuntimeError: its threads run already."""
        if self._running:
            raise RuntimeError(f"{self.name} runs already")
        self._running = [
            threading.Thread(target=self._run, name=self.name, daemon=True)
            for _ in range(self.threads)
        ]
        for thread in self._running:
            thread.start()

    def stop(self) -> None:
        """End after what waits already."""
        with self._door:
            running, self._running = self._running, []
        for _ in running:
            self._waiting.put(None)
        for thread in running:
            thread.join()
        if running:
            while not self._waiting.empty():  # who came in while it ended
                if (late := self._waiting.get()) is not None:
                    self._each(*late)

    def submit(self, job: Work) -> Future[Done]:
        """What will have come of the job. Raises StorageFailed where too many wait."""
        answer: Future[Done] = Future()
        with self._door:
            if self._running:
                self._put(job, answer)
                return answer
        self._each(job, answer)
        return answer

    def _put(self, job: Work, answer: Future[Done]) -> None:
        try:
            self._waiting.put_nowait((job, answer))
        except queue.Full:
            raise StorageFailed(
                "the desk is busy; nothing was recorded, try again in a second"
            ) from None

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            group = [first]
            last = False
            while len(group) < MOST_AT_ONCE and not self._waiting.empty():
                following = self._waiting.get()
                if following is None:
                    last = True
                    break
                group.append(following)
            self._group(group)
            if last:
                return

    def _group(self, group: Sequence[tuple[Work, Future[Done]]]) -> None:
        if len(group) > 1:
            try:
                found = self.do([job for job, _ in group])
            except Exception as error:
                logger.info(
                    "%s: a group of %d is done one by one: %s",
                    self.name,
                    len(group),
                    type(error).__name__,
                )
            else:
                for (_, answer), one in zip(group, found, strict=True):
                    answer.set_result(one)
                return
        for job, answer in group:
            self._each(job, answer)

    def _each(self, job: Work, answer: Future[Done]) -> None:
        """Whatever it was, its caller must hear of it, and the thread must live on."""
        try:
            (found,) = self.do([job])
        except Exception as error:
            if not isinstance(error, TahiniError):
                logger.exception("%s: unexpected %s", self.name, type(error).__name__)
            answer.set_exception(error)
        else:
            answer.set_result(found)
