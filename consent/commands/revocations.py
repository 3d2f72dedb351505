"""Revocations that arrive: fetched or delivered in order, acknowledged, and the acknowledgement
logged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import select

from consent.authorising import Overdue
from consent.commands.erase_history import let_revocations_go, order_context
from consent.keys.enclosures import disclose
from consent.registry import Registry
from consent.storage.consents import newest_acknowledged, newest_revocation
from consent.storage.erasure_tables import ErasureOrderRow
from consent.storage.tables import AcknowledgementRow, RevocationRow, SubjectRow
from consent.transaction import Transaction, reading, writing
from protocol.errors import Conflict, NotAllowed
from protocol.parties import Party
from protocol.revocations import Acknowledgement, Revocation

MAX_AT_ONCE = 500


def acknowledged_by(registry: Registry, recipient: Party) -> int:
    """The newest revocation that ``recipient`` has acknowledged; 0 for none."""
    with reading(registry) as view:
        return newest_acknowledged(view.session, recipient.id)


def overdue(transaction: Transaction, recipient: Party) -> Overdue | None:
    """The oldest revocation that should have been acknowledged by now."""
    session = transaction.session
    latest = transaction.moment - timedelta(
        minutes=transaction.registry.consortium.revocation_minutes
    )
    row = session.execute(
        select(RevocationRow.number, RevocationRow.recorded_at)
        .where(
            RevocationRow.recipient == recipient.id,
            RevocationRow.number > newest_acknowledged(session, recipient.id),
        )
        .order_by(RevocationRow.number)
        .limit(1)
    ).one_or_none()
    return None if row is None or row.recorded_at > latest else Overdue(row.number, row.recorded_at)


def read_revocations(
    registry: Registry, recipient: Party, after: int, limit: int = MAX_AT_ONCE
) -> list[str]:
    """Signed revocations with numbers above ``after``, in order, at most ``limit``."""
    with reading(registry) as view:
        scope_of = view.notices.scope_of
        order = (ErasureOrderRow.recipient == RevocationRow.recipient) & (
            ErasureOrderRow.number == RevocationRow.number
        )
        rows = view.session.execute(
            select(RevocationRow, SubjectRow.pseudonym, SubjectRow.number, ErasureOrderRow)
            .join(SubjectRow, SubjectRow.id == RevocationRow.subject_id)
            .outerjoin(ErasureOrderRow, order)
            .where(RevocationRow.recipient == recipient.id, RevocationRow.number > after)
            .order_by(RevocationRow.number)
            .limit(min(limit, MAX_AT_ONCE))
        ).all()
        told = [
            Revocation(
                recipient=recipient.id,
                number=row.number,
                pii_principal_id=pseudonym,
                purpose=scope_of[row.scope_id][0],
                sensitivity=row.sensitivity,
                event_type=row.event,
                event_time=row.revoked_at,
            )
            if order is None
            else _erasure(view, row, scope_of[row.scope_id][0], Tombstone(pseudonym, place), order)
            for row, pseudonym, place, order in rows
        ]
    return [one.sign(registry.signing_key) for one in told]


class Tombstone(NamedTuple):
    """What stands on the roll in the place of an erased person."""

    name: str
    place: int


def _erasure(
    view: Transaction, row: RevocationRow, purpose: str, left: Tombstone, order: ErasureOrderRow
) -> Revocation:
    """The order to erase a person. Raises KeysUnavailable."""
    context = order_context(order.recipient, order.number)
    name = disclose(view.registry.keys, view.session, order, context).decode()
    return Revocation(
        recipient=row.recipient,
        number=row.number,
        pii_principal_id=name,
        purpose=purpose,
        sensitivity="ordinary",
        event_type="erase",
        event_time=row.revoked_at,
        place=left.place,
        tombstone=left.name,
    )


@dataclass(frozen=True)
class Acknowledged:
    """Up to which revocation a recipient has acknowledged, and the log entry that says so."""

    number: int
    entry_index: int

    def body(self) -> dict[str, int]:
        return {"acknowledged": self.number, "entry_index": self.entry_index}


def acknowledge(registry: Registry, recipient: Party, token: str) -> Acknowledged:
    """Record that ``recipient`` has acted on its revocations; once more is no more.

    Raises:
        SignatureError: not this recipient's. NotAllowed: another recipient's. Conflict: there is no
            such revocation.
    """
    told = Acknowledgement.verify(token, recipient.key)
    if told.recipient != recipient.id:
        raise NotAllowed("the acknowledgement names another recipient")
    with writing(registry) as transaction:
        session = transaction.session
        if told.number > newest_revocation(session, recipient.id):
            raise Conflict(f"{recipient.id!r} has no revocation {told.number} yet")
        before = newest_acknowledged(session, recipient.id)
        if told.number <= before:
            return Acknowledged(
                before, session.get_one(AcknowledgementRow, (recipient.id, before)).entry_index
            )
        index = transaction.log_sealed(
            "revocations.acknowledged", recipient.id, {}, {"token": token}
        )
        session.add(
            AcknowledgementRow(recipient=recipient.id, number=told.number, entry_index=index)
        )
        session.flush()
        let_revocations_go(transaction, recipient.id, before, told.number)
    return Acknowledged(told.number, index)


@dataclass(frozen=True)
class Outstanding:
    """How far one lender is behind."""

    recipient: str
    newest: int
    acknowledged: int
    overdue: Overdue | None

    def body(self) -> dict[str, Any]:
        since = self.overdue.recorded_at.isoformat() if self.overdue else None
        return {
            "recipient": self.recipient,
            "newest": self.newest,
            "acknowledged": self.acknowledged,
            "overdue_since": since,
        }


def outstanding(registry: Registry) -> list[Outstanding]:
    """Every lender, and how far it has acknowledged its revocations."""
    found = []
    with reading(registry) as view:
        session = view.session
        for lender in registry.consortium.lenders:
            found.append(
                Outstanding(
                    lender.id,
                    newest_revocation(session, lender.id),
                    newest_acknowledged(session, lender.id),
                    overdue(view, lender),
                )
            )
    return found
