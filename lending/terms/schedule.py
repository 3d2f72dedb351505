"""What falls due when: from a product, a principal, a daily rate and the day the money is paid out.

Interest is exact until it falls due. What is billed by the k-th due is the exact interest of all
days so far, rounded once; each due is billed what the dues before it were not. So one rounding per
due item, no prefix of a schedule is ever more than half a fen off, and the last due takes whatever
remains: principal and interest add up to the fen. Each draw on a revolving product is a loan of its
own, with the schedule of a bullet.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from lending.account.allocation import Payee
from lending.days import LEAP, DayCount, between, counted, later, months_later, moved
from lending.errors import DateError
from lending.money import PPM, Rounding, part, quotient, split
from lending.terms.products import Fee, Product, When

NO_HOLIDAYS: Container[date] = frozenset()


class FeeCharge(NamedTuple):
    """One fee as it is charged, fen."""

    code: str
    payee: Payee
    amount: int


class Instalment(NamedTuple):
    """What is to be paid on one day, fen."""

    day: date
    principal: int
    interest: int
    charges: tuple[FeeCharge, ...] = ()

    @property
    def fees(self) -> int:
        return sum(one.amount for one in self.charges)

    @property
    def total(self) -> int:
        return self.principal + self.interest + self.fees


@dataclass(frozen=True, slots=True)
class InterestTerms:
    """What interest is computed from."""

    principal: int
    rate_ppm_day: int
    start: date
    """The day on which the borrower has the money."""
    day_count: DayCount = "ACT/365F"
    rounding: Rounding = "half-up"

    @property
    def unit(self) -> int:
        """One fen of interest, in the whole numbers that :meth:`growth` times a balance is of."""
        return PPM * (LEAP if self.day_count == "ACT/ACT" else 1)

    def growth(self, start: date, end: date) -> int:
        """Interest on one fen, in parts of :attr:`unit`."""
        if self.day_count in {"ACT/365F", "ACT/360"}:
            return self.rate_ppm_day * between(start, end)
        days = counted(start, end, self.day_count)
        return self.rate_ppm_day * (self.unit // PPM // days.denominator) * days.numerator

    def money(self, accrued: int) -> int:
        """The one rounding."""
        return quotient(accrued, self.unit, self.rounding)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A loan as it is agreed: what is charged when it is paid out, and every due."""

    terms: InterestTerms
    upfront: tuple[FeeCharge, ...]
    """Paid beside the principal on the first day, never taken from it (Civil Code 670)."""
    dues: tuple[Instalment, ...]

    @property
    def principal(self) -> int:
        return self.terms.principal

    @property
    def end(self) -> date:
        return self.dues[-1].day

    @property
    def interest(self) -> int:
        return sum(due.interest for due in self.dues)

    @property
    def fees(self) -> int:
        return sum(one.amount for one in self.upfront) + sum(due.fees for due in self.dues)


def due_days(
    product: Product, start: date, term_days: int, holidays: Container[date] = NO_HOLIDAYS
) -> tuple[date, ...]:
    """The days on which something falls due; monthly ones keep the day of the month of ``start``.

    Raises:
        DateError: the holidays leave no two different days between two dues.
    """
    if product.dues == "once":
        plain: Sequence[date] = (later(start, term_days),)
    else:
        plain = _monthly(start, product.instalments(term_days))
    days = [moved(day, holidays) for day in plain]
    for one, following in pairwise((start, *days)):
        if following <= one:
            raise DateError(f"holidays move two dues to {following}: check the list of holidays")
    return tuple(days)


@lru_cache(maxsize=1024)
def _monthly(start: date, count: int) -> tuple[date, ...]:
    return tuple(months_later(start, at + 1) for at in range(count))


def schedule(
    product: Product,
    principal: int,
    rate_ppm_day: int,
    start: date,
    term_days: int,
    holidays: Container[date] = NO_HOLIDAYS,
) -> Schedule:
    """The schedule of a loan that is paid out on ``start``.

    Raises:
        TermsError: the product does not offer this amount, term or rate. DateError: there is no
            such day.
    """
    product.require(principal, term_days, rate_ppm_day)
    days = due_days(product, start, term_days, holidays)
    terms = InterestTerms(principal, rate_ppm_day, start, product.day_count, product.rounding)
    growths = [terms.growth(*stretch) for stretch in pairwise((start, *days))]
    parts = split(principal, len(days)) if product.kind == "equal-principal" else ()
    equal = _equal_due(terms, growths) if product.kind == "annuity" else 0
    dues = []
    balance, exact, billed = principal, 0, 0
    for at, day in enumerate(days):
        exact += balance * growths[at]
        interest = terms.money(exact) - billed
        last = at == len(days) - 1
        if last:
            repaid = balance
        elif equal:
            repaid = min(balance, max(0, equal - interest))
        else:
            repaid = parts[at] if parts else 0
        charges = _charges(product, "each-due", principal, balance)
        if last:
            charges += _charges(product, "last-due", principal, balance)
        dues.append(Instalment(day, repaid, interest, charges))
        balance, billed = balance - repaid, billed + interest
    return Schedule(terms, _charges(product, "start", principal, principal), tuple(dues))


def _equal_due(terms: InterestTerms, growths: Sequence[int]) -> int:
    """The due that repays the principal if it is the same each time, by actual days (exact, then
    rounded): P / sum over k of the product over j <= k of 1 / (1 + growth of j)."""
    unit = terms.unit
    below, after = 0, 1
    for at in range(len(growths) - 1, -1, -1):
        below += unit ** (at + 1) * after
        after *= unit + growths[at]
    return quotient(terms.principal * after, below, terms.rounding)


def charge_of(fee: Fee, principal: int, balance: int, rounding: Rounding) -> FeeCharge:
    """A fee as it is charged on what was lent, or on what is outstanding (overdue, for one day)
    before it."""
    if fee.method == "amount":
        return FeeCharge(fee.code, fee.payee, fee.value)
    base = principal if fee.method == "of-principal" else balance
    return FeeCharge(fee.code, fee.payee, part(base, fee.value, rounding))


def _charges(product: Product, when: When, principal: int, balance: int) -> tuple[FeeCharge, ...]:
    fees = product.fees_by_moment.get(when)
    if fees is None:
        return ()
    return tuple([charge_of(fee, principal, balance, product.rounding) for fee in fees])
