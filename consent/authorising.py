"""When the registry lets a node use data. Each rule is a few lines; all must succeed. Pure.

The node checks the authorisation again, by rules of its own (``clients.rules``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from protocol.campaigns import AuthorisationRequest, Campaign
from protocol.errors import NotAllowed
from protocol.parties import Party, Role


@dataclass(frozen=True)
class Overdue:
    """The oldest revocation that the lender should have acknowledged by now."""

    number: int
    recorded_at: datetime


@dataclass(frozen=True)
class Situation:
    """Everything a rule may look at."""

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
    """Size of the log at the checkpoint that the node has accepted; the log's own signature on it was checked."""
    acknowledged_at: int
    """Index of the log entry in which the lender last acknowledged revocations; -1 for never."""
    overdue: Overdue | None
    moment: datetime


@dataclass(frozen=True)
class Success:
    """The rule holds."""


@dataclass(frozen=True)
class Failure:
    """The rule does not hold, and why."""

    reason: str


Verdict = Success | Failure


class Rule(Protocol):
    def verify(self, now: Situation) -> Verdict: ...


def _holds(condition: bool, reason: str) -> Verdict:
    return Success() if condition else Failure(reason)


@dataclass(frozen=True)
class OwnNode:
    """Not for a foreign node: the key is the one that the consortium document names for this lender."""

    def verify(self, now: Situation) -> Verdict:
        known = now.lender.role is Role.LENDER and now.asked.node_key == now.lender.key.thumbprint
        return _holds(known, f"the node's key is not the one that the consortium knows for {now.lender.id!r}")


@dataclass(frozen=True)
class TakesPart:
    def verify(self, now: Situation) -> Verdict:
        part = now.lender.id in now.campaign.lenders
        return _holds(part, f"{now.lender.id!r} is not part of campaign {now.campaign.id!r}")


@dataclass(frozen=True)
class ApprovedByAll:
    def verify(self, now: Situation) -> Verdict:
        missing = sorted(set(now.campaign.lenders) - now.approved_by)
        enough = now.active and not missing
        return _holds(enough, f"campaign {now.campaign.id!r} lacks approvals; no quorum, no run")


@dataclass(frozen=True)
class NotRejected:
    """A lender may say no after its yes."""

    def verify(self, now: Situation) -> Verdict:
        return _holds(not now.rejected, f"{now.lender.id!r} has rejected campaign {now.campaign.id!r}")


@dataclass(frozen=True)
class NotLapsed:
    """The approvals are for a campaign that has not ended."""

    def verify(self, now: Situation) -> Verdict:
        ends = now.campaign.expires_at
        return _holds(now.moment < ends, f"campaign {now.campaign.id!r} expired at {ends.isoformat()}")


@dataclass(frozen=True)
class SamePurpose:
    def verify(self, now: Situation) -> Verdict:
        same = now.asked.purpose == now.campaign.purpose
        return _holds(same, f"campaign {now.campaign.id!r} is for another purpose than the node asks for")


@dataclass(frozen=True)
class ApprovedCode:
    def verify(self, now: Situation) -> Verdict:
        same = now.asked.code_sha256 == now.campaign.code_sha256
        return _holds(same, "the code on the node is not the code that was approved")


@dataclass(frozen=True)
class FreshCheckpoint:
    """A node that acknowledged revocations has seen a head of the log with that acknowledgement in it."""

    def verify(self, now: Situation) -> Verdict:
        return _holds(
            now.seen > now.acknowledged_at,
            "the node's checkpoint is stale: it is older than what its lender acknowledged; sync first",
        )


@dataclass(frozen=True)
class RevocationsAcknowledged:
    def verify(self, now: Situation) -> Verdict:
        if now.overdue is None:
            return Success()
        return Failure(
            f"{now.lender.id!r} has not acknowledged revocation {now.overdue.number} of "
            f"{now.overdue.recorded_at.isoformat()}; fetch and acknowledge it first"
        )


@dataclass(frozen=True)
class BudgetLeft:
    """What was committed so far leaves room for one more release within the campaign's epsilon."""

    def verify(self, now: Situation) -> Verdict:
        releases = range(len(now.campaign.mechanism.releases))
        room = any(now.campaign.within_budget((*now.committed, release)) for release in releases)
        return _holds(room, f"the budget of campaign {now.campaign.id!r} is spent")


RULES: tuple[Rule, ...] = (
    OwnNode(),
    TakesPart(),
    ApprovedByAll(),
    NotRejected(),
    NotLapsed(),
    SamePurpose(),
    ApprovedCode(),
    RevocationsAcknowledged(),
    FreshCheckpoint(),
    BudgetLeft(),
)


def require(now: Situation, rules: Sequence[Rule] = RULES) -> None:
    """Raises NotAllowed with the first rule that fails and its reason; its ``rule`` is the rule's name."""
    for rule in rules:
        verdict = rule.verify(now)
        if isinstance(verdict, Failure):
            refusal = NotAllowed(verdict.reason)
            refusal.rule = type(rule).__name__
            raise refusal
