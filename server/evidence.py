"""The coordinator's part of an evidence pack: each campaign as it was signed, how often each
release was asked for, who sees what, the model card with its evaluation, its bill of materials and
the instructions for use. Nothing in it is anybody's: all of it was released."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from crypto.keys import replace_file
from law.vocabulary import LANGUAGES
from protocol.bom import bill_of_materials
from protocol.campaigns import Campaign
from protocol.cards import ModelCard
from protocol.evidence import PackScope
from protocol.instructions import instructions
from protocol.parts import PartWriter
from protocol.sight import AttackOnBuild, SightStatement
from server.folders import CAMPAIGN_FILE, campaigns_of
from server.home import CARD_FILE, FIGURES_FILE, Coordinator, load_releases

STATEMENT_FILE = "who-sees-what.jws"


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
        part.add(f"{below}/who-sees-what.jws", statement(coordinator, campaign).encode())
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
        if card.watched is not None:
            part.add(f"{below}/figures.json", (folder / FIGURES_FILE).read_bytes())
            continue  # figures are no model: nobody decides with them
        part.add_json(f"{below}/bom.cdx.json", bill_of_materials(card))
        for language in LANGUAGES:
            text = instructions(card, language)
            part.add(f"{below}/instructions.{language}.md", text.encode())


def statement(coordinator: Coordinator, campaign: Campaign) -> str:
    """Who sees what of the campaign, signed: as it was made with the result of an attack on the
    build (``tahini coordinator statement``), else as it follows from the campaign. Raises
    SignatureError, AuditFailed."""
    path = coordinator.home / "campaigns" / campaign.sha256 / STATEMENT_FILE
    key, consortium = coordinator.key, coordinator.consortium
    if path.exists():
        token = path.read_text(encoding="utf-8")
        SightStatement.verify(token, key.public).require_true(campaign, consortium)
        return token
    return SightStatement.of(campaign, consortium, campaign.created_at).sign(key)


def state(
    coordinator: Coordinator, campaign: Campaign, attack: AttackOnBuild | None, moment: datetime
) -> SightStatement:
    """Sign and keep who sees what of the campaign. Raises AuditFailed: the attack succeeded."""
    made = SightStatement.of(campaign, coordinator.consortium, moment, attack)
    made.require_true(campaign, coordinator.consortium)
    token = made.sign(coordinator.key)
    replace_file(coordinator.folder(campaign.sha256) / STATEMENT_FILE, token.encode())
    return made


def _wanted(scope: PackScope, sha256: str, campaign: Campaign) -> bool:
    if scope.campaign is not None:
        return sha256 == scope.campaign
    first, last = scope.days or ("", "")
    named = scope.lender is None or scope.lender in campaign.lenders
    begins, ends = (one.date().isoformat() for one in (campaign.created_at, campaign.expires_at))
    return named and begins <= last and ends >= first
