"""What loans are expected to lose. Pure; money in fen.

IFRS 9 is from memory (5.5.11, B5.5.37), not checked against its text, and this is no provision: the
probability is the model's, of the window that it was trained on, and the loss given default is the
lender's word.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from statistics import NormalDist
from typing import Literal, get_args

from lending.account.balances import Account
from lending.account.default import BAD_DPD, INDETERMINATE_DPD
from lending.account.states import LoanStatus
from lending.errors import PortfolioError
from lending.intervals import CONFIDENCE
from lending.money import rounded

Ifrs9Stage = Literal[1, 2, 3]


def stage(account: Account, significant_increase: bool = False) -> Ifrs9Stage | None:
    """IFRS 9 [know]: 3 credit-impaired (90 days past due, or charged off, or forborne and still
    watched), 2 after a significant increase in credit risk (30 days past due say so unless
    rebutted), else 1. None of a loan that is settled or was never paid out."""
    if account.status in {LoanStatus.SETTLED, LoanStatus.AGREED}:
        return None
    kinds = {mark for _, mark in account.marks}
    impaired = kinds & {"charged-off", "claimed"} or ("forborne" in kinds and account.watched)
    if account.dpd >= BAD_DPD or impaired:
        return 3
    late = account.dpd >= INDETERMINATE_DPD or "forborne" in kinds
    return 2 if significant_increase or late else 1


def expected_loss(probability: float, loss_given_default: Decimal, exposure: int) -> int:
    """Fen: PD x LGD x EAD, rounded once. PD is of 12 months in stage 1, of the lifetime in 2 and
    3.

    Raises:
        PortfolioError: a share is outside of 0 to 1.
    """
    if not 0 <= probability <= 1 or not 0 <= loss_given_default <= 1:
        raise PortfolioError(
            f"PD {probability} and LGD {loss_given_default} are shares: each is from 0 to 1"
        )
    return rounded(Fraction(probability) * Fraction(loss_given_default) * exposure)


@dataclass(frozen=True, slots=True)
class AtRisk:
    """A loan that is owed: what the lender has outstanding, and how likely it is to become bad; 1
    in stage 3."""

    stage: Ifrs9Stage
    exposure: int
    probability: float


@dataclass(frozen=True, slots=True)
class StageLoss:
    """The loans of one stage."""

    stage: Ifrs9Stage
    loans: int
    exposure: int
    loss: int


@dataclass(frozen=True, slots=True)
class ExpectedLoss:
    """What is expected to be lost; ``low`` to ``high`` is what chance alone makes of it, if the
    probabilities are right and loans do not fall together."""

    loss: int
    low: int
    high: int
    stages: tuple[StageLoss, ...]


def losses(loans: Iterable[AtRisk], loss_given_default: Decimal) -> ExpectedLoss:
    """Of all loans, and by stage. Raises PortfolioError: a share is outside of 0 to 1."""
    them = [
        (one, expected_loss(one.probability, loss_given_default, one.exposure)) for one in loans
    ]
    stages = []
    for number in get_args(Ifrs9Stage):
        inside = [(one, loss) for one, loss in them if one.stage == number]
        if inside:
            exposure = sum(one.exposure for one, _ in inside)
            stages.append(StageLoss(number, len(inside), exposure, sum(loss for _, loss in inside)))
    total, lost = sum(loss for _, loss in them), float(loss_given_default)
    spread = (
        one.probability * (1 - one.probability) * (lost * one.exposure) ** 2 for one, _ in them
    )
    half = round(NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * math.sqrt(math.fsum(spread)))
    most = rounded(sum(one.exposure for one, _ in them) * Fraction(loss_given_default))
    return ExpectedLoss(total, max(total - half, 0), min(total + half, most), tuple(stages))
