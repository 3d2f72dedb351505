"""Whose turn it is to integrate and publish, where several processes of one service may.

It is a matter of speed, not of safety: whatever two sequencers did at once, one of them would be refused by the lease
and by the sizes in the database (``auditlog.lease``). The turn is a lock that the kernel lets go when its holder
dies, on a file of the service's own; the holder writes into it how it fares, so that every worker can say so.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

_MOST_BYTES = 4096


@dataclass(frozen=True)
class Standing:
    """How the sequencer fares: why it signs nothing any more, and why its last step failed. Empty when all is well."""

    halted: str = ""
    failing: str = ""


class Turn(Protocol):
    """What a sequencer asks before each step, and tells after it."""

    shared: bool

    def mine(self) -> bool:
        """Whether this process integrates and publishes now; it may become so at any call."""

    def tell(self, standing: Standing) -> None:
        """What the others should know; called by whoever has the turn."""

    def told(self) -> Standing:
        """What the process that has the turn told last."""


@dataclass
class Alone:
    """One process, and always its turn."""

    shared: bool = False
    _standing: Standing = field(default_factory=Standing)

    def mine(self) -> bool:
        return True

    def tell(self, standing: Standing) -> None:
        self._standing = standing

    def told(self) -> Standing:
        return self._standing


@dataclass
class SharedTurn:
    """The turn among the processes that know ``path``, a file on a local file system.

    Once it is this process's turn, it stays so until the process ends. Raises OSError where the file cannot be used.
    """

    path: Path
    shared: bool = True
    _file: int = -1
    _mine: bool = False
    _told: Standing = field(default_factory=Standing)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def mine(self) -> bool:
        with self._lock:
            if self._mine:
                return True
            if self._file < 0:
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self._mine = True
            self._write(Standing())
            return True

    def tell(self, standing: Standing) -> None:
        with self._lock:
            if self._mine and standing != self._told:
                self._write(standing)

    def _write(self, standing: Standing) -> None:
        """In one write of one size: whoever reads meanwhile finds the old or the new."""
        content = json.dumps([standing.halted[:300], standing.failing[:300]]).encode()
        os.pwrite(self._file, content.ljust(_MOST_BYTES), 0)
        self._told = standing

    def told(self) -> Standing:
        with self._lock:
            if self._mine:
                return self._told
        try:
            halted, failing = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return Standing(failing="no process has taken its turn to sign the log yet")
        return Standing(halted, failing)
