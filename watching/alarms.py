"""Alarms that mean something: an effect, beyond chance and noise, in two periods together. Pure.

A figure has *moved* in a period if it speaks (its error is below the least effect that matters; an
index also says where noise hides it), if its effect reaches that, and if it is among the
discoveries of Benjamini & Hochberg (1995) over all figures of that period: of the figures that are
told to have moved, the share that did not is ``FALSE_SHARE`` at most in the mean. A figure that
moved in each of the last :data:`lending.portfolio.monitoring.PERIODS` periods is what
:mod:`watching.causes` explains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lending.portfolio.monitoring import ALPHA, EFFECT, PERIODS
from watching.bands import BandShift
from watching.intake import Shift
from watching.vintages import EventsOfMonth

FigureKind = Literal["feature", "score", "approval", "events", "mixed-ages"]
FALSE_SHARE = ALPHA
LEAST_APPROVAL = 0.03
"""At equal band, of applicants: three in a hundred more, or fewer, are approved."""
LEAST_EVENTS = 0.2
"""At equal age and band: a fifth more, or fewer, go bad than did."""
ONE_CELL = 0.3
"""Where the index of all other cells among themselves is a smaller part of the whole, and the cell
gained at least ``CLEAR`` errors, it has it all."""
CLEAR = 4.0


@dataclass(frozen=True, slots=True)
class Movement:
    """One figure of one period, and whether it matters."""

    kind: FigureKind
    name: str
    effect: float
    """With its sign where it has one."""
    least: float
    p_value: float
    speaks: bool = True
    one_cell: bool = False
    """All of it is one answer that more people have than before."""

    @property
    def matters(self) -> bool:
        return abs(self.effect) >= self.least


def of_feature(name: str, found: Shift | None, score: bool = False) -> Movement:
    """A stability index; of the score, or of a feature."""
    kind: FigureKind = "score" if score else "feature"
    if found is None:
        return Movement(kind, name, 0.0, EFFECT, 1.0, speaks=False)
    clear = found.change.value >= CLEAR * found.change.error
    one_cell = clear and found.apart < ONE_CELL * found.psi
    return Movement(kind, name, found.psi, EFFECT, found.p_value, found.speaks, one_cell)


def of_approval(found: BandShift | None) -> Movement:
    """How the same applicants are decided."""
    if found is None:
        return Movement("approval", "approval", 0.0, LEAST_APPROVAL, 1.0, speaks=False)
    change = found.change
    speaks = change.error < LEAST_APPROVAL
    return Movement("approval", "approval", change.value, LEAST_APPROVAL, found.p_value, speaks)


def of_events(found: EventsOfMonth | None, equal_age: bool = True) -> Movement:
    """How many go bad: at equal age and band, or of all loans together whatever their age."""
    kind: FigureKind = "events" if equal_age else "mixed-ages"
    if found is None:
        return Movement(kind, kind, 0.0, LEAST_EVENTS, 1.0, speaks=False)
    speaks = found.error < LEAST_EVENTS
    return Movement(kind, kind, found.ratio - 1, LEAST_EVENTS, found.p_value, speaks)


def discovered(p_values: Sequence[float], false_share: float = FALSE_SHARE) -> tuple[bool, ...]:
    """Benjamini & Hochberg's step-up procedure: which of these are told."""
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    last = 0
    for rank, at in enumerate(order, start=1):
        if p_values[at] <= false_share * rank / len(p_values):
            last = rank
    told = set(order[:last])
    return tuple(at in told for at in range(len(p_values)))


def moved(figures: Sequence[Movement]) -> tuple[Movement, ...]:
    """Those of one period that moved."""
    heard = [one for one in figures if one.speaks]
    told = discovered([one.p_value for one in heard])
    return tuple(one for one, yes in zip(heard, told, strict=True) if yes and one.matters)


def lasting(periods: Sequence[Sequence[Movement]]) -> tuple[Movement, ...]:
    """Those that moved the same way in each of the last periods, as they are in the last."""
    last = periods[-PERIODS:]
    if len(last) < PERIODS:
        return ()
    found = [{(one.kind, one.name, one.effect > 0) for one in moved(period)} for period in last]
    both = set.intersection(*found)
    return tuple(one for one in moved(last[-1]) if (one.kind, one.name, one.effect > 0) in both)
