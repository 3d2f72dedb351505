"""One writer holds the log at a time: a lease in the database, with a fencing token.

Taking the lease raises ``epoch``; every append and integration compares holder and epoch in its own transaction. Which
process *should* write is a matter of clocks; which one *can* is not: a clock that jumps makes nobody's write wrong.

A lease ends when its time is over, when its holder lets go, or at once when the holder ran on this machine and is dead.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from consent.errors import LogHeld
from consent.storage.tables import LogStateRow

LEASE_S = 10.0


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _machine() -> str:
    """This machine since its last start; the host's name alone where the system does not tell more."""
    return f"{socket.gethostname()}/{_read('/proc/sys/kernel/random/boot_id').strip()[:8]}"


def _started(pid: int) -> str:
    """When process ``pid`` started, in clock ticks since boot; empty if there is none (proc(5), field 22 of stat)."""
    return (_read(f"/proc/{pid}/stat").rpartition(")")[2].split() or [""] * 20)[19]


def _process() -> str:
    return f"{_machine()}/{os.getpid()}/{_started(os.getpid())}"


def is_gone(holder: str) -> bool:
    """Whether ``holder`` was a process of this machine that no longer runs."""
    process = holder.rpartition("/")[0]
    machine, _, rest = process.rpartition("/")
    machine, _, pid = machine.rpartition("/")
    if machine != _machine() or not pid.isdigit() or not rest:
        return False
    return _started(int(pid)) != rest


@dataclass
class Lease:
    """One process's claim on the log. Safe to share between threads: it changes only inside write transactions."""

    name: str = field(default_factory=lambda: f"{_process()}/{secrets.token_hex(4)}")
    epoch: int = 0

    def hold(self, session: Session, renew: bool = True) -> LogStateRow:
        """The log's state, held by this process for the rest of the transaction.

        Raises:
            LogHeld: another process holds the log.
        """
        state = session.scalars(select(LogStateRow).with_for_update()).one()
        moment = time.time()
        if (state.holder, state.epoch) != (self.name, self.epoch):
            if state.holder and state.held_until > moment and not is_gone(state.holder):
                raise LogHeld(
                    f"another process writes to this log ({state.holder}), until it stops or for "
                    f"{state.held_until - moment:.0f} s after it was last heard of; this one can read"
                )
            self.epoch = state.epoch + 1
            state.holder, state.epoch = self.name, self.epoch
            renew = True
        if renew:
            state.held_until = moment + LEASE_S
        return state

    def release(self, session: Session) -> None:
        """Let another process write at once."""
        session.execute(
            update(LogStateRow)
            .where(LogStateRow.holder == self.name, LogStateRow.epoch == self.epoch)
            .values(holder="", held_until=0.0)
        )
