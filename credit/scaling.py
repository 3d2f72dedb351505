"""Scorecard scaling: log-odds to points (Siddiqi 2006, chapter 6).

The product's scale runs from 350 to 950, as 芝麻分 does; higher is better. 650 points are odds of
15 good to 1 bad, and every 60 points double the odds.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = 350, 950
BASE_SCORE, BASE_ODDS, POINTS_TO_DOUBLE = 650.0, 15.0, 60.0
FACTOR = POINTS_TO_DOUBLE / math.log(2)
OFFSET = BASE_SCORE - FACTOR * math.log(BASE_ODDS)


def score(probability_of_bad: NDArray[np.float64]) -> NDArray[np.int64]:
    """Scores in [350, 950] of probabilities in (0, 1)."""
    p = np.clip(probability_of_bad, 1e-9, 1 - 1e-9)
    points = OFFSET + FACTOR * np.log((1 - p) / p)
    return np.rint(np.clip(points, LOWEST, HIGHEST)).astype(np.int64)
