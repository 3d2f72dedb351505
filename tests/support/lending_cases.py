"""Cases, a policy and a price list for tests of decisions."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from law.categories import DataCategory
from law.packs import Jurisdiction, objection
from lending.cases import Application, Case, Cost, Fact, FeaturePoints, PrincipalReason, Scored, Status
from lending.policy.document import CreditPolicy, policy_from
from lending.policy.offers import Choices, LoanTerms

POLICY_FILE = Path(__file__).resolve().parents[2] / "demo" / "policy.toml"
DAY = date(2026, 11, 27)
NOW = datetime(2026, 11, 27, 9, 30, tzinfo=UTC)
KEY = b"k" * 32


@dataclass(frozen=True)
class Objection:
    why: str


class DatedLaw:
    """What the packs forbid; and, from a day on, one category more."""

    def __init__(self, category: DataCategory | None = None, since: date = date.min) -> None:
        self.category, self.since = category, since

    def __call__(
        self, jurisdictions: Collection[Jurisdiction], day: date, declared: Collection[DataCategory], *texts: str
    ) -> Objection | None:
        if self.category in declared and day >= self.since:
            return Objection(f"is about {self.category}, which article 7 protects")
        why = objection(jurisdictions, declared, *texts)
        return None if why is None else Objection(why)


LAW = DatedLaw()


def payload(**changes: Any) -> dict[str, Any]:
    """The demo's policy as its file has it, with some fields changed."""
    return tomllib.loads(POLICY_FILE.read_text(encoding="utf-8")) | changes


def with_rows(table: str, rows: list[dict[str, Any]], hit: str | None = None) -> dict[str, Any]:
    tables = payload()["tables"]
    tables[table] = {"hit": hit or tables[table]["hit"], "rows": rows}
    return payload(tables=tables)


POLICY: CreditPolicy = policy_from(payload(), LAW, DAY)


