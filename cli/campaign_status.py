"""Status of a campaign as the coordinator's commands show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from protocol.errors import RegistryUnavailable
from server.desired_state import events
from server.errors import CampaignStopped
from server.home import Coordinator
from server.status import Answers, CampaignStatus


def lenders_answers(coordinator: Coordinator, sha256: str, quiet: bool = False) -> Answers | None:
    """What lenders said, if the registry is there; what stands in the coordinator's folder is known
    all the same."""
    try:
        with coordinator.registry() as client:
            known = client.proposed(sha256)
    except RegistryUnavailable as error:
        if not quiet:
            typer.echo(f"tahini: who approved is not known: {error}", err=True)
        return None
    reasons = {no.lender: no.reason for no in known.rejections}
    return Answers(
        known.active,
        known.approved_by,
        tuple((name, reasons.get(name, "")) for name in known.rejected_by),
    )


def figures(stands: CampaignStatus, folder: Path) -> dict[str, Any]:
    """How a campaign stands, ready for JSON."""
    told = list(events(folder))
    plan = stands.campaign.mechanism
    answers = stands.answers
    return {
        "campaign": folder.name,
        "id": stands.campaign.id,
        "approved_by": answers and answers.approved_by,
        "rejected_by": answers and [name for name, _ in answers.rejected],
        "rejections": answers and stands.rejected,
        "stage": stands.state.stage.value,
        "reason": stands.state.reason,
        "releases": stands.kept,
        "planned": len(plan.releases),
        "lost": sorted(
            {name for event in told if event["event"] == "lost" for name in event["lenders"]}
        ),
        "epsilon": plan.epsilon,
        "epsilon_spent": stands.epsilon_spent,
        "delta": plan.delta,
        "spare_attempts_left": stands.spare_left,
        "waits_for": stands.waits_for,
        "over": stands.over,
        "next": stands.next_one if stands.over else "",
        "folder": str(folder),
    }


def not_over(stands: CampaignStatus) -> CampaignStatus:
    """Raises CampaignStopped in one sentence if the campaign can never go on."""
    if stands.over:
        raise CampaignStopped("; ".join(line.strip() for line in stands.sentences))
    return stands


def told_event(event: dict[str, Any]) -> str:
    spent = f"; epsilon {event['epsilon']:.3f} so far" if "epsilon" in event else ""
    match event["event"]:
        case "joined":
            return f"{len(event['lenders'])} nodes joined"
        case "waiting":
            return f"waits for {event['reason']}"
        case "release":
            return f"release {event['release'] + 1} of {event['releases']} ({event['kind']}){spent}"
        case "lost":
            return f"lost {', '.join(event['lenders'])}: {event['reason']}{spent}"
        case "released":
            return "the model's card is signed and logged"
        case _:
            return str(event.get("reason", event["event"]))
