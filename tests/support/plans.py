"""Small plans: every kind of release once, two steps of descent."""

from __future__ import annotations

from functools import lru_cache

from credit.planning import Training, plan_mechanism
from privacy.charges import Budget
from privacy.mechanism import Mechanism
from protocol.campaigns import Campaign

DELTA = 1e-5


@lru_cache
def small_plan(epsilon: float = 1.0, lenders: int = 3, **changes: object) -> Mechanism:
    """A plan for few lenders; ``changes`` as for :class:`credit.planning.Training`."""
    training = Training("scorecard", lenders, **({"steps": 2, "spare_attempts": 0} | changes))  # type: ignore[arg-type]
    return plan_mechanism(Budget(epsilon, DELTA), training)


def stated(campaign: Campaign, release: int) -> dict[str, object]:
    """What a roster commitment of this release states of the mechanism."""
    planned = campaign.planned(release)
    assert planned is not None
    return planned.model_dump()
