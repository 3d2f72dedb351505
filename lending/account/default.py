"""One definition of bad, for labels and for monitoring alike. Pure.

Bad is who, within the performance window, was ever 90 or more contractual days past due, or was
forborne in difficulty, or whose guarantor or insurer had to pay while the loan was late, or whose
debt was written off. Between 30 and 89 days nothing is said (indeterminate). Nobody is labelled
before the window has elapsed: the bad show early, the good late, and a sample of what is known so
far would be of the bad. No concession improves a label, because the clock is the contractual one
(:mod:`lending.account.balances`).

A loan that the lender's own next loan repaid is no good of its own: what became of the debt shows
in the loan that took it over, and is counted there, once.

Sources: Regulation (EU) 575/2013 (CRR) article 178 [know]; EBA/GL/2016/07 [know]; 商业银行金融资产
风险分类办法 2023 no. 1 [know]; Siddiqi 2006, chapter 4 (windows, indeterminate).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from lending.account.balances import Account, Mark
from lending.account.states import LoanStatus
from lending.errors import PortfolioError

Performance = Literal["good", "bad", "indeterminate", "immature"]
BadReason = Literal["dpd", "forborne", "claimed", "charged-off"]
BAD_DPD = 90
INDETERMINATE_DPD = 30
FIRST_PAYMENT_DPD = 30
"""FPD30: an early label of short loans."""
_BAD_MARKS: dict[Mark, BadReason] = {
    "forborne": "forborne",
    "claimed": "claimed",
    "charged-off": "charged-off",
}


@dataclass(frozen=True, slots=True)
class Definition:
    """What bad is, within how many days after disbursement.

    Raises:
        PortfolioError: no loan could be bad within it.
    """

    window_days: int
    bad_dpd: int = BAD_DPD
    indeterminate_dpd: int = INDETERMINATE_DPD

    def __post_init__(self) -> None:
        if not 0 < self.indeterminate_dpd <= self.bad_dpd < self.window_days:
            raise PortfolioError(
                f"in a window of {self.window_days} days nobody can be {self.bad_dpd} days late: "
                "choose a longer one"
            )


@dataclass(frozen=True, slots=True)
class Label:
    """What a loan turned out to be."""

    performance: Performance
    matures_on: date
    """When the window has elapsed: the outcome is dated by it."""
    bad_on: date | None = None
    """The first day on which it was bad; known of an immature loan too, and no label of it."""
    reason: BadReason | None = None
    ended_on: date | None = None
    """When a bad outcome ended: paid up, or settled; the day of looking while it lasts."""


def first_bad(account: Account, bad_dpd: int = BAD_DPD) -> tuple[date, BadReason] | None:
    """The day on which a loan became bad, and by what; None if it never did as far as is known."""
    found: list[tuple[date, BadReason]] = [
        (one.since + timedelta(days=bad_dpd), "dpd")
        for one in account.arrears
        if one.days(account.day) >= bad_dpd
    ]
    found += [(day, _BAD_MARKS[mark]) for day, mark in account.marks if mark in _BAD_MARKS]
    return min(found, key=lambda one: one[0], default=None)


def label(account: Account, definition: Definition, as_of: date) -> Label:
    """What this loan is, by what was known of it on ``as_of``.

    Raises:
        PortfolioError: it was never paid out, or is not known that far.
    """
    if account.status is LoanStatus.AGREED or account.day < as_of:
        raise PortfolioError(
            f"loan {account.contract.id} is known up to {account.day} and {account.status}: fold "
            f"the events of a loan that was paid out up to {as_of}"
        )
    matures = account.contract.starts + timedelta(days=definition.window_days)
    horizon = min(as_of, matures)
    bad = first_bad(account, definition.bad_dpd)
    if bad is not None and bad[0] <= horizon:
        day, reason = bad
        mature: Performance = "bad" if matures <= as_of else "immature"
        return Label(mature, matures, day, reason, _ended(account, day, reason, as_of))
    if matures > as_of:
        return Label("immature", matures)
    late = max((one.days(horizon) for one in account.arrears), default=0)
    replaced = any(mark == "refinanced" and day <= horizon for day, mark in account.marks)
    unclear = late >= definition.indeterminate_dpd or replaced
    return Label("indeterminate" if unclear else "good", matures)


def _ended(account: Account, bad_on: date, reason: BadReason, as_of: date) -> date:
    """Arrears end when nothing is late any more; what else is bad lasts as long as the debt."""
    if reason != "dpd":
        return min(account.settled_on or as_of, as_of)
    end = bad_on
    for one in account.arrears:
        if one.since <= end:
            end = max(end, one.until or as_of)
    return min(end, as_of)


def first_payment_default(
    account: Account, as_of: date, days: int = FIRST_PAYMENT_DPD
) -> Performance:
    """Whether the first due was ever so many days late (FPD30); immature until that can be said."""
    first = account.contract.dues[0].day
    if account.status is LoanStatus.AGREED or account.day < as_of:
        raise PortfolioError(f"loan {account.contract.id} is not known as of {as_of}")
    if as_of < first + timedelta(days=days):
        return "immature"
    late = max((one.days(as_of) for one in account.arrears if one.since == first), default=0)
    return "bad" if late >= days else "good"
