"""An incident as a lender might report it."""

from __future__ import annotations

from typing import Any

from protocol.incidents import Incident
from protocol.schema import now

FIELDS: dict[str, Any] = {
    "id": "leak-1", "what": ["leaked"], "categories": ["repayment"], "records": 10, "sensitive_records": 0,
    "credit_records": 10, "grade": "general", "cause": "a file on an open share", "harm": "somebody may have read it",
    "remedies": "the share was closed", "advice": "watch for calls in our name", "contact": "privacy@aspen.example",
}  # fmt: skip


def make_incident(institution: str, **changes: Any) -> Incident:
    return Incident.model_validate(FIELDS | {"institution": institution, "discovered_at": now()} | changes)
