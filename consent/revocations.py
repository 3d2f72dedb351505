"""Revocations as they travel: numbered per recipient, signed by the registry, acknowledged by the recipient."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from consent.schema import Document, Instant, Pseudonym, Slug
from consent.terms import Iri, Sensitivity


class Revocation(Document):
    """A borrower has withdrawn or suspended a consent that was given to ``recipient``."""

    typ = "tahini-revocation"

    recipient: Slug
    number: int = Field(ge=1)
    """Counts every revocation to this recipient from 1 on, without a gap."""
    pii_principal_id: Pseudonym
    purpose: Iri
    sensitivity: Sensitivity
    event_type: Literal["withdraw", "suspend"]
    event_time: Instant


class Acknowledgement(Document):
    """A recipient has acted on every revocation up to ``number``."""

    typ = "tahini-revocation-acknowledgement"

    recipient: Slug
    number: int = Field(ge=1)
    acknowledged_at: Instant
