"""Leader election among the processes of one service: which of them integrates and publishes.

It is a matter of speed, not of safety: whatever two leaders did at once, one of them would be
refused by the lease and by the sizes in the database (``auditlog.lease``). The turn is a lock that
the kernel lets go when its holder dies, on a file of the service's own; the leader writes its
status into it, so that every worker can report it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ops import metrics

logger = logging.getLogger("tahini.log")
_MAX_BYTES = 4096


@dataclass(frozen=True)
class SequencerStatus:
    """Why the leader signs nothing any more, and why its last step failed. Empty when all is
    well."""

    halted: str = ""
    failing: str = ""


class Turn(Protocol):
    """What a sequencer asks before each step, and reports to after it."""

    shared: bool

    def is_leader(self) -> bool:
        """Whether this process integrates and publishes now; it may become so at any call."""

    def report(self, status: SequencerStatus) -> None:
        """What the others should know; called by the leader."""

    def reported(self) -> SequencerStatus:
        """What the leader reported last."""


@dataclass
class SoleProcess:
    """One process, and always its turn."""

    shared: bool = False
    _status: SequencerStatus = field(default_factory=SequencerStatus)

    def is_leader(self) -> bool:
        return True

    def report(self, status: SequencerStatus) -> None:
        self._status = status

    def reported(self) -> SequencerStatus:
        return self._status


@dataclass
class SharedTurn:
    """The turn among the processes that know ``path``, a file on a local file system.

    Once this process is the leader, it stays so until it ends. Where the file cannot be written to
    (a full disk), it goes on leading and says so in its journal: the others learn how it fares
    later. Raises OSError where the file cannot be opened.

    Args:
        may_lead: whether this process ever takes the turn.
    """

    path: Path
    may_lead: bool = True
    shared: bool = True
    _file: int = -1
    _leads: bool = False
    _status: SequencerStatus = field(default_factory=SequencerStatus)
    _told: bool = False
    """Whether the file says what the status is."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def is_leader(self) -> bool:
        with self._lock:
            if self._leads or not self.may_lead:
                return self._leads
            if self._file < 0:
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self._leads = True
            self._write(SequencerStatus())
            return True

    def report(self, status: SequencerStatus) -> None:
        with self._lock:
            if self._leads and (status != self._status or not self._told):
                self._write(status)

    def _write(self, status: SequencerStatus) -> None:
        """In one write of one size: whoever reads meanwhile finds the old or the new."""
        told = [status.halted[:300], status.failing[:300]]
        content = json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")
        self._status = status
        try:
            os.pwrite(self._file, content.ljust(_MAX_BYTES), 0)
        except OSError as error:
            self._told = False
            logger.warning("how the log is signed could not be told: %s", error.strerror)
        else:
            self._told = True

    def reported(self) -> SequencerStatus:
        with self._lock:
            if self._leads:
                return self._status
        try:
            halted, failing = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return SequencerStatus(failing="no process has taken its turn to sign the log yet")
        return SequencerStatus(halted, failing)


class Reporter:
    """Makes one status of what each step says, for the leader to report. Once halted, it stays
    so."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.failures: dict[str, str] = {}
        """Of what each step, by its name, failed last; empty once it went well again."""
        self._lock = threading.Lock()

    @property
    def halted(self) -> str:
        return self.turn.reported().halted

    @property
    def failing(self) -> str:
        return self.turn.reported().failing

    def halt(self, reason: str) -> None:
        """Nothing is signed any more."""
        with self._lock:
            self._report(reason)

    def step_ended(self, step: str, failure: str = "") -> None:
        """A step went well, or failed and is tried again."""
        with self._lock:
            self.failures[step] = failure
            self._report(self.halted)

    def _report(self, halted: str) -> None:
        status = SequencerStatus(halted, next(filter(None, self.failures.values()), ""))
        if status != self.turn.reported():
            metrics.troubled(bool(status.halted), bool(status.failing))
        self.turn.report(status)  # again where it could not be told before
