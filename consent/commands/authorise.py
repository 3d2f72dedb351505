"""Data-use authorisations and the consent snapshots that go with them."""

from __future__ import annotations

import secrets
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from consent.commands.propose_campaign import load_campaign
from consent.documents import Authorisation, Campaign, Party, Snapshot
from consent.errors import Conflict, NotAllowed
from consent.registry import Registry
from consent.states import State, state_at
from consent.storage.tables import AssignmentRow, AuthorisationRow, CampaignRow, ConsentRow, SubjectRow
from crypto.documents import canonical_json, document_hash


def active_campaign(registry: Registry, session: Session, lender: Party, sha256: str) -> tuple[Campaign, CampaignRow]:
    """A campaign this lender may use data for now.

    Raises:
        NotFound, NotAllowed: unknown, or the lender is no part of it. Conflict: a lender has not approved, or expired.
    """
    campaign, row = load_campaign(registry, session, sha256)
    if lender.id not in campaign.lenders:
        raise NotAllowed(f"{lender.id!r} is not part of campaign {campaign.id!r}")
    if row.activated_at is None:
        raise Conflict(f"campaign {campaign.id!r} lacks approvals; no quorum, no run")
    if campaign.expires_at <= registry.clock():
        raise Conflict(f"campaign {campaign.id!r} expired at {campaign.expires_at.isoformat()}")
    return campaign, row


def authorise(registry: Registry, lender: Party, sha256: str) -> str:
    """Issue a signed authorisation for this lender's node, and log it."""
    moment = registry.clock()
    with registry.write() as session:
        campaign, _ = active_campaign(registry, session, lender, sha256)
        authorisation = Authorisation(
            id=secrets.token_hex(16),
            lender=lender.id,
            node_key=lender.key.thumbprint,
            campaign_sha256=sha256,
            first_release=0,
            last_release=campaign.mechanism.rounds,
            purpose=campaign.purpose,
            features=tuple(feature["name"] for feature in campaign.features["features"]),
            code_sha256=campaign.code_sha256,
            mechanism_sha256=document_hash(campaign.mechanism.model_dump(mode="json")),
            max_epsilon=campaign.mechanism.epsilon,
            delta=campaign.mechanism.delta,
            consent_checkpoint=registry.log.checkpoint(session),
            issued_at=moment,
            expires_at=min(moment + timedelta(minutes=registry.consortium.authorisation_minutes), campaign.expires_at),
        )
        token = authorisation.sign(registry.signing_key)
        session.add(
            AuthorisationRow(
                id=authorisation.id, campaign_sha256=sha256, lender=lender.id, expires_at=authorisation.expires_at
            )
        )
        public = {"campaign": sha256, "lender": lender.id, "authorisation": authorisation.id}
        body = canonical_json({"token": token})
        entry = registry.sealed_to_auditor("use.authorised", registry.me.id, public, body)
        registry.log.append(session, [entry])
    return token


def take_snapshot(registry: Registry, lender: Party, sha256: str) -> str:
    """Who of this lender's borrowers may be used for the campaign now, signed and bound to a checkpoint.

    Everything that was logged before the call is under that checkpoint, so every withdrawal that was acknowledged is
    in the snapshot. A person counted at another lender is absent, as one without consent is. A lender that knows of the
    consent can conclude the rest; docs/threat-model.md says so.
    """
    registry.catch_up()
    moment = registry.clock()
    with registry.database.read() as session:
        campaign, _ = active_campaign(registry, session, lender, sha256)
        rows = session.execute(
            select(SubjectRow.pseudonym, ConsentRow.sensitivity, ConsentRow.state, ConsentRow.expiry_time)
            .join(ConsentRow, ConsentRow.subject_id == SubjectRow.id)
            .join(AssignmentRow, AssignmentRow.subject_id == SubjectRow.id)
            .where(
                SubjectRow.lender == lender.id,
                ConsentRow.purpose == campaign.purpose,
                ConsentRow.recipient == lender.id,
                ConsentRow.state == State.GIVEN.value,
            )
        ).all()
        given: dict[str, set[str]] = {"ordinary": set(), "sensitive": set()}
        for pseudonym, sensitivity, state, expiry in rows:
            if state_at(State(state), expiry, moment) is State.GIVEN:
                given[sensitivity].add(pseudonym)
        checkpoint = registry.log.checkpoint(session)
    snapshot = Snapshot(
        campaign_sha256=sha256,
        lender=lender.id,
        purpose=campaign.purpose,
        ordinary=tuple(sorted(given["ordinary"] - given["sensitive"])),
        sensitive=tuple(sorted(given["ordinary"] & given["sensitive"])),
        checkpoint=checkpoint,
        issued_at=moment,
    )
    return snapshot.sign(registry.signing_key)
