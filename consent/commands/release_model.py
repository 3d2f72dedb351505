"""A campaign's model: its signed card is logged, and both are kept for the campaign's lenders.

The log entry names the card by hash, the card names the model by hash, and the coordinator signed
the card: whoever fetches them believes these three, never the registry that handed them over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent.commands.propose_campaign import load_campaign
from consent.registry import Registry
from consent.storage.filing_tables import ModelRecallRow
from consent.storage.tables import ApprovalRow, CampaignRow, ModelRow, SubjectRow
from consent.transaction import reading, writing
from crypto.keys import unb64
from protocol.campaigns import Campaign
from protocol.cards import ModelCard
from protocol.changes import CLOCK_SKEW
from protocol.errors import Conflict, Malformed, NotAllowed, NotFound
from protocol.parties import Party, Role
from protocol.recalls import ModelRecall

MAX_CARD_TEXT = 262_144
MAX_MODEL_BYTES = 8 * 1024 * 1024
MAX_MODEL_TEXT = MAX_MODEL_BYTES * 4 // 3 + 4


@dataclass(frozen=True)
class ReleasedModel:
    """A released model and everything that it rests on, each signed by whom it is of."""

    card: str
    campaign: str
    approvals: tuple[str, ...]
    entry_index: int
    model: bytes


def release_model(
    registry: Registry,
    coordinator: Party,
    campaign_sha256: str,
    card_sha256: str,
    card: str,
    model: str,
) -> int:
    """Log the card of a campaign's model (base64url) and keep both; returns the entry's index, the
    same for the same.

    Raises:
        NotAllowed: another coordinator's campaign. Conflict: it is not active, or the card is dated
            ahead of the registry's clock, by which a model's age is told. SignatureError: the
            card is not the coordinator's. Malformed: the card is of another campaign or hash, or
            the model is not the card's.
    """
    released = ModelCard.verify(card, coordinator.key)
    if (released.campaign_sha256, released.sha256) != (campaign_sha256, card_sha256):
        raise Malformed("the model card is of another campaign, or has another hash than was said")
    try:
        content = unb64(model)
    except ValueError as error:
        raise Malformed("the model is not base64url without padding") from error
    if (
        len(content) > MAX_MODEL_BYTES
        or hashlib.sha256(content).hexdigest() != released.model_sha256
    ):
        raise Malformed(
            f"the model is not the one that the card names, or has more than {MAX_MODEL_BYTES} "
            "bytes"
        )
    with writing(registry) as transaction:
        session = transaction.session
        campaign, row = load_campaign(transaction, campaign_sha256)
        if campaign.coordinator != coordinator.id:
            raise NotAllowed(f"campaign {campaign.id!r} is not {coordinator.id!r}'s")
        if row.activated_at is None:
            raise Conflict(
                f"campaign {campaign.id!r} is not active: it cannot have released a model"
            )
        if released.released_at > transaction.moment + CLOCK_SKEW:
            raise Conflict(
                f"the model card says that it was released at {released.released_at.isoformat()}, "
                "which is still to come: check the coordinator's clock"
            )
        if (known := session.get(ModelRow, card_sha256)) is not None:
            return known.entry_index
        public = {"campaign": campaign_sha256, "model_card": card_sha256}
        index = transaction.log_sealed("model.released", coordinator.id, public, {"token": card})
        kept = {
            "campaign_sha256": campaign_sha256,
            "entry_index": index,
            "card": card,
            "model": content,
        }
        session.add(ModelRow(card_sha256=card_sha256, **kept))
    return index


def read_model(registry: Registry, caller: Party, campaign_sha256: str) -> ReleasedModel:
    """The model that a campaign released last, for its lenders, its coordinator and the auditor.

    Raises:
        NotFound: no such campaign, or no model yet. NotAllowed: a lender that is not part of the
            campaign.
    """
    with reading(registry) as view:
        session = view.session
        campaign, row = load_campaign(view, campaign_sha256)
        if caller.role is Role.LENDER and caller.id not in campaign.lenders:
            raise NotAllowed(f"{caller.id!r} is not part of campaign {campaign.id!r}")
        kept = _newest(session, campaign_sha256)
        if kept is None:
            raise NotFound(f"campaign {campaign.id!r} has not released a model yet")
        signed = select(ApprovalRow.token).where(ApprovalRow.campaign_sha256 == campaign_sha256)
        approvals = tuple(session.scalars(signed.order_by(ApprovalRow.lender)))
        return ReleasedModel(kept.card, row.token, approvals, kept.entry_index, kept.model)


def _newest(session: Session, campaign_sha256: str) -> ModelRow | None:
    of_campaign = select(ModelRow).where(ModelRow.campaign_sha256 == campaign_sha256)
    return session.scalar(of_campaign.order_by(ModelRow.entry_index.desc()).limit(1))


def read_card(
    registry: Registry, pseudonyms: Sequence[str], campaign_sha256: str
) -> dict[str, Any]:
    """The signed card of the model that a campaign released last, for whoever borrows at one of its
    lenders; when it was recalled, and by whom. What a recall says to institutions is theirs.

    Raises:
        NotFound: no such campaign, no model yet, or none of the caller's lenders takes part: which
            of them is not told.
    """
    with reading(registry) as view:
        session = view.session
        mine = set(
            session.scalars(select(SubjectRow.lender).where(SubjectRow.pseudonym.in_(pseudonyms)))
        )
        row, kept = session.get(CampaignRow, campaign_sha256), _newest(session, campaign_sha256)
        if row is None or kept is None or not mine & set(Campaign.claimed(row.token).lenders):
            raise NotFound("none of your lenders has trained a released model in such a campaign")
        recalled = select(ModelRecallRow).where(ModelRecallRow.card_sha256 == kept.card_sha256)
        rows = session.scalars(recalled.order_by(ModelRecallRow.entry_index)).all()
    recalls = [ModelRecall.claimed(one.token) for one in rows]
    return {
        "card": kept.card,
        "entry_index": kept.entry_index,
        "recalls": [
            {"party": one.party, "recalled_at": one.recalled_at.isoformat()} for one in recalls
        ],
    }
