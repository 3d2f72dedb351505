"""Simulation of a whole campaign on tables in one hand: the same releases, the same noise, no
masks and no messages.

For whoever owns all the data anyway: references in the demo, benchmarks, and the privacy audit. The
sums are those that secure aggregation would give, number for number (``tests/server/test_run.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from credit.learning import Learner
from credit.tasks import HistogramTask
from privacy.mechanism import Audience


def simulate(
    learner: Learner,
    tables: Sequence[pd.DataFrame],
    hold_outs: Sequence[pd.DataFrame] = (),
    progress: Callable[[Learner], None] = lambda _: None,
) -> Learner:
    """Run every release of the learner's plan over ``tables``, one per lender, each person once;
    returns the learner.

    Args:
        hold_outs: one table per lender of people that only the evaluation may see.
        progress: called after each release.
    """
    populations = [1.0] * len(tables)
    while not learner.done:
        planned = learner.mechanism.releases[learner.released]
        used = tables if planned.audience is Audience.TRAINING else hold_outs
        tasks = [learner.task(population) for population in populations]
        parts = [
            task.contribution(table, len(used)) for task, table in zip(tasks, used, strict=True)
        ]
        if isinstance(tasks[0], HistogramTask):
            grid = tasks[0].grid
            populations = [
                grid.population(task.decode(part, 1))
                for task, part in zip(tasks, parts, strict=True)
            ]
        learner.absorb(np.sum(parts, axis=0, dtype=np.int64), len(used))
        progress(learner)
    return learner
