"""Transactions over the registry: a session, one moment, and the notices as they stand in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy.orm import Session

from auditlog.entries import Entry
from consent.notices import Notices
from consent.registry import Registry
from consent.storage.idempotency import Answered, KeptAnswers, Once
from crypto.documents import canonical_json


@dataclass
class Transaction:
    """One transaction. What a command reads, writes and logs in it stands or falls together."""

    registry: Registry
    session: Session
    moment: datetime
    """When it began, before it had read anything."""

    @cached_property
    def notices(self) -> Notices:
        """The published notices, as they stand in this transaction."""
        return self.registry.catalogue.load(self.session)

    def log(self, *entries: Entry) -> int:
        """Append entries to the log; returns the index of the first. Raises LogHeld, ClockWrong."""
        return self.registry.ledger.log.append(self.session, entries)

    def log_sealed(
        self, kind: str, actor: str, public: Mapping[str, Any], body: Mapping[str, Any]
    ) -> int:
        """Append one entry whose body the auditor can read; returns its index. Raises NotFound,
        LogHeld, ClockWrong."""
        return self.log(self.registry.sealed_to_auditor(kind, actor, public, canonical_json(body)))


_WRITING: ContextVar[Transaction | None] = ContextVar("tahini_writing", default=None)
"""The transaction that a command which acts once runs in."""


_READING: ContextVar[Transaction | None] = ContextVar("tahini_reading", default=None)
"""The view that several questions of one answer are asked in."""


@contextmanager
def reading(registry: Registry) -> Iterator[Transaction]:
    """One consistent view; nothing is written. Within :func:`one_view`, that one. Raises
    StorageFailed."""
    ambient = _READING.get()
    if ambient is not None:
        yield ambient
        return
    with registry.ledger.read() as session:
        yield Transaction(registry, session, registry.clock())


@contextmanager
def one_view(registry: Registry) -> Iterator[None]:
    """Whatever this thread reads within is of one moment. Raises StorageFailed."""
    with reading(registry) as view:
        token = _READING.set(view)
        try:
            yield
        finally:
            _READING.reset(token)


@contextmanager
def writing(registry: Registry) -> Iterator[Transaction]:
    """Commit everything or nothing. Within :func:`act_once`, its transaction. Raises
    StorageFailed."""
    ambient = _WRITING.get()
    if ambient is not None:
        yield ambient
        return
    with registry.ledger.write() as session:
        yield Transaction(registry, session, registry.clock())


def act_once(registry: Registry, once: Once | None, do: Callable[[], tuple[int, Any]]) -> Answered:
    """Run a command and keep its answer, in one transaction; answer as before if it was run before.

    Args:
        do: returns status and a JSON body. What it does in :func:`writing` is part of the
            transaction.

    Raises:
        Malformed: the key was used for another command.
    """
    if once is None:
        return Answered(*do())
    with writing(registry) as transaction:
        answers = KeptAnswers(transaction.session, [once], transaction.moment)
        if (earlier := answers.earlier(once)) is not None:
            return earlier
        token = _WRITING.set(transaction)
        try:
            answered = Answered(*do())
        finally:
            _WRITING.reset(token)
        answers.keep(once, answered)
        answers.save()
    return answered
