"""The budget filter: who may still be used under a cap (Rogers et al. 2016; Feldman & Zrnic 2021).

A person at the cap is left out, not an error. With full batches every charge is a Gaussian release,
for which comparing the composition of all charges with the cap before each release is valid even if
later charges are chosen after seeing earlier results (Smith & Thakurta 2022,
https://arxiv.org/abs/2210.17520). Sampled charges are not covered by that argument when they are
chosen adaptively, so a campaign fixes them in advance and attempts beyond it count in full.
"""

from __future__ import annotations

from collections.abc import Mapping

from privacy.accounting import epsilon_of
from privacy.charges import Budget, Charge

TOLERANCE = 1e-9
"""Relative slack for floating point only; far below the accountant's own pessimism."""


def affordable(spent: Mapping[str, tuple[Charge, ...]], new: Charge, cap: Budget) -> set[str]:
    """Those of ``spent`` (pseudonym to charges so far) for whom one more ``new`` stays within
    ``cap``."""
    limit = cap.epsilon * (1 + TOLERANCE)
    verdicts: dict[tuple[Charge, ...], bool] = {}
    for history in spent.values():
        if history not in verdicts:
            verdicts[history] = epsilon_of((*history, new), cap.delta) <= limit
    return {name for name, history in spent.items() if verdicts[history]}
