"""The privacy budgets of a lender's borrowers in figures: per campaign, per attempt, and what is
left. Read from the node's own ledger; for the lender's own operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from clients.budget_ledger import Reservation
from clients.home import Node
from privacy.accounting import epsilon_of, rho_of
from privacy.charges import Budget, Charge
from privacy.filter import affordable
from privacy.mechanism import Audience, ReleaseKind


def budget_facts(node: Node) -> dict[str, Any]:
    """What each campaign cost, and how much is left to the people in the ledger.

    ``epsilon_left`` is between what somebody spent and the cap, and None where nobody was charged.
    Epsilons do not add up: it is for the eye, not the filter.
    """
    lines = node.store.ledger()
    cap = node.cap
    histories = node.store.spent(node.store.everybody())
    left = {history: _left(history, cap) for history in set(histories.values())}
    remaining = [left[history] for history in histories.values()]
    smallest = Charge(max((line.charge.noise_multiplier for line in lines), default=1.0))
    return {
        "cap": {
            "epsilon": cap.epsilon,
            "delta": cap.delta,
            "epsilon_per_year": node.yearly_cap.epsilon,
        },
        "campaigns": _campaigns(lines, node.store.charged(), cap.delta),
        "people": len(histories),
        "at_the_cap": len(histories) - len(affordable(histories, smallest, cap)),
        "epsilon_left": {"least": min(remaining), "median": median(remaining)}
        if remaining
        else None,
    }


def _left(history: tuple[Charge, ...], cap: Budget) -> float:
    return max(0.0, cap.epsilon - epsilon_of(history, cap.delta))


def _audience(line: Reservation) -> Audience:
    return Audience.HOLD_OUT if line.kind == ReleaseKind.EVALUATION else Audience.TRAINING


def _campaigns(
    lines: Sequence[Reservation], people: Mapping[int, int], delta: float
) -> list[dict[str, Any]]:
    """One row per campaign: what it cost somebody who was in every attempt of the dearer of its two
    audiences.

    Args:
        people: how many each attempt charged, by its number.
    """
    rows = []
    for campaign in dict.fromkeys(line.campaign for line in lines):
        own = [line for line in lines if line.campaign == campaign]
        sides = [[line.charge for line in own if _audience(line) is side] for side in Audience]
        dearest = max(sides, key=lambda charges: epsilon_of(charges, delta))
        rows.append(
            {
                "campaign": campaign,
                "releases": len({line.release for line in own}),
                "attempts": len(own),
                "unsettled": sum(line.settled_at is None for line in own),
                "rho": rho_of(dearest),
                "epsilon": epsilon_of(dearest, delta),
                "people": max(people[line.number] for line in own),
                "last": own[-1].reserved_at,
            }
        )
    return rows


@dataclass(frozen=True)
class AttemptCost:
    """One attempt of a campaign, and what all until then add up to."""

    release: int
    attempt: int
    kind: str
    audience: str
    noise_multiplier: float
    sampling_rate: float
    steps: int
    rho: float
    epsilon_so_far: float
    """Of somebody who was in every attempt of this audience until then."""
    people: int
    reserved_at: str
    settled_at: str | None
    """None where nothing left the node; it is charged all the same."""


def attempts_of(node: Node, campaign: str) -> list[AttemptCost]:
    """Every attempt of one campaign in the ledger, by its whole hash, the oldest first."""
    people = node.store.charged()
    so_far: dict[Audience, list[Charge]] = {side: [] for side in Audience}
    rows = []
    for line in node.store.releases(campaign):
        spent = so_far[_audience(line)]
        spent.append(line.charge)
        rows.append(
            AttemptCost(
                line.release,
                line.attempt,
                line.kind,
                str(_audience(line)),
                line.charge.noise_multiplier,
                line.charge.sampling_rate,
                line.charge.steps,
                rho_of([line.charge]),
                epsilon_of(spent, node.cap.delta),
                people[line.number],
                line.reserved_at,
                line.settled_at,
            )
        )
    return rows
