"""Released figures as people read them: what each period says, what moved since, and a light for
it. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from lending.portfolio.monitoring import PERIODS
from watching.alarms import LEAST_EVENTS, Movement, moved, of_approval, of_feature
from watching.bands import BandRate, at_equal_band, beside, by_band
from watching.causes import Alarm, of_consortium, of_lender
from watching.cells import IntakeForm, IntakeQuestion
from watching.errors import WatchError
from watching.intake import IntakeReference, Shift, people_in, shift
from watching.released import (
    IntakeFigures,
    OutcomeFigures,
    ReleasedEvaluation,
    ReleasedGroups,
    ReleasedQuality,
    told_apart,
)
from watching.shares import Noisy

Floats = NDArray[np.float64]


class Light(StrEnum):
    """What a person should do with a reading."""

    GREEN = "green"
    """Nothing moved that matters, and the figures would show it."""
    AMBER = "amber"
    """Something moved in this period alone: wait for the next before anything is done."""
    RED = "red"
    """Something moved in two periods together: there is an alarm."""
    GREY = "grey"
    """Too few people, or too much noise, to say."""


@dataclass(frozen=True)
class IntakeReading:
    """One period's intake."""

    period: str
    people: Noisy
    score: Shift | None
    features: dict[str, Shift | None]
    approved: tuple[BandRate, ...]
    """By group of scores, beside the first period's; empty of the first one."""
    approval: Movement
    segments: dict[str, Noisy]

    @property
    def movements(self) -> tuple[Movement, ...]:
        features = [of_feature(name, found) for name, found in self.features.items()]
        return (of_feature("score", self.score, score=True), *features, self.approval)

    @property
    def moved(self) -> tuple[Movement, ...]:
        return moved(self.movements)

    @property
    def speaks(self) -> bool:
        """Whether the score and most features could show a change."""
        heard = sum(one.speaks for one in self.movements)
        return self.movements[0].speaks and heard * 2 > len(self.movements) - 1


@dataclass(frozen=True)
class OutcomeReading:
    """One period's outcomes: bad beside what the model expected, by group of scores."""

    period: str
    people: Noisy
    bad: tuple[BandRate, ...]
    evaluation: ReleasedEvaluation | None

    @property
    def whole(self) -> ReleasedQuality | None:
        """Figures of everybody, where noise and chance leave any."""
        segments = () if self.evaluation is None else self.evaluation.segments
        return next((one for one in segments if one.name == "everybody"), None)

    @property
    def movement(self) -> Movement:
        """Bad people beside those expected, as far as it can be told."""
        name = "observed over expected"
        if self.whole is None:
            return Movement("events", name, 0.0, LEAST_EVENTS, 1.0, speaks=False)
        ratio = self.whole.observed_to_expected
        effect, error = ratio.value - 1, max(ratio.error, 1e-9)
        p_value = 2 * float(ndtr(-abs(effect) / error))
        return Movement("events", name, effect, LEAST_EVENTS, p_value, error < LEAST_EVENTS)


def group_names(edges: Sequence[float]) -> tuple[str, ...]:
    """By the model's probability of bad, in percent: ``below 2.1%``, ``2.1% to 3.4%``, …"""
    shares = [f"{100 * float(expit(edge)):.3g}%" for edge in edges]
    middle = [f"{low} to {high}" for low, high in pairwise(shares)]
    return (f"below {shares[0]}", *middle, f"above {shares[-1]}")


def read_intake(
    period: str, figures: IntakeFigures, first: IntakeFigures | None = None
) -> IntakeReading:
    """Figures of one period.

    Args:
        first: of the period with which approvals are compared; None of that period itself.

    Raises:
        WatchError: counts and what is expected have other numbers of cells, or the first period has
            other groups.
    """
    questions = tuple(
        IntakeQuestion(name, len(one.counts)) for name, one in figures.features.items()
    )
    form = IntakeForm(questions)
    answers = np.concatenate([np.array(one.counts) for one in figures.features.values()])
    people = people_in(form, answers, figures.noise)
    groups = figures.groups
    table = _table(groups)
    reference = figures.reference.people
    score = shift(
        IntakeReference(_shares(groups.expected), reference),
        table.sum(axis=1),
        people,
        groups.noise * math.sqrt(2),
    )
    features = {
        name: shift(
            IntakeReference(_shares(one.expected), reference),
            np.array(one.counts),
            people,
            figures.noise,
        )
        for name, one in figures.features.items()
    }
    approved: tuple[BandRate, ...] = ()
    if first is not None:
        if first.groups.edges != groups.edges:
            raise WatchError(f"{period} has other groups of scores than the first period")
        names = group_names(groups.edges)
        usual = by_band(names, [0.0] * len(names), _table(first.groups), first.groups.noise)
        approved = beside(usual, by_band(names, [0.0] * len(names), table, groups.noise))
    weights = _shares(groups.expected)
    return IntakeReading(
        period,
        people,
        score,
        features,
        approved,
        of_approval(at_equal_band(approved, weights) if approved else None),
        {
            name: Noisy(float(sum(counts)), figures.noise * math.sqrt(len(counts)))
            for name, counts in figures.segments.items()
        },
    )