@dataclass(frozen=True)
class PlainPrices:
    """One due at the end, a fee in ppm of the amount at the start; a cap on the stricter of simple and compound."""

    cap: Decimal | None = Decimal("0.24")
    fee_ppm: int = 0
    least: int = 10_000
    most: int = 20_000_000
    step: int = 10_000
    terms: tuple[int, ...] = (30, 90, 360)
    household: int | None = 20_000_000

    def choices(self, product: str, on: date) -> Choices:
        return Choices(self.least, self.most, self.step, self.terms)

    def most_owed(self, product: str, on: date) -> int | None:
        return self.household

    def cost(self, terms: LoanTerms, rate: int) -> Cost:
        paid = terms.amount * (rate * terms.term_days + self.fee_ppm) // 1_000_000
        share = Decimal(rate * terms.term_days + self.fee_ppm) / 1_000_000
        return Cost(
            (1 + share) ** -(-365 // terms.term_days) - 1, share * 365 / terms.term_days, self.cap, "a test", paid
        )

    def lawful_price(self, terms: LoanTerms, most: int) -> tuple[int, Cost] | None:
        low, high = most if self.cost(terms, most).within else -1, most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.cost(terms, middle).within else (low, middle - 1)
        return None if low < 0 else (low, self.cost(terms, low))

    def heaviest_month(self, terms: LoanTerms, rate: int) -> int:
        whole = terms.amount + self.cost(terms, rate).total
        return -(-whole * 30 // max(30, terms.term_days))


PRICES = PlainPrices()


def scored(score: int = 680, neutral: int = 0) -> Scored:
    points = tuple(FeaturePoints(f"f{n}", 1, 0, n < neutral) for n in range(8))
    return Scored(score, "good", 0.05, score, points)


def score_reasons(one: Scored) -> tuple[PrincipalReason, ...]:
    codes = ("utilisation", "history", "payments", "inquiries")
    return tuple(PrincipalReason(code, "score", 40 - 10 * n) for n, code in enumerate(codes))


USUAL: dict[str, Any] = {
    "identity_verified": True,
    "has_file": True,
    "arrears_days": 0,
    "open_loans": 2,
    "applications_7d": 1,
    "monthly_income": 1_000_000,
    "monthly_obligations": 100_000,
    "exploration_outstanding": 0,
}


def case(policy: CreditPolicy = POLICY, **changes: Any) -> Case:
    """Somebody whom the demo's policy approves, but for ``changes``: facts by name (a status in place of a value is
    its status), ``score`` (None: no model), ``neutral``, and fields of the application and the case."""
    facts = {**USUAL, **{name: value for name, value in changes.items() if name in USUAL}}
    asked = {"amount": 300_000, "term_days": 360, "purpose": "shopping", "wants_person": False, "id": "a-1"}
    asked |= {"product": "monthly-12"}
    asked |= {name: value for name, value in changes.items() if name in asked}
    score = changes.get("score", 680)
    return Case(
        application=Application(received_at=NOW, **asked),
        facts={name: fact(name, value) for name, value in facts.items()},
        scored=None if score is None else scored(score, changes.get("neutral", 0)),
        outstanding=changes.get("outstanding", 0),
        now=changes.get("now", NOW),
        model_hash="m",
        policy_hash=policy.hash,
        law_hash="l",
        release_hash="r",
    )


STATUSES: tuple[Status, ...] = ("absent", "refused", "late", "disputed")


def fact(name: str, value: Any) -> Fact:
    return Fact(name, value) if value in STATUSES else Fact(name, "present", value, "a source")


@st.composite
def cases(draw: st.DrawFn, policy: CreditPolicy = POLICY) -> Case:
    """Anybody: near the edges of the demo's policy, and far outside of it."""
    unknown = st.sampled_from(STATUSES)

    def mostly(values: st.SearchStrategy[Any]) -> Any:
        return draw(unknown) if draw(st.integers(0, 9)) == 0 else draw(values)

    money = st.one_of(st.sampled_from([0, 100_000, 1_000_000, 50_000_000]), st.integers(-5, 10**12))
    changes = {
        "identity_verified": mostly(st.sampled_from([True, True, True, False])),
        "has_file": mostly(st.booleans()),
        "arrears_days": mostly(st.sampled_from([0, 0, 30, 31, -1])),
        "open_loans": mostly(st.sampled_from([0, 3, 12, 13, 1.0])),
        "applications_7d": mostly(st.sampled_from([0, 4, 5])),
        "monthly_income": mostly(money),
        "monthly_obligations": mostly(money),
        "exploration_outstanding": mostly(st.sampled_from([0, 4_990_000, 5_000_000])),
        "score": draw(st.one_of(st.none(), st.sampled_from([350, 539, 540, 599, 600, 609, 610, 650, 700, 950, 951]))),
        "neutral": draw(st.sampled_from([0, 0, 3, 4])),
        "amount": draw(st.one_of(st.sampled_from([1, 10_000, 55_555, 300_000, 5_000_000]), st.integers(-5, 10**10))),
        "term_days": draw(st.sampled_from([1, 7, 30, 31, 90, 360, 36_501])),
        "purpose": draw(st.sampled_from(["shopping", "shopping", "investing", "unheard-of"])),
        "product": draw(st.sampled_from(policy.document.products)),
        "wants_person": draw(st.integers(0, 7)) == 0,
        "outstanding": draw(st.sampled_from([0, 0, 100_000, 19_999_999, 10**12])),
        "id": draw(st.text("abc", min_size=1, max_size=4)),
    }
    made = case(policy, **changes)
    dropped = draw(st.sets(st.sampled_from(list(USUAL)), max_size=1)) if draw(st.booleans()) else set()
    return Case(**{**_fields(made), "facts": {n: f for n, f in made.facts.items() if n not in dropped}})


def _fields(made: Case) -> dict[str, Any]:
    return {name: getattr(made, name) for name in Case.__dataclass_fields__}


@st.composite
def prices(draw: st.DrawFn) -> PlainPrices:
    return PlainPrices(
        cap=draw(st.sampled_from([None, Decimal("0.24"), Decimal("0.12"), Decimal("0.01")])),
        fee_ppm=draw(st.sampled_from([0, 0, 5_000, 30_000])),
        terms=draw(st.sampled_from([(30,), (30, 90, 360), (360, 7)])),
        household=draw(st.sampled_from([None, 20_000_000, 200_000])),
    )
