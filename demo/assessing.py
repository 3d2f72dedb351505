"""The impact assessment of the demo's campaigns, as a coordinator might write it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from law.categories import DataCategory
from protocol.assessments import ImpactAssessment, Risk, campaign_categories
from protocol.schema import now
from protocol.terms import TRAINING_PURPOSE
from server.assessments import record
from server.home import Coordinator

VALID_FOR = timedelta(days=365)


def assess(coordinator: Coordinator, schema: Mapping[str, Any]) -> str:
    """Record one that covers training on these features from now on; returns its hash."""
    made = make_assessment(coordinator.id, campaign_categories(schema), now())
    return record(coordinator, made)


def make_assessment(
    coordinator: str, categories: Iterable[DataCategory], moment: datetime
) -> ImpactAssessment:
    """A whole assessment of joint training on data of these categories."""
    return ImpactAssessment(
        id="joint-credit-model",
        title="Joint training of a credit model",
        author=coordinator,
        purpose=TRAINING_PURPOSE,
        description=(
            "Lenders train one credit model together. Each computes sums over its own consenting "
            "borrowers, adds noise and masks them; nobody but the sum of all leaves a lender."
        ),
        necessity=(
            "No lender has enough defaults of its own to tell people with thin files apart; sums "
            "under differential privacy are the least that training can do with."
        ),
        categories=tuple(sorted(set(categories))),
        groups=("borrowers who gave consent", "people with thin credit files among them"),
        people=10_000_000,
        risks=(
            Risk(
                what="somebody learns from the released model whether a person was in it",
                likelihood="low",
                severity="medium",
                measures=("differential privacy per person", "a budget for each person and year"),
                left="low",
            ),
            Risk(
                what="a party sees the contribution of one lender",
                likelihood="low",
                severity="high",
                measures=("masked sums", "a bound on how many may collude"),
                left="low",
            ),
            Risk(
                what="the model treats a group worse than it deserves",
                likelihood="medium",
                severity="high",
                measures=("evaluation by segment before release", "review by a person"),
                left="medium",
            ),
        ),
        automated_decision=False,
        oversight=(
            "The officer for personal information looks at every evaluation before a release; a "
            "borrower who is refused a loan can ask for a review by a person."
        ),
        approved_by="officer for personal information",
        made_at=moment,
        valid_until=moment + VALID_FOR,
    )
