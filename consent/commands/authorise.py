"""Data-use authorisations: issued to one node, for one campaign, for minutes, and logged."""

from __future__ import annotations

import secrets
from datetime import timedelta

from sqlalchemy import func, select

from consent.authorising import Situation, require
from consent.commands.propose_campaign import load_campaign, require_unrecalled
from consent.commands.request_marks import unanswered
from consent.commands.revocations import overdue
from consent.registry import Registry
from consent.storage.tables import (
    AcknowledgementRow,
    ApprovalRow,
    AuthorisationRow,
    CampaignRow,
    CommitmentRow,
    RejectionRow,
    ScopeRow,
)
from consent.transaction import Transaction, writing
from crypto.documents import document_hash
from crypto.errors import SignatureError
from crypto.notes import open_checkpoint
from privacy.mechanism import ReleaseKind
from protocol.campaigns import Authorisation, AuthorisationRequest, Campaign, DataUse
from protocol.errors import Conflict, NotAllowed
from protocol.parties import Party


def active_campaign(
    transaction: Transaction, lender: Party, sha256: str
) -> tuple[Campaign, CampaignRow]:
    """A campaign this lender may use data for now.

    Raises:
        NotFound, NotAllowed: unknown, or the lender is no part of it, or rejected it. Conflict: a
            lender has not approved, or expired, or a model that it begins with was recalled.
    """
    campaign, row = load_campaign(transaction, sha256)
    if lender.id not in campaign.lenders:
        raise NotAllowed(f"{lender.id!r} is not part of campaign {campaign.id!r}")
    if transaction.session.get(RejectionRow, (sha256, lender.id)):
        raise NotAllowed(f"{lender.id!r} has rejected campaign {campaign.id!r}")
    if row.activated_at is None:
        raise Conflict(f"campaign {campaign.id!r} lacks approvals; no quorum, no run")
    if campaign.expires_at <= transaction.moment:
        raise Conflict(f"campaign {campaign.id!r} expired at {campaign.expires_at.isoformat()}")
    require_unrecalled(transaction, campaign)
    return campaign, row


def _situation(
    transaction: Transaction, lender: Party, sha256: str, asked: AuthorisationRequest
) -> Situation:
    session = transaction.session
    campaign, row = load_campaign(transaction, sha256)
    try:
        seen = open_checkpoint(asked.checkpoint, transaction.registry.ledger.log.verifier).size
    except SignatureError as error:
        raise NotAllowed("the node's checkpoint is not one that this log has signed") from error
    releases = session.scalars(
        select(CommitmentRow.release).where(
            CommitmentRow.campaign_sha256 == sha256, CommitmentRow.lender == lender.id
        )
    )
    approved = session.scalars(
        select(ApprovalRow.lender).where(ApprovalRow.campaign_sha256 == sha256)
    )
    acknowledged = session.scalar(
        select(func.max(AcknowledgementRow.entry_index)).where(
            AcknowledgementRow.recipient == lender.id
        )
    )
    return Situation(
        consortium=transaction.registry.consortium,
        lender=lender,
        asked=asked,
        campaign=campaign,
        approved_by=frozenset(approved),
        active=row.activated_at is not None,
        rejected=session.get(RejectionRow, (sha256, lender.id)) is not None,
        committed=tuple(releases),
        seen=seen,
        acknowledged_at=-1 if acknowledged is None else acknowledged,
        notice=transaction.notices.live(campaign.purpose, lender.id),
        overdue=overdue(transaction, lender),
        unanswered=unanswered(transaction, lender.id),
        moment=transaction.moment,
    )


def authorise(registry: Registry, lender: Party, sha256: str, asked: AuthorisationRequest) -> str:
    """Issue a signed authorisation for this lender's node, and log it.

    Raises:
        NotFound: no such campaign. NotAllowed: a rule of ``consent.authorising`` fails. Conflict:
            a model that it begins with was recalled.
    """
    with writing(registry) as transaction:
        session = transaction.session
        now = _situation(transaction, lender, sha256, asked)
        require(now)
        campaign = now.campaign
        require_unrecalled(transaction, campaign)
        scope = transaction.notices.scopes.get((campaign.purpose, lender.id))
        events = (
            session.scalar(select(ScopeRow.events).where(ScopeRow.id == scope))
            if scope is not None
            else 0
        )
        use = DataUse(
            actions=tuple(ReleaseKind),
            datatypes=tuple(feature["name"] for feature in campaign.features["features"]),
            identifier=sha256,
            purpose=campaign.purpose,
            node_key=asked.node_key,
            first_release=0,
            last_release=len(campaign.mechanism.releases) - 1,
            code_sha256=campaign.code_sha256,
            mechanism_sha256=document_hash(campaign.mechanism.model_dump(mode="json")),
            max_epsilon=campaign.mechanism.epsilon,
            delta=campaign.mechanism.delta,
            consent_sequence=events or 0,
            consent_checkpoint=registry.ledger.log.checkpoint(session),
        )
        lasting = timedelta(minutes=registry.consortium.authorisation_minutes)
        authorisation = Authorisation(
            jti=secrets.token_hex(16),
            iss=registry.me.id,
            aud=lender.id,
            iat=now.moment,
            exp=min(now.moment + lasting, campaign.expires_at),
            authorization_details=(use,),
        )
        token = authorisation.sign(registry.signing_key)
        session.add(
            AuthorisationRow(
                id=authorisation.jti,
                campaign_sha256=sha256,
                lender=lender.id,
                expires_at=authorisation.exp,
            )
        )
        public = {"campaign": sha256, "lender": lender.id, "authorisation": authorisation.jti}
        transaction.log_sealed("use.authorised", registry.me.id, public, {"token": token})
    return token
