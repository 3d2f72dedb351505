"""What the borrowers of the demo's two years do with their loans: drawn at random from how each
turned out in the table, never from a score. Pure.

Shares and days are made up, so that everything can be seen that happens to loans: people who pay on
the day, late, after an extension, never, after all, or in part once the debt was written off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import numpy as np

Kind = Literal["pays", "extends", "written-off", "recovers"]
STOPS_PAYING = {False: 0.03, True: 0.8}
"""By whether somebody was bad in the table: who was not may lose a job, who was may have learnt."""
LATE, VERY_LATE, EXTENDS = 0.12, 0.025, 0.05
"""Of those who pay: who is up to 25 days late, who 31 to 80, who asks for more time first."""
CURES, RECOVERS = 0.3, 0.4
"""Of those who stop paying: who pays all of it in the end; of the rest, who pays a part."""
EXTENSION_DAYS, ASKED_BEFORE = 15, timedelta(2)
"""Thirty days less two are four weeks: the desk works every fourth week, and grants on its own
day."""


@dataclass(frozen=True)
class Act:
    """Something that a borrower, or the lender about them, does with a loan on a day."""

    day: date
    kind: Kind
    share: float = 1.0
    """Of what is owed, where they recover a part."""


def course(dues: Sequence[date], bad: bool, rng: np.random.Generator) -> list[Act]:
    """What becomes of a loan with these due days, in order.

    Args:
        bad: what the table says of the person.
    """
    if rng.random() < STOPS_PAYING[bad]:
        return _stops(dues, rng)
    kind = rng.random()
    if kind < EXTENDS and len(dues) == 1:
        (due,) = dues
        return [Act(due - ASKED_BEFORE, "extends"), Act(due + timedelta(EXTENSION_DAYS), "pays")]
    late = 0
    if kind < EXTENDS + LATE:
        late = int(rng.integers(1, 26))
    elif kind < EXTENDS + LATE + VERY_LATE:
        late = int(rng.integers(31, 81))
    slip = int(rng.integers(0, len(dues)))
    days = [due + timedelta(late if at == slip else 0) for at, due in enumerate(dues)]
    return [Act(day, "pays") for day in sorted(set(days))]


def _stops(dues: Sequence[date], rng: np.random.Generator) -> list[Act]:
    """Pays some dues, and then none."""
    missed = int(rng.integers(0, len(dues)))
    acts = [Act(due, "pays") for due in dues[:missed]]
    if rng.random() < CURES:
        whole = max(dues[-1], dues[missed] + timedelta(int(rng.integers(95, 161))))
        return [*acts, Act(whole, "pays")]
    gone = max(dues[-1], dues[missed]) + timedelta(int(rng.integers(150, 181)))
    acts.append(Act(gone, "written-off"))
    if rng.random() < RECOVERS:
        later = gone + timedelta(int(rng.integers(30, 91)))
        acts.append(Act(later, "recovers", float(rng.uniform(0.2, 0.7))))
    return acts
