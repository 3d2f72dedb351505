"""Propose, approve and reject campaigns. When the last lender has approved, the campaign is active.

A rejection before that keeps it from ever becoming so; after it, the lender that rejected gets no
authorisation more.
"""

from __future__ import annotations

from sqlalchemy import func, select

from consent.commands.place_people import bitmaps_told, place_people
from consent.commands.record_assessments import load_assessment
from consent.dating import require_day
from consent.registry import Registry
from consent.storage.filing_tables import ModelRecallRow
from consent.storage.tables import ApprovalRow, CampaignRow, ModelRow, PlacesRow, RejectionRow
from consent.transaction import Transaction, writing
from protocol.assessments import uncovered
from protocol.beginnings import begins_unlike
from protocol.campaigns import Approval, Campaign, Rejection
from protocol.cards import ModelCard
from protocol.coverage import exceeds
from protocol.errors import Conflict, NotAllowed, NotFound
from protocol.legal import LegalTerms
from protocol.parties import Party
from protocol.snapshots import places_sha256
from protocol.watched import ModelReference


def propose_campaign(registry: Registry, coordinator: Party, token: str) -> Campaign:
    """Record a campaign signed by the coordinator.

    Raises:
        SignatureError: not the coordinator's. Conflict: known already, signed on another day,
            expired, a model to watch or to begin with that was never released, one to begin with
            that is recalled or that a lender had no part in, a stranger among the lenders, more
            privacy loss than the consortium's policy allows, a use that no notice asks for, or no
            impact assessment that covers it (PIPL 55; GDPR 35). NotFound: that assessment is not
            recorded. Malformed: the features are no feature schema.
    """
    campaign = Campaign.verify(token, coordinator.key)
    policy = registry.consortium
    if campaign.coordinator != coordinator.id:
        raise NotAllowed(
            f"campaign {campaign.id!r} names {campaign.coordinator!r} as its coordinator"
        )
    if campaign.consortium_sha256 != policy.sha256:
        raise Conflict(
            f"campaign {campaign.id!r} rests on another consortium document than this registry's; "
            "fetch it (GET /v1/consortium) and propose again"
        )
    for lender in campaign.lenders:
        if policy.party(lender) not in policy.lenders:
            raise Conflict(f"{lender!r} is not a lender")
    require_day(f"campaign {campaign.id!r}", campaign.created_at, registry.clock())
    if campaign.expires_at <= registry.clock():
        raise Conflict(f"campaign {campaign.id!r} expired at {campaign.expires_at.isoformat()}")
    if (
        campaign.mechanism.epsilon > policy.campaign_epsilon
        or campaign.mechanism.delta > policy.max_delta
    ):
        raise Conflict(
            f"campaign {campaign.id!r} asks for epsilon {campaign.mechanism.epsilon:g} at delta "
            f"{campaign.mechanism.delta:g}; the consortium allows {policy.campaign_epsilon:g} at "
            f"{policy.max_delta:g}"
        )
    yearly = policy.campaign_epsilon_per_year
    if campaign.mechanism.epsilon > yearly:
        raise Conflict(
            f"campaign {campaign.id!r} alone costs more than the epsilon {yearly:g} that a year "
            "may cost"
        )
    needs = campaign.needs(policy)
    law = LegalTerms.of(policy).jurisdiction
    if law is not None and law not in needs.laws:
        raise Conflict(
            f"campaign {campaign.id!r}'s features were not held against the law of {law}, which "
            "this consortium keeps"
        )
    with writing(registry) as transaction:
        session = transaction.session
        for lender in campaign.lenders:
            live = transaction.notices.live(campaign.purpose, lender)
            if live is None:
                raise Conflict(f"no notice asks {lender!r}'s borrowers for this purpose")
            if beyond := exceeds(needs, live.terms):
                raise Conflict(
                    f"campaign {campaign.id!r} goes beyond notice {live.id!r} version "
                    f"{live.version}: {beyond}"
                )
        _require_assessment(transaction, campaign)
        for model in (campaign.watched, campaign.begins_with):
            if model is not None:
                _require_released(transaction, campaign, model)
        require_unrecalled(transaction, campaign)
        if session.get(CampaignRow, campaign.sha256):
            raise Conflict(f"campaign {campaign.id!r} is proposed already")
        number = (session.scalar(select(func.max(CampaignRow.number))) or 0) + 1
        session.add(
            CampaignRow(sha256=campaign.sha256, number=number, token=token, activated_at=None)
        )
        public = {
            "campaign": campaign.sha256,
            "epsilon": campaign.mechanism.epsilon,
            "delta": campaign.mechanism.delta,
        }
        transaction.log_sealed("campaign.proposed", coordinator.id, public, {"token": token})
    return campaign


