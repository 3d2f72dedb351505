"""Impact assessments: what a processing may do to people, written down and signed before it begins.

One form for PIPL articles 55 and 56 (as GB/T 39335 fills them), GDPR article 35 and AI Act article
27. A campaign names the hash of one that covers it; whoever approves the campaign approves it too.
It is engineering, not legal advice: a form says nothing about whether what is written in it is
right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from law.bases import LegalBasis
from law.categories import DataCategory
from protocol.campaigns import Campaign
from protocol.coverage import needs_of
from protocol.errors import Malformed
from protocol.rules import Rule, first_broken
from protocol.schema import Document, Instant, Slug
from protocol.terms import Iri

Text = Annotated[str, Field(min_length=20, max_length=4000)]
"""An answer in words: long enough to be one."""
Line = Annotated[str, Field(min_length=2, max_length=300)]
Level = Literal["low", "medium", "high", "severe"]
"""Of likelihood, of severity, and of what is left of a risk (GB/T 39335, four levels)."""
LEVELS: tuple[Level, ...] = get_args(Level)
MAX_VALIDITY = timedelta(days=2 * 366)
"""An assessment that is older describes another world; make it anew."""
CLOCK_SKEW = timedelta(minutes=5)
"""By so much the clock of whoever looks may be behind its author's."""
KEPT = timedelta(days=3 * 366)
"""The report, and the record of what was processed, are kept three years at least (PIPL 56)."""


class Risk(BaseModel):
    """What could happen to people, and what is done against it (PIPL 56; GDPR 35(7)(c), (d))."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: Line
    likelihood: Level
    severity: Level
    measures: tuple[Line, ...] = Field(min_length=1, max_length=20)
    left: Level
    """What is left of it with the measures in place."""

    @model_validator(mode="after")
    def _measures_do_not_add(self) -> Self:
        if LEVELS.index(self.left) > LEVELS.index(self.severity):
            raise ValueError("more is left of the risk than there was of it")
        return self


class Consulted(BaseModel):
    """An authority that was asked before processing begins (GDPR 36)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    authority: Line
    at: Instant
    outcome: Text


class ImpactAssessment(Document):
    """What is processed, why it must be, what it may do to whom, and what is done about it; signed
    by its author."""

    typ = "tahini-impact-assessment"

    id: Slug
    title: Line
    author: Slug
    """The party that answers for it, and signs it."""
    purpose: Iri
    description: Text
    """What is done with which data, by whom, how often and for how long (PIPL 56(1); GDPR 35(7)(a);
    AI Act 27(1)(a), (b))."""
    necessity: Text
    """Why nothing less would do (PIPL 6, 56(1); GDPR 35(7)(b))."""
    categories: tuple[DataCategory, ...] = Field(min_length=1)
    groups: tuple[Line, ...] = Field(min_length=1, max_length=20)
    """Who is affected, the vulnerable named (AI Act 27(1)(c))."""
    people: int = Field(ge=1, lt=10**10)
    """How many at most, as far as its author can tell before."""
    risks: tuple[Risk, ...] = Field(min_length=1, max_length=50)
    automated_decision: bool
    """Whether decisions about people are made by machine alone on what comes of it (PIPL 24, 55;
    GDPR 22)."""
    oversight: Text
    """Who watches over it, and how a person gets a review (PIPL 24; AI Act 27(1)(e), (f))."""
    approved_by: Line
    """Whose decision it was at the author's: a function or a staff id, no name is needed."""
    consulted: Consulted | None = None
    made_at: Instant
    valid_until: Instant

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not timedelta() < self.valid_until - self.made_at <= MAX_VALIDITY:
            raise ValueError("it is valid from when it was made, and for two years at most")
        for name in ("categories", "groups"):
            if len(set(getattr(self, name))) != len(getattr(self, name)):
                raise ValueError(f"{name} names something twice")
        heavy = [risk.what for risk in self.risks if risk.left in ("high", "severe")]
        if heavy and self.consulted is None:
            raise ValueError(
                f"a high risk is left ({heavy[0]!r}): the authority must be consulted before, and "
                "'consulted' say so"
            )
        return self

    @property
    def keep_until(self) -> datetime:
        """Until then at least its author keeps it."""
        return self.valid_until + KEPT


def campaign_categories(features: Mapping[str, Any]) -> frozenset[DataCategory]:
    """The categories of data that a campaign's features are of, or were computed from.

    Raises:
        Malformed: a feature without a category, or with an unknown one.
    """
    try:
        needs = needs_of(features, automated=False, basis=LegalBasis.PIPL_CONSENT)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Malformed("a feature of the campaign has no category that is known") from error
    by_consent = [categories for kinds in needs.features.values() for categories in kinds.values()]
    return frozenset[DataCategory]().union(*by_consent)


@dataclass(frozen=True)
class Covering:
    """A campaign, and the assessment that it names."""

    campaign: Campaign
    assessment: ImpactAssessment
    moment: datetime


def is_the_one_named(of: Covering) -> str | None:
    if of.assessment.sha256 != of.campaign.assessment_sha256:
        return f"assessment {of.assessment.id!r} is not the one that the campaign names"
    return None


def is_its_coordinators(of: Covering) -> str | None:
    if of.assessment.author != of.campaign.coordinator:
        return (
            f"assessment {of.assessment.id!r} is of {of.assessment.author!r}, the campaign of "
            f"{of.campaign.coordinator!r}"
        )
    return None


def lasts(of: Covering) -> str | None:
    """It is in force now, and for as long as the campaign is."""
    made, ends = of.assessment.made_at, of.assessment.valid_until
    if not made - CLOCK_SKEW <= of.moment < ends or ends < of.campaign.expires_at:
        return (
            f"assessment {of.assessment.id!r} is valid from {made:%Y-%m-%d} until "
            f"{ends:%Y-%m-%d}, the campaign until {of.campaign.expires_at:%Y-%m-%d}; make it anew"
        )
    return None


def same_purpose(of: Covering) -> str | None:
    if of.assessment.purpose != of.campaign.purpose:
        return f"assessment {of.assessment.id!r} is for another purpose than the campaign"
    return None


def no_other_data(of: Covering) -> str | None:
    more = campaign_categories(of.campaign.features) - set(of.assessment.categories)
    if more:
        return (
            f"assessment {of.assessment.id!r} says nothing about data on "
            f"{', '.join(sorted(more))}, which the campaign uses"
        )
    return None


def decides_no_more_by_machine(of: Covering) -> str | None:
    if of.campaign.automated_decision and not of.assessment.automated_decision:
        return f"assessment {of.assessment.id!r} says nothing about decisions by machine alone"
    return None


RULES: tuple[Rule[Covering], ...] = (
    is_the_one_named,
    is_its_coordinators,
    lasts,
    same_purpose,
    no_other_data,
    decides_no_more_by_machine,
)


def uncovered(campaign: Campaign, assessment: ImpactAssessment, moment: datetime) -> str | None:
    """Why the assessment does not cover the campaign; None where it does. Raises Malformed."""
    broken = first_broken(RULES, Covering(campaign, assessment, moment))
    return broken and broken[1]
