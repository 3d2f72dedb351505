"""What the coordinator's campaigns spend of a person's budget: of one who was in all of them, the
dearest case there is. Each person's own account is at the registry and at their lenders; a
coordinator knows neither, and this is the most that either can hold of its campaigns. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from privacy.accounting import epsilon_of
from privacy.charges import Charge
from privacy.mechanism import Audience
from protocol.parties import Consortium
from server.desired_state import Stage
from server.status import CampaignStatus

YEAR = timedelta(days=365)
Charges = tuple[Charge, ...]


@dataclass(frozen=True)
class CampaignCost:
    """What one campaign costs a person at most."""

    status: CampaignStatus
    spent: float
    reserved: float
    """The whole plan while it can go on; what was spent once it cannot."""


@dataclass(frozen=True)
class BudgetLine:
    """All campaigns together, against one cap; epsilon."""

    spent: float
    planned: float
    """What was spent, and what is still reserved."""
    cap: float

    @property
    def left(self) -> float:
        return max(0.0, self.cap - self.planned)


@dataclass(frozen=True)
class BudgetOverview:
    """Every campaign's cost; together ever, and within 365 days."""

    campaigns: tuple[CampaignCost, ...]
    ever: BudgetLine
    year: BudgetLine
    per_campaign: float
    """The most that one campaign may cost."""


def overview(
    campaigns: Sequence[CampaignStatus], consortium: Consortium, moment: datetime
) -> BudgetOverview:
    """What these campaigns cost together. They compose: the sum is less than the epsilons added."""
    recent = [one for one in campaigns if one.campaign.expires_at > moment - YEAR]
    delta = consortium.max_delta

    def line(some: Iterable[CampaignStatus], cap: float) -> BudgetLine:
        known = list(some)
        return BudgetLine(
            _together([_made(one) for one in known], delta),
            _together([_reserved(one) for one in known], delta),
            cap,
        )

    return BudgetOverview(
        tuple(
            CampaignCost(
                one,
                one.epsilon_spent,
                one.campaign.mechanism.epsilon if _open(one) else one.epsilon_spent,
            )
            for one in campaigns
        ),
        line(campaigns, consortium.campaign_epsilon),
        line(recent, consortium.campaign_epsilon_per_year),
        consortium.max_epsilon,
    )


Sides = dict[Audience, Charges]


def _open(status: CampaignStatus) -> bool:
    """Whether it can still spend something."""
    return status.end is None and status.state.stage is not Stage.RELEASED


def _made(status: CampaignStatus) -> Sides:
    """The charge of every attempt so far, for either side of the hold-out."""
    plan = status.campaign.mechanism.releases
    attempts = status.progress.attempts
    asked = [one for one, times in zip(plan, attempts, strict=False) for _ in range(times)]
    return {side: tuple(one.charge for one in asked if one.audience is side) for side in Audience}


def _reserved(status: CampaignStatus) -> Sides:
    if not _open(status):
        return _made(status)
    return {side: status.campaign.mechanism.charges(side) for side in Audience}


def _together(campaigns: Sequence[Sides], delta: float) -> float:
    """Epsilon of a person who was in all, on the side of each that pays more."""
    dearest = [
        max(sides.values(), key=lambda charges: epsilon_of(charges, delta)) for sides in campaigns
    ]
    return epsilon_of([charge for charges in dearest for charge in charges], delta)
