"""The state machine of a loan. A status is a fold over what happened; this table is the only place
that knows what may follow what. Pure.

>>> loan_status_after(["disburse", "repay", "extend", "settle"])
<LoanStatus.SETTLED: 'settled'>
>>> next_loan_status(LoanStatus.RESTRUCTURED, "extend")
Traceback (most recent call last):
    ...
lending.errors.AccountError: a loan that is restructured cannot be changed by 'extend'
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from functools import reduce
from typing import Literal

from lending.errors import AccountError


class LoanStatus(StrEnum):
    """How a loan stands. Whether it is late is no status but a number of days."""

    AGREED = "agreed"
    ACTIVE = "active"
    EXTENDED = "extended"
    RESTRUCTURED = "restructured"
    CHARGED_OFF = "charged-off"
    """Off the books as an asset (核销); the debt itself lives on, and is recovered."""
    SETTLED = "settled"
    """Nothing is owed to the lender any more; what is owed to others is still collected."""


LoanStep = Literal[
    "disburse",
    "repay",
    "charge",
    "grant",
    "extend",
    "restructure",
    "waive",
    "charge-off",
    "recover",
    "refund",
    "settle",
]
"""What can happen to a loan; ``settle`` follows from the others, when nothing is owed to the lender
any more."""

_STAYS: dict[LoanStatus, tuple[LoanStep, ...]] = {
    LoanStatus.ACTIVE: ("repay", "charge", "grant", "waive", "refund"),
    LoanStatus.EXTENDED: ("repay", "charge", "grant", "waive", "refund", "extend"),
    LoanStatus.RESTRUCTURED: ("repay", "charge", "grant", "waive", "refund", "restructure"),
    LoanStatus.CHARGED_OFF: ("recover", "waive", "refund"),
    LoanStatus.SETTLED: ("repay", "recover", "waive", "refund"),
}
"""Money that arrives after the last debt was paid is held for its owner, so that a settled loan may
still be repaid and refunded; and a third party may be paid, or let go, later than the lender."""
_OPEN = (LoanStatus.ACTIVE, LoanStatus.EXTENDED, LoanStatus.RESTRUCTURED)

LOAN_TRANSITIONS: dict[tuple[LoanStatus, LoanStep], LoanStatus] = {
    **{(status, step): status for status, steps in _STAYS.items() for step in steps},
    (LoanStatus.AGREED, "disburse"): LoanStatus.ACTIVE,
    (LoanStatus.ACTIVE, "extend"): LoanStatus.EXTENDED,
    **{(status, "restructure"): LoanStatus.RESTRUCTURED for status in _OPEN},
    **{(status, "charge-off"): LoanStatus.CHARGED_OFF for status in _OPEN},
    **{(status, "settle"): LoanStatus.SETTLED for status in (*_OPEN, LoanStatus.CHARGED_OFF)},
}


def next_loan_status(status: LoanStatus, step: LoanStep) -> LoanStatus:
    """The status after ``step``; raises AccountError."""
    try:
        return LOAN_TRANSITIONS[status, step]
    except KeyError:
        raise AccountError(f"a loan that is {status} cannot be changed by {step!r}") from None


def loan_status_after(steps: Iterable[LoanStep]) -> LoanStatus:
    return reduce(next_loan_status, steps, LoanStatus.AGREED)
