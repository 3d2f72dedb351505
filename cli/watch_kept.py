"""Figures that watch a model, as a home keeps them: verified, none that was recalled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from protocol.errors import ConsentError

if TYPE_CHECKING:
    from protocol.campaigns import Campaign
    from protocol.cards import ModelCard
    from protocol.recalls import ModelRecall
    from protocol.watched import WatchedPeriod
    from server.home import Coordinator


@dataclass(frozen=True)
class KeptFigures:
    """One campaign's figures, verified."""

    watched: WatchedPeriod
    kind: str
    card: ModelCard
    content: bytes
    where: str
    own: list[int] | None = None
    """What this lender put in; None at a coordinator's, and of a sum without this lender."""

    @classmethod
    def of(
        cls,
        campaign: Campaign,
        card: ModelCard,
        content: bytes,
        path: Path,
        own: list[int] | None = None,
    ) -> list[KeptFigures]:
        """None of a campaign that watched nothing."""
        if campaign.watched is None:
            return []
        kind = campaign.mechanism.releases[0].kind.value
        return [cls(campaign.watched, kind, card, content, str(path), own)]


def released_figures(home: Path) -> list[KeptFigures]:
    """Raises ConsentError, NodeError, CoordinatorError: something kept does not verify."""
    if (home / "campaigns").is_dir() and not (home / "approved").is_dir():
        return _coordinators(home)
    from cli.shared import opened_node
    from clients.models import FIGURES_FILE, MODELS_FOLDER, KeptModel, check_origin
    from clients.own_counts import kept_counts

    node = opened_node(home)
    found: list[KeptFigures] = []
    for path in sorted((node.home / MODELS_FOLDER).glob(f"*/{FIGURES_FILE}")):
        kept = KeptModel.read(path.parent)
        verified = check_origin(kept, path.parent.name, node.consortium)
        for recall in verified.recalls:
            typer.echo(f"tahini: left out: {recall.told}", err=True)
        if verified.recalls:
            continue
        own = kept_counts(node, verified.card)
        found += KeptFigures.of(verified.campaign, verified.card, kept.model, path, own)
    return found


def _coordinators(home: Path) -> list[KeptFigures]:
    """A coordinator keeps no recalls: it asks the registry, and says so where that is not there."""
    import hashlib

    from server.errors import CoordinatorError
    from server.folders import campaign_in, card_in
    from server.home import CARD_FILE, FIGURES_FILE, Coordinator

    coordinator = Coordinator.open(home)
    found: list[KeptFigures] = []
    for path in sorted((home / "campaigns").glob(f"*/{FIGURES_FILE}")):
        signed = path.parent / CARD_FILE
        if not signed.exists():
            continue
        card = card_in(coordinator, path.parent)
        campaign, content = campaign_in(path.parent), path.read_bytes()
        of = (card.campaign_sha256, card.watched)
        if campaign.sha256 != path.parent.name or of != (campaign.sha256, campaign.watched):
            raise CoordinatorError(f"{signed} is the card of another campaign, or of other days")
        if hashlib.sha256(content).hexdigest() != card.model_sha256:
            raise CoordinatorError(f"{path} is not the file that its card names")
        figures = KeptFigures.of(campaign, card, content, path)
        if not figures:
            continue
        recalls = _recalls(coordinator, campaign, card)
        for recall in recalls:
            typer.echo(f"tahini: left out: {recall.told}", err=True)
        found += [] if recalls else figures
    return found


def _recalls(
    coordinator: Coordinator, campaign: Campaign, card: ModelCard
) -> tuple[ModelRecall, ...]:
    """None, and a sentence, where the registry is not there."""
    from protocol.client.filing import recalls_of
    from protocol.errors import RegistryUnavailable

    try:
        with coordinator.registry() as client:
            return recalls_of(client, campaign, card).recalls
    except RegistryUnavailable as error:
        named = campaign.sha256[:12]
        typer.echo(f"tahini: whether {named} was recalled is not known: {error}", err=True)
        return ()


def of_model(found: list[KeptFigures], begins: str | None, home: Path) -> list[KeptFigures]:
    """Those of one model, in the order of time; the newest of several of one period. Raises
    ConsentError."""
    names = [one.watched.campaign_sha256 for one in found]
    models = sorted({name for name in names if name.startswith(begins or "")})
    if len(models) != 1:
        which = f"figures of {len(models)} models" if models else "no figures of such a model"
        hint = "say one with --model" if models else "a node fetches them: tahini model fetch"
        raise ConsentError(f"{home} has {which}; {hint}")
    newest: dict[tuple[str, date, date], KeptFigures] = {}
    for one in sorted(found, key=lambda one: one.card.released_at):
        if one.watched.campaign_sha256 == models[0]:
            newest[one.kind, one.watched.since, one.watched.until] = one
    return [newest[at] for at in sorted(newest, key=lambda at: (at[1], at[2]))]
