"""What a loan costs a year, from the cash flows of everybody whom the borrower pays.

Two figures, and the higher one is held against the cap of the day:

- *compound*: the internal rate of return of the flows (XIRR), a year of 365 days.
- *simple*: everything paid beyond the principal, for the principal that the borrower really had,
  a year of 365 days (PBOC announcement 2021 no. 3, which allows either and asks that a simple
  figure be called so). What is charged on the first day was never in the borrower's hand: it is no
  part of that principal.

Both are kept upwards to twelve digits: a loan is within a cap if and only if its figure is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from functools import lru_cache
from itertools import count, pairwise
from typing import NamedTuple

from lending.cases import Cost
from lending.errors import CostError
from lending.law.caps import Cap, cap
from lending.law.rows import LAWS, Laws
from lending.money import EXACT, SHOWN, YEAR, upwards
from lending.terms.irr import Term, changes, derivatives, merged, roots
from lending.terms.products import Product
from lending.terms.schedule import Schedule, schedule

BEYOND = Decimal(10) ** 9
"""A dearer loan is given this rate: no cap is anywhere near."""
DOUBTFUL = Decimal("1e-20")
"""Of the amount: a present value so close to nothing is looked at again with all digits."""

INTERPOLATED = 4
"""Tries by interpolation: margins are nearly straight in the rate. Then halves, whatever comes."""


class CashFlow(NamedTuple):
    """What went between a borrower and everybody else on one day, fen."""

    day: date
    received: int = 0
    principal: int = 0
    """Paid back."""
    charges: int = 0
    """Paid beyond it, to whomever: interest, fees, premiums, penalties."""

    @property
    def net(self) -> int:
        return self.received - self.principal - self.charges


def flows_of(loan: Schedule) -> list[CashFlow]:
    """The cash flows of a loan that is paid as agreed."""
    upfront = sum(one.amount for one in loan.upfront)
    first = CashFlow(loan.terms.start, received=loan.principal, charges=upfront)
    paid = (CashFlow(due.day, 0, due.principal, due.interest + due.fees) for due in loan.dues)
    return [first, *paid]


def _terms(flows: Iterable[CashFlow]) -> list[Term]:
    return merged([(flow.day.toordinal(), flow.net) for flow in flows])


def yearly(v: Decimal) -> Decimal:
    """The annual rate of a daily discount factor, upwards."""
    with localcontext(EXACT):
        return upwards(min(v**-YEAR - 1, BEYOND))


def xirr(flows: Sequence[CashFlow]) -> Decimal:
    """The compound annual rate (actual days, a year of 365). Where several rates would do, which
    takes money that is received after some was paid back, it is the highest.

    Raises:
        CostError: no rate would do.
    """
    found = roots(_terms(flows))
    if not found:
        raise CostError(
            "these cash flows have no annual rate: the borrower only receives or only pays; check "
            "what is charged on the first day"
        )
    return yearly(found[0])


def _principal_days(flows: Sequence[CashFlow]) -> int:
    """Fen that the borrower had, never below 0, times days; the flows in the order of their
    days."""
    first = flows[0].day
    had, total = 0, 0
    for one, following in pairwise(flows):
        had += one.received - one.principal - (one.charges if one.day == first else 0)
        total += max(had, 0) * (following.day - one.day).days
    return total


def total_charges(flows: Iterable[CashFlow]) -> int:
    return sum(flow.charges for flow in flows)


def simple_rate(flows: Sequence[CashFlow]) -> Decimal:
    """The simple annual rate, upwards.

    Raises:
        CostError: the borrower never had anything.
    """
    ordered = sorted(flows, key=lambda flow: flow.day)
    base = _principal_days(ordered) if ordered else 0
    if base <= 0:
        raise CostError("these cash flows have no annual rate: the borrower never had any money")
    scale = int(1 / SHOWN)
    exact = -(-total_charges(flows) * YEAR * scale // base)
    return min(EXACT.multiply(Decimal(exact), SHOWN), BEYOND)


def cost_of(flows: Sequence[CashFlow], limit: Cap) -> Cost:
    """What these cash flows cost a year, beside the cap: of a loan as agreed, or of its whole life
    with extensions, fees and penalties.

    Raises:
        CostError: they have no annual cost.
    """
    return Cost(
        compound=xirr(flows),
        simple=simple_rate(flows),
        cap=limit.rate,
        cap_source=limit.source,
        total=total_charges(flows),
    )


def cap_of(product: Product, loan: Schedule, day: date, laws: Laws = LAWS) -> Cap:
    """The cap of ``day`` for this loan, by how long it really lasts. Raises LawSilent."""
    lasts = (loan.end - loan.terms.start).days
    return cap(day, product.jurisdiction, lasts, product.lender_kind, laws)


def cost(product: Product, loan: Schedule, laws: Laws = LAWS) -> Cost:
    """What a loan costs a year as it is agreed, beside the cap of the day on which it is made.

    Raises:
        CostError: it has no annual cost. LawSilent: the tables do not say what it may cost.
    """
    return cost_of(flows_of(loan), cap_of(product, loan, loan.terms.start, laws))


@lru_cache(maxsize=64)
def _discount(rate: Decimal) -> Decimal:
    """Of one day, at an annual rate."""
    with localcontext(EXACT):
        return (1 + rate) ** (Decimal(-1) / YEAR)


def margin(flows: Sequence[CashFlow], limit: Cap) -> Decimal:
    """By how much these cash flows are within the cap, in fen of present value or of charges,
    whichever is less; below 0 where they are not. Without solving for the rate, so many can be
    tried."""
    base, terms = _principal_days(flows), _terms(flows)
    if base <= 0 or changes(terms) != 1:
        return Decimal(-1)
    if limit.rate is None:
        return Decimal(1)
    with localcontext(EXACT):
        simple = (limit.rate * base - total_charges(flows) * YEAR) / YEAR
        compound = derivatives(terms, _discount(limit.rate))[0]
        if abs(compound) < DOUBTFUL * terms[0][1]:
            compound = limit.rate - yearly(roots(terms)[0])
        return min(simple, compound)


def highest_rate(
    product: Product,
    principal: int,
    term_days: int,
    day: date,
    most: int | None = None,
    laws: Laws = LAWS,
) -> int | None:
    """The highest daily rate, ppm, of the product (and at most ``most``) at which a loan that is
    made on ``day`` is within the cap; one more is not, or is not offered. None if the product
    cannot live under the cap.

    Raises:
        TermsError: the product does not lend this amount for this term. LawSilent: the tables do
            not say what it may cost.
    """
    low = product.rates.least
    high = product.rates.most if most is None else min(most, product.rates.most)
    if high < low:
        return None
    dearest = schedule(product, principal, high, day, term_days)
    limit = cap_of(product, dearest, day, laws)

    def within(rate: int) -> Decimal:
        return margin(flows_of(schedule(product, principal, rate, day, term_days)), limit)

    above = margin(flows_of(dearest), limit)
    if above >= 0:
        return high
    below = within(low)
    if below < 0:
        return None
    for tries in count():
        if high - low <= 1:
            break
        guess = (low + high) // 2
        if tries < INTERPOLATED:
            part = EXACT.divide(below, EXACT.subtract(below, above))
            guess = low + int(EXACT.multiply(part, Decimal(high - low)))
            guess = min(max(guess, low + 1), high - 1)
        found = within(guess)
        if found >= 0:
            low, below = guess, found
        else:
            high, above = guess, found
    return low


@dataclass(frozen=True, slots=True)
class PricedLoan:
    """A loan under the cap of its day: rate, schedule and cost."""

    rate_ppm_day: int
    loan: Schedule
    cost: Cost


def price(
    product: Product,
    principal: int,
    term_days: int,
    day: date,
    wanted: int,
    laws: Laws = LAWS,
) -> PricedLoan | None:
    """The loan at the daily rate that is ``wanted``, or at the highest below it that fits under the
    cap; None if none does. Raises as :func:`highest_rate`, and TermsError where the product does
    not have the rate."""
    loan = schedule(product, principal, wanted, day, term_days)
    limit = cap_of(product, loan, day, laws)
    flows = flows_of(loan)
    if flows[0].net > 0:
        found = cost_of(flows, limit)
        if found.within:
            return PricedLoan(wanted, loan, found)
    rate = highest_rate(product, principal, term_days, day, wanted, laws)
    if rate is None:
        return None
    loan = schedule(product, principal, rate, day, term_days)
    return PricedLoan(rate, loan, cost_of(flows_of(loan), limit))
