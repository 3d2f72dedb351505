"""Which cells each person is counted in: what a lender's node would run of this room. Pure.

Nothing here refuses because of a row. A number that no cell has is counted in the last cell of its
question, which is 'missing', or in no cell where a question has none; so a bound on what one person
changes is a property of the form, whatever a source delivers. One row is one person: the gate sees
to that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watching.errors import WatchError

Whole = NDArray[np.int64]
Rows = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class IntakeQuestion:
    """One thing that is asked of everybody who applied, and how many answers it has; the last one
    is 'missing'."""

    name: str
    cells: int


@dataclass(frozen=True)
class IntakeForm:
    """A month's histogram over everybody who applied.

    Each person is in exactly one cell of each question, in the one month in which they are counted.
    So one person more or less changes a vector of counts by 1 in each of ``len(questions)`` cells,
    and its L2 norm is the square root of that.

    Raises:
        WatchError: nothing is asked, twice the same, or a question with fewer than two answers.
    """

    questions: tuple[IntakeQuestion, ...]

    def __post_init__(self) -> None:
        names = {one.name for one in self.questions}
        few = [one.name for one in self.questions if one.cells < 2]
        if not names or len(names) < len(self.questions) or few:
            raise WatchError(
                "a histogram asks each question once, and each has two cells or more: "
                f"{', '.join(few or sorted(names)) or 'nothing is asked'}"
            )

    @property
    def size(self) -> int:
        return sum(one.cells for one in self.questions)

    @property
    def sensitivity(self) -> float:
        return math.sqrt(len(self.questions))

    def counted(self, answers: Rows) -> Whole:
        """(size,) how many people are in each cell. Counts of different people add up.

        Args:
            answers: (people, questions) a cell of each question.
        """
        total = np.zeros(self.size, np.int64)
        start = 0
        for column, one in enumerate(self.questions):
            given = answers[:, column]
            known = (given >= 0) & (given < one.cells)
            cells = np.where(known, given, one.cells - 1).astype(np.int64)
            total[start : start + one.cells] = np.bincount(cells, minlength=one.cells)
            start += one.cells
        return total

    def split(self, counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """A released histogram, by question.

        Raises:
            WatchError: it is of another form.
        """
        if counts.shape != (self.size,):
            raise WatchError(
                f"{counts.size} counts are no histogram of {self.size} cells: use the form that "
                "they were released with"
            )
        cuts = np.cumsum([one.cells for one in self.questions])[:-1]
        names = [one.name for one in self.questions]
        return dict(zip(names, np.split(counts, cuts), strict=True))


@dataclass(frozen=True)
class EventForm:
    """Who had their event at which step: one cell of one step for each person, and once.

    A person is in the cohort in which their first loan was paid out, and their event is the first
    time that this loan was so late; who never was has none and is counted at no step. So one person
    more or less changes one cell of one step by 1 at most. What a step said stays said: who
    corrects it later changes no step that was released.
    """

    cohorts: int
    steps: int

    def counted(self, cohort: Rows, step: Rows) -> Whole:
        """(steps, cohorts) events. Counts of different people add up.

        Args:
            cohort: (people,) from 0.
            step: (people,) from 1: the age at which it happened; 0 if it did not.
        """
        inside = (cohort >= 0) & (cohort < self.cohorts) & (step >= 1) & (step <= self.steps)
        cells = (step[inside].astype(np.int64) - 1) * self.cohorts + cohort[inside]
        size = self.steps * self.cohorts
        return np.bincount(cells, minlength=size).reshape(self.steps, self.cohorts)


def members(groups: int, group: Rows) -> Whole:
    """(groups,) how many people are in each group; who is in none of them is not counted. One
    person changes one count by 1 at most."""
    inside = (group >= 0) & (group < groups)
    return np.bincount(group[inside].astype(np.int64), minlength=groups)


def crossed(rows: Rows, columns: Rows, width: int) -> Whole:
    """The cell of each person in a table of two questions, row by row; who has no column is in no
    cell (-1)."""
    inside = (columns >= 0) & (columns < width) & (rows >= 0)
    return np.where(inside, rows.astype(np.int64) * width + columns, -1)
