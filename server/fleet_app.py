"""The coordinator's Flower ServerApp: one run is one campaign, named in the run's configuration.

Whether it should run and how it goes stand in the campaign's folder (:mod:`server.desired_state`),
so that it can die at any moment and be run again.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from credit.bands import BANDS
from credit.errors import FeatureError, ModelError
from credit.learning import Learner
from credit.planning import spent
from credit.quality import ModelEvaluation
from crypto.errors import CryptoError
from crypto.keys import replace_file
from protocol import tracing
from protocol.campaigns import Campaign
from protocol.cards import FIGURES_LIMITS, LIMITS, WARM_LIMITS, ModelCard, ScoreBand
from protocol.errors import ConsentError
from protocol.log_client import RESTART_PATIENCE_S
from protocol.schema import now
from server.desired_state import Stage, record_event, run_requested, write_state
from server.errors import CampaignStopped, CoordinatorError
from server.flower_fleet import Emit, FlowerFleet
from server.folders import card_in
from server.home import (
    CARD_FILE,
    FIGURES_FILE,
    MODEL_FILE,
    Coordinator,
    Progressed,
    load_releases,
)
from server.run import CampaignRun, Fold

HOME_VARIABLE = "TAHINI_COORDINATOR_HOME"
EXPECTED = (CampaignStopped, CoordinatorError, ConsentError, CryptoError, FeatureError, ModelError)
app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the campaign that the run's configuration names, from where it is."""
    conduct_campaign(
        Coordinator.open(Path(os.environ[HOME_VARIABLE])), grid, str(context.run_config["campaign"])
    )


def conduct_campaign(
    coordinator: Coordinator,
    grid: Grid,
    sha256: str,
    watch: Emit = lambda _: None,
    between_releases: Callable[[int], None] = lambda _: None,
) -> None:
    """Run a campaign up to the signed model card, or to a state that says why not.

    Args:
        watch: told every event that is recorded in the campaign's folder.
        between_releases: called after every release with its number; may wait.
    """
    folder = coordinator.folder(sha256)

    def emit(event: dict[str, Any]) -> None:
        record_event(folder, event)
        watch(event)

    def check() -> None:
        if not run_requested(folder):
            raise CampaignStopped("the coordinator's operator stopped it")

    def pause(number: int) -> None:
        between_releases(number)
        check()

    with tracing.span("campaign", tracing.of_campaign(sha256), campaign=sha256[:12]):
        try:
            write_state(folder, Stage.RUNNING)
            with coordinator.registry(RESTART_PATIENCE_S) as client:
                known = client.proposed(sha256)
            campaign = known.campaign
            rejected = frozenset(known.rejected_by)
            if not known.active:
                raise CampaignStopped(
                    f"campaign {campaign.id!r} lacks approvals; no quorum, no run"
                )
            required = frozenset(campaign.lenders) - rejected - set(Progressed.read(folder).lost)
            others = len(coordinator.consortium.lenders) - len(required)
            fleet = FlowerFleet(grid, required, coordinator.settings.answer_s, others, check, emit)
            run = CampaignRun(coordinator, campaign, fleet, emit, pause, rejected)
            card = release_card(coordinator, campaign, run.execute())
            write_state(folder, Stage.RELEASED)
            emit({"event": "released", "card": card})
        except EXPECTED as error:
            write_state(folder, Stage.STOPPED, str(error))
            emit({"event": "stopped", "reason": str(error)})


@dataclass(frozen=True)
class _Told:
    """What a card says of what was released."""

    people: float
    rate: float
    evaluation: ModelEvaluation | None
    directions: dict[str, Literal["up", "down"]]
    remarks: tuple[str, ...]


def _told(fold: Fold) -> _Told:
    if not isinstance(fold, Learner):
        return _Told(fold.people, fold.rate, fold.evaluation, {}, ())
    binning = fold.embedding.binning
    directions = {} if fold.kind == "mlp" else fold.schema.directions
    return _Told(binning.population, binning.base_rate, fold.evaluation, directions, fold.remarks)


def _limits(
    coordinator: Coordinator, campaign: Campaign, evaluation: Mapping[str, Any] | None
) -> tuple[str, ...]:
    """What whoever reads the card must know of any such model, or figures."""
    if campaign.watched is not None:
        return FIGURES_LIMITS
    if campaign.begins_with is None:
        return LIMITS
    before = card_in(coordinator, coordinator.folder(campaign.begins_with.campaign_sha256))
    return (*LIMITS, *WARM_LIMITS, *fell_behind(before.evaluation, evaluation))


def fell_behind(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> tuple[str, ...]:
    """A sentence where a warm model ranks everybody worse than the one that it began with did, by
    more than twice the error of the difference: what was learnt then may be wrong now."""
    if not (before and now and before["segments"] and now["segments"]):
        return ()
    then, there = (one["segments"][0]["auc"] for one in (before, now))
    if then["value"] - there["value"] <= 2 * math.hypot(then["error"], there["error"]):
        return ()
    told = (
        f"It ranks worse than the model that it began with did (AUC {there['value']:.3f} ± "
        f"{there['error']:.3f} after {then['value']:.3f} ± {then['error']:.3f}): train one that "
        "begins anew."
    )
    return (told,)


def _bands() -> tuple[ScoreBand, ...]:
    return tuple(ScoreBand(**band) for band in BANDS.table())


def release_card(coordinator: Coordinator, campaign: Campaign, fold: Fold) -> str:
    """Sign the card, log it, and leave it beside the model or the figures; returns its hash."""
    folder = coordinator.folder(campaign.sha256)
    kept = load_releases(folder)
    file = MODEL_FILE if campaign.watched is None else FIGURES_FILE
    model = (folder / file).read_bytes()
    told = _told(fold)
    evaluation = None if told.evaluation is None else told.evaluation.as_dict()
    card = ModelCard(
        campaign_sha256=campaign.sha256,
        campaign_title=campaign.title,
        model=campaign.model,
        model_sha256=hashlib.sha256(model).hexdigest(),
        features=tuple(feature["name"] for feature in campaign.features["features"]),
        directions=told.directions,
        watched=campaign.watched,
        begins_with=campaign.begins_with,
        purpose=campaign.purpose,
        legal_basis=campaign.legal_basis,
        lenders=kept.releases[-1].lenders,
        epsilon=campaign.mechanism.epsilon,
        epsilon_spent=spent(campaign.mechanism, kept.progress.attempts),
        delta=campaign.mechanism.delta,
        mechanism=campaign.mechanism.model_dump(mode="json"),
        releases=len(campaign.mechanism.releases),
        population_released=told.people,
        base_rate_released=told.rate,
        bands=_bands() if campaign.watched is None else (),
        evaluation=evaluation,
        limits=(*_limits(coordinator, campaign, evaluation), *told.remarks),
        released_at=now(),
    )
    token = card.sign(coordinator.key)
    replace_file(folder / CARD_FILE, token.encode())
    with coordinator.registry(RESTART_PATIENCE_S) as client:
        client.log_model(campaign.sha256, card.sha256, token, model)
    return card.sha256
