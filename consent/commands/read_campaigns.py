"""Campaigns as parties read them: all, one with its approvals and rejections, what was authorised
for it, and the roster commitments that a lender made."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from consent.commands.propose_campaign import load_campaign
from consent.registry import Registry
from consent.storage.tables import (
    ApprovalRow,
    AuthorisationRow,
    CampaignRow,
    CommitmentRow,
    RejectionRow,
)
from consent.transaction import reading
from protocol.campaigns import Campaign
from protocol.parties import Party, Role


def list_campaigns(
    registry: Registry, caller: Party, after: int, limit: int
) -> tuple[list[dict[str, Any]], int | None]:
    """Campaigns numbered above ``after``, in order; lenders see those that they are part of.

    Returns:
        The campaigns among the next ``limit``, and the last number that was looked at; None when
        there are no more.
    """
    with reading(registry) as view:
        later = select(CampaignRow).where(CampaignRow.number > after)
        rows = view.session.scalars(later.order_by(CampaignRow.number).limit(limit)).all()
    found = []
    for row in rows:
        campaign = Campaign.claimed(row.token)
        if caller.role is not Role.LENDER or caller.id in campaign.lenders:
            activated = row.activated_at.isoformat() if row.activated_at else None
            found.append(
                {
                    "sha256": row.sha256,
                    "id": campaign.id,
                    "title": campaign.title,
                    "activated_at": activated,
                }
            )
    return found, rows[-1].number if len(rows) == limit else None


def read_campaign(registry: Registry, caller: Party, sha256: str) -> dict[str, Any]:
    """A campaign as it was signed, who has approved or rejected it, and (not to lenders) why;
    raises NotFound."""
    with reading(registry) as view:
        _, row = load_campaign(view, sha256)
        approved = view.session.scalars(
            select(ApprovalRow.lender).where(ApprovalRow.campaign_sha256 == sha256)
        )
        noes = view.session.scalars(
            select(RejectionRow).where(RejectionRow.campaign_sha256 == sha256)
        ).all()
        return {
            "token": row.token,
            "active": row.activated_at is not None,
            "approved_by": sorted(approved),
            "rejected_by": sorted(no.lender for no in noes),
            "rejections": [] if caller.role is Role.LENDER else [no.token for no in noes],
        }


def list_authorisations(
    registry: Registry, sha256: str, start: int, limit: int
) -> list[dict[str, Any]]:
    """The authorisations of a campaign, those that end first in front; raises NotFound."""
    with reading(registry) as view:
        load_campaign(view, sha256)
        of_campaign = select(AuthorisationRow).where(AuthorisationRow.campaign_sha256 == sha256)
        in_order = of_campaign.order_by(AuthorisationRow.expires_at, AuthorisationRow.id)
        rows = view.session.scalars(in_order.offset(start).limit(limit)).all()
    return [
        {"id": row.id, "lender": row.lender, "expires_at": row.expires_at.isoformat()}
        for row in rows
    ]


def list_commitments(
    registry: Registry, lender: Party, sha256: str, start: int, limit: int
) -> list[dict[str, int]]:
    """The roster commitments that this lender made for a campaign, as they stand in the log; raises
    NotFound."""
    with reading(registry) as view:
        load_campaign(view, sha256)
        own = select(CommitmentRow).where(
            CommitmentRow.campaign_sha256 == sha256, CommitmentRow.lender == lender.id
        )
        in_order = own.order_by(CommitmentRow.entry_index)
        rows = view.session.scalars(in_order.offset(start).limit(limit)).all()
    return [
        {"release": row.release, "attempt": row.attempt, "entry_index": row.entry_index}
        for row in rows
    ]


def open_campaigns(registry: Registry) -> list[Campaign]:
    """Every campaign that has not ended, in the order in which they were proposed."""
    with reading(registry) as view:
        rows = view.session.scalars(select(CampaignRow).order_by(CampaignRow.number))
        found = [Campaign.claimed(row.token) for row in rows]
        return [one for one in found if one.expires_at > view.moment]
