"""Impact assessments: record one, read one, list them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from consent.registry import Registry
from consent.storage.filing_tables import AssessmentRow
from consent.transaction import Transaction, reading, writing
from protocol.assessments import ImpactAssessment
from protocol.errors import Conflict, NotAllowed, NotFound
from protocol.parties import Party


def record_assessment(registry: Registry, author: Party, token: str) -> ImpactAssessment:
    """Record an assessment that its author signed; the same one again changes nothing.

    Raises:
        SignatureError: not the caller's. NotAllowed: it names another author. Conflict: it has
            expired, or is of another time.
    """
    assessment = ImpactAssessment.verify(token, author.key)
    if assessment.author != author.id:
        raise NotAllowed(f"the assessment names {assessment.author!r} as its author")
    with writing(registry) as transaction:
        if transaction.session.get(AssessmentRow, assessment.sha256):
            return assessment
        if assessment.valid_until <= transaction.moment:
            raise Conflict(
                f"assessment {assessment.id!r} expired at {assessment.valid_until.isoformat()}"
            )
        public = {"assessment": assessment.sha256}
        index = transaction.log_sealed("assessment.recorded", author.id, public, {"token": token})
        transaction.session.add(
            AssessmentRow(
                sha256=assessment.sha256, author=author.id, token=token, entry_index=index
            )
        )
    return assessment


def load_assessment(view: Transaction, sha256: str) -> tuple[ImpactAssessment, AssessmentRow]:
    """The assessment with this hash, its signature checked again; raises NotFound."""
    row = view.session.get(AssessmentRow, sha256)
    if row is None:
        raise NotFound(f"there is no impact assessment {sha256[:12]}…")
    key = view.registry.consortium.party(row.author).key
    return ImpactAssessment.verify(row.token, key), row


def read_assessment(registry: Registry, sha256: str) -> dict[str, Any]:
    """An assessment as it was signed, and where it stands in the log; raises NotFound."""
    with reading(registry) as view:
        _, row = load_assessment(view, sha256)
        return {"token": row.token, "entry_index": row.entry_index}


def list_assessments(registry: Registry) -> list[dict[str, Any]]:
    """All of them, in the order in which they were recorded."""
    with reading(registry) as view:
        rows = view.session.scalars(select(AssessmentRow).order_by(AssessmentRow.entry_index))
        found = [(row.sha256, ImpactAssessment.claimed(row.token)) for row in rows]
    return [
        {
            "sha256": sha256,
            "id": one.id,
            "title": one.title,
            "author": one.author,
            "valid_until": one.valid_until.isoformat(),
        }
        for sha256, one in found
    ]