def _require_assessment(transaction: Transaction, campaign: Campaign) -> None:
    """Raises Conflict, NotFound, Malformed."""
    if campaign.assessment_sha256 is None:
        raise Conflict(
            f"campaign {campaign.id!r} names no impact assessment (PIPL 55; GDPR 35); make one "
            "with: tahini coordinator assess"
        )
    assessment, _ = load_assessment(transaction, campaign.assessment_sha256)
    reason = uncovered(campaign, assessment, transaction.moment)
    if reason is not None:
        raise Conflict(f"campaign {campaign.id!r}: {reason}")


def _require_released(transaction: Transaction, campaign: Campaign, model: ModelReference) -> None:
    """The model that is to be watched, or begun with, was released by a campaign of this
    coordinator's. Raises Conflict, NotFound."""
    earlier, _ = load_campaign(transaction, model.campaign_sha256)
    mine = select(ModelRow.card).where(ModelRow.campaign_sha256 == model.campaign_sha256)
    cards = map(ModelCard.claimed, transaction.session.scalars(mine))
    released = {card.model_sha256 for card in cards if card.watched is None}
    if earlier.coordinator != campaign.coordinator or model.model_sha256 not in released:
        raise Conflict(
            f"campaign {campaign.id!r} rests on a model that campaign "
            f"{model.campaign_sha256[:12]}… has not released"
        )
    if campaign.begins_with is not None and (wrong := begins_unlike(campaign, earlier)):
        raise Conflict(f"campaign {campaign.id!r} {wrong.sentence}")


def require_unrecalled(transaction: Transaction, campaign: Campaign) -> None:
    """No model that it begins with, nor one that such a model began with, is recalled. Raises
    Conflict."""
    begins = campaign.begins_with
    while begins is not None:
        recalls = (
            select(ModelRecallRow.party)
            .join(ModelRow, ModelRow.card_sha256 == ModelRecallRow.card_sha256)
            .where(ModelRow.campaign_sha256 == begins.campaign_sha256)
        )
        if party := transaction.session.scalar(recalls.limit(1)):
            raise Conflict(
                f"campaign {campaign.id!r} rests on the model of campaign "
                f"{begins.campaign_sha256[:12]}…, which {party!r} has recalled: propose one that "
                "begins anew"
            )
        begins = load_campaign(transaction, begins.campaign_sha256)[0].begins_with


def load_campaign(transaction: Transaction, sha256: str) -> tuple[Campaign, CampaignRow]:
    """The campaign with this hash, its signature checked again; raises NotFound."""
    row = transaction.session.get(CampaignRow, sha256)
    if row is None:
        raise NotFound(f"there is no campaign {sha256[:12]}…")
    claimed = Campaign.claimed(row.token)
    return Campaign.verify(
        row.token, transaction.registry.consortium.party(claimed.coordinator).key
    ), row


def _require_staff(registry: Registry, operator: str | None) -> None:
    """Raises NotAllowed where the consortium wants to know who acted, and it is not said."""
    if operator is None and LegalTerms.of(registry.consortium).staff_ids:
        raise NotAllowed(
            "the consortium wants to know which member of staff answers a campaign "
            "(征信业管理条例 22): tahini campaign … --as STAFF-ID"
        )


