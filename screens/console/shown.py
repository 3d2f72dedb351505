"""A campaign's state in words: what it is doing, what it waits for, why it ended. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from screens.common.model_cards import MODELS as MODELS
from screens.common.model_cards import WATCHED
from screens.console.sight import SeenCampaign, SeenLender
from screens.house.problems import N_
from screens.house.words import PageWords
from server.desired_state import Stage
from server.proposing import DropoutRisk
from server.status import CampaignStatus, EndReason, Next

KINDS: Mapping[str, str] = {
    "histogram": N_("How each feature is spread"),
    "gram": N_("How features go together"),
    "gradient": N_("A step of the descent"),
    "train": N_("Trained by each lender, averaged"),
    "pairs": N_("Pairs of features"),
    "calibration": N_("Honest probabilities"),
    "evaluation": N_("Quality, on people who were held out"),
    **WATCHED,
}
"""What a release is for."""
MECHANISMS: Mapping[str, str] = {
    "distributed": N_("Every lender adds a share of the noise"),
    "local": N_("Every lender adds all of the noise itself"),
}
RISKS: Mapping[DropoutRisk, str] = {
    DropoutRisk.STOPS_FOR_GOOD: N_(
        "No attempt is spare: a lender that drops out during a release stops it for good."
    ),
    DropoutRisk.WAITS: N_(
        "Every lender is needed: one that drops out stops it until that lender is back."
    ),
    DropoutRisk.WAITS_IN_VAIN: N_(
        "Every lender is needed and no attempt is spare: one that drops out stops it for good."
    ),
}


def stage_of(status: CampaignStatus, words: PageWords) -> str:
    """One word for how it is."""
    match status.state.stage:
        case Stage.RELEASED:
            if status.campaign.watched is not None:
                return words.say(N_("Finished: the figures are released"))
            return words.say(N_("Finished: the model is released"))
        case Stage.STOPPED:
            return words.say(N_("Ended") if status.end else N_("Stopped"))
        case Stage.RUNNING:
            return words.say(N_("Running") if status.wanted else N_("Stopping"))
        case Stage.PROPOSED:
            return words.say(N_("Ended") if status.end else N_("Proposed"))


def why_ended(status: CampaignStatus, words: PageWords) -> str:
    """Why it cannot go on; empty where it can."""
    plan = status.campaign.mechanism
    match status.end:
        case EndReason.REJECTED:
            who = words.several(list(status.rejected))
            return words.say(
                N_("%(who)s said no before every lender had said yes. It cannot start."), who=who
            )
        case EndReason.TOO_FEW:
            return words.say(
                N_(
                    "Without %(who)s, %(left)s lenders are left, and a release needs %(needed)s. "
                    "It cannot go on."
                ),
                who=words.several(status.gone),
                left=words.number(status.left),
                needed=words.number(plan.threshold),
            )
        case EndReason.EXPIRED:
            when = words.time(status.campaign.expires_at)
            return words.say(N_("The approvals were good until %(when)s."), when=when)
        case EndReason.NO_ATTEMPTS:
            return words.say(
                N_("It stopped during a release, and no spare attempt is left to ask again.")
            )
        case None:
            return ""


def what_next(status: CampaignStatus, words: PageWords) -> str:
    """What has to happen next, and by whom; empty where nothing is missing."""
    match status.next:
        case Next.APPROVALS:
            who = words.several(status.unanswered)
            return words.say(N_("Waits for the yes of %(who)s."), who=who)
        case Next.LAUNCH:
            if status.answers is None:
                return words.say(
                    N_("Whether every lender has said yes is not known: the registry is away.")
                )
            return words.say(N_("Every lender has said yes. It waits for you to launch it."))
        case Next.SERVICE:
            return words.say(
                N_("The coordinator's service does not run. Start it: tahini coordinator serve")
            )
        case Next.START:
            return words.say(N_("The service is about to start it."))
        case None:
            return ""


def can(status: CampaignStatus) -> str | None:
    """What an operator can do with it now: ``launch``, ``stop``, ``resume``; None for nothing."""
    if status.state.stage is Stage.RELEASED:
        return None
    if status.wanted and status.state.stage is not Stage.STOPPED:
        return "stop"
    if status.end not in (None, EndReason.NO_ATTEMPTS):
        return None
    if status.state.stage in (Stage.STOPPED, Stage.RUNNING):
        return "resume"
    return "launch" if status.answers and status.answers.active else None


@dataclass(frozen=True)
class LenderAnswer:
    """What one lender said to a campaign: ``yes``, ``no``, ``none``, or ``unknown``."""

    lender: str
    said: str
    reason: str = ""


def answers_of(status: CampaignStatus) -> list[LenderAnswer]:
    """Every lender of a campaign, in its order."""
    if status.answers is None:
        return [LenderAnswer(lender, "unknown") for lender in status.campaign.lenders]
    found = []
    for lender in status.campaign.lenders:
        if lender in status.rejected:
            found.append(LenderAnswer(lender, "no", status.rejected[lender]))
        else:
            said = "yes" if lender in status.answers.approved_by else "none"
            found.append(LenderAnswer(lender, said))
    return found


@dataclass(frozen=True)
class ReleaseLine:
    """One release that was made."""

    number: int
    kind: str
    at: str
    attempts: int
    epsilon: float
    lenders: Sequence[str]


def releases_of(seen: SeenCampaign) -> list[ReleaseLine]:
    """What was released so far, the newest first. A release that a second run made again stands
    once."""
    made: dict[int, dict[str, Any]] = {}
    for event in seen.events:
        if event["event"] == "release":
            made[int(event["release"])] = event
    return [
        ReleaseLine(
            number + 1,
            str(event["kind"]),
            str(event["at"]),
            int(event.get("attempts", 1)),
            float(event["epsilon"]),
            event.get("lenders", ()),
        )
        for number, event in sorted(made.items(), reverse=True)
    ]


@dataclass(frozen=True)
class CourseStep:
    """One release on the way from the first to the last."""

    number: int
    stands: str
    """``made``, ``now``, ``open``."""
    lost: int
    """Attempts that came to nothing."""


def course_of(seen: SeenCampaign) -> list[tuple[str, list[CourseStep]]]:
    """Every release of the plan in its order, those of one kind together."""
    made = {one.number for one in releases_of(seen)}
    lost = Counter(int(event["release"]) + 1 for event in losses_of(seen))
    running = seen.status.state.stage is Stage.RUNNING
    now = next(
        (n for n, _ in enumerate(seen.status.campaign.mechanism.releases, 1) if n not in made), None
    )
    steps = [
        (
            str(release.kind),
            CourseStep(
                number,
                "made" if number in made else "now" if running and number == now else "open",
                lost[number],
            ),
        )
        for number, release in enumerate(seen.status.campaign.mechanism.releases, 1)
    ]
    return [
        (kind, [step for _, step in group])
        for kind, group in groupby(steps, key=lambda one: one[0])
    ]


def losses_of(seen: SeenCampaign) -> list[dict[str, Any]]:
    """Whenever a lender was lost, the newest first."""
    return [event for event in reversed(seen.events) if event["event"] == "lost"]


def times_lost(lender: SeenLender, words: PageWords) -> str:
    """How often a lender that was lost was lost, and when last."""
    often = words.count("%(num)s time", "%(num)s times", len(lender.lost))
    when = words.time(str(lender.lost[0]["at"]))
    return words.say(N_("%(often)s, last on %(when)s:"), often=often, when=when)


def waiting_of(seen: SeenCampaign) -> str:
    """What a run said last that it waits for, in the service's words; empty once it went on."""
    last = seen.events[-1] if seen.events else {}
    waits = last.get("event") == "waiting" and seen.status.state.stage is Stage.RUNNING
    return str(last["reason"]) if waits else ""
