"""Propose and approve campaigns. When the last lender has approved, the campaign is active.

Contribution bounding (invariant 5): a person enrolled at several lenders is counted at exactly one of them, in every
campaign the same. Who enrols after a campaign became active has no place in it.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from consent.documents import Approval, Campaign, Party
from consent.errors import Conflict, NotAllowed, NotFound
from consent.registry import Registry
from consent.states import State, state_at
from consent.storage.tables import ApprovalRow, AssignmentRow, CampaignRow, ConsentRow, SubjectRow
from crypto.documents import canonical_json


def propose_campaign(registry: Registry, coordinator: Party, token: str) -> Campaign:
    """Record a campaign signed by the coordinator.

    Raises:
        SignatureError: not the coordinator's. Conflict: known already, expired, a stranger among the lenders, or more
            privacy loss than the consortium's policy allows.
    """
    campaign = Campaign.verify(token, coordinator.key)
    policy = registry.consortium
    if campaign.coordinator != coordinator.id:
        raise NotAllowed(f"campaign {campaign.id!r} names {campaign.coordinator!r} as its coordinator")
    for lender in campaign.lenders:
        if policy.party(lender) not in policy.lenders:
            raise Conflict(f"{lender!r} is not a lender")
    if campaign.expires_at <= registry.clock():
        raise Conflict(f"campaign {campaign.id!r} expired at {campaign.expires_at.isoformat()}")
    if campaign.mechanism.epsilon > policy.max_epsilon or campaign.mechanism.delta > policy.max_delta:
        raise Conflict(
            f"campaign {campaign.id!r} asks for epsilon {campaign.mechanism.epsilon:g} at delta "
            f"{campaign.mechanism.delta:g}; the consortium allows {policy.max_epsilon:g} at {policy.max_delta:g}"
        )
    with registry.write() as session:
        if session.get(CampaignRow, campaign.sha256):
            raise Conflict(f"campaign {campaign.id!r} is proposed already")
        session.add(CampaignRow(sha256=campaign.sha256, token=token, activated_at=None))
        public = {"campaign": campaign.sha256, "epsilon": campaign.mechanism.epsilon, "delta": campaign.mechanism.delta}
        body = canonical_json({"token": token})
        entry = registry.sealed_to_auditor("campaign.proposed", coordinator.id, public, body)
        registry.log.append(session, [entry])
    return campaign


def load_campaign(registry: Registry, session: Session, sha256: str) -> tuple[Campaign, CampaignRow]:
    """The campaign with this hash, its signature checked again; raises NotFound."""
    row = session.get(CampaignRow, sha256)
    if row is None:
        raise NotFound(f"there is no campaign {sha256[:12]}…")
    claimed = Campaign.claimed(row.token)
    return Campaign.verify(row.token, registry.consortium.party(claimed.coordinator).key), row


def approve_campaign(registry: Registry, lender: Party, sha256: str, token: str) -> bool:
    """Record a lender's approval; returns whether the campaign is active now.

    Raises:
        SignatureError: not this lender's. NotAllowed: not part of the campaign. Conflict: approved already, expired.
    """
    approval = Approval.verify(token, lender.key)
    if approval.lender != lender.id or approval.campaign_sha256 != sha256:
        raise NotAllowed("the approval names another lender or another campaign")
    moment = registry.clock()
    with registry.write() as session:
        campaign, row = load_campaign(registry, session, sha256)
        if lender.id not in campaign.lenders:
            raise NotAllowed(f"{lender.id!r} is not part of campaign {campaign.id!r}")
        if campaign.expires_at <= moment:
            raise Conflict(f"campaign {campaign.id!r} expired at {campaign.expires_at.isoformat()}")
        if session.get(ApprovalRow, (sha256, lender.id)):
            raise Conflict(f"{lender.id!r} has approved campaign {campaign.id!r} already")
        session.add(ApprovalRow(campaign_sha256=sha256, lender=lender.id, token=token))
        session.flush()
        public = {"campaign": sha256}
        body = canonical_json({"token": token})
        entries = [registry.sealed_to_auditor("campaign.approved", lender.id, public, body)]
        approved = set(session.scalars(select(ApprovalRow.lender).where(ApprovalRow.campaign_sha256 == sha256)))
        active = approved == set(campaign.lenders)
        if active:
            row.activated_at = moment
            _assign_people(session, campaign, moment)
            body = canonical_json({"approved": sorted(approved)})
            entries.append(registry.sealed_to_auditor("campaign.activated", registry.me.id, public, body))
        registry.log.append(session, entries)
    return active


def _assign_people(session: Session, campaign: Campaign, moment: datetime) -> None:
    """Give everybody who has no place yet the one lender at which they are counted, now and in every later campaign.

    The place is drawn at random among the lenders where the person's consent is live, else among all of theirs. It
    stays: the person's budget is kept there, and a second ledger would be a second budget.
    """
    rows = session.execute(
        select(SubjectRow.ledger_pseudonym, SubjectRow.id, ConsentRow.state, ConsentRow.expiry_time)
        .outerjoin(
            ConsentRow,
            (ConsentRow.subject_id == SubjectRow.id)
            & (ConsentRow.purpose == campaign.purpose)
            & (ConsentRow.recipient == SubjectRow.lender)
            & (ConsentRow.sensitivity == "ordinary"),
        )
        .outerjoin(AssignmentRow, AssignmentRow.ledger_pseudonym == SubjectRow.ledger_pseudonym)
        .where(SubjectRow.lender.in_(campaign.lenders), AssignmentRow.subject_id.is_(None))
    )
    people: dict[str, list[tuple[int, bool]]] = defaultdict(list)
    for person, subject_id, state, expiry in rows:
        live = state is not None and state_at(State(state), expiry, moment) is State.GIVEN
        people[person].append((subject_id, live))
    assigned = []
    for person, places in people.items():
        candidates = [i for i, live in places if live] or [i for i, _ in places]
        assigned.append({"ledger_pseudonym": person, "subject_id": secrets.choice(candidates)})
    if assigned:
        session.execute(insert(AssignmentRow), assigned)
