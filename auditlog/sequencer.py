"""The sequencer: behind every commit, integrate what was appended, have the signed head cosigned,
publish it.

One thread integrates (``auditlog.integrator``: tiles and signed head, within milliseconds of the
commit), another publishes (``auditlog.publisher``: witnesses may be slow). Both steps can also be
taken by hand, :meth:`Sequencer.settle`, where no thread runs. Whoever needs a proof waits for
publication: :meth:`Sequencer.wait_for`.

Where several processes serve one log, one of them at a time takes both steps
(``auditlog.leadership``); the others follow what it publishes, more closely while somebody waits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from auditlog.database import Database
from auditlog.integrator import Integrator
from auditlog.leadership import Reporter, SoleProcess, Turn
from auditlog.lease import LEASE_S
from auditlog.log import AuditLog
from auditlog.publisher import Publisher
from auditlog.witnesses import Witnesses
from crypto.errors import CryptoError
from crypto.notes import Checkpoint
from crypto.policies import NO_QUORUM
from ops import metrics
from protocol.errors import ConsentError, LogHeld, NotWitnessed

PUBLICATION_TIMEOUT_S = 15.0
MAX_WAITING = 24
"""Threads that may wait for publication: fewer than a server has, so that readers are still
answered."""
_MIN_RETRY_S, _MAX_RETRY_S = 0.1, 2.0
_REST_SHARE, _MAX_REST_S = 4.0, 0.05
_IDLE_S, _SHARED_S = 1.0, 0.02
"""How often to look for what another process did: with nothing to expect; where other workers
append, or wait."""
logger = logging.getLogger("tahini.log")


class _PublishedSize:
    """How many entries are published, as far as this process knows; and those who wait for more.

    ``wanted`` is set whenever somebody asks, so that a process that only follows looks again soon.
    """

    def __init__(self) -> None:
        self.wanted = threading.Event()
        self._size = 0
        self._grown = threading.Condition()
        self._waiting = threading.Semaphore(MAX_WAITING)

    @property
    def size(self) -> int:
        self.wanted.set()
        return self._size

    def advance(self, size: int) -> None:
        metrics.stage("published", size)
        with self._grown:
            if size > self._size:
                self._size = size
                self._grown.notify_all()

    def wait_for(self, index: int, reporter: Reporter) -> None:
        """Return once entry ``index`` is published; raises NotWitnessed."""
        if not self._waiting.acquire(blocking=False):
            raise NotWitnessed(
                f"entry {index} is recorded; too many others wait for the witnesses already"
            )
        try:
            self._await(index, reporter)
        finally:
            self._waiting.release()

    def _await(self, index: int, reporter: Reporter) -> None:
        deadline = time.monotonic() + PUBLICATION_TIMEOUT_S
        look_again = _SHARED_S if reporter.turn.shared else _IDLE_S
        with self._grown:
            while not (self.size > index or reporter.halted):
                left = deadline - time.monotonic()
                if left > 0:
                    self._grown.wait(min(left, look_again))
                    continue
                raise NotWitnessed(
                    f"entry {index} is recorded, but no quorum of witnesses has cosigned it within "
                    f"{PUBLICATION_TIMEOUT_S:.0f} s; its proof will be there once they do"
                )
        if reporter.halted and self._size <= index:
            raise NotWitnessed(
                f"entry {index} is recorded, but nothing is signed any more: {reporter.halted}"
            )


class _StepThread(threading.Thread):
    """Takes one step whenever there is something new, and every now and then; what fails is tried
    again, more slowly.

    A step rests for as long as it worked, a few times over: under load it does more at once, not
    more often.

    Args:
        news: set when there is something new.
        pause: says how many seconds a step that nobody asks for may wait.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], None],
        news: threading.Event,
        reporter: Reporter,
        pause: Callable[[], float] = lambda: _IDLE_S,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._step = step
        self._news = news
        self._reporter = reporter
        self._pause = pause
        self._stopping = False

    def stop(self) -> None:
        """End after the step under way; does not wait for it."""
        self._stopping = True
        self._news.set()

    def run(self) -> None:
        retry, pause = _MIN_RETRY_S, _IDLE_S
        while not self._stopping:
            self._news.wait(pause)
            self._news.clear()
            if self._stopping:
                return
            started = time.monotonic()
            try:
                self._step()
                retry = _MIN_RETRY_S
                pause = self._pause()
            except LogHeld as error:
                logger.info("reading only: %s", error)
                pause = _IDLE_S
            except Exception as error:
                # Whatever it was, this thread is the only one that signs: it says so and tries
                # again.
                foreseen = isinstance(error, ConsentError | CryptoError)
                failure = str(error) if foreseen else type(error).__name__
                logger.warning("%s", failure, exc_info=not foreseen)
                self._reporter.step_ended(self.name, failure)
                time.sleep(retry)
                retry = min(2 * retry, _MAX_RETRY_S)
                self._news.set()
            else:
                self._reporter.step_ended(self.name)
                time.sleep(min(_REST_SHARE * (time.monotonic() - started), _MAX_REST_S))


