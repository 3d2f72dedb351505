"""What a lender's answer carries: in every coordinate its noise."""

from __future__ import annotations

import numpy as np
from support.credit_tables import PLAN, REGISTRY, TABLES

from credit.tasks import HistogramTask


def test_no_count_leaves_without_its_noise_the_good_and_the_bad_included():
    """Two coordinates of hundreds would not be missed in the noise of all of them together."""
    task, table = HistogramTask(PLAN.releases[0], PLAN, REGISTRY), TABLES[0].head(3)
    exact = task.exact(table)
    errors = np.stack([task.decode(task.contribution(table, 1), 1) - exact for _ in range(100)])
    ratios = errors.std(axis=0) / task.noise_std(1)
    assert ratios.min() > 0.5 and ratios.max() < 1.5  # seven deviations away
