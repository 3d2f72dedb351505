"""One pure decision beside zen-engine on the same tables, in one run on one thread.

The tables are those of ``demo/policy.toml``; zen gets them as ``lending.jdm`` writes them, asked
with its trace as ours always gives one. Ours does more: the hash of the case, four reasons, terms
and their cost. Both answer the same people, in turns. ``decide_us`` is the median of one decision,
µs, ``ratio_decide_to_zen`` that over the median of zen's.
"""

from __future__ import annotations

import json
import statistics
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import zen

from law.packs import objection
from lending.cases import (
    Application,
    Case,
    Cost,
    Decision,
    Fact,
    FeaturePoints,
    PrincipalReason,
    Scored,
)
from lending.decide import MOST_REASONS, decide
from lending.jdm import to_jdm
from lending.offers import Choices, LoanTerms, Pricing
from lending.policy import Barred, CreditPolicy, policy_from

POLICY_FILE = Path(__file__).resolve().parents[2] / "demo" / "policy.toml"
NOW = datetime(2026, 11, 27, 9, 30, tzinfo=UTC)
FEATURES = 30
BATCH, BATCHES = 50, 60


@dataclass(frozen=True)
class Against:
    why: str


def packs(jurisdictions: Any, day: date, declared: Any, *texts: str) -> Barred | None:
    why = objection(jurisdictions, declared, *texts)
    return None if why is None else Against(why)


@dataclass(frozen=True)
class Bullet:
    """Everything due on the last day, no fees: the cheapest price list that there is."""

    cap: Decimal = Decimal("0.24")

    def choices(self, product: str, on: date) -> Choices:
        return Choices(10_000, 20_000_000, 10_000, (30, 90, 360))

    def most_owed(self, product: str, on: date) -> int | None:
        return 20_000_000

    def lawful_price(self, terms: LoanTerms, most: int) -> tuple[int, Cost] | None:
        share = Decimal(most * terms.term_days) / 1_000_000
        paid = terms.amount * most * terms.term_days // 1_000_000
        compound = (1 + share) ** -(-365 // terms.term_days) - 1
        cost = Cost(compound, share * 365 / terms.term_days, self.cap, "benchmark", paid)
        return (most, cost) if cost.within else None

    def heaviest_month(self, terms: LoanTerms, rate: int) -> int:
        return -(-terms.amount * 30 // max(30, terms.term_days))


def furthest_below(scored: Scored) -> tuple[PrincipalReason, ...]:
    """Ranked by points below 20, which everybody just above the cut-off shall have."""
    ranked = sorted(scored.points, key=lambda one: one.points)[:MOST_REASONS]
    return tuple(PrincipalReason(one.feature, "score", 20 - one.points) for one in ranked)


def somebody(policy: CreditPolicy, number: int) -> Case:
    """In the grey band, so that every table is asked and rules and score both give reasons."""
    values: dict[str, Any] = {
        "identity_verified": True,
        "has_file": True,
        "arrears_days": number % 30,
        "open_loans": number % 12,
        "applications_7d": 5 + number % 3,
        "monthly_income": 1_000_000 + number,
        "monthly_obligations": 100_000 + number,
        "exploration_outstanding": 0,
    }
    points = tuple(FeaturePoints(f"f{n}", n % 7, (n * 7 + number) % 40) for n in range(FEATURES))
    return Case(
        Application(f"a-{number}", "daily-30", 300_000, 30, "shopping", NOW),
        {name: Fact(name, "present", value, "bureau") for name, value in values.items()},
        Scored(600 + number % 10, "fair", 0.06, 100, points),
        0,
        NOW,
        "m",
        policy.hash,
        "l",
    )


def asked_of_zen(case: Case) -> dict[str, Any]:
    """What ours works out itself stands in what zen is given."""
    facts = {name: fact.value for name, fact in case.facts.items()}
    asked = case.application
    assert case.scored is not None
    return {
        **facts,
        "purpose": asked.purpose,
        "amount": asked.amount,
        "score": case.scored.score,
        "burden": 200,
    }


def timed(work: Callable[[Any], Any], people: list[Any]) -> list[float]:
    """µs each."""
    found = []
    for one in people:
        started = time.perf_counter_ns()
        work(one)
        found.append((time.perf_counter_ns() - started) / 1000)
    return found


def figures(pricing: Pricing | None = None) -> dict[str, float]:
    """``decide_us``, ``zen_us`` and ``ratio_decide_to_zen``."""
    given = tomllib.loads(POLICY_FILE.read_text(encoding="utf-8"))
    policy = policy_from(given, packs, NOW.date())
    prices = Bullet() if pricing is None else pricing
    engine = zen.ZenEngine().create_decision(json.dumps(to_jdm(policy)))
    people = [somebody(policy, number) for number in range(BATCH)]
    theirs = [asked_of_zen(one) for one in people]

    def ours(case: Case) -> Decision:
        return decide(case, policy, prices, furthest_below, b"k" * 32)

    def zens(context: dict[str, Any]) -> Any:
        return engine.evaluate(context, {"trace": True})

    for mine, other in zip(people, theirs, strict=True):
        made, said = ours(mine), zens(other)["result"]
        assert (
            len(made.reasons) == MOST_REASONS
            and made.outcome == "review" == said["tiers"]["outcome"]
        )
        assert [one["reason"] for one in said["review"]] == ["many-applications"]
    decided: list[float] = []
    evaluated: list[float] = []
    for _ in range(BATCHES):
        decided += timed(ours, people)
        evaluated += timed(zens, theirs)
    decide_us, zen_us = statistics.median(decided), statistics.median(evaluated)
    return {"decide_us": decide_us, "zen_us": zen_us, "ratio_decide_to_zen": decide_us / zen_us}


if __name__ == "__main__":
    print(json.dumps(figures(), indent=2))
