"""One auditor succeeds another: what was sealed to the outgoing one goes on being readable."""

from __future__ import annotations

from pydantic import Field

from protocol.schema import Document, Instant, KeyText, Sha256, Slug


class Handover(Document):
    """The outgoing auditor states what it opened and sealed again to its successor. Signed by it;
    logged by the successor."""

    typ = "tahini-handover"

    outgoing: Slug
    successor: Slug
    successor_key: KeyText
    """The successor's signing key, as the consortium document that names it has it."""
    consortium_sha256: Sha256
    """That document."""
    archive_sha256: Sha256
    envelopes: int = Field(ge=0)
    bodies: int = Field(ge=0)
    handed_over_at: Instant
