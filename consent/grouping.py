"""Group commit: many requests, one transaction.

Requests that arrive while a transaction is being committed, and for about as long again, go into the next one
together: the more there is to do, the more is done at once. A caller is answered when its entries are durable.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from consent import metrics
from consent.entries import Entry
from consent.errors import ConsentError, StorageFailed
from consent.registry import Registry

MOST_ENTRIES = 8192
REST, LONGEST_REST_S = 4.0, 0.02
MOST_WAITING = 1024
"""Requests that may wait; more are refused at once rather than kept in memory."""


logger = logging.getLogger("tahini.log")


@dataclass
class _Waiting:
    entries: Sequence[Entry]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[int]

    def resolve(self, first: int | Exception) -> None:
        """In the loop's own thread."""
        if self.answer.done():
            return
        if isinstance(first, Exception):
            self.answer.set_exception(first)
        else:
            self.answer.set_result(first)


@dataclass
class GroupCommit:
    """One thread that commits whatever waits, in order of arrival."""

    registry: Registry
    _queue: queue.Queue[_Waiting | None] = field(default_factory=lambda: queue.Queue(MOST_WAITING), repr=False)
    _stopping: bool = False
    _thread: threading.Thread | None = field(default=None, repr=False)

    def start(self) -> None:
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(10)
            self._thread = None

    async def append(self, entries: Sequence[Entry]) -> int:
        """Index of the first of these entries, durable.

        Raises:
            StorageFailed: the database did not accept them, or too many requests wait; nothing was recorded.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(entries, loop, loop.create_future())
        try:
            self._queue.put_nowait(waiting)
        except queue.Full:
            raise StorageFailed("the log is busy; nothing was recorded, try again in a second") from None
        return await waiting.answer

    def _run(self) -> None:
        while not self._stopping and (first := self._queue.get()) is not None:
            group = self._gather(first)
            started = time.monotonic()
            try:
                self._commit(group)
            except Exception as error:
                # Whatever it was, every caller in the group must hear of it, and the thread must live on.
                refusal = error if isinstance(error, ConsentError) else StorageFailed(f"{type(error).__name__}")
                _answer(group, [refusal] * len(group))
            time.sleep(min(REST * (time.monotonic() - started), LONGEST_REST_S))

    def _gather(self, first: _Waiting) -> list[_Waiting]:
        group, count = [first], len(first.entries)
        while count < MOST_ENTRIES:
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                break
            if waiting is None:
                self._stopping = True
                break
            group.append(waiting)
            count += len(waiting.entries)
        return group

    def _commit(self, group: Sequence[_Waiting]) -> None:
        entries = [entry for waiting in group for entry in waiting.entries]
        with self.registry.write() as session:
            first = self.registry.log.append(session, entries)
        metrics.committed(len(entries))
        starts = accumulate((len(waiting.entries) for waiting in group), initial=first)
        _answer(group, list(starts)[: len(group)])


def _answer(group: Sequence[_Waiting], answers: Sequence[int | Exception]) -> None:
    """One wake-up of the loop for the whole group."""

    def tell() -> None:
        for waiting, answer in zip(group, answers, strict=True):
            waiting.resolve(answer)

    try:
        group[0].loop.call_soon_threadsafe(tell)
    except RuntimeError:
        logger.info("the callers of %d committed requests are gone", len(group))
