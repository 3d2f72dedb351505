"""The desk's entries in the log: what it reads and decides is stated there before it has effect
(invariant 12).

``use.read`` goes out before any source is asked: :meth:`Trail.read`, then store what it returns
with the application (:meth:`Trail.keep`). ``use.scored`` is written into an outbox in the
transaction that stores the decision (:meth:`Trail.record`); a :class:`Sender` delivers the outbox
in order and in batches, and the offer may be shown once :meth:`Sender.wait` has given the index. A
statement that is delivered again gets the index that it has: killed at any instruction, there is no
decision without its entry that anybody was shown, and no entry twice.

The outbox holds no secret and no outcome: what opens a statement's commitments
(:class:`protocol.uses.Blinding`) is the caller's to keep, sealed with the application.

    permission = consents.check(pseudonym, categories)
    blinding = Blinding.of(application_id)
    read = trail.read(blinding, permission, sources)                # index: only now ask sources
    with database.write() as connection:
        trail.keep(connection, read)                                # with the application
    ...score, decide...
    with database.write() as connection:
        trail.record(connection, trail.scored(blinding, permission, decided))  # with the decision
    index = sender.wait(application_id, "use.scored", 10.0)         # only now show the offer
    token = trail.receipt(blinding, payload)                        # None until the log is cosigned
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, MetaData, Table

from crypto.keys import SigningKey
from desk.consents import Permission
from law.categories import DataCategory
from lending.cases import Case, Decision
from protocol.client.desks import DeskClient
from protocol.schema import now
from protocol.uses import Blinding, UseStatement, UseStep


class Storage(Protocol):
    """The desk's database (``desk.storage.database.DeskDatabase``)."""

    def read(self) -> AbstractContextManager[Connection]: ...
    def write(self) -> AbstractContextManager[Connection]: ...


def outbox_table(metadata: MetaData) -> Table:
    """``outbox``: number, application (its id at the desk), step, token (the signed statement),
    entry_index, refused (the registry's words), leaf and proof. Rows are added; each of the last
    four is filled once."""
    raise NotImplementedError


def decision_payload(decision: Decision) -> dict[str, Any]:
    """A decision as JSON, for the commitment and the receipt: money as integers, rates as text, no
    floating point. The trace stands in it as its hash."""
    raise NotImplementedError


@dataclass(frozen=True)
class Decided:
    """What :meth:`Trail.scored` states of a decision."""

    case: Case
    payload: Mapping[str, Any]
    """:func:`decision_payload`."""
    sources: Mapping[str, DataCategory]
    """Who answered."""
    automated: bool
    """A machine alone decided."""


@dataclass(frozen=True)
class LoggedUse:
    """A statement that the log has."""

    application: str
    statement: UseStatement
    token: str
    index: int


class Trail:
    """One lender's statements.

    Args:
        key: of the lender's, as the consortium names it (``Node.key``).
    """

    def __init__(
        self,
        storage: Storage,
        outbox: Table,
        client: DeskClient,
        key: SigningKey,
        clock: Callable[[], datetime] = now,
    ) -> None:
        raise NotImplementedError

    def read(
        self, blinding: Blinding, permission: Permission, sources: Mapping[str, DataCategory]
    ) -> LoggedUse:
        """State ``use.read`` in the log; when this returns, sources may be asked.

        Args:
            sources: who will be asked for what; only for what is granted.

        Raises:
            UseRefused: the registry knows of a consent that does not hold (any more).
            RegistryUnavailable: not acknowledged; call it again with the same blinding.
        """
        raise NotImplementedError

    def keep(self, connection: Connection, logged: LoggedUse) -> None:
        """Store it with the application, in the caller's transaction."""
        raise NotImplementedError

    def scored(self, blinding: Blinding, permission: Permission, decided: Decided) -> UseStatement:
        """The statement of a decision. Pure but for the clock and a nonce."""
        raise NotImplementedError

    def explained(self, blinding: Blinding, scored: UseStatement, text: str) -> UseStatement:
        """The statement that a decision was explained, with this text."""
        raise NotImplementedError

    def record(self, connection: Connection, blinding: Blinding, said: UseStatement) -> None:
        """Put it into the outbox, in the caller's transaction; the same again changes nothing.

        Raises:
            Conflict: another statement of this step is there for this application.
        """
        raise NotImplementedError

    def receipt(self, blinding: Blinding, payload: Mapping[str, Any]) -> str | None:
        """The signed receipt of a decision (``tahini receipt verify``); None until a quorum of
        witnesses has cosigned its entries, which a call fetches.

        Raises:
            RegistryUnavailable: the log has another entry there than was stated, or does not
                answer.
        """
        raise NotImplementedError


class Sender:
    """Delivers the outbox: one thread, whatever waits in one request."""

    def __init__(self, trail: Trail) -> None:
        raise NotImplementedError

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def deliver(self) -> int:
        """Deliver what waits, in one request, here and now; returns how many were settled. Raises
        RegistryUnavailable."""
        raise NotImplementedError

    def wait(self, application: str, step: UseStep, timeout_s: float) -> int:
        """The statement's index in the log, once it has one.

        Raises:
            UseRefused: the registry refused it, for good: a consent was taken back between read and
                decision; the decision is void.
            RegistryUnavailable: not within the time; it is delivered later, and may be waited for
                again.
        """
        raise NotImplementedError
