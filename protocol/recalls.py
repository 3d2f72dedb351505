"""That a released model is not to be used any more: signed by its coordinator, or by any lender
that trained it; and that a lender has stopped using it. Pure.

Who recalls stops the model for everybody: a lender that finds harm need not wait for the others
(AI Act 14(4)(e), 20; PBOC 数据安全办法 34: a fallback for when the algorithm is stopped). A recall
is never taken back; another release of another card is the way on. No node imports this.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from crypto.errors import SignatureError
from protocol.campaigns import Campaign
from protocol.cards import ModelCard
from protocol.parties import Consortium
from protocol.schema import Document, Instant, Sha256, Slug, StaffId, left_out

BY_HAND = "people decide, without a model"


class ModelRecall(Document):
    """Stop using this model."""

    typ = "tahini-model-recall"

    campaign_sha256: Sha256
    card_sha256: Sha256
    party: Slug
    reason: Annotated[str, Field(min_length=10, max_length=2000)]
    fallback_card_sha256: Sha256 | None = None
    """The card of the model to use meanwhile; None where people decide without one."""
    recalled_at: Instant
    operator: StaffId | None = Field(default=None, exclude_if=left_out)

    @property
    def meanwhile(self) -> str:
        named = self.fallback_card_sha256
        return BY_HAND if named is None else f"the model of card {named[:12]}"

    @property
    def told(self) -> str:
        """In one sentence."""
        return (
            f"the model of campaign {self.campaign_sha256[:12]} was recalled by {self.party!r} on "
            f"{self.recalled_at:%Y-%m-%d}: {self.reason}; meanwhile {self.meanwhile}"
        )


def verified_recall(
    token: str, consortium: Consortium, campaign: Campaign, card: ModelCard
) -> ModelRecall:
    """The recall, if it is of this card and signed by who may recall it; raises SignatureError."""
    claimed = ModelRecall.claimed(token)
    if claimed.party not in {campaign.coordinator, *campaign.lenders}:
        raise SignatureError(f"{claimed.party!r} has no part in the model that it recalls")
    found = ModelRecall.verify(token, consortium.party(claimed.party).key)
    if (found.campaign_sha256, found.card_sha256) != (campaign.sha256, card.sha256):
        raise SignatureError("the recall is of another model")
    return found


class RecallAcknowledgement(Document):
    """A lender uses a recalled model no more."""

    typ = "tahini-recall-acknowledgement"

    campaign_sha256: Sha256
    card_sha256: Sha256
    lender: Slug
    acknowledged_at: Instant
    operator: StaffId | None = Field(default=None, exclude_if=left_out)


def verified_acknowledgement(
    token: str, consortium: Consortium, campaign: Campaign, card: ModelCard
) -> RecallAcknowledgement:
    """The acknowledgement, if it is of this card and by a lender of its campaign; raises
    SignatureError."""
    claimed = RecallAcknowledgement.claimed(token)
    if claimed.lender not in campaign.lenders:
        raise SignatureError(f"{claimed.lender!r} has no part in the model that it stopped using")
    found = RecallAcknowledgement.verify(token, consortium.party(claimed.lender).key)
    if (found.campaign_sha256, found.card_sha256) != (campaign.sha256, card.sha256):
        raise SignatureError("the acknowledgement is of another model")
    return found
