"""Released figures as people read them: what each period says, what moved since, and a light for
it. Pure.

The file is the one that a campaign left (``credit.watcher.Watcher.figures``): counts with the
standard deviation of their noise, and what they are compared with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from crypto.sentences import one_sentence
from watching.alarms import Movement, moved, of_approval, of_feature
from watching.bands import BandRate, at_equal_band, by_band
from watching.causes import Alarm, of_consortium
from watching.cells import IntakeForm, IntakeQuestion
from watching.errors import WatchError
from watching.intake import IntakeReference, Shift, people_in, shift
from watching.shares import Noisy

Floats = NDArray[np.float64]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Row = Annotated[tuple[Finite, ...], Field(min_length=2, max_length=600)]
Deviation = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReleasedGroups(_Part):
    """Everybody by group of scores, the safest first: ``counts`` of declined and approved, or of
    good and bad."""

    edges: Annotated[tuple[Finite, ...], Field(min_length=1, max_length=63)]
    counts: tuple[Row, Row]
    noise: Deviation
    expected: Row
    probability: Row


class ReleasedAnswers(_Part):
    """One feature by bin, 'missing' last."""

    counts: Row
    expected: Row


class ReleasedReference(_Part):
    people: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    bad_rate: Annotated[float, Field(ge=0, le=1)]


class IntakeFigures(_Part):
    kind: Literal["intake"]
    groups: ReleasedGroups
    reference: ReleasedReference
    noise: Deviation
    segments: dict[str, Row]
    features: Annotated[dict[str, ReleasedAnswers], Field(min_length=1)]


class OutcomeFigures(_Part):
    kind: Literal["outcomes"]
    groups: ReleasedGroups
    reference: ReleasedReference
    evaluation: dict[str, Any] | None


ReleasedFigures = Annotated[IntakeFigures | OutcomeFigures, Field(discriminator="kind")]
_ANY: TypeAdapter[ReleasedFigures] = TypeAdapter(ReleasedFigures)


def figures_from(data: bytes | str, where: str) -> IntakeFigures | OutcomeFigures:
    """What a figures file says; raises WatchError with one sentence."""
    try:
        return _ANY.validate_json(data)
    except ValidationError as error:
        raise WatchError(f"{where} holds no released figures: {one_sentence(error)}") from error


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
    evaluation: dict[str, Any] | None

    @property
    def whole(self) -> dict[str, Any] | None:
        """Figures of everybody, where noise and chance leave any."""
        segments = (self.evaluation or {}).get("segments", ())
        return next((one for one in segments if one["name"] == "everybody"), None)


def group_names(edges: Sequence[float]) -> tuple[str, ...]:
    """By the model's probability of bad, in percent: ``below 2.1%``, ``2.1% to 3.4%``, …"""
    shares = [f"{100 / (1 + math.exp(-edge)):.3g}%" for edge in edges]
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
        usual = _table(first.groups)
        rates = usual[:, 0] / np.maximum(usual.sum(axis=1), 1.0)
        approved = by_band(
            group_names(groups.edges), np.clip(rates, 0, 1).tolist(), table, groups.noise
        )
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

    @property
    def light(self) -> Light:
        """Of the latest intake."""
        if not self.intake:
            return Light.GREY
        latest = self.intake[-1]
        if self.alarms:
            return Light.RED
        if latest.moved:
            return Light.AMBER
        return Light.GREEN if latest.speaks else Light.GREY


def report(
    intake: Sequence[tuple[str, IntakeFigures]],
    outcomes: Sequence[tuple[str, OutcomeFigures]],
    in_a_row: bool = True,
) -> WatchReport:
    """Of all periods of one model, in the order of time.

    Args:
        in_a_row: the last periods follow each other without a gap and share no day; else the same
            people, or a year apart, would make an alarm, and there is none.

    Raises:
        WatchError: figures do not fit together.
    """
    first = intake[0][1] if intake else None
    read = tuple(
        read_intake(period, found, first if at else None)
        for at, (period, found) in enumerate(intake)
    )
    alarms = of_consortium([one.movements for one in read]) if in_a_row else ()
    return WatchReport(read, tuple(read_outcomes(*one) for one in outcomes), alarms)
