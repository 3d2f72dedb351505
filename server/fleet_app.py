"""The ServerApp of a deployed consortium: one run is one campaign, named in the run's configuration.

What it is asked for and how it goes stand in the campaign's folder (:mod:`server.desired`), so that it can die at any
moment and be run again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from protocol import tracing
from protocol.log_client import RESTART_PATIENCE_S
from server.app import EXPECTED, FlowerFleet, release_card
from server.desired import Stage, tell, wanted, write_state
from server.errors import CampaignStopped
from server.home import Coordinator, Progressed
from server.run import CampaignRun

HOME_VARIABLE = "TAHINI_COORDINATOR_HOME"
app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the campaign that the run's configuration names, from where it is."""
    conduct_campaign(Coordinator.open(Path(os.environ[HOME_VARIABLE])), grid, str(context.run_config["campaign"]))


def conduct_campaign(coordinator: Coordinator, grid: Grid, sha256: str) -> None:
    """Up to the signed model card, or to a state that says why not."""
    folder = coordinator.folder(sha256)

    def emit(event: dict[str, Any]) -> None:
        tell(folder, event)

    def check() -> None:
        if not wanted(folder):
            raise CampaignStopped("the coordinator's operator stopped it")

    with tracing.span("campaign", tracing.of_campaign(sha256), campaign=sha256[:12]):
        try:
            write_state(folder, Stage.RUNNING)
            with coordinator.registry(RESTART_PATIENCE_S) as client:
                known = client.proposed(sha256)
            campaign, rejected = known.campaign, frozenset(known.rejected_by)
            if not known.active:
                raise CampaignStopped(f"campaign {campaign.id!r} lacks approvals; no quorum, no run")
            wanted_ones = frozenset(campaign.lenders) - rejected - set(Progressed.read(folder).lost)
            others = len(coordinator.consortium.lenders) - len(wanted_ones)
            fleet = FlowerFleet(grid, wanted_ones, coordinator.settings.answer_s, others, check, emit)
            run = CampaignRun(coordinator, campaign, fleet, emit, lambda _: check(), rejected)
            card = release_card(coordinator, campaign, run.execute())
            write_state(folder, Stage.RELEASED)
            emit({"event": "released", "card": card})
        except EXPECTED as error:
            write_state(folder, Stage.STOPPED, str(error))
            emit({"event": "stopped", "reason": str(error)})
