"""Revocations that arrive: fetched or delivered in order, acknowledged, and the acknowledgement logged."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from consent.authorising import Overdue
from consent.documents import Party
from consent.errors import Conflict, NotAllowed
from consent.registry import Registry
from consent.revocations import Acknowledgement, Revocation
from consent.storage.tables import AcknowledgementRow, RevocationRow, SubjectRow
from crypto.documents import canonical_json

MOST_AT_ONCE = 500


def acknowledged(session: Session, recipient: str) -> int:
    """The newest revocation that ``recipient`` has acknowledged; 0 for none."""
    newest = select(func.max(AcknowledgementRow.number)).where(AcknowledgementRow.recipient == recipient)
    return session.scalar(newest) or 0


def overdue(registry: Registry, session: Session, recipient: Party) -> Overdue | None:
    """The oldest revocation that should have been acknowledged by now."""
    latest = registry.clock() - timedelta(minutes=registry.consortium.revocation_minutes)
    row = session.execute(
        select(RevocationRow.number, RevocationRow.revoked_at)
        .where(RevocationRow.recipient == recipient.id, RevocationRow.number > acknowledged(session, recipient.id))
        .order_by(RevocationRow.number)
        .limit(1)
    ).one_or_none()
    return None if row is None or row.revoked_at > latest else Overdue(row.number, row.revoked_at)


def read_revocations(registry: Registry, recipient: Party, after: int, limit: int = MOST_AT_ONCE) -> list[str]:
    """Signed revocations with numbers above ``after``, in order, at most ``limit``."""
    with registry.database.read() as session:
        scope_of = registry.catalogue.load(session).scope_of
        rows = session.execute(
            select(RevocationRow, SubjectRow.pseudonym)
            .join(SubjectRow, SubjectRow.id == RevocationRow.subject_id)
            .where(RevocationRow.recipient == recipient.id, RevocationRow.number > after)
            .order_by(RevocationRow.number)
            .limit(min(limit, MOST_AT_ONCE))
        ).all()
    return [
        Revocation(
            recipient=recipient.id,
            number=row.number,
            pii_principal_id=pseudonym,
            purpose=scope_of[row.scope_id][0],
            sensitivity=row.sensitivity,
            event_type=row.event,
            event_time=row.revoked_at,
        ).sign(registry.signing_key)
        for row, pseudonym in rows
    ]


def acknowledge(registry: Registry, recipient: Party, token: str) -> int:
    """Record that ``recipient`` has acted on its revocations; returns up to which. Once more is no more.

    Raises:
        SignatureError: not this recipient's. NotAllowed: another recipient's. Conflict: there is no such revocation.
    """
    told = Acknowledgement.verify(token, recipient.key)
    if told.recipient != recipient.id:
        raise NotAllowed("the acknowledgement names another recipient")
    with registry.write() as session:
        newest = session.scalar(select(func.max(RevocationRow.number)).where(RevocationRow.recipient == recipient.id))
        if told.number > (newest or 0):
            raise Conflict(f"{recipient.id!r} has no revocation {told.number} yet")
        before = acknowledged(session, recipient.id)
        if told.number <= before:
            return before
        public = {"count": told.number - before}
        body = canonical_json({"token": token})
        entry = registry.sealed_to_auditor("revocations.acknowledged", recipient.id, public, body)
        index = registry.log.append(session, [entry])
        session.add(AcknowledgementRow(recipient=recipient.id, number=told.number, entry_index=index))
    return told.number
