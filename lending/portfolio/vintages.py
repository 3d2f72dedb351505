"""Vintages: how many of the loans of one month went bad by the time they were so old. Pure.

Age is whole months on book (MOB) since disbursement, or whole weeks for short loans. A point of a
curve exists only once every loan of the vintage has reached that age, so that no point mixes the
young with the old; loans that were repaid early stay in the count, so that none is of survivors.
Bad is :mod:`lending.account.default`'s, the same as a label's.
"""

from __future__ import annotations

import calendar
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from lending.account.balances import Account
from lending.account.default import BAD_DPD, first_bad, first_payment_default
from lending.account.fold import happened, state
from lending.errors import PortfolioError
from lending.intervals import Estimate, Share, wilson

Age = Literal["months", "weeks"]


@dataclass(frozen=True, slots=True)
class Seasoned:
    """What a vintage needs of a loan: money in fen."""

    opened_on: date
    amount: int
    seen_to: date
    bad_on: date | None = None
    bad_amount: int = 0
    """Principal outstanding when it went bad."""


@dataclass(frozen=True, slots=True)
class VintagePoint:
    """A vintage at one age: cumulative, and by then for good."""

    age: int
    bad: int
    rate: Estimate
    """By count."""
    bad_amount: int
    amount_rate: float
    """Of the amount that was lent."""


@dataclass(frozen=True, slots=True)
class Vintage:
    """The loans of one month of disbursement, and their curve from age 0 on."""

    month: date
    loans: int
    amount: int
    curve: tuple[VintagePoint, ...]


def seasoned(account: Account, bad_dpd: int = BAD_DPD) -> Seasoned:
    """Of an account that was paid out."""
    contract, bad = account.contract, first_bad(account, bad_dpd)
    if bad is None:
        return Seasoned(contract.starts, contract.principal, account.day)
    day = bad[0]
    before = [one for one in happened(account.events) if one.day < day]
    owed = state(contract, before, day).outstanding.principal
    return Seasoned(contract.starts, contract.principal, account.day, day, owed)


def age_of(opened_on: date, day: date, by: Age = "months") -> int:
    """Whole months or weeks from disbursement to a day; the month of the 31st is full on the last
    day of a shorter one.

    >>> age_of(date(2026, 1, 31), date(2026, 2, 28)), age_of(date(2026, 1, 31), date(2026, 2, 27))
    (1, 0)
    """
    if by == "weeks":
        return (day - opened_on).days // 7
    months = 12 * (day.year - opened_on.year) + day.month - opened_on.month
    last = calendar.monthrange(day.year, day.month)[1]
    return months - (day.day < min(opened_on.day, last))


def bad_age(loan: Seasoned, by: Age = "months") -> int | None:
    """The age by which it was bad; None if it is not."""
    if loan.bad_on is None:
        return None
    return age_of(loan.opened_on, loan.bad_on - timedelta(days=1), by) + 1


def vintages(loans: Iterable[Seasoned], as_of: date, by: Age = "months") -> tuple[Vintage, ...]:
    """The vintages as of a day, the oldest first.

    Raises:
        PortfolioError: a loan is not known as of that day.
    """
    months: dict[date, list[Seasoned]] = defaultdict(list)
    for loan in loans:
        if loan.opened_on > as_of:
            continue
        if loan.seen_to < as_of:
            raise PortfolioError(
                f"a loan of {loan.opened_on} is known up to {loan.seen_to} only: fold its account "
                f"up to {as_of}"
            )
        months[loan.opened_on.replace(day=1)].append(loan)
    return tuple(
        Vintage(month, len(them), sum(one.amount for one in them), _curve(month, them, as_of, by))
        for month, them in sorted(months.items())
    )


def _curve(
    month: date, loans: Sequence[Seasoned], as_of: date, by: Age
) -> tuple[VintagePoint, ...]:
    """As far as the youngest loan that the month can have has come."""
    youngest = month.replace(day=calendar.monthrange(month.year, month.month)[1])
    amount = sum(one.amount for one in loans)

    def points() -> Iterator[VintagePoint]:
        for age in range(age_of(youngest, as_of, by) + 1 if youngest <= as_of else 0):
            bad = [one for one in loans if (at := bad_age(one, by)) is not None and at <= age]
            owed = sum(one.bad_amount for one in bad)
            rate = wilson(Share(len(bad), len(loans)))
            yield VintagePoint(age, len(bad), rate, owed, owed / amount)

    return tuple(points())


@dataclass(frozen=True, slots=True)
class FirstPayments:
    """Of the loans of one month, those whose first due was so late (FPD30), among those of which
    it can be said."""

    month: date
    loans: int
    late: Estimate


def first_payments(accounts: Iterable[Account], as_of: date) -> tuple[FirstPayments, ...]:
    """By month of disbursement, the oldest first; the first sign of fraud, or of a wrong policy."""
    months: dict[date, list[bool]] = defaultdict(list)
    for account in accounts:
        found = first_payment_default(account, as_of)
        if found != "immature":
            months[account.contract.starts.replace(day=1)].append(found == "bad")
    return tuple(
        FirstPayments(month, len(them), wilson(Share(sum(them), len(them))))
        for month, them in sorted(months.items())
    )


def at_age(found: Iterable[Vintage], age: int) -> dict[date, VintagePoint]:
    """The vintages that have come so far, compared at one age: the only comparison there is."""
    return {one.month: one.curve[age] for one in found if len(one.curve) > age}
