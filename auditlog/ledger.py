"""The ledger: a database, the audit log in it, what signs the log, and what seals the bodies of its
entries.

Whoever owns a log opens one ledger. State and log entries are written in one transaction,
:meth:`Ledger.write`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.orm import Session

from auditlog.database import Database
from auditlog.entries import Sealer
from auditlog.log import AuditLog
from auditlog.sequencer import Sequencer
from crypto.notes import InclusionProof
from protocol.errors import LogHeld, StorageFailed

logger = logging.getLogger("tahini.log")


@dataclass(frozen=True)
class Ledger:
    """An open audit log, and the database that it commits in."""

    database: Database
    log: AuditLog
    sequencer: Sequencer
    sealer: Sealer

    @property
    def clock(self) -> Callable[[], datetime]:
        """The log's."""
        return self.log.clock

    def read(self) -> AbstractContextManager[Session]:
        """One consistent view; nothing is written. Raises StorageFailed."""
        return self.database.read()

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Commit everything or nothing; the sequencer is told when it has committed. Raises
        StorageFailed."""
        with self.database.write() as session:
            yield session
        self.sequencer.notify()

    def proved(self, index: int) -> tuple[bytes, InclusionProof]:
        """Leaf and inclusion proof of an entry, once it is under a published checkpoint.

        Raises:
            NotWitnessed: no quorum of witnesses has cosigned it in time. The entry is durable all
                the same.
        """
        self.sequencer.wait_for(index)
        with self.read() as session:
            return self.log.entry(session, index).leaf, self.log.prove_inclusion(session, index)

    def catch_up(self) -> None:
        """Return once everything that is logged now is under a published checkpoint; raises
        NotWitnessed."""
        with self.read() as session:
            size = self.log.size(session)
        if size:
            self.sequencer.wait_for(size - 1)

    def at(self, clock: Callable[[], datetime]) -> Ledger:
        """The same ledger under another clock."""
        log = replace(self.log, clock=clock)
        return replace(
            self, log=log, sequencer=Sequencer(self.database, log, self.sequencer.witnesses)
        )

    def close(self) -> None:
        """Stop the sequencer, let another process write, close the database."""
        self.sequencer.stop()
        try:
            if self.log.lease.epoch:
                with self.database.write() as session:
                    self.log.lease.release(session)
        except (LogHeld, StorageFailed) as error:
            logger.info("whoever writes next waits until the lease is over: %s", error)
        finally:
            self.database.close()
