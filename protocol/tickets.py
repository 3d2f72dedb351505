"""Link tickets: a lender's word that whoever hands one in is its customer."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from pydantic import Field

from crypto.keys import SigningKey
from protocol.schema import Document, Instant, Pseudonym, Slug

MAX_TICKET = timedelta(hours=24)
"""For longer the registry believes none."""


class LinkTicket(Document):
    """A lender's word that whoever hands this in is its customer."""

    typ = "tahini-link-ticket"

    pseudonym: Pseudonym
    lender: Slug
    nonce: str = Field(min_length=16, max_length=64)
    expires_at: Instant


def link_ticket(lender: str, pseudonym: str, key: SigningKey, expires_at: datetime) -> str:
    """A ticket for a customer of ``lender``, to be handed over on a channel that only the customer
    sees."""
    nonce = secrets.token_urlsafe(24)
    return LinkTicket(pseudonym=pseudonym, lender=lender, nonce=nonce, expires_at=expires_at).sign(
        key
    )
