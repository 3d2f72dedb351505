"""One pure decision beside zen-engine on the same tables, in one run on one thread.

The tables are those of ``demo/policy.toml``; zen gets them as ``lending.policy.jdm`` writes them,
asked with its trace as ours always gives one. Ours does more: the hash of the case, four reasons,
terms and their cost. Both answer the same people, in turns. ``decide_us`` is the median of one
decision, µs, ``ratio_decide_to_zen`` that over the median of zen's: everybody asks for one amount
and term, whose price is worked out once and kept, as at a desk where most ask for the same.
``…_anew`` is the same where nobody asks for an amount that was asked for before, so that each price
is worked out, which zen is not asked for.
"""

from __future__ import annotations

import json
import statistics
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import zen

from lending.cases import Application, Case, Decision, Fact, FeaturePoints, Scored
from lending.law.features import objection
from lending.policy.decide import decide
from lending.policy.document import CreditPolicy, policy_from
from lending.policy.jdm import to_jdm
from lending.policy.pricing import ProductPricing
from lending.score.reasons import MOST_REASONS, MeanPoints, reasons
from lending.terms.products import read_product

POLICY_FILE = Path(__file__).resolve().parents[2] / "demo" / "policy.toml"
NOW = datetime(2026, 11, 27, 9, 30, tzinfo=UTC)
FEATURES = 30
BATCH, BATCHES, ANEW = 50, 60, 8


PRODUCTS = Path(__file__).resolve().parents[2] / "demo" / "desk_home"
BARS = {"ratio_decide_to_zen": 0.6}
JUST_ABOVE = MeanPoints(610, 630, 1000, {f"f{n}": 20.0 for n in range(FEATURES)})


def prices() -> ProductPricing:
    """The demo's products: twelve monthly dues, and one due."""
    found = [
        read_product((PRODUCTS / name).read_text(encoding="utf-8"), NOW.date())
        for name in ("monthly-12.toml", "daily-30.toml")
    ]
    return ProductPricing({one.name: one for one in found})


def somebody(policy: CreditPolicy, number: int, product: str, term_days: int) -> Case:
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
        Application(f"a-{number}", product, 300_000, term_days, "shopping", NOW),
        {name: Fact(name, "present", value, "bureau") for name, value in values.items()},
        Scored(600 + number % 10, "fair", 0.06, 100, points),
        0,
        NOW,
        "m",
        policy.hash,
        "l",
        "r",
    )


def asks_for(case: Case, amount: int) -> Case:
    """The same person, who asks for this much (fen)."""
    return replace(case, application=replace(case.application, amount=amount))


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


def measure(seed: int, scale: float) -> dict[str, float]:
    """``decide_us``, ``zen_us`` and ``ratio_decide_to_zen``, with every part that a desk has: its
    prices, costs by the law of the day, its reasons. ``seed`` draws nobody: people are counted
    through."""
    given = tomllib.loads(POLICY_FILE.read_text(encoding="utf-8"))
    policy = policy_from(given, objection, NOW.date())
    pricing = prices()
    engine = zen.ZenEngine().create_decision(json.dumps(to_jdm(policy)))
    found: dict[str, float] = {}
    for product, term_days, suffix in (("daily-30", 30, ""), ("monthly-12", 365, "_12_dues")):
        people = [somebody(policy, number, product, term_days) for number in range(BATCH)]
        theirs = [asked_of_zen(one) for one in people]

        def ours(case: Case) -> Decision:
            return decide(
                case, policy, pricing, partial(reasons, reference=JUST_ABOVE, families={})
            )

        def zens(context: dict[str, Any]) -> Any:
            return engine.evaluate(context, {"trace": True})

        for mine, other in zip(people, theirs, strict=True):
            made, said = ours(mine), zens(other)["result"]
            assert len(made.reasons) == MOST_REASONS and made.outcome == "review"
            assert said["tiers"]["outcome"] == "review"
            assert [one["reason"] for one in said["review"]] == ["many-applications"]
        decided: list[float] = []
        evaluated: list[float] = []
        for _ in range(max(3, round(BATCHES * scale))):
            decided += timed(ours, people)
            evaluated += timed(zens, theirs)
        decide_us, zen_us = statistics.median(decided), statistics.median(evaluated)
        found |= {
            f"decide_us{suffix}": decide_us,
            f"zen_us{suffix}": zen_us,
            f"ratio_decide_to_zen{suffix}": decide_us / zen_us,
        }
        amounts = pricing.products[product].amounts
        never_asked = iter(range(amounts.least, amounts.most, amounts.step))
        anew: list[float] = []
        for _ in range(max(1, round(ANEW * scale))):
            others = [asks_for(one, next(never_asked)) for one in people]
            anew += timed(ours, others)
        found |= {
            f"decide_us{suffix}_anew": statistics.median(anew),
            f"ratio_decide_to_zen{suffix}_anew": statistics.median(anew) / zen_us,
        }
    return found
