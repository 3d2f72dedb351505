"""Faults for a log: lives that end by kill -9, a filesystem without space, a clock that jumps.

Run as a program, this module is the parent of :func:`lives`: a process that has imported everything once and has no
threads, so that a fork of it is a registry that starts within milliseconds.
"""

from __future__ import annotations

import gc
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import event, text
from support.killing import Killer, Tell
from support.logs import ORIGIN, Logbook

from auditlog.database import Database
from auditlog.entries import Entry, entry_with_sealed_body
from auditlog.log import AuditLog
from auditlog.sequencer import Sequencer
from auditlog.witnesses import Witnesses
from consent.storage.migrating import migrate
from crypto.keys import SigningKey, load_signing_key
from crypto.notes import Verifier
from crypto.policies import Log, unwitnessed
from protocol.errors import NotFound
from protocol.schema import now

_MAX_BATCH = 5


def numbered(number: int, **counts: int) -> Entry:
    """A real entry that can be told from every other by its counts."""
    body = b"body of %d" % number
    return entry_with_sealed_body("use.read", "aspen", {"counts": {"n": number, **counts}}, "auditor", body)


def counts(leaf: bytes) -> dict[str, int]:
    return json.loads(leaf)["counts"]


def number(leaf: bytes) -> int:
    return counts(leaf)["n"]


def append(book: Logbook, *numbers: int) -> int:
    with book.database.write() as session:
        return book.log.append(session, [numbered(n) for n in numbers])


def numbers(book: Logbook) -> list[int]:
    return [number(leaf) for leaf in book.leaves()]


def location_of(database: Database) -> Path | str:
    """Where ``database`` is, as Database takes it."""
    url = database.engine.url
    return Path(url.database or "") if database.dialect == "sqlite" else url.render_as_string(hide_password=False)


@contextmanager
def another(database: Database) -> Iterator[Database]:
    """The same database as another process would open it."""
    other = Database(location_of(database))
    try:
        yield other
    finally:
        other.close()


def end_lease(database: Database) -> None:
    """As if the holder had not been heard of for longer than its lease lasts."""
    with database.write() as session:
        session.execute(text("UPDATE log_state SET held_until = 0"))


@dataclass
class Clock:
    """The machine's clock, in somebody else's hands."""

    moment: datetime = field(default_factory=now)

    def __call__(self) -> datetime:
        return self.moment

    def move(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@contextmanager
def before_transaction(database: Database, number: int, happens: Callable[[], None]) -> Iterator[None]:
    """``happens`` once, just before the transaction of this ``number``, from 1, begins: the worst moment."""
    left = [happens] + [lambda: None] * (number - 1)

    def checkout(*_: Any) -> None:
        if left:
            left.pop()()

    event.listen(database.engine, "checkout", checkout)
    try:
        yield
    finally:
        event.remove(database.engine, "checkout", checkout)
    assert not left, "there were fewer transactions"


@contextmanager
def small_filesystem(folder: Path, size: str) -> Iterator[Path]:
    """A filesystem of its own at ``folder``. Raises PermissionError where one cannot be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        raise PermissionError(mounted.stderr.decode().strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the space that is left; delete the file that is returned to give it back."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return ballast


# --- kill -9


@dataclass(frozen=True)
class Life:
    """What one process said before it was killed: (index, numbers) of each append after it returned, heads it read."""

    opened: list[int] = field(default_factory=list)
    acknowledged: list[tuple[int, list[int]]] = field(default_factory=list)
    heads: list[tuple[int, str]] = field(default_factory=list)
    error: list[str] = field(default_factory=list)


def lives(database: Database, key: Path, kills: int, most: int, seed: int) -> list[Life]:
    """Let ``kills`` processes, one after the other, write to the log and kill each with signal 9.

    Args:
        most: messages after which a process is killed, at most.
    """
    order = {
        "location": str(location_of(database)),
        "key": str(key),
        "kills": kills,
        "most": most,
        "seed": seed,
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, json.dumps(order)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        check=True,
    )
    return [Life(**told) for told in json.loads(done.stdout)]


def _opened(location: Path | str, key: SigningKey) -> Logbook:
    """A log without witnesses, and without the 0.1 s that an HTTP client takes to be made."""
    policy = unwitnessed(Log(Verifier(ORIGIN, key.public)))
    database, log = Database(location), AuditLog(ORIGIN, key, policy, now)
    return Logbook(database, log, Sequencer(database, log, Witnesses(policy, ())))


def _live(location: Path | str, key: SigningKey, life: int, tell: Tell) -> None:
    """Append without end. Only what returned is told."""
    rng = random.Random(life)
    book = _opened(location, key)
    with book.database.read() as session:
        book.log.state(session)
    tell("opened", life)
    book.sequencer.start()
    start = life * 1_000_000
    while True:
        size = rng.randint(1, _MAX_BATCH)
        batch = list(range(start, start + size))
        with book.database.write() as session:
            first = book.log.append(session, [numbered(n, batch=batch[0], of=size) for n in batch])
        tell("acknowledged", [first, batch])
        book.sequencer.notify()
        try:
            with book.database.read() as session:
                note = book.log.signed_head(session)
            tell("heads", [int(note.split("\n")[1]), note])
        except NotFound:
            pass
        start += size


def _heard(told: list[tuple[str, Any]]) -> Life:
    life = Life()
    for kind, what in told:
        getattr(life, kind).append(what)
    return life


def _warm_up(location: Path | str, key: SigningKey) -> None:
    """Whatever is imported or compiled at its first use is so before the first fork; no thread is left."""
    with tempfile.TemporaryDirectory() as folder:
        scratch, book = _opened(Path(folder) / "log.db", key), _opened(location, key)
        migrate(scratch.database)
        append(scratch, 0)
        scratch.settle()
        book.leaves()
        for database in (scratch.database, book.database):
            database.close()


def _main() -> None:
    order = json.loads(sys.argv[1])
    location = order["location"] if "://" in order["location"] else Path(order["location"])
    key = load_signing_key(Path(order["key"]))
    _warm_up(location, key)
    gc.freeze()
    killer = Killer(random.Random(order["seed"]), order["most"])
    told = [_heard(killer.life(partial(_live, location, key, number))) for number in range(order["kills"])]
    json.dump([vars(life) for life in told], sys.stdout)


if __name__ == "__main__":
    _main()
