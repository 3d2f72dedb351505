"""Requests as their person sees them, and as their lender does: nobody else can tell that there is
one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select

from consent.commands.request_steps import NO_SUCH, OpenRequest, evidence_of, told
from consent.registry import Registry
from consent.storage.request_tables import AttachmentRow, LendersCopyRow, RightsRequestRow
from consent.storage.tables import DataKeyRow, SubjectRow
from consent.transaction import Transaction, reading
from crypto.keys import b64
from protocol.errors import NotFound
from protocol.parties import Party
from protocol.rights import (
    OPEN,
    UNANSWERED,
    RequestStatus,
    RequestStep,
    RightsReceipt,
)


def list_own_requests(registry: Registry, pseudonyms: Sequence[str]) -> list[dict[str, Any]]:
    """This person's requests of every lender, newest first."""
    with reading(registry) as view:
        rows = view.session.scalars(
            select(RightsRequestRow)
            .join(SubjectRow, SubjectRow.id == RightsRequestRow.subject_id)
            .join(DataKeyRow, DataKeyRow.subject_id == SubjectRow.id)
            .where(SubjectRow.pseudonym.in_(pseudonyms))
            .order_by(RightsRequestRow.id.desc())
        )
        return [told(row, view.moment) for row in rows]


def read_own_request(registry: Registry, pseudonyms: Sequence[str], sha256: str) -> dict[str, Any]:
    """One of this person's requests, with all that was said; raises NotFound for others'."""
    with reading(registry) as view:
        request = _own(view, pseudonyms, sha256)
        target = f"/v1/me/requests/{sha256}"
        steps = [
            {
                "number": row.number,
                "entry_index": row.entry_index,
                "step": evidence_of(request.opened(view, row)),
                "receipt": f"{target}/receipts/{row.number}",
            }
            for row in request.steps(view)
        ]
        attached = _attached(view, request)
    return {
        **told(request.row, view.moment),
        "pii_principal_id": request.subject.pseudonym,
        "steps": steps,
        "attachment": None if attached is None else f"{target}/attachment",
    }


def _own(view: Transaction, pseudonyms: Sequence[str], sha256: str) -> OpenRequest:
    """Raises NotFound."""
    request = OpenRequest.of(view, sha256, None)
    if request.subject.pseudonym not in pseudonyms:
        raise NotFound(NO_SUCH)
    return request


def _attached(view: Transaction, request: OpenRequest) -> bytes | None:
    wanted = select(AttachmentRow.sealed).where(AttachmentRow.request_id == request.row.id)
    return view.session.scalar(wanted)


def read_attachment(registry: Registry, pseudonyms: Sequence[str], sha256: str) -> bytes:
    """What the lender attached to its answer, as it sealed it; raises NotFound."""
    with reading(registry) as view:
        sealed = _attached(view, _own(view, pseudonyms, sha256))
    if sealed is None:
        raise NotFound("nothing is attached to an answer to this request")
    return sealed


def read_receipt(registry: Registry, pseudonyms: Sequence[str], sha256: str, number: int) -> str:
    """The signed receipt of a step of this person's request, with its proof under the newest
    checkpoint. Raises NotFound."""
    with reading(registry) as view:
        request = _own(view, pseudonyms, sha256)
        row = next((row for row in request.steps(view) if row.number == number), None)
        if row is None:
            raise NotFound("the request has no such step")
        step, index = request.opened(view, row), row.entry_index
    return issue_rights_receipt(registry, step, index)


def issue_rights_receipt(registry: Registry, step: RequestStep, index: int) -> str:
    """Raises NotWitnessed."""
    leaf, proof = registry.ledger.proved(index)
    receipt = RightsReceipt(
        step=step, entry=b64(leaf), proof=proof.text, issued_at=registry.clock()
    )
    return receipt.sign(registry.signing_key)


# --- a lender


def list_lenders_requests(
    registry: Registry, lender: Party, all_of_them: bool, after: int, limit: int
) -> tuple[list[dict[str, Any]], int | None]:
    """Requests of this lender's borrowers in the order in which they came, and where the next page
    begins: those that are not closed, or all. Who was forgotten is not among them."""
    with reading(registry) as view:
        wanted = (
            select(RightsRequestRow, SubjectRow.pseudonym, SubjectRow.number)
            .join(SubjectRow, SubjectRow.id == RightsRequestRow.subject_id)
            .join(DataKeyRow, DataKeyRow.subject_id == SubjectRow.id)
            .where(RightsRequestRow.lender == lender.id, RightsRequestRow.id > after)
            .order_by(RightsRequestRow.id)
            .limit(limit)
        )
        if not all_of_them:
            wanted = wanted.where(RightsRequestRow.status.in_(OPEN))
        rows = view.session.execute(wanted).all()
    found = [
        {**told(row, view.moment), "pii_principal_id": name, "number": number}
        for row, name, number in rows
    ]
    return found, rows[-1][0].id if len(rows) == limit else None


def read_lenders_request(registry: Registry, lender: Party, sha256: str) -> dict[str, Any]:
    """One request of this lender's borrowers, with the lender's sealed copy of every step, or the
    step itself where the consortium names no key of the lender's. Raises NotFound for others'."""
    with reading(registry) as view:
        request = OpenRequest.of(view, sha256, lender.id)
        copies = select(LendersCopyRow).where(LendersCopyRow.request_id == request.row.id)
        sealed = {copy.number: b64(copy.sealed) for copy in view.session.scalars(copies)}
        steps = [
            {
                "number": row.number,
                "event": row.event.value,
                "entry_index": row.entry_index,
                "sealed": sealed.get(row.number),
                "step": None if row.number in sealed else evidence_of(request.opened(view, row)),
            }
            for row in request.steps(view)
        ]
    return {
        **told(request.row, view.moment),
        "pii_principal_id": request.subject.pseudonym,
        "number": request.subject.number,
        "steps": steps,
    }


# --- whoever watches


def request_statistics(registry: Registry) -> list[dict[str, Any]]:
    """How many requests of each kind each lender was sent, and how it fares: counts, of nobody in
    particular."""
    with reading(registry) as view:
        row = RightsRequestRow
        waits = row.status.in_(UNANSWERED)
        counts = {
            "received": func.count(),
            "unanswered": func.count().filter(waits),
            "overdue": func.count().filter(waits, row.due_at <= view.moment),
            "answered": func.count().filter(row.answered_at.is_not(None)),
            "answered_late": func.count().filter(row.answered_at >= row.due_at),
            "refused": func.count().filter(row.status == RequestStatus.REFUSED),
            "closed": func.count().filter(row.closed_at.is_not(None)),
        }
        rows = view.session.execute(
            select(row.lender, row.kind, *counts.values())
            .group_by(row.lender, row.kind)
            .order_by(row.lender, row.kind)
        ).all()
    return [
        {
            "recipient": lender,
            "kind": kind.value,
            **{name: int(value) for name, value in zip(counts, values, strict=True)},
        }
        for lender, kind, *values in rows
    ]
