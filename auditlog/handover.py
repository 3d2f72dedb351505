"""Jobs handed over from the processes that are asked to the one that commits, and what came of
them.

Several workers of one service hand their jobs to one writer, so that its groups
(``auditlog.group_commit``) are as large as the whole service's load. Between them is a Unix domain
socket for each kind of job, in the folder that only the service's own user may enter. Jobs and
answers cross it as JSON with a schema; refusals as what they are.

A job that was sent is done by the writer or by nobody: if the connection is lost before its answer
comes, its caller hears that nothing is known of it, and whoever asks again under the same
Idempotency-Key is answered as the first time. While no writer is there, a worker commits by itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

from pydantic import TypeAdapter, ValidationError

from auditlog.group_commit import MAX_WAITING, GroupCommit, Job, JobQueue, Result, busy
from auditlog.refusals import Refusal, refused
from crypto.errors import TahiniError
from ops.http import MAX_BODY_BYTES
from protocol.errors import Malformed, StorageFailed

MAX_FRAME_BYTES = 4 * MAX_BODY_BYTES
"""Of one job or one answer: what fits into a request, and what sealing and encoding add to it."""
RETRY_S = 0.1
"""How often a worker looks for the writer while there is none."""
ANSWER_S = 60.0
"""How long a caller waits for the writer's answer: longer than a commit waits for the database."""
DRAIN_S = 10.0
"""How long a writer that ends waits for the workers to take their last answers."""
_HEAD = struct.Struct(">III")
"""Of a frame: bytes that follow, number of the job, and its weight or what came of it."""
_DONE, _REFUSED = 0, 1
_ENDING = 0
"""Number of no job: the writer takes no more."""
logger = logging.getLogger("tahini.log")


@dataclass(frozen=True)
class Schema(Generic[Job, Result]):
    """How jobs and results of one kind are written down."""

    jobs: TypeAdapter[Job]
    results: TypeAdapter[Result]


# --- the connection


class _Line(asyncio.Protocol):
    """One end of a connection: whole frames in; frames out, those of one turn of the loop in one
    write."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport
        self._came = bytearray()
        self._leaving: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._came += data
        at = 0
        while len(self._came) - at >= _HEAD.size:
            length, number, what = _HEAD.unpack_from(self._came, at)
            if length > MAX_FRAME_BYTES:
                logger.error("a frame of %d bytes between two processes was refused", length)
                self._transport.abort()
                return
            end = at + _HEAD.size + length
            if len(self._came) < end:
                break
            self.heard(number, what, bytes(self._came[at + _HEAD.size : end]))
            at = end
        del self._came[:at]

    def heard(self, number: int, what: int, content: bytes) -> None:
        """A whole frame came."""
        raise NotImplementedError

    def tell(self, number: int, what: int, content: bytes = b"") -> None:
        if not self._leaving:
            asyncio.get_running_loop().call_soon(self._flush)
        self._leaving += (_HEAD.pack(len(content), number, what), content)

    def _flush(self) -> None:
        leaving, self._leaving = self._leaving, []
        if not self._transport.is_closing():
            self._transport.write(b"".join(leaving))

    def close(self) -> None:
        """After what was told has left."""
        if self._leaving:
            self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """A name of ``path`` that fits into a socket's address (108 bytes), however deep its folder
    lies."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


# --- the writer's side


class _Counter(_Line, Generic[Job, Result]):
    """The writer's end of the connection to one worker."""

    def __init__(self, group: JobQueue[Job, Result], schema: Schema[Job, Result]) -> None:
        super().__init__()
        self._group, self._schema = group, schema
        self._doing: set[asyncio.Task[None]] = set()

    def heard(self, number: int, what: int, content: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._do(number, what, content))
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)

    async def _do(self, number: int, weight: int, content: bytes) -> None:
        try:
            job = self._schema.jobs.validate_json(content)
        except ValidationError:
            self._refuse(
                number, StorageFailed("another version of this service asks; try again in a second")
            )
            return
        try:
            result = await self._group.submit(job, weight)
        except TahiniError as error:
            self._refuse(number, error)
            return
        except Exception as error:  # whatever it was, the caller must hear of it
            logger.exception("handed over: unexpected %s", type(error).__name__)
            self._refuse(number, StorageFailed(type(error).__name__))
            return
        try:
            self.tell(number, _DONE, self._schema.results.dump_json(result))
        except ValueError as error:  # it is done, and cannot be said
            logger.error("handed over: a result cannot be written (%s)", type(error).__name__)
            self._refuse(number, _unknown())

    def _refuse(self, number: int, error: TahiniError) -> None:
        self.tell(number, _REFUSED, Refusal.of(error).model_dump_json().encode())


