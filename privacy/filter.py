"""The budget filter: who may still be used under a cap (Rogers et al. 2016; Feldman & Zrnic 2021).

A person at the cap is left out, not an error. Because charges are chosen in advance by the campaign and do not depend
on data, comparing the composition of all charges with the cap before each release is a valid filter.
"""

from __future__ import annotations

from collections.abc import Mapping

from privacy.accounting import epsilon_of
from privacy.charges import Budget, Charge

TOLERANCE = 1e-9
"""Relative slack for floating point only; far below the accountant's own pessimism."""


def affordable(spent: Mapping[str, tuple[Charge, ...]], new: Charge, cap: Budget) -> set[str]:
    """Those of ``spent`` (pseudonym to charges so far) for whom one more ``new`` stays within ``cap``."""
    limit = cap.epsilon * (1 + TOLERANCE)
    verdicts: dict[tuple[Charge, ...], bool] = {}
    for history in spent.values():
        if history not in verdicts:
            verdicts[history] = epsilon_of((*history, new), cap.delta) <= limit
    return {name for name, history in spent.items() if verdicts[history]}
