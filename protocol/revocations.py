"""Revocations as they travel: numbered per recipient, signed by the registry, acknowledged by the
recipient."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from law.categories import Sensitivity
from protocol.schema import Document, Instant, Pseudonym, Slug
from protocol.terms import Iri


class Revocation(Document):
    """A borrower has withdrawn or suspended a consent that was given to ``recipient``."""

    typ = "tahini-revocation"

    recipient: Slug
    number: int = Field(ge=1)
    """Counts every revocation to this recipient from 1 on, without a gap."""
    pii_principal_id: Pseudonym
    purpose: Iri
    sensitivity: Sensitivity
    event_type: Literal["withdraw", "suspend", "erase"]
    """``erase``: the person is to be erased, whatever the purpose."""
    event_time: Instant
    place: int | None = Field(default=None, ge=0)
    """Of an erasure: the person's number on the roll,"""
    tombstone: Pseudonym | None = None
    """and the name that stands there from now on: nobody's."""


class Acknowledgement(Document):
    """A recipient has acted on every revocation up to ``number``."""

    typ = "tahini-revocation-acknowledgement"

    recipient: Slug
    number: int = Field(ge=1)
    acknowledged_at: Instant


class Delivery(BaseModel):
    """What is posted to an inbox: signed revocations, in order."""

    model_config = ConfigDict(extra="forbid")

    items: list[str] = Field(min_length=1, max_length=500)


class Delivered(BaseModel):
    """What an inbox answers: the lender's signed acknowledgement."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=8192)
