"""A supervisor of worker processes that share one listening socket, and of the writer that they
hand their work to: it starts them, and replaces those that die. The writer ends last.

The parent serves no request and holds no key; nor does the server of forks beside it, which has
loaded what workers run, so that one in another's place is there at once and not after seconds of
imports. A worker whose parent is gone ends by itself.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from socket import socket

from ops import metrics
from ops.serving import FINISH_S
from protocol.errors import ConsentError

INSIST_S = FINISH_S + 10.0
"""When a worker that was asked to end is killed."""
SILENT_S, START_S = 15.0, 60.0
"""When a worker is killed and replaced: its event loop has not turned for so long; it has not come
so far."""
HASTE_S = 2.0
"""A worker that ended this soon after its start is replaced only after as long: its database may be
away."""
_TICK_S = 0.5
_BEAT_FILE = "beat"
LONGEST_FOLDER = 70
"""A socket's path has 107 bytes at most (unix(7)); of these ``/pymp-…/listener-…`` takes 31."""
_ENDS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_forks = multiprocessing.get_context("forkserver")
logger = logging.getLogger("tahini.workers")


async def _beat(folder: Path) -> None:
    """The event loop turns: requests are being answered."""
    (folder / f"{_BEAT_FILE}.{os.getpid()}").touch()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A server of forks that is started meanwhile outlives what a terminal or a service manager
    says to all processes, or the parent would hear of no worker's end any more. What comes
    meanwhile comes afterwards."""
    resource_tracker.ensure_running()  # it lets signals through again when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(work: Callable[..., None], *given: object) -> None:
    """A process of the service, from its first to its last step."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    work(*given)


def _end_with_parent() -> None:
    """An orphan must not go on: nobody would replace it, and another service may hold its lease.
    Nor must one whose end nobody would hear of, because the server of forks is gone."""
    parent, forks = multiprocessing.parent_process(), os.getppid()
    if parent is not None:
        while os.getppid() == forks and not wait([parent.sentinel], _TICK_S):
            pass
        logger.error("the parent of this worker is gone; it ends")
        os.kill(os.getpid(), signal.SIGTERM)


@dataclass
class _Running:
    process: ForkServerProcess
    writes: bool
    started: float = field(default_factory=time.monotonic)

    def silent(self, folder: Path) -> bool:
        """Whether it has hung, at its start or since."""
        beat = folder / f"{_BEAT_FILE}.{self.process.pid}"
        if not beat.exists():
            return time.monotonic() - self.started > START_S
        return time.time() - beat.stat().st_mtime > SILENT_S


@dataclass
class Supervisor:
    """Keeps as many workers as there should be. SIGTERM and SIGINT end them all, SIGHUP replaces
    one after another."""

    worker: Callable[[socket], None]
    """Called in each worker process; it can be pickled."""
    writer: Callable[[], None] | None
    """Called in one more process that the workers hand their work to, if there is one."""
    listening: socket
    count: int
    folder: Path
    """Where workers say that they are alive."""
    loaded: tuple[str, ...]
    """The modules that workers run: loaded once, before the first of them."""
    _running: list[_Running] = field(default_factory=list)
    _ending: bool = False
    _renewing: bool = False

    def run(self) -> bool:
        """Until SIGTERM or SIGINT; returns whether every worker came to an end by itself.

        Raises:
            ConsentError: sockets cannot be where temporary files are.
        """
        if len(os.fsencode(tempfile.gettempdir())) > LONGEST_FOLDER:
            raise ConsentError(
                f"processes of a service talk through sockets in {tempfile.gettempdir()}, and that "
                f"path is too long for them: set TMPDIR to one of {LONGEST_FOLDER} bytes at most"
            )
        # what is forked is what this process runs, and nothing that lies where it was started
        os.environ["PYTHONSAFEPATH"] = "1"
        for which in (signal.SIGTERM, signal.SIGINT):
            signal.signal(which, lambda *_: setattr(self, "_ending", True))
        signal.signal(signal.SIGHUP, lambda *_: setattr(self, "_renewing", True))
        _forks.set_forkserver_preload(list(self.loaded))
        first = [] if self.writer is None else [self._start(writes=True)]
        self._running = first + [self._start() for _ in range(self.count)]
        while not self._ending:
            wait([running.process.sentinel for running in self._running], _TICK_S)
            self._running = [self._kept(running) for running in self._running]
            if self._renewing:
                self._renewing = False
                self._renew()
        # before the workers do: then nobody is left waiting at a door that nobody opens
        self.listening.close()
        orderly = self._end([running for running in self._running if not running.writes])
        return self._end([running for running in self._running if running.writes]) and orderly

    def _start(self, writes: bool = False) -> _Running:
        process = (
            _forks.Process(target=_begin, args=(self.writer,), name="writer")
            if writes
            else _forks.Process(target=_begin, args=(self.worker, self.listening), name="worker")
        )
        with _undisturbed():
            process.start()
        return _Running(process, writes)

    def _kept(self, running: _Running) -> _Running:
        """The same worker, or the one in its place."""
        process = running.process
        if process.is_alive() and running.silent(self.folder):
            logger.error("%s %s does not answer and is killed", process.name, process.pid)
            process.kill()
            process.join()
        if process.is_alive() or self._ending:
            return running
        if time.monotonic() - running.started < HASTE_S:
            return running  # it is looked at again at the next tick
        logger.warning(
            "%s %s ended (%s) and is replaced", process.name, process.pid, process.exitcode
        )
        return self._another(running)

    def _another(self, ended: _Running) -> _Running:
        """One in the place of one that ended; or that one, to be looked at again at the next tick,
        where the server of forks ended in this moment too."""
        try:
            begun = self._start(ended.writes)
        except (EOFError, OSError) as error:
            logger.error("no process could be forked (%s); it is tried again", type(error).__name__)
            return ended
        metrics.worker_ended(ended.process.pid, self.folder)
        return begun

    def _renew(self) -> None:
        for index, running in enumerate(self._running):
            if self._ending:
                return
            self._end([running])
            self._running[index] = self._another(running)

    def _end(self, workers: list[_Running]) -> bool:
        """Ask workers to end, wait, and kill those that do not; whether none had to be."""
        for running in workers:
            running.process.terminate()
        deadline = time.monotonic() + INSIST_S
        orderly = True
        for running in workers:
            running.process.join(max(deadline - time.monotonic(), 0))
            if running.process.is_alive():
                orderly = False
                logger.error(
                    "%s %s did not end within %.0f s and is killed",
                    running.process.name,
                    running.process.pid,
                    INSIST_S,
                )
                running.process.kill()
                running.process.join()
        return orderly