@dataclass
class Intake(Generic[Job, Result]):
    """Where the writer takes jobs from the workers.

    Args:
        group: commits them; started and stopped by the caller.
        path: of the socket. Only one process may open it at a time.
    """

    group: JobQueue[Job, Result]
    schema: Schema[Job, Result]
    path: Path
    _lines: set[_Counter[Job, Result]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def open(self) -> None:
        """Raises OSError."""
        self.path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX)
        try:
            with _address(self.path) as address:
                listening.bind(address)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(self._line, sock=listening)
        except OSError:
            listening.close()
            raise

    def _line(self) -> _Counter[Job, Result]:
        line = _Counter(self.group, self.schema)
        self._lines.add(line)
        line.lost.add_done_callback(lambda _: self._lines.discard(line))
        return line

    async def close(self) -> None:
        """Take no more, and return when everybody has their answers, within ``DRAIN_S``."""
        self.path.unlink(missing_ok=True)
        if self._server is not None:
            self._server.close()
        lines = list(self._lines)
        for line in lines:
            line.tell(_ENDING, _DONE)
        if lines:
            await asyncio.wait([line.lost for line in lines], timeout=DRAIN_S)
        for line in self._lines.copy():
            line.abort()


# --- a worker's side


class _Handing(_Line):
    """A worker's end of the connection to the writer."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[int, asyncio.Future[bytes]] = {}
        self._ending = False
        self._last = _ENDING

    @property
    def open(self) -> bool:
        """Whether it takes jobs."""
        return not (self._ending or self._transport.is_closing())

    def hand(self, weight: int, content: bytes) -> tuple[int, asyncio.Future[bytes]]:
        """Send a job; its number, and what will be heard of it."""
        self._last = self._last % 0xFFFF_FFFF + 1
        told: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.waiting[self._last] = told
        self.tell(self._last, weight, content)
        return self._last, told

    def forget(self, number: int) -> None:
        """Nobody waits for this job any more."""
        self.waiting.pop(number, None)
        self._end_if_done()

    def heard(self, number: int, what: int, content: bytes) -> None:
        if number == _ENDING:
            self._ending = True
            self._end_if_done()
            return
        told = self.waiting.get(number)
        if told is None or told.done():
            return
        if what == _DONE:
            told.set_result(content)
        else:
            told.set_exception(refused(content))

    def _end_if_done(self) -> None:
        if self._ending and not self.waiting:
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        for told in self.waiting.values():
            if not told.done():
                told.set_exception(_unknown())


@dataclass
class HandedOver(Generic[Job, Result]):
    """Jobs of this process, handed over to the writer; a :class:`JobQueue` as any.

    Args:
        own: commits here while there is no writer; starts and stops with this.
        path: where the writer's intake is.
    """

    own: GroupCommit[Job, Result]
    schema: Schema[Job, Result]
    path: Path
    _line: _Handing | None = None
    _connecting: asyncio.Task[None] | None = None
    _stop: Callable[[], object] | None = None

    def start(self) -> None:
        """In the event loop's own thread."""
        self.own.start()
        loop = asyncio.get_running_loop()
        task = self._connecting = loop.create_task(self._stay_connected())
        self._stop = lambda: loop.call_soon_threadsafe(task.cancel)

    def stop(self) -> None:
        """Take no more; in another thread than the loop's."""
        if self._stop is not None:
            with suppress(RuntimeError):  # the loop is gone, and its connections with it
                self._stop()
        self.own.stop()

    async def submit(self, job: Job, weight: int = 1) -> Result:
        """What came of the job, durable.

        Raises:
            StorageFailed: the database did not accept it, or too many wait: nothing was recorded;
                or the writer ended before it answered: then nobody knows. Malformed: the job is
                larger than one may be.
        """
        line = self._line
        if line is None or not line.open:
            return await self.own.submit(job, weight)
        if len(line.waiting) >= MAX_WAITING:
            raise busy()
        content = self.schema.jobs.dump_json(job)
        if len(content) > MAX_FRAME_BYTES:
            raise Malformed("the request is larger than one transaction may be; divide it")
        number, told = line.hand(weight, content)
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await told
            return self.schema.results.validate_json(answer)
        except TimeoutError:
            raise _unknown() from None
        except ValidationError as error:
            logger.error("a result cannot be read (%s)", type(error).__name__)
            raise _unknown() from None
        finally:
            line.forget(number)

    async def _stay_connected(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    line = await loop.create_unix_connection(_Handing, sock=_connected(self.path))
                except OSError:
                    await asyncio.sleep(RETRY_S)
                    continue
                self._line = line[1]
                await asyncio.wait([self._line.lost])
                await asyncio.sleep(RETRY_S)
        finally:
            if self._line is not None:
                self._line.close()


def _connected(path: Path) -> socket.socket:
    """Raises OSError: nobody is there, or too many are at the intake."""
    found = socket.socket(socket.AF_UNIX)
    found.setblocking(False)
    try:
        with _address(path) as address:
            found.connect(address)
    except OSError:
        found.close()
        raise
    return found


def _unknown() -> StorageFailed:
    return StorageFailed(
        "the process that commits did not answer; whether this was recorded is not known,"
        " ask again in a second"
    )
