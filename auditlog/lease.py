"""One writer holds the log at a time: a lease in the database, with a fencing token.

The writer is a process, or a service of several processes (``consent.workers``) that share one
name: the parent's. Each of them may write, and renews the lease for all; what fences them from
another service is the same as for one process.

Taking the lease raises ``epoch``; every append and integration compares holder and epoch in its own
transaction. Which process *should* write is a matter of clocks; which one *can* is not: a clock
that jumps makes nobody's write wrong.

A lease ends when its time is over, when its holder lets go, or at once when the holder ran on this
machine and is dead. A shared one is let go by the parent, once every worker has ended.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from protocol.errors import LogDamaged, LogHeld

LEASE_S = 10.0


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _machine() -> str:
    """This machine since its last start; the host's name alone where the system does not tell
    more."""
    return f"{socket.gethostname()}/{_read('/proc/sys/kernel/random/boot_id').strip()[:8]}"


def _started(pid: int) -> str:
    """When process ``pid`` started, in clock ticks since boot; empty if there is none, or a dead
    one unreaped.

    Fields 3 and 22 of ``/proc/<pid>/stat`` (proc(5)).
    """
    found = _read(f"/proc/{pid}/stat").rpartition(")")[2].split() or ["Z"] * 20
    return "" if found[0] == "Z" else found[19]


def holder_name() -> str:
    """A name of its own for this process as a holder: machine, process id, its start, something
    random."""
    return f"{_machine()}/{os.getpid()}/{_started(os.getpid())}/{secrets.token_hex(4)}"


def let_go(session: Session, holder: str) -> None:
    """End the lease of ``holder``, at whatever epoch: a service whose every process has ended."""
    session.connection().execute(_LET_GO, {"holder": holder})


def is_gone(holder: str) -> bool:
    """Whether ``holder`` was a process of this machine that no longer runs."""
    process = holder.rpartition("/")[0]
    machine, _, rest = process.rpartition("/")
    machine, _, pid = machine.rpartition("/")
    if machine != _machine() or not pid.isdigit() or not rest:
        return False
    return _started(int(pid)) != rest


@dataclass(frozen=True)
class LogPosition:
    """The log's state row; see :class:`consent.storage.tables.LogStateRow`."""

    appended: int
    integrated: int
    newest: int
    holder: str
    epoch: int
    held_until: float


_COLUMNS = tuple(item.name for item in fields(LogPosition))
_SELECT = text(f"SELECT {', '.join(_COLUMNS)} FROM log_state")  # noqa: S608
_TAKE = text("UPDATE log_state SET holder = :holder, epoch = :epoch, held_until = :until")
_LET_GO = text("UPDATE log_state SET holder = '', held_until = 0 WHERE holder = :holder")
_RELEASE = text(
    "UPDATE log_state SET holder = '', held_until = 0 WHERE holder = :holder AND epoch = :epoch"
)


@cache
def _advance(names: tuple[str, ...]) -> TextClause:
    changes = "".join(f", {name} = :{name}" for name in names if name in _COLUMNS)
    return text(
        f"UPDATE log_state SET held_until = :until{changes}"  # noqa: S608
        " WHERE holder = :holder AND epoch = :mine"
    )


def read_state(session: Session) -> LogPosition:
    """How far the log is and who writes to it."""
    rows = session.connection().execute(_SELECT).all()
    if len(rows) != 1:
        raise LogDamaged("the log's own account of itself is lost; run: tahini log fsck")
    return LogPosition(*rows[0])


@dataclass
class Lease:
    """A writer's claim on the log. Safe to share between threads: it changes only inside write
    transactions.

    ``shared`` says that other processes write under the same name: this one takes over their epoch,
    and never lets go for them.
    """

    name: str = field(default_factory=holder_name)
    epoch: int = 0
    shared: bool = False

    def hold(self, session: Session) -> LogPosition:
        """The log's state, held by this process for the rest of the transaction; the lease is taken
        if it is free.

        Raises:
            LogHeld: another process holds the log.
        """
        state = read_state(session)
        if (state.holder, state.epoch) == (self.name, self.epoch):
            return state
        if self.shared and state.holder == self.name:
            self.epoch = state.epoch
            return state
        left = state.held_until - time.time()
        if state.holder and 0 < left <= 2 * LEASE_S and not is_gone(state.holder):
            raise LogHeld(
                f"another process writes to this log ({state.holder}), until it stops or for "
                f"{left:.0f} s after it was last heard of; this one can read"
            )
        self.epoch = state.epoch + 1
        taken = {"holder": self.name, "epoch": self.epoch, "until": time.time() + LEASE_S}
        session.connection().execute(_TAKE, taken)
        return replace(state, holder=self.name, epoch=self.epoch)

    def advance(self, session: Session, **changes: int) -> None:
        """Change the log's state, and renew the lease; raises LogHeld if it was lost."""
        mine = {"holder": self.name, "mine": self.epoch, "until": time.time() + LEASE_S}
        done = session.connection().execute(_advance(tuple(changes)), {**mine, **changes})
        if done.rowcount != 1:
            raise LogHeld("another process has taken over this log; nothing was recorded")

    def release(self, session: Session) -> None:
        """Let another process write at once; the parent does that for those who share a lease."""
        if self.shared:
            return
        session.connection().execute(_RELEASE, {"holder": self.name, "epoch": self.epoch})
