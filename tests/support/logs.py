"""A log alone, over a real SQLite file or a real PostgreSQL server, without the rest of the house."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import text

from auditlog.database import Database
from auditlog.entries import Entry
from auditlog.log import AuditLog
from auditlog.sequencer import Sequencer
from auditlog.witnesses import Witnesses
from consent.storage.migrating import migrate
from crypto.keys import SigningKey
from crypto.notes import Verifier
from crypto.policies import Log, Policy, unwitnessed
from protocol.schema import now

ORIGIN = "log.test/one"


@dataclass
class Logbook:
    database: Database
    log: AuditLog
    sequencer: Sequencer

    @classmethod
    def over(
        cls,
        database: Database,
        key: SigningKey | None = None,
        policy: Policy | None = None,
        clock: Callable[[], datetime] = now,
    ) -> Logbook:
        key = key or SigningKey.generate()
        policy = policy or unwitnessed(Log(Verifier(ORIGIN, key.public)))
        log = AuditLog(ORIGIN, key, policy, clock)
        return cls(database, log, Sequencer(database, log, Witnesses.of(policy)))

    def append(self, *leaves: bytes) -> int:
        with self.database.write() as session:
            return self.log.append(session, [Entry(leaf, b"body of " + leaf) for leaf in leaves])

    def settle(self) -> int:
        return self.sequencer.settle()

    def leaves(self) -> list[bytes]:
        with self.database.read() as session:
            return list(self.log.leaves(session, 0, self.log.size(session)))

    def tamper(self, *statements: str) -> None:
        """What an operator with the database in hand can do: triggers do not stop them, mathematics does."""
        with self.database.write() as session:
            if self.database.dialect == "postgresql":
                session.execute(text("SET LOCAL session_replication_role = replica"))
            else:
                for name in session.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                    session.execute(text(f"DROP TRIGGER {name}"))
            for statement in statements:
                session.execute(text(statement))


@contextmanager
def new_book(location: Path | str) -> Iterator[Logbook]:
    """A log in a database of its own."""
    database = Database(location)
    try:
        migrate(database)
        yield Logbook.over(database)
    finally:
        database.close()
