"""The registry as its commands see it: storage, log, keys, consortium, clock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from auditlog.database import Database
from auditlog.entries import Entry, Sealer
from auditlog.log import AuditLog
from auditlog.sequencer import Sequencer
from consent.keys.datakeys import DataKeys
from consent.notices import Catalogue
from consent.storage.idempotency import Answered, Once, recall, remember
from crypto.keys import SigningKey
from crypto.notes import InclusionProof
from protocol.errors import LogHeld, NotFound, StorageFailed
from protocol.parties import Consortium, Party, Role
from protocol.schema import now

logger = logging.getLogger("tahini.registry")
_WRITING: ContextVar[Session | None] = ContextVar("tahini_writing", default=None)
"""The transaction that a command which acts once runs in."""


@dataclass(frozen=True)
class Registry:
    home: Path
    database: Database
    log: AuditLog
    sequencer: Sequencer
    keys: DataKeys
    sealer: Sealer
    signing_key: SigningKey = field(repr=False)
    consortium_token: str
    consortium: Consortium
    catalogue: Catalogue
    ledger_key: bytes = field(repr=False)
    """What ledger pseudonyms are stored under: without it a copy of the database does not say who is who."""
    clock: Callable[[], datetime] = now

    @property
    def me(self) -> Party:
        return self.consortium.one(Role.REGISTRY)

    def sealed_to_auditor(self, kind: str, actor: str, public: Mapping[str, Any], body: bytes) -> Entry:
        """An entry whose body the auditor can read."""
        auditor = self.consortium.one(Role.AUDITOR)
        if auditor.id not in self.sealer.recipients:
            raise NotFound("the auditor has no recipient key; nothing can be sealed to it")
        return self.sealer.entry(kind, actor, public, (auditor.id,), body)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A write transaction; the sequencer is told when it has committed. Within :meth:`once`, that transaction."""
        ambient = _WRITING.get()
        if ambient is not None:
            yield ambient
            return
        with self.database.write() as session:
            yield session
        self.sequencer.notify()

    def once(self, once: Once | None, do: Callable[[], tuple[int, Any]]) -> Answered:
        """Run a command and keep its answer, in one transaction; answer as before if it was run before.

        Args:
            do: returns status and a JSON body. What it writes with :meth:`write` is part of the transaction.
        """
        if once is None:
            return Answered(*do())
        with self.write() as session:
            earlier = recall(session, [once], self.clock()).get(once)
            if isinstance(earlier, Exception):
                raise earlier
            if earlier is not None:
                return earlier
            token = _WRITING.set(session)
            try:
                answered = Answered(*do())
            finally:
                _WRITING.reset(token)
            remember(session, [(once, answered)], self.clock())
        return answered

    def proved(self, index: int) -> tuple[bytes, InclusionProof]:
        """Leaf and inclusion proof of an entry, once it is under a published checkpoint.

        Raises:
            NotWitnessed: no quorum of witnesses has cosigned it in time. The entry is durable all the same.
        """
        self.sequencer.wait_for(index)
        with self.database.read() as session:
            return self.log.entry(session, index).leaf, self.log.prove_inclusion(session, index)

    def catch_up(self) -> None:
        """Return once everything that is logged now is under a published checkpoint; raises NotWitnessed."""
        with self.database.read() as session:
            size = self.log.size(session)
        if size:
            self.sequencer.wait_for(size - 1)

    def at(self, clock: Callable[[], datetime]) -> Registry:
        """The same registry under another clock."""
        log = replace(self.log, clock=clock)
        return replace(self, clock=clock, log=log, sequencer=Sequencer(self.database, log, self.sequencer.witnesses))

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
