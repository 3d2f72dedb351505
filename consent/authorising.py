"""Rules of an authorisation: when the registry lets a node use data. One function for each rule;
all must hold. Pure.

The node checks the authorisation again, by rules of its own (``clients.rules``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from protocol.campaigns import AuthorisationRequest, Campaign
from protocol.coverage import exceeds
from protocol.errors import NotAllowed
from protocol.notices import Notice
from protocol.parties import Consortium, Party, Role
from protocol.rules import Rule, first_broken


@dataclass(frozen=True)
class Overdue:
    """The oldest revocation that the lender should have acknowledged by now."""

    number: int
    recorded_at: datetime


@dataclass(frozen=True)
class Unanswered:
    """How many requests of people the lender should have answered by now, and since when the
    first."""

    count: int
    due_at: datetime


@dataclass(frozen=True)
class Situation:
    """Everything a rule may look at."""

    consortium: Consortium
    lender: Party
    asked: AuthorisationRequest
    campaign: Campaign
    approved_by: frozenset[str]
    active: bool
    rejected: bool
    """By this lender."""
    committed: tuple[int, ...]
    """Releases that this lender committed, each as often as it was attempted."""
    seen: int
    """Size of the log at the checkpoint that the node has accepted; the log's own signature on it
    was checked."""
    acknowledged_at: int
    """Index of the log entry in which the lender last acknowledged revocations; -1 for never."""
    notice: Notice | None
    """The one that asks this lender's borrowers now."""
    overdue: Overdue | None
    unanswered: Unanswered | None
    moment: datetime


def own_node(now: Situation) -> str | None:
    """Not for a foreign node: the key is the one that the consortium document names for this
    lender."""
    if now.lender.role is not Role.LENDER or now.asked.node_key != now.lender.key.thumbprint:
        return f"the node's key is not the one that the consortium knows for {now.lender.id!r}"
    return None


def takes_part(now: Situation) -> str | None:
    if now.lender.id not in now.campaign.lenders:
        return f"{now.lender.id!r} is not part of campaign {now.campaign.id!r}"
    return None


def approved_by_all(now: Situation) -> str | None:
    if not now.active or set(now.campaign.lenders) - now.approved_by:
        return f"campaign {now.campaign.id!r} lacks approvals; no quorum, no run"
    return None


def not_rejected(now: Situation) -> str | None:
    """A lender may say no after its yes."""
    if now.rejected:
        return f"{now.lender.id!r} has rejected campaign {now.campaign.id!r}"
    return None


def not_lapsed(now: Situation) -> str | None:
    """The approvals are for a campaign that has not ended."""
    ends = now.campaign.expires_at
    if now.moment >= ends:
        return f"campaign {now.campaign.id!r} expired at {ends.isoformat()}"
    return None


def same_purpose(now: Situation) -> str | None:
    if now.asked.purpose != now.campaign.purpose:
        return f"campaign {now.campaign.id!r} is for another purpose than the node asks for"
    return None


def within_the_notice(now: Situation) -> str | None:
    """Nobody who is asked now is asked for so much; whoever was asked for more is no reason."""
    if now.notice is None:
        return f"no notice asks {now.lender.id!r}'s borrowers for the campaign's purpose any more"
    beyond = exceeds(now.campaign.needs(now.consortium), now.notice.terms)
    return beyond and f"campaign {now.campaign.id!r} goes beyond the live notice: {beyond}"


def calls_them_by_their_names(now: Situation) -> str | None:
    """Who is somebody else now was given nothing under the name of before (PIPL 22, 23)."""
    known = {party.id for party in now.consortium.parties}
    for one in () if now.notice is None else now.notice.terms.recipients:
        if one.id not in known:
            return f"the live notice names {one.id!r}, who is not of the consortium any more"
    return None if now.notice is None else called_otherwise(now.notice, now.consortium)


def called_otherwise(notice: Notice, consortium: Consortium) -> str | None:
    """In words, which party is called otherwise in a notice than it is called now."""
    names = {party.id: party.name for party in consortium.parties}
    for one in notice.terms.recipients:
        if names.get(one.id, one.name) != one.name:
            return (
                f"the notice calls {one.id!r} {one.name!r}, which the consortium does not; publish "
                "a version that does, and ask again"
            )
    return None


def approved_code(now: Situation) -> str | None:
    if now.asked.code_sha256 != now.campaign.code_sha256:
        return "the code on the node is not the code that was approved"
    return None


def revocations_acknowledged(now: Situation) -> str | None:
    if now.overdue is None:
        return None
    return (
        f"{now.lender.id!r} has not acknowledged revocation {now.overdue.number} of "
        f"{now.overdue.recorded_at.isoformat()}; fetch and acknowledge it first"
    )


def requests_answered(now: Situation) -> str | None:
    """Nobody uses people's data who does not answer them in time (征信业管理条例 25; PIPL 50; GDPR
    12(3))."""
    if now.unanswered is None:
        return None
    return (
        f"{now.lender.id!r} has not answered {now.unanswered.count} requests of its borrowers that "
        f"are due, the first since {now.unanswered.due_at.isoformat()}; answer them first: tahini "
        "requests list"
    )


def fresh_checkpoint(now: Situation) -> str | None:
    """A node that acknowledged revocations has seen a head of the log with that acknowledgement in
    it."""
    if now.seen <= now.acknowledged_at:
        return (
            "the node's checkpoint is stale: it is older than what its lender acknowledged; sync "
            "first"
        )
    return None


def budget_left(now: Situation) -> str | None:
    """What was committed so far leaves room for one more release within the campaign's epsilon."""
    releases = range(len(now.campaign.mechanism.releases))
    if not any(now.campaign.within_budget((*now.committed, release)) for release in releases):
        return f"the budget of campaign {now.campaign.id!r} is spent"
    return None


RULES: tuple[Rule[Situation], ...] = (
    own_node,
    takes_part,
    approved_by_all,
    not_rejected,
    not_lapsed,
    same_purpose,
    within_the_notice,
    calls_them_by_their_names,
    approved_code,
    revocations_acknowledged,
    requests_answered,
    fresh_checkpoint,
    budget_left,
)


def require(now: Situation) -> None:
    """Raises NotAllowed with the reason of the first rule that does not hold; its ``rule`` is the
    rule's name."""
    broken = first_broken(RULES, now)
    if broken is not None:
        name, reason = broken
        refusal = NotAllowed(reason)
        refusal.rule = name
        raise refusal
