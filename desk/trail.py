"""The desk's entries in the log: what it reads and decides is stated there before it has effect
(invariant 12).

``use.read`` goes out before any source is asked: :meth:`Trail.read`, then store what it returns
with the application (:meth:`Trail.keep`). ``use.scored`` is put into the outbox in the transaction
that stores the decision (:meth:`Trail.state`); ``desk.outbox`` delivers it, and the offer may be
shown once :meth:`desk.outbox.Sender.wait` has given the index. Killed at any instruction, there is
no decision without its entry that anybody was shown, and no entry twice. ``use.portrayed`` goes out
before anything is read for portraits (:class:`AboutToRead`), and nothing follows it.

What opens the commitments in a statement (:class:`protocol.uses.Blinding`) is the caller's to keep,
sealed with the application.

    permission = consents.check(pseudonym, categories)
    blinding = Blinding.of(application_id)
    read = trail.read(blinding, permission, sources)              # logged: sources may be asked
    said = trail.scored(blinding, permission, decided)            # after scoring and deciding
    def job(hand):                                                # one transaction
        trail.keep(hand, read)                                    # with the application
        trail.state(hand, blinding, said)                         # with the decision
    desk.write(job)
    index = sender.wait(application_id, "use.scored", 10.0)       # logged: the offer may be shown
    token = trail.receipt(blinding, payload)                      # None until it is cosigned
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from crypto.keys import SigningKey, b64
from desk.consents import Permission
from desk.outbox import Adding, HandedInTogether, LoggedEntry, UseOutbox, UseRefused
from desk.statements import Decided, UseStatements
from law.categories import DataCategory
from protocol.client.desks import DeskClient, UseAnswer
from protocol.errors import Conflict, RegistryUnavailable
from protocol.schema import now
from protocol.uses import (
    STEPS,
    Blinding,
    DecisionReceipt,
    LoggedStatement,
    UseStatement,
    check_decision_receipt,
)


@dataclass(frozen=True)
class LoggedUse:
    """A statement that the log has. ``wants_person``: the borrower has told the registry that no
    machine alone may decide; ``use.scored`` is refused if it says that one did."""

    application: str
    said: UseStatement
    token: str
    index: int
    wants_person: bool


@dataclass(frozen=True)
class AboutToRead:
    """What :meth:`Trail.read` states. ``portraits``: by hash, what somebody is to be placed in;
    None where an application is read."""

    blinding: Blinding
    permission: Permission
    sources: Mapping[str, DataCategory]
    portraits: str | None = None


def _came_of(
    use: AboutToRead, said: UseStatement, token: str, answer: UseAnswer
) -> LoggedUse | UseRefused:
    if answer.index is None:
        return UseRefused(f"this person's data may not be read: {answer.refused}")
    return LoggedUse(use.blinding.application, said, token, answer.index, answer.wants_person)


class Trail:
    """One lender's statements, made, logged and proved.

    Args:
        key: of the lender's, as the consortium names it (``Node.key``).

    Raises:
        Conflict: it names no lender with this key.
    """

    def __init__(
        self,
        outbox: UseOutbox,
        client: DeskClient,
        key: SigningKey,
        clock: Callable[[], datetime] = now,
    ) -> None:
        mine = [party.id for party in client.consortium.lenders if party.key == key.public]
        if not mine:
            raise Conflict("this is not a lender's key that the consortium names")
        self._outbox, self._client, self._key, self._clock = outbox, client, key, clock
        self._lender = mine[0]
        self._statements = UseStatements(self._lender, clock)
        self.together = HandedInTogether(client)

    def read(
        self, blinding: Blinding, permission: Permission, sources: Mapping[str, DataCategory]
    ) -> LoggedUse:
        """State ``use.read`` in the log; when this returns, sources may be asked.

        Args:
            sources: who will be asked for what; only for what is granted.

        Raises:
            UseRefused: nothing is granted, or the registry knows of a consent that does not hold
                any more.
            RegistryUnavailable: not acknowledged, so nobody may be asked. It may be in the log all
                the same; go on under a new blinding.
        """
        (read,) = self.read_together([AboutToRead(blinding, permission, sources)])
        if isinstance(read, Exception):
            raise read
        return read

    def read_together(self, uses: Sequence[AboutToRead]) -> list[LoggedUse | Exception]:
        """As :meth:`read`, for several: what came of each, or what its own statement raised. Raises
        RegistryUnavailable."""
        stated = [self._stated(use) for use in uses]
        tokens = [one[1] for one in stated if not isinstance(one, Exception)]
        answers = iter(self.together.log_uses(tokens))
        return [
            one if isinstance(one, Exception) else _came_of(use, *one, next(answers))
            for use, one in zip(uses, stated, strict=True)
        ]

    def _stated(self, use: AboutToRead) -> tuple[UseStatement, str] | Exception:
        if not use.permission.consents:
            return UseRefused("this person has not consented to it; nothing was read")
        about = use.blinding, use.permission, use.sources
        try:
            said = (
                self._statements.read(*about)
                if use.portraits is None
                else self._statements.portrayed(*about, use.portraits)
            )
            return said, said.sign(self._key)
        except Exception as error:  # no statement can say this; the others of the group can be said
            return error

    def keep(self, hand: Adding, logged: LoggedUse) -> None:
        """Store it with the application, in the caller's transaction."""
        self._outbox.add(hand, logged.application, logged.said.step, logged.token, logged.index)

    def scored(self, blinding: Blinding, permission: Permission, decided: Decided) -> UseStatement:
        """The statement of a decision. Of the consents it names those that were read under."""
        return self._statements.scored(blinding, permission, decided)

    def explained(self, blinding: Blinding, scored: UseStatement, text: str) -> UseStatement:
        """The statement that a decision was explained, with this text."""
        return self._statements.explained(blinding, scored, text)

    def state(self, hand: Adding, blinding: Blinding, said: UseStatement) -> None:
        """Put the first statement of its step into the outbox, in the caller's transaction."""
        self._outbox.add(hand, blinding.application, said.step, said.sign(self._key))

    def record(self, connection: Connection, blinding: Blinding, said: UseStatement) -> None:
        """Put it into the outbox, in the caller's transaction; the same again changes nothing.

        Raises:
            Conflict: another statement of this step is there for this application.
        """
        self._outbox.record(connection, blinding.application, said.step, said.sign(self._key))

    def receipt(self, blinding: Blinding, payload: Mapping[str, Any]) -> str | None:
        """The signed receipt of a decision (``tahini receipt verify``); None until its entries are
        in the log. Waits a while for a quorum of witnesses to cosign them.

        Args:
            payload: ``desk.statements.decision_payload``, as it was stated.

        Raises:
            RegistryUnavailable: the log has another entry there than was stated, or does not
                answer. ProofError: this is not what was stated.
        """
        logged = self._outbox.logged(blinding.application)
        if not {"use.read", "use.scored"} <= logged.keys():
            return None
        parts = {
            step.removeprefix("use."): self._proved(logged[step])
            for step in STEPS
            if step in logged
        }
        receipt = DecisionReceipt(
            lender=self._lender,
            pii_principal_id=UseStatement.claimed(logged["use.scored"].token).pii_principal_id,
            application=blinding.application,
            salt=blinding.salt,
            first_salt=None if blinding.first is None else blinding.first.salt,
            decision=dict(payload),
            issued_at=self._clock(),
            **parts,
        )
        consortium = self._client.consortium
        check_decision_receipt(receipt, self._key.public, consortium.log_origin, consortium.policy)
        return receipt.sign(self._key)

    def _proved(self, kept: LoggedEntry) -> LoggedStatement:
        """The entry with its proof, fetched if it is not there yet. Raises RegistryUnavailable."""
        leaf, proof = kept.leaf, kept.proof
        if leaf is None or proof is None:
            leaf, found = self._client.proved_leaf(kept.index, wait=True)
            if not UseStatement.claimed(kept.token).stands_in(json.loads(leaf)):
                raise RegistryUnavailable(
                    f"the log has another entry at {kept.index} than the {kept.step} that it "
                    "acknowledged there"
                )
            proof = found.text
            self._outbox.prove(kept.number, leaf, proof)
        return LoggedStatement(token=kept.token, entry=b64(leaf), proof=proof)