def read_outcomes(period: str, figures: OutcomeFigures) -> OutcomeReading:
    """Raises WatchError: counts and probabilities of other numbers of groups."""
    groups = figures.groups
    table = _table(groups)
    names = group_names(groups.edges)
    people = Noisy(float(table.sum()), groups.noise * math.sqrt(table.size))
    bad = by_band(names, list(groups.probability), table, groups.noise)
    return OutcomeReading(period, people, bad, figures.evaluation)


def _table(groups: ReleasedGroups) -> Floats:
    """(groups, 2): approved and declined, or bad and good."""
    if len({len(one) for one in (*groups.counts, groups.expected, groups.probability)}) != 1:
        raise WatchError("counts, shares and probabilities are of other numbers of groups")
    if len(groups.counts[0]) != len(groups.edges) + 1:
        raise WatchError(f"{len(groups.edges)} edges do not divide {len(groups.counts[0])} groups")
    rest, part = np.array(groups.counts)
    return np.stack([part, rest], axis=1)


def _shares(expected: Sequence[float]) -> tuple[float, ...]:
    total = math.fsum(max(one, 0.0) for one in expected)
    if total <= 0:
        raise WatchError("what is expected has no people in it")
    return tuple(max(one, 0.0) / total for one in expected)


@dataclass(frozen=True)
class WatchReport:
    """All periods of one model, the latest last."""

    intake: tuple[IntakeReading, ...]
    outcomes: tuple[OutcomeReading, ...]
    alarms: tuple[Alarm, ...]
    own: tuple[Alarm, ...] = ()
    """What one lender says of its own figures beside the others'."""

    @property
    def light(self) -> Light:
        """Of the latest period of each kind."""
        if self.alarms or self.own:
            return Light.RED
        ended = [one.movement for one in self.outcomes[-1:]]
        if any(one.moved for one in self.intake[-1:]) or moved(ended):
            return Light.AMBER
        told = [one.speaks for one in self.intake[-1:]] or [one.speaks for one in ended]
        return Light.GREEN if all(told) and told else Light.GREY


Intake = Sequence[tuple[str, IntakeFigures]]


def report(
    intake: Intake,
    outcomes: Sequence[tuple[str, OutcomeFigures]],
    own: Mapping[str, Sequence[int]] | None = None,
    apart: Collection[str] = (),
) -> WatchReport:
    """Of all periods of one model, in the order of time.

    Args:
        own: what one lender counted itself, by period; it has alarms of its own only where it
            counted in each of the last periods: what was once, or a year apart, makes none.
        apart: kinds ('intake', 'outcomes') whose last periods do not follow each other without a
            gap, or share days: the same people, or a year apart, make no alarm.

    Raises:
        WatchError: figures that do not fit one another.
    """
    read, ended = _read(intake), tuple(read_outcomes(*one) for one in outcomes)
    alarms: tuple[Alarm, ...] = ()
    if "intake" not in apart:
        alarms += of_consortium([one.movements for one in read])
    if "outcomes" not in apart:
        alarms += of_consortium([(one.movement,) for one in ended])
    mine: tuple[Alarm, ...] = ()
    latest = [name for name, _ in intake[-PERIODS:]]
    if own and "intake" not in apart and own.keys() >= set(latest):
        periods = [name for name, _ in intake if name in own]
        parts = [told_apart(one, own[name]) for name, one in intake if name in own]
        ours = _read(list(zip(periods, [mine for mine, _ in parts], strict=True)))
        others = _read(list(zip(periods, [theirs for _, theirs in parts], strict=True)))
        mine = of_lender([one.movements for one in ours], [one.movements for one in others])
    return WatchReport(read, ended, alarms, mine)


def _read(intake: Intake) -> tuple[IntakeReading, ...]:
    first = intake[0][1] if intake else None
    return tuple(
        read_intake(period, found, first if at else None)
        for at, (period, found) in enumerate(intake)
    )
