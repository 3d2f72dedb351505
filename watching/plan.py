"""What a year of watching costs a person, beside training. Pure.

Gaussian releases compose exactly: squared mu add up, where mu is one over the noise multiplier
(:mod:`privacy.accounting`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from privacy.accounting import epsilon_of, gaussian_multiplier
from privacy.charges import Budget, Charge
from privacy.continual import Series
from watching.errors import WatchError


@dataclass(frozen=True, slots=True)
class WatchRelease:
    """One kind of release, as it touches one person."""

    name: str
    once: str
    """Who is charged, and when."""
    mu: float
    times: int
    sensitivity: float

    @property
    def charge(self) -> Charge:
        return Charge(1 / self.mu, steps=self.times)

    @property
    def std(self) -> float:
        """Of the noise in one cell of one release, if all lenders are honest."""
        return self.sensitivity / self.mu


@dataclass(frozen=True)
class WatchYear:
    """Mu of each release, for a person who applied, was lent to and repaid for a year.

    Raises:
        WatchError: a mu that is none.
    """

    questions: int = 41
    """Of the intake: the features, the score, segmentations."""
    months: int = 12
    intake: float = 0.05
    decisions: float = 0.05
    booked: float = 0.03
    vintage: float = 0.07
    events: float = 0.05
    labels: float = 0.03
    rolls: float = 0.01

    def __post_init__(self) -> None:
        mus = (
            self.intake,
            self.decisions,
            self.booked,
            self.vintage,
            self.events,
            self.labels,
            self.rolls,
        )
        if min(self.questions, self.months) < 1 or not all(0 < one <= 1 for one in mus):
            raise WatchError(
                "a year is planned with questions and months from 1, and mu between 0 and 1"
            )

    def releases(self) -> Iterator[WatchRelease]:
        series = Series(self.months, 1, 1 / self.vintage, 1)
        root = math.sqrt(self.questions)
        yield WatchRelease("intake", "who applies, in that month", self.intake, 1, root)
        yield WatchRelease("decisions", "who applies, in that month", self.decisions, 1, 1.0)
        yield WatchRelease("booked", "who is lent to, in that month", self.booked, 1, 1.0)
        yield WatchRelease(
            "vintage",
            "who is lent to, once for the whole curve",
            self.vintage,
            1,
            series.sensitivity,
        )
        yield WatchRelease("events", "who is late first, in that month", self.events, 1, 1.0)
        yield WatchRelease("labels", "whose label matures, once", self.labels, 1, 1.0)
        yield WatchRelease("rolls", "who has a loan, every month", self.rolls, self.months, 1.0)

    def charges(self) -> tuple[Charge, ...]:
        return tuple(one.charge for one in self.releases())

    def epsilon(self, delta: float) -> float:
        """Of watching alone, for a person who is in everything."""
        return epsilon_of(self.charges(), delta)

    def left_for_training(self, budget: Budget) -> float:
        """The epsilon that one training may have beside it, at the budget's delta.

        Raises:
            WatchError: watching takes it all.
        """
        whole = gaussian_multiplier(budget, 1.0) ** -2
        left = whole - sum(one.charge.steps * one.mu**2 for one in self.releases())
        if left <= 0:
            raise WatchError(
                f"a year of watching takes epsilon {self.epsilon(budget.delta):.3f}, which leaves "
                f"nothing of {budget.epsilon:g} for training: give it less"
            )
        return epsilon_of([Charge(1 / math.sqrt(left))], budget.delta)
