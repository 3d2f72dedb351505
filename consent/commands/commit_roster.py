"""Roster commitments: the log entry without which a node may not read a row."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from auditlog.entries import entry_with_sealed_body
from consent.commands.authorise import active_campaign
from consent.registry import Registry
from consent.storage.tables import AuthorisationRow, CommitmentRow
from consent.transaction import writing
from crypto.keys import unb64
from privacy.charges import Charge
from protocol.campaigns import Campaign, CommitmentRequest, commitment_fields
from protocol.errors import Conflict, NotAllowed
from protocol.parties import Party, Role


def commit_roster(
    registry: Registry, lender: Party, sha256: str, request: CommitmentRequest
) -> int:
    """Log the commitment; returns its index.

    Raises:
        NotAllowed: the authorisation is another's, unknown or expired, or the campaign has no such
            release.
        Conflict: this release attempt was committed before.
    """
    with writing(registry) as transaction:
        session = transaction.session
        campaign, _ = active_campaign(transaction, lender, sha256)
        authorisation = session.get(AuthorisationRow, request.authorisation_id)
        mine = authorisation and (authorisation.lender, authorisation.campaign_sha256) == (
            lender.id,
            sha256,
        )
        if authorisation is None or not mine or authorisation.expires_at <= transaction.moment:
            raise NotAllowed(
                f"{lender.id!r} holds no live authorisation {request.authorisation_id[:8]}… for "
                "this campaign"
            )
        planned = campaign.planned(request.release)
        if planned is None:
            raise NotAllowed(f"campaign {campaign.id!r} has no release {request.release}")
        stated = (
            request.kind,
            Charge(request.noise_multiplier, request.sampling_rate, request.steps),
        )
        if stated != (planned.kind, planned.charge):
            raise NotAllowed(
                f"release {request.release} is not what campaign {campaign.id!r} planned for it"
            )
        known = select(CommitmentRow).where(
            CommitmentRow.campaign_sha256 == sha256,
            CommitmentRow.lender == lender.id,
            CommitmentRow.release == request.release,
            CommitmentRow.attempt == request.attempt,
        )
        if session.scalar(known) is not None:
            raise Conflict(
                f"{lender.id!r} has committed release {request.release} attempt {request.attempt} "
                "already"
            )
        _require_budget(session, campaign, lender, request)
        public = commitment_fields(request, sha256)
        body = unb64(request.sealed_body)
        auditor = registry.consortium.one(Role.AUDITOR).id
        entry = entry_with_sealed_body("roster.committed", lender.id, public, auditor, body)
        index = transaction.log(entry)
        session.add(
            CommitmentRow(
                entry_index=index,
                campaign_sha256=sha256,
                lender=lender.id,
                release=request.release,
                attempt=request.attempt,
                committed_at=transaction.moment,
            )
        )
    return index


def _require_budget(
    session: Session, campaign: Campaign, lender: Party, request: CommitmentRequest
) -> None:
    """All that this lender committed for the campaign, and this, cost a person no more than the
    campaign may."""
    releases = session.scalars(
        select(CommitmentRow.release).where(
            CommitmentRow.campaign_sha256 == campaign.sha256, CommitmentRow.lender == lender.id
        )
    )
    if reason := campaign.why_not((*releases, request.release)):
        raise Conflict(f"release {request.release} attempt {request.attempt}: {reason}")
