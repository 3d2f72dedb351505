"""One step of a request: sealed to the person and to the lender, logged, and written down, all in
one transaction.

The person's copy is the body of the log entry, under their data key. The lender's copy is sealed to
the recipient key that the consortium document names for it; where it names none, the registry opens
the person's copy for the lender that the request is to. The leaf commits to both, since both are
one text.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from auditlog.entries import entry_for_subject
from consent.commands.read_evidence import opened
from consent.storage.request_tables import (
    AttachmentRow,
    LendersCopyRow,
    RequestStepRow,
    RightsRequestRow,
)
from consent.storage.subjects import Subject, find_subjects
from consent.storage.tables import SubjectRow
from consent.transaction import Transaction
from crypto.documents import canonical_json
from crypto.sealing import pad, seal_to
from protocol.errors import NotFound
from protocol.rights import (
    ENTRY_TYPES,
    RequestEvent,
    RequestStep,
    next_status,
    seal_context,
)

NO_SUCH = "no such request"


@dataclass(frozen=True)
class OpenRequest:
    """A request, and the person whose it is, in a transaction."""

    row: RightsRequestRow
    subject: Subject

    @classmethod
    def of(cls, transaction: Transaction, sha256: str, lender: str | None) -> OpenRequest:
        """Raises NotFound: there is none, it is not this lender's (None: anybody's), or its person
        was forgotten."""
        found = transaction.session.execute(
            select(RightsRequestRow, SubjectRow.pseudonym)
            .join(SubjectRow, SubjectRow.id == RightsRequestRow.subject_id)
            .where(RightsRequestRow.sha256 == sha256)
        ).one_or_none()
        if found is None or lender not in {None, found[0].lender}:
            raise NotFound(NO_SUCH)
        subject = find_subjects(transaction, [found[1]]).get(found[1])
        if subject is None:
            raise NotFound(NO_SUCH)
        return cls(found[0], subject)

    def steps(self, transaction: Transaction) -> list[RequestStepRow]:
        """In order."""
        wanted = select(RequestStepRow).where(RequestStepRow.request_id == self.row.id)
        return list(transaction.session.scalars(wanted.order_by(RequestStepRow.number)))

    def opened(self, transaction: Transaction, row: RequestStepRow) -> RequestStep:
        """What a step says; raises SealError."""
        entry = transaction.registry.ledger.log.entry(transaction.session, row.entry_index)
        held = opened(self.subject, entry, ENTRY_TYPES[row.event])
        return RequestStep.model_validate(held)

    def take(
        self, transaction: Transaction, event: RequestEvent, evidence: dict[str, Any]
    ) -> dict[str, Any]:
        """Take one more step; returns what the caller is told. Raises IllegalRequestStep."""
        row, moment = self.row, transaction.moment
        row.status = next_status(row.status, event)
        if event in {RequestEvent.ANSWER, RequestEvent.REFUSE}:
            row.answered_at = moment
        if event is RequestEvent.CLOSE:
            row.closed_at = moment
        step = RequestStep(
            request_sha256=row.sha256, event=event, at=moment, evidence=evidence, salt=new_salt()
        )
        number = len(self.steps(transaction)) + 1
        index = write_step(transaction, self, step, number)
        return {
            "request_sha256": row.sha256,
            "status": row.status.value,
            "step": number,
            "entry_index": index,
        }


def new_salt() -> str:
    return secrets.token_urlsafe(32)


def write_step(
    transaction: Transaction, request: OpenRequest, step: RequestStep, number: int
) -> int:
    """Seal, log and keep a step; returns the index of its entry."""
    registry, row, subject = transaction.registry, request.row, request.subject
    kind = ENTRY_TYPES[step.event]
    body = canonical_json(step.model_dump(mode="json"))
    entry = entry_for_subject(
        kind, registry.me.id, {"request": step.commitment}, subject.id, subject.data_key, body
    )
    index = transaction.log(entry)
    lender = registry.ledger.sealer.recipients.get(row.lender)
    transaction.session.add(
        RequestStepRow(
            request_id=row.id,
            number=number,
            event=step.event,
            at=step.at,
            entry_index=index,
        )
    )
    if lender is not None:
        sealed = seal_to(lender, pad(body), seal_context(row.lender, row.sha256, step.event))
        transaction.session.add(LendersCopyRow(request_id=row.id, number=number, sealed=sealed))
    return index


def forget_requests(session: Session, subject: int) -> None:
    """Drop what is sealed to others than the person: the lender's copies, and attachments. The
    person's own copies go with their data key. Lender and gate take no notice of a request whose
    person has none."""
    theirs = select(RightsRequestRow.id).where(RightsRequestRow.subject_id == subject)
    for table in (LendersCopyRow, AttachmentRow):
        session.execute(delete(table).where(table.request_id.in_(theirs)))


def told(row: RightsRequestRow, moment: datetime) -> dict[str, Any]:
    """How a request stands, without what it says."""
    return {
        "request_sha256": row.sha256,
        "recipient": row.lender,
        "kind": row.kind.value,
        "status": row.status.value,
        "received_at": row.received_at.isoformat(),
        "due_at": row.due_at.isoformat(),
        "overdue": row.answered_at is None and row.closed_at is None and row.due_at <= moment,
        "answered_at": row.answered_at and row.answered_at.isoformat(),
        "closed_at": row.closed_at and row.closed_at.isoformat(),
    }


def evidence_of(step: RequestStep) -> dict[str, Any]:
    """A step as JSON."""
    found: dict[str, Any] = json.loads(step.model_dump_json())
    return found
