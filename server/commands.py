"""What an operator has a campaign do: launch it, stop it, go on with it; and how it stands. Command
and page call the same.

Each sets what is desired (:mod:`server.desired_state`); the service does it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crypto.errors import CryptoError
from protocol.cards import ModelCard
from server.desired_state import Stage, events, request_run, write_state
from server.errors import CampaignStopped, CoordinatorError
from server.folders import standing_of
from server.home import CARD_FILE, Coordinator
from server.status import Answers, CampaignStatus


def lenders_answers(coordinator: Coordinator, sha256: str) -> Answers:
    """What lenders said. Raises RegistryUnavailable; what stands in the coordinator's folder is
    known all the same."""
    with coordinator.registry() as client:
        known = client.proposed(sha256)
    reasons = {no.lender: no.reason for no in known.rejections}
    return Answers(
        known.active,
        known.approved_by,
        tuple((name, reasons.get(name, "")) for name in known.rejected_by),
    )


def launch(coordinator: Coordinator, folder: Path) -> CampaignStatus:
    """Have the running coordinator run an approved campaign; returns how it stands then.

    Raises:
        CampaignStopped: it lacks approvals, or can never go on. CoordinatorError: it has stopped,
            and is to be resumed. RegistryUnavailable: whoever cannot ask cannot launch.
    """
    answers = lenders_answers(coordinator, folder.name)
    stands = not_over(standing_of(coordinator, folder, answers))
    if not answers.active:
        raise CampaignStopped(
            f"campaign {stands.campaign.id!r} lacks approvals; no quorum, no run; it waits for "
            f"{stands.waits_for}"
        )
    if stands.state.stage is Stage.STOPPED:
        raise CoordinatorError("; ".join(line.strip() for line in stands.sentences))
    request_run(folder, True)
    return standing_of(coordinator, folder, answers)


def stop(folder: Path) -> None:
    """Stop a campaign before its next release; what was released is kept."""
    request_run(folder, False)


def resume(coordinator: Coordinator, folder: Path, answers: Answers | None) -> CampaignStatus:
    """Go on with a campaign that stopped, from the releases that it kept; returns how it stood
    before.

    Raises:
        CoordinatorError: it has released its model. CampaignStopped: it can never go on.
    """
    stands = standing_of(coordinator, folder, answers)
    if stands.state.stage is Stage.RELEASED:
        raise CoordinatorError("the campaign has released its model already")
    if stands.ended:
        not_over(stands)
    if stands.state.stage is Stage.STOPPED:
        write_state(folder, Stage.PROPOSED)
    request_run(folder, True)
    return stands


def not_over(stands: CampaignStatus) -> CampaignStatus:
    """Raises CampaignStopped in one sentence if the campaign can never go on."""
    if stands.over:
        raise CampaignStopped("; ".join(line.strip() for line in stands.sentences))
    return stands


def evaluated(coordinator: Coordinator, folder: Path) -> dict[str, Any] | None:
    """What the card of a campaign says of its model's quality; None before it was released, and
    where nobody was held out. Raises CoordinatorError: it is damaged, or signed by somebody
    else."""
    path = folder / CARD_FILE
    if not path.exists():
        return None
    try:
        card = ModelCard.verify(path.read_text(encoding="utf-8"), coordinator.key.public)
    except (OSError, UnicodeDecodeError, CryptoError) as error:
        raise CoordinatorError(f"{path} is damaged ({error})") from error
    return card.evaluation


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