class Sequencer:
    """Brings the log's published head up to what was appended, by hand or with threads of its own.

    ``halted`` says why nothing is signed any more, once a witness has seen more of the log than is
    here; ``failing`` why the last step failed, while it is being tried again. ``turn`` says which
    process takes the steps.
    """

    def __init__(
        self, database: Database, log: AuditLog, witnesses: Witnesses, turn: Turn | None = None
    ) -> None:
        self.database = database
        self.log = log
        self.read_only = False
        self.reporter = Reporter(turn or SoleProcess())
        self.integrator = Integrator(database, log)
        self.publisher = Publisher(database, log, witnesses, self.reporter)
        self._published = _PublishedSize()
        self._appended = threading.Event()
        self._integrated = threading.Event()
        self._threads: list[_StepThread] = []
        self._renewed = 0.0

    @property
    def witnesses(self) -> Witnesses:
        return self.publisher.witnesses

    @property
    def turn(self) -> Turn:
        return self.reporter.turn

    @turn.setter
    def turn(self, turn: Turn) -> None:
        self.reporter.turn = turn

    @property
    def halted(self) -> str:
        return self.reporter.halted

    @property
    def failing(self) -> str:
        return self.reporter.failing

    @property
    def works(self) -> bool:
        """Whether every thread that was started still lives; none ends by itself."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def published(self) -> int:
        """Entries under a published checkpoint, as far as this process knows; asking makes it look
        again soon."""
        return self._published.size

    # --- one step of each kind

    def integrate(self) -> Checkpoint | None:
        """Sign one head over what was appended; None when there is nothing new.

        Raises:
            LogHeld: another process writes to this log. LogDamaged: what is stored is not what was
                signed.
        """
        head = self.integrator.integrate()
        if head is not None:
            if self.log.policy.quorum == NO_QUORUM:
                self._published.advance(head.size)
            else:
                self._integrated.set()
        return head

    def publish(self) -> int:
        """Have the newest signed head cosigned and publish it; returns the published size.

        Raises:
            NotWitnessed: no quorum. LogHeld: another process writes to this log.
        """
        published = self.publisher.publish()
        self._published.advance(published)
        return published

    def settle(self) -> int:
        """Integrate and publish everything that was appended; returns the published size."""
        while self.integrate() is not None:
            pass
        return self.publish()

    # --- as a service

    def start(self, read_only: bool = False) -> None:
        """Run both steps in the background until :meth:`stop`; with ``read_only`` only follow what
        others publish."""
        self.read_only = read_only
        threads: list[_StepThread] = []
        if read_only or self.turn.shared:
            threads.append(
                _StepThread("follow", self._follow, self._published.wanted, self.reporter)
            )
        if not read_only:
            threads += [
                _StepThread(
                    "integrate",
                    self._integrate_all,
                    self._appended,
                    self.reporter,
                    self._until_appended,
                ),
                _StepThread("publish", self._publish_once, self._integrated, self.reporter),
            ]
            self._appended.set()  # whoever starts first takes the lease at once
        self._threads += threads
        for thread in threads:
            thread.start()

    def stop(self) -> None:
        for thread in self._threads:
            thread.stop()
        for thread in self._threads:
            thread.join(10)
        self._threads = []
        self.witnesses.close()

    def notify(self) -> None:
        """Something was committed."""
        self._appended.set()

    def wait_for(self, index: int) -> None:
        """Return once entry ``index`` is under a published checkpoint.

        Raises:
            NotWitnessed: not within 15 s; the entry is durable all the same.
        """
        if not self._threads:
            self.settle()
            return
        self.notify()
        self._published.wait_for(index, self.reporter)

    def _integrate_all(self) -> None:
        if not self.turn.is_leader():
            return
        while self.integrate() is not None:
            pass
        self._renew()

    def _publish_once(self) -> None:
        if self.turn.is_leader():
            self.publish()

    def _follow(self) -> None:
        if not self.read_only and self.turn.is_leader():
            return
        with self.database.read() as session:
            self._published.advance(self.log.published_size(session))

    def _renew(self) -> None:
        """Keep the lease of an idle log, a few times in its lifetime."""
        if time.monotonic() - self._renewed < LEASE_S / 3:
            return
        self._renewed = time.monotonic()
        with self.database.write() as session:
            self.log.lease.hold(session)
            self.log.lease.advance(session)

    def _until_appended(self) -> float:
        """How long to wait for this process's appends before looking for those of other workers."""
        return _SHARED_S if self.turn.shared and self.turn.is_leader() else _IDLE_S