def approve_campaign(registry: Registry, lender: Party, sha256: str, token: str) -> bool:
    """Record a lender's approval; returns whether the campaign is active now.

    Raises:
        SignatureError: not this lender's. NotAllowed: not part of the campaign. Conflict: approved
            already, signed on another day, expired, rejected by anybody, or begun with a model that
            is recalled by now.
    """
    approval = Approval.verify(token, lender.key)
    if approval.lender != lender.id or approval.campaign_sha256 != sha256:
        raise NotAllowed("the approval names another lender or another campaign")
    if approval.lot is None:
        raise NotAllowed(
            "the approval has no lot to draw by who is held out; the node is of an earlier version"
        )
    _require_staff(registry, approval.operator)
    require_day("the approval", approval.approved_at, registry.clock())
    with writing(registry) as transaction:
        session = transaction.session
        campaign, row = load_campaign(transaction, sha256)
        if lender.id not in campaign.lenders:
            raise NotAllowed(f"{lender.id!r} is not part of campaign {campaign.id!r}")
        if campaign.expires_at <= transaction.moment:
            raise Conflict(f"campaign {campaign.id!r} expired at {campaign.expires_at.isoformat()}")
        require_unrecalled(transaction, campaign)
        no = session.scalar(
            select(RejectionRow.lender).where(RejectionRow.campaign_sha256 == sha256).limit(1)
        )
        if no is not None:
            raise Conflict(f"{no!r} has rejected campaign {campaign.id!r}; propose another")
        if session.get(ApprovalRow, (sha256, lender.id)):
            raise Conflict(f"{lender.id!r} has approved campaign {campaign.id!r} already")
        session.add(ApprovalRow(campaign_sha256=sha256, lender=lender.id, token=token))
        session.flush()
        public = {"campaign": sha256}
        transaction.log_sealed("campaign.approved", lender.id, public, {"token": token})
        approved = set(
            session.scalars(select(ApprovalRow.lender).where(ApprovalRow.campaign_sha256 == sha256))
        )
        active = approved == set(campaign.lenders)
        if active:
            row.activated_at = transaction.moment
            place_people(transaction, campaign)
            body = {"approved": sorted(approved), "places": hashes_of_places(transaction, campaign)}
            transaction.log_sealed("campaign.activated", registry.me.id, public, body)
    return active


def hashes_of_places(transaction: Transaction, campaign: Campaign) -> dict[str, str]:
    """What is bound of who has a place in the campaign, by lender."""
    consortium = transaction.registry.consortium
    rows = transaction.session.scalars(
        select(PlacesRow).where(PlacesRow.campaign_sha256 == campaign.sha256)
    )
    return {
        row.lender: places_sha256(
            campaign.sha256, row.lender, bitmaps_told(consortium, campaign, row)
        )
        for row in rows
    }


def reject_campaign(registry: Registry, lender: Party, sha256: str, token: str) -> bool:
    """Record a lender's rejection; returns whether the campaign was active.

    Raises:
        SignatureError: not this lender's. NotAllowed: not part of the campaign. Conflict: rejected
            already.
    """
    rejection = Rejection.verify(token, lender.key)
    if rejection.lender != lender.id or rejection.campaign_sha256 != sha256:
        raise NotAllowed("the rejection names another lender or another campaign")
    _require_staff(registry, rejection.operator)
    with writing(registry) as transaction:
        session = transaction.session
        campaign, row = load_campaign(transaction, sha256)
        if lender.id not in campaign.lenders:
            raise NotAllowed(f"{lender.id!r} is not part of campaign {campaign.id!r}")
        if session.get(RejectionRow, (sha256, lender.id)):
            raise Conflict(f"{lender.id!r} has rejected campaign {campaign.id!r} already")
        session.add(RejectionRow(campaign_sha256=sha256, lender=lender.id, token=token))
        transaction.log_sealed(
            "campaign.rejected", lender.id, {"campaign": sha256}, {"token": token}
        )
    return row.activated_at is not None
