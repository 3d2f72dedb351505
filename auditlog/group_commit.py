"""Group commit: many requests, one transaction.

Requests that arrive while a transaction is being committed go into the next one together, and so do
those that follow on it: whoever was answered often asks again, so the thread waits until as many
have come as it has just answered, for a short time at most. The more there is to do, the more is
done at once; a lone caller waits for nobody. A caller is answered when its entries are durable.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Generic, Protocol, TypeVar

from sqlalchemy.orm import Session

from auditlog.entries import Entry
from auditlog.log import AuditLog
from ops import metrics
from protocol.errors import ConsentError, StorageFailed

MAX_WEIGHT = 8192
"""Entries (or what else jobs weigh) of one transaction."""
REST_SHARE, MAX_REST_S = 4.0, 0.04
"""The thread waits for the callers that it has answered for as long as their commit took, so many
times over."""
MAX_WAITING = 1024
"""Requests that may wait; more are refused at once rather than kept in memory."""

Job = TypeVar("Job")
Result = TypeVar("Result")
_Given = TypeVar("_Given", contravariant=True)
_Made = TypeVar("_Made", covariant=True)
logger = logging.getLogger("tahini.log")


class JobQueue(Protocol[_Given, _Made]):
    """Where jobs are committed together, in this process or in another."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    async def submit(self, job: _Given, weight: int = 1) -> _Made:
        """What came of the job, durable. Raises ConsentError."""
        ...


@dataclass
class _Waiting(Generic[Job, Result]):
    job: Job
    weight: int
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Result]

    def resolve(self, answer: Result | Exception) -> None:
        """In the loop's own thread."""
        if self.answer.done():
            return
        if isinstance(answer, Exception):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


@dataclass
class GroupCommit(Generic[Job, Result]):
    """One thread that commits whatever waits, in order of arrival.

    Args:
        commit: does many jobs in one transaction and says, for each in its order, what came of it.
            When it raises, no job was done.
        name: of the thread.
    """

    commit: Callable[[Sequence[Job]], Sequence[Result | Exception]]
    name: str
    _queue: queue.Queue[_Waiting[Job, Result] | None] = field(
        default_factory=lambda: queue.Queue(MAX_WAITING), repr=False
    )
    _wanted: int = 1
    _enough: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set when so many wait as are wanted for the next transaction."""
    _stopping: bool = False
    _thread: threading.Thread | None = field(default=None, repr=False)

    def start(self) -> None:
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after what waits already; whoever comes later is told to come again."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            self._queue.put(None, timeout=1)
        except queue.Full:
            self._stopping = True  # after the group under way; the rest is told so
        self._enough.set()
        thread.join(10)
        left = []
        with suppress(queue.Empty):
            while True:
                left.append(self._queue.get_nowait())
        late = [waiting for waiting in left if waiting is not None]
        if late:
            _answer(late, [_ending()] * len(late))

    async def submit(self, job: Job, weight: int = 1) -> Result:
        """What came of the job, durable.

        Raises:
            StorageFailed: the database did not accept it, or too many wait; nothing was recorded.
        """
        if self._thread is None:
            raise _ending()
        loop = asyncio.get_running_loop()
        waiting: _Waiting[Job, Result] = _Waiting(job, weight, loop, loop.create_future())
        try:
            self._queue.put_nowait(waiting)
        except queue.Full:
            raise busy() from None
        if self._queue.qsize() >= self._wanted:
            self._enough.set()
        return await waiting.answer

    def _run(self) -> None:
        while not self._stopping and (first := self._queue.get()) is not None:
            group = self._gather(first)
            started = time.monotonic()
            try:
                answers = self.commit([waiting.job for waiting in group])
                metrics.committed(sum(waiting.weight for waiting in group))
            except Exception as error:
                # Whatever it was, every caller in the group must hear of it, and the thread must
                # live on.
                if not isinstance(error, ConsentError):
                    logger.exception("%s: unexpected %s", self.name, type(error).__name__)
                refusal = (
                    error
                    if isinstance(error, ConsentError)
                    else StorageFailed(f"{type(error).__name__}")
                )
                answers = [refusal] * len(group)
            _answer(group, answers)
            took = time.monotonic() - started
            self._await_callers(len(group), min(REST_SHARE * took, MAX_REST_S))

    def _await_callers(self, count: int, seconds: float) -> None:
        """Return when so many wait again, or after so many seconds."""
        self._wanted = count
        self._enough.clear()
        if self._queue.qsize() < count and not self._stopping:
            self._enough.wait(seconds)

    def _gather(self, first: _Waiting[Job, Result]) -> list[_Waiting[Job, Result]]:
        group = [first]
        weight = first.weight
        while weight < MAX_WEIGHT:
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                break
            if waiting is None:
                self._stopping = True
                break
            group.append(waiting)
            weight += waiting.weight
        return group


def busy() -> StorageFailed:
    """Too many wait already."""
    return StorageFailed("the registry is busy; nothing was recorded, try again in a second")


def _ending() -> StorageFailed:
    return StorageFailed(
        "the registry is starting or ending; nothing was recorded, try again in a second"
    )


def _answer(group: Sequence[_Waiting[Job, Result]], answers: Sequence[Result | Exception]) -> None:
    """One wake-up of the loop for the whole group."""

    def tell() -> None:
        for waiting, answer in zip(group, answers, strict=True):
            waiting.resolve(answer)

    try:
        group[0].loop.call_soon_threadsafe(tell)
    except RuntimeError:
        logger.info("the callers of %d committed requests are gone", len(group))


def group_appends(
    log: AuditLog, write: Callable[[], AbstractContextManager[Session]]
) -> GroupCommit[Sequence[Entry], int]:
    """Appends in groups: a job is entries, all recorded or none; its result the index of the
    first."""

    def append(jobs: Sequence[Sequence[Entry]]) -> list[int]:
        with write() as session:
            first = log.append(session, [entry for entries in jobs for entry in entries])
        return list(accumulate((len(entries) for entries in jobs), initial=first))[: len(jobs)]

    return GroupCommit(append, "group-commit")
