"""The coordinator's part of an evidence pack: each campaign as it was signed, how often each
release was asked for, the model card with its evaluation and its bill of materials. Nothing in it
is anybody's: all of it was released."""

from __future__ import annotations

from typing import Any

from protocol.bom import bill_of_materials
from protocol.campaigns import Campaign
from protocol.cards import ModelCard
from protocol.evidence import PackScope
from protocol.parts import PartWriter
from server.folders import CAMPAIGN_FILE, campaigns_of
from server.home import CARD_FILE, Coordinator, load_releases


def collect(coordinator: Coordinator, scope: PackScope, part: PartWriter) -> None:
    """Put everything into the part.

    Raises:
        SignatureError: a document is not the coordinator's. CoordinatorError: a file is damaged.
    """
    key = coordinator.key.public
    for sha256 in sorted(campaigns_of(coordinator)):
        folder = coordinator.home / "campaigns" / sha256
        token = (folder / CAMPAIGN_FILE).read_text(encoding="utf-8")
        campaign = Campaign.verify(token, key)
        if not _wanted(scope, sha256, campaign):
            continue
        below = f"campaigns/{sha256}"
        part.add(f"{below}/campaign.jws", token.encode())
        kept = load_releases(folder)
        part.add_json(
            f"{below}/releases.json",
            {
                "attempts": list(kept.progress.attempts),
                "lost": list(kept.progress.lost),
                "lenders": [list(one.lenders) for one in kept.releases],
            },
        )
        if not (folder / CARD_FILE).exists():
            continue
        signed = (folder / CARD_FILE).read_text(encoding="utf-8")
        card = ModelCard.verify(signed, key)
        part.add(f"{below}/model-card.jws", signed.encode())
        evaluation: dict[str, Any] = {} if card.evaluation is None else card.evaluation
        part.add_json(f"{below}/evaluation.json", evaluation)
        part.add_json(f"{below}/bom.cdx.json", bill_of_materials(card))


def _wanted(scope: PackScope, sha256: str, campaign: Campaign) -> bool:
    if scope.campaign is not None:
        return sha256 == scope.campaign
    first, last = scope.days or ("", "")
    named = scope.lender is None or scope.lender in campaign.lenders
    begins, ends = (one.date().isoformat() for one in (campaign.created_at, campaign.expires_at))
    return named and begins <= last and ends >= first
