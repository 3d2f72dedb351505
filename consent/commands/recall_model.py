"""Recall a released model: from then on it is handed out only with the recall beside it, and every
lender of its campaign says when it has stopped using it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent.commands.propose_campaign import load_campaign
from consent.registry import Registry
from consent.storage.filing_tables import ModelRecallRow, RecallAcknowledgementRow
from consent.storage.tables import ModelRow
from consent.transaction import Transaction, reading, writing
from protocol.cards import ModelCard
from protocol.errors import Conflict, Malformed, NotAllowed, NotFound
from protocol.parties import Party, Role
from protocol.recalls import ModelRecall, RecallAcknowledgement


def recall_model(registry: Registry, party: Party, campaign_sha256: str, token: str) -> int:
    """Log a recall that the party signed; returns the entry's index, the same for a second one of
    the same party.

    Raises:
        SignatureError: not the caller's. Malformed: of another campaign, or its fallback is the
            model itself. NotAllowed: the party has no part in the campaign. NotFound: no such
            model, or no such fallback.
    """
    recall = ModelRecall.verify(token, party.key)
    if (recall.party, recall.campaign_sha256) != (party.id, campaign_sha256):
        raise Malformed("the recall is another party's, or of another campaign than was said")
    if recall.fallback_card_sha256 == recall.card_sha256:
        raise Malformed("a model that is recalled is no fallback for itself")
    with writing(registry) as transaction:
        session = transaction.session
        campaign, _ = load_campaign(transaction, campaign_sha256)
        if party.id not in {campaign.coordinator, *campaign.lenders}:
            raise NotAllowed(f"{party.id!r} has no part in campaign {campaign.id!r}")
        model = session.get(ModelRow, recall.card_sha256)
        if model is None or model.campaign_sha256 != campaign_sha256:
            raise NotFound(f"campaign {campaign.id!r} has released no such model")
        known = session.get(ModelRecallRow, (recall.card_sha256, party.id))
        if known is not None:
            return known.entry_index
        _require_fallback(transaction, recall)
        public = {"campaign": campaign_sha256, "model_card": recall.card_sha256}
        index = transaction.log_sealed("model.recalled", party.id, public, {"token": token})
        session.add(
            ModelRecallRow(
                card_sha256=recall.card_sha256, party=party.id, token=token, entry_index=index
            )
        )
    return index


def acknowledge_recall(registry: Registry, lender: Party, campaign_sha256: str, token: str) -> int:
    """Log that a lender uses a recalled model no more; returns the entry's index, the same for a
    second one of the same lender.

    Raises:
        SignatureError: not the caller's. Malformed: of another campaign. NotAllowed: the lender has
            no part in the campaign. Conflict: nobody recalled it.
    """
    said = RecallAcknowledgement.verify(token, lender.key)
    if (said.lender, said.campaign_sha256) != (lender.id, campaign_sha256):
        raise Malformed("the acknowledgement is another lender's, or of another campaign")
    with writing(registry) as transaction:
        session = transaction.session
        campaign, _ = load_campaign(transaction, campaign_sha256)
        if lender.id not in campaign.lenders:
            raise NotAllowed(f"{lender.id!r} has no part in campaign {campaign.id!r}")
        recalled = {one.card_sha256 for one in _recalls(session, campaign_sha256)}
        if said.card_sha256 not in recalled:
            raise Conflict(f"nobody recalled model {said.card_sha256[:12]}… of {campaign.id!r}")
        known = session.get(RecallAcknowledgementRow, (said.card_sha256, lender.id))
        if known is not None:
            return known.entry_index
        public = {"campaign": campaign_sha256, "model_card": said.card_sha256}
        index = transaction.log_sealed("recall.acknowledged", lender.id, public, {"token": token})
        session.add(
            RecallAcknowledgementRow(
                card_sha256=said.card_sha256, lender=lender.id, token=token, entry_index=index
            )
        )
    return index


@dataclass(frozen=True)
class RecallsHeard:
    """Recalls of what a campaign released, and who said that it uses it no more; as they were
    signed, oldest first."""

    recalls: tuple[str, ...]
    acknowledgements: tuple[str, ...]


def read_recalls(registry: Registry, caller: Party, campaign_sha256: str) -> RecallsHeard:
    """For the campaign's lenders, its coordinator and the auditor.

    Raises:
        NotFound: no such campaign. NotAllowed: a lender that is not part of it.
    """
    with reading(registry) as view:
        session = view.session
        campaign, _ = load_campaign(view, campaign_sha256)
        if caller.role is Role.LENDER and caller.id not in campaign.lenders:
            raise NotAllowed(f"{caller.id!r} is not part of campaign {campaign.id!r}")
        heard = (
            select(RecallAcknowledgementRow.token)
            .join(ModelRow, ModelRow.card_sha256 == RecallAcknowledgementRow.card_sha256)
            .where(ModelRow.campaign_sha256 == campaign_sha256)
            .order_by(RecallAcknowledgementRow.entry_index)
        )
        recalls = tuple(one.token for one in _recalls(session, campaign_sha256))
        return RecallsHeard(recalls, tuple(session.scalars(heard)))


def _recalls(session: Session, campaign_sha256: str) -> list[ModelRecallRow]:
    of_campaign = (
        select(ModelRecallRow)
        .join(ModelRow, ModelRow.card_sha256 == ModelRecallRow.card_sha256)
        .where(ModelRow.campaign_sha256 == campaign_sha256)
        .order_by(ModelRecallRow.entry_index)
    )
    return list(session.scalars(of_campaign))


def _require_fallback(transaction: Transaction, recall: ModelRecall) -> None:
    """What is used meanwhile was released, is a model, and is not recalled itself."""
    named, session = recall.fallback_card_sha256, transaction.session
    if named is None:
        return
    of_fallback = select(ModelRecallRow.party).where(ModelRecallRow.card_sha256 == named)
    model = session.get(ModelRow, named)
    figures = model is not None and ModelCard.claimed(model.card).watched is not None
    if model is None or figures or session.scalar(of_fallback.limit(1)):
        raise NotFound(f"there is no model of card {named[:12]}… that could be used meanwhile")


def recalls_of(registry: Registry, card: str) -> tuple[str, ...]:
    """Every recall of the model with this signed card, as it was signed."""
    with reading(registry) as view:
        mine = select(ModelRecallRow).where(
            ModelRecallRow.card_sha256 == ModelCard.claimed(card).sha256
        )
        rows = view.session.scalars(mine.order_by(ModelRecallRow.entry_index))
        return tuple(row.token for row in rows)
