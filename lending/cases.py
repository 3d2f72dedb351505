"""What a decision is made of, and what it says.

Money is in fen (1/100 of the currency's unit), a daily rate in parts per million a day (0.05% a day
is 500), an annual rate a decimal fraction (0.24). Times are aware, days are calendar days at the
lender.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

Status = Literal["present", "absent", "refused", "late", "disputed"]
"""``absent``: the source knows nothing; ``refused``: the person did not let us ask, which costs
neutral points and is never held against them; ``late``: no answer before the source's deadline;
``disputed``: the person contests it, and it is not used until that is settled."""

Value = bool | int | float | str | date
Outcome = Literal["approve", "counter", "review", "decline"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing known about an applicant, or not known and why."""

    name: str
    status: Status
    value: Value | None = None
    """Only of what is ``present``."""
    source: str = ""
    observed_on: date | None = None


@dataclass(frozen=True, slots=True)
class Application:
    """What somebody asks for."""

    id: str
    product: str
    amount: int
    term_days: int
    purpose: str
    """What the loan is for, as the applicant says."""
    received_at: datetime
    wants_person: bool = False
    """The applicant refused a decision by a machine alone (PIPL 24; GDPR 22)."""


@dataclass(frozen=True, slots=True)
class FeaturePoints:
    """What one feature adds to the shown score; whole points."""

    feature: str
    bin: int
    points: int
    neutral: bool = False
    """Refused, disputed or late: the mean person's points, which are none, not those of 'missing';
    ``bin`` is -1."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A score on the scale of 350 to 950, and what it is the sum of."""

    score: int
    band: str
    probability: float
    """Of bad, calibrated."""
    base: int
    points: tuple[FeaturePoints, ...]
    """They and ``base`` add up to ``score``."""

    @property
    def neutral(self) -> int:
        """How many features were left neutral."""
        return sum(one.neutral for one in self.points)


@dataclass(frozen=True, slots=True)
class PrincipalReason:
    """A principal reason, in the order of weight; sentences come from ``code``."""

    code: str
    """Of a family of features, of a rule, or of the cost cap."""
    kind: Literal["score", "rule", "cost"]
    points_below: int = 0
    """Below the mean of those just above the cut-off; only of ``score``."""
    detail: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a loan costs a year, everybody whom the borrower pays counted."""

    compound: Decimal
    """XIRR: compound, a year of 365 days."""
    simple: Decimal
    """Per year of 365 days, on the outstanding principal."""
    cap: Decimal | None
    """Of the day; None where the law of the place has none."""
    cap_source: str
    total: int
    """Everything paid beyond the principal, fen."""

    @property
    def within(self) -> bool:
        """The stricter figure gates."""
        return self.cap is None or max(self.compound, self.simple) <= self.cap


@dataclass(frozen=True, slots=True)
class LoanOffer:
    """Terms that hold until ``valid_until``."""

    product: str
    amount: int
    term_days: int
    rate_ppm_day: int
    limit: int
    cost: Cost
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class Case:
    """All that a decision may look at: the same case gives the same decision, always."""

    application: Application
    facts: Mapping[str, Fact]
    scored: Scored | None
    """None where no model may be asked: then nothing is approved by a machine."""
    outstanding: int
    """Principal that the applicant owes this lender already, fen."""
    now: datetime
    model_hash: str
    policy_hash: str
    law_hash: str
    release_hash: str
    """Of products and what reasons compare with (``lending.policy.release``)."""


@dataclass(frozen=True, slots=True)
class Step:
    """One rule that was looked at: whether it held (None: unknown) and the facts it read."""

    table: str
    row: str
    held: bool | None
    read: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, why, and by which versions."""

    application: str
    outcome: Outcome
    scored: Scored | None
    offer: LoanOffer | None
    """Only of ``approve`` and ``counter``."""
    reasons: tuple[PrincipalReason, ...]
    """At most four; at least one of anything that is not ``approve``."""
    trace: tuple[Step, ...]
    case_hash: str
    decided_at: datetime
