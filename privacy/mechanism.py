"""What a campaign does to people's data, release by release. Public, fixed in advance, approved by
hash.

A mechanism is *distributed* when every release is one sum over all lenders whose noise they add
together, each a share, so that the shares of any ``contributors - collusion_bound`` of them reach
the target. It is *local* when every lender's contribution carries the whole noise by itself, for
consortia that will not trust the sum.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from privacy.accounting import epsilon_of
from privacy.charges import (
    LARGEST_CLIP,
    LEAST_CLIP,
    MAX_NOISE_MULTIPLIER,
    MIN_NOISE_MULTIPLIER,
    Charge,
)

LEAST_HONEST = 2
"""A sum must have this many contributors who do not collude."""
TOO_FEW_HONEST = "a sum must have at least two contributors who do not collude: raise the threshold"


MechanismKind = Literal["distributed", "local"]
"""Shares of noise in one secure sum, or each lender its own noise."""


class ReleaseKind(StrEnum):
    HISTOGRAM = "histogram"
    """Every feature's cells, for good and bad."""
    GRAM = "gram"
    """Second moments of the model's inputs."""
    GRADIENT = "gradient"
    """The clipped gradient sum at the shared model."""
    TRAIN = "train"
    """Each lender's model after DP-SGD from the shared one."""
    PAIRS = "pairs"
    """Residuals at the shared model in coarse tables of two features each."""
    CALIBRATION = "calibration"
    """The shared model's scores, for good and bad."""
    EVALUATION = "evaluation"
    """Scores and features of held-out people, for good and bad, by segment."""
    INTAKE = "intake"
    """Everybody who applied in one month: scores, for declined and approved, bins and segments."""
    OUTCOMES = "outcomes"
    """Everybody whose outcome became known in one month: scores, for good and bad, by segment."""


WATCHING = frozenset({ReleaseKind.INTAKE, ReleaseKind.OUTCOMES})
"""Kinds that watch a released model; a campaign that makes one makes nothing else."""


class Audience(StrEnum):
    """Whose data a release uses. Nobody is in both, so the two cost each person separately."""

    TRAINING = "training"
    HOLD_OUT = "hold-out"


class PlannedRelease(BaseModel):
    """One release of the plan; several attempts at it cost several times as much."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: ReleaseKind
    noise_multiplier: float = Field(ge=MIN_NOISE_MULTIPLIER, le=MAX_NOISE_MULTIPLIER)
    sampling_rate: float = Field(default=1.0, gt=0, le=1)
    steps: int = Field(default=1, ge=1, le=100_000)

    @property
    def charge(self) -> Charge:
        return Charge(self.noise_multiplier, self.sampling_rate, self.steps)

    @property
    def audience(self) -> Audience:
        return Audience.HOLD_OUT if self.kind is ReleaseKind.EVALUATION else Audience.TRAINING


class Mechanism(BaseModel):
    """How the model is trained, or watched, and what protects each person."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: MechanismKind = "distributed"
    epsilon: float = Field(gt=0)
    delta: float = Field(gt=0, lt=1)
    releases: tuple[PlannedRelease, ...] = Field(min_length=1, max_length=1000)
    clip_norm: float = Field(ge=LEAST_CLIP, le=LARGEST_CLIP)
    bins: int = Field(ge=2, le=64)
    collusion_bound: int = Field(ge=0)
    """Lenders who may pool what they know with the coordinator."""
    threshold: int = Field(ge=2)
    """A release with fewer contributors than this is not made."""
    spare_attempts: int = Field(default=0, ge=0, le=100)
    """How often, in all, a release may be attempted again because a lender dropped out."""
    hold_out: float = Field(default=0.0, ge=0, le=0.5)
    """Share of people who are never trained on, for evaluation."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        kinds = [release.kind for release in self.releases]
        if WATCHING.intersection(kinds):
            return self._watching()
        if kinds[0] is not ReleaseKind.HISTOGRAM or kinds.count(ReleaseKind.HISTOGRAM) > 1:
            raise ValueError("a plan begins with its only histogram")
        if (self.kind == "local") != (ReleaseKind.TRAIN in kinds):
            raise ValueError("lenders train by themselves in a local mechanism, and only there")
        sampled = [
            r
            for r in self.releases
            if r.kind is not ReleaseKind.TRAIN and r.charge.sampling_rate < 1
        ]
        if sampled or any(r.steps > 1 for r in self.releases if r.kind is not ReleaseKind.TRAIN):
            raise ValueError("a sum is over everybody, once: sampling rate 1 and one step")
        after = kinds[kinds.index(ReleaseKind.PAIRS) :] if ReleaseKind.PAIRS in kinds else []
        if ReleaseKind.GRADIENT in after or ReleaseKind.TRAIN in after:
            raise ValueError("pairs of features come after the descent, whose residuals they are")
        if self.kind == "distributed" and self.threshold < self.collusion_bound + LEAST_HONEST:
            raise ValueError(TOO_FEW_HONEST)
        if (self.hold_out > 0) != (ReleaseKind.EVALUATION in kinds):
            raise ValueError("people are held out for an evaluation, and only for one")
        return self

    def _watching(self) -> Self:
        planned = self.releases[0]
        once = len(self.releases) == 1 and (planned.sampling_rate, planned.steps) == (1.0, 1)
        if not once or self.kind != "distributed" or self.hold_out:
            raise ValueError("what watches a model is one sum over everybody at all lenders, once")
        if self.threshold < self.collusion_bound + LEAST_HONEST:
            raise ValueError(TOO_FEW_HONEST)
        return self

    @property
    def watches(self) -> bool:
        """Whether it watches a released model instead of training one."""
        return self.releases[0].kind in WATCHING

    def honest(self, contributors: int) -> int:
        """How many of these contributors' noise shares reach the target: those who do not
        collude."""
        return max(1, contributors - self.collusion_bound) if self.kind == "distributed" else 1

    def charges(self, audience: Audience = Audience.TRAINING) -> tuple[Charge, ...]:
        """All that the plan may cost a person of this audience, every spare attempt at the dearest
        release.

        What attempts really cost is checked before each (``Campaign.within_budget``): mixtures of
        kinds may cost more.
        """
        planned = [release.charge for release in self.releases if release.audience is audience]
        if not planned or not self.spare_attempts:
            return tuple(planned)
        costs = {
            charge: epsilon_of([*planned, *[charge] * self.spare_attempts], self.delta)
            for charge in set(planned)
        }
        return (*planned, *[max(costs, key=costs.__getitem__)] * self.spare_attempts)
