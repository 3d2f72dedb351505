"""The annual figures that other laws show: the APR of the United States and the APRC of the Union.

- *APR* (Reg Z, 12 CFR 1026, Appendix J, actuarial method): the rate of a unit-period times the
  unit-periods of a year, not compounded; a part of a unit-period counts as simple interest.
- *APRC* (Directive (EU) 2023/2225, Annex III; before it 2008/48/EC, Annex I): compound, a month is
  a twelfth of a year, days beyond whole months are 365ths (in a leap year 366ths).

Neither gates anything here: what a cap is held against is in :mod:`lending.terms.cost`.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Literal

from lending.days import months_later
from lending.errors import CostError
from lending.money import EXACT, YEAR, upwards
from lending.terms.cost import CashFlow, flows_of
from lending.terms.schedule import Schedule

MONTH_DAYS, WEEK_DAYS = 30, 7
MONTHS, WEEKS = 12, 52
NARROW = Decimal("1e-28")


@dataclass(frozen=True, slots=True)
class UnitPeriod:
    """The interval that occurs most often: ``count`` days, weeks or months (Appendix J (b)(4))."""

    count: int
    of: Literal["days", "weeks", "months"]

    @property
    def a_year(self) -> Fraction:
        return Fraction({"days": YEAR, "weeks": WEEKS, "months": MONTHS}[self.of], self.count)

    def between(self, start: date, end: date) -> tuple[int, Fraction]:
        """Whole unit-periods, counted back from ``end``, and the part of one that remains at the
        beginning (Appendix J (b)(5))."""
        if self.of == "months":
            months = _whole_months(start, end)
            left = (months_later(end, -months) - start).days
            part = Fraction(months % self.count) + Fraction(left, MONTH_DAYS)
            return months // self.count, part / self.count
        length = self.count * (WEEK_DAYS if self.of == "weeks" else 1)
        whole, left = divmod((end - start).days, length)
        return whole, Fraction(left, length)


def _whole_months(start: date, end: date) -> int:
    """How many can be counted back from ``end`` without passing ``start``."""
    months = (end.year - start.year) * MONTHS + end.month - start.month
    return months if months_later(end, -months) >= start else months - 1


def _root(worth: Callable[[Decimal], Decimal]) -> Decimal:
    """The rate at which what is paid is worth no more than what was received: by halves."""
    low, high = Decimal(0), Decimal(1)
    if worth(low) > 0:
        raise CostError("less is paid back than was received: there is no rate to show")
    while worth(high) < 0:
        low, high = high, high * 2
    while high - low > NARROW * high:
        middle = (low + high) / 2
        if worth(middle) < 0:
            low = middle
        else:
            high = middle
    return high


def _decimal(exact: Fraction) -> Decimal:
    return Decimal(exact.numerator) / exact.denominator


def _first_day(flows: Sequence[CashFlow]) -> date:
    """Raises CostError: on it nothing is received, or nothing is paid back later."""
    first = min((flow.day for flow in flows), default=date.min)
    received = sum(flow.net for flow in flows if flow.day == first)
    if received <= 0 or not any(flow.net < 0 for flow in flows):
        raise CostError("these cash flows have no annual rate: something is received and paid back")
    return first


def actuarial_apr(flows: Sequence[CashFlow], unit: UnitPeriod) -> Decimal:
    """The APR of Appendix J.

    Raises:
        CostError: there is none.
    """
    first = _first_day(flows)
    with localcontext(EXACT):
        terms = []
        for flow in flows:
            whole, part = unit.between(first, flow.day)
            terms.append((Decimal(flow.net), whole, _decimal(part)))

        def worth(rate: Decimal) -> Decimal:
            values = (net / ((1 + part * rate) * (1 + rate) ** n) for net, n, part in terms)
            return sum(values, Decimal(0))

        return upwards(_root(worth) * _decimal(unit.a_year))


def apr(loan: Schedule) -> Decimal:
    """The APR of a loan that is paid as agreed: its dues are monthly, or there is one, and the term
    is the unit-period (at most a year: Appendix J (b)(4))."""
    if len(loan.dues) > 1:
        return actuarial_apr(flows_of(loan), UnitPeriod(1, "months"))
    days = min((loan.end - loan.terms.start).days, YEAR)
    return actuarial_apr(flows_of(loan), UnitPeriod(days, "days"))


def _years(start: date, end: date) -> Fraction:
    months = _whole_months(start, end)
    left = (months_later(end, -months) - start).days
    return Fraction(months, MONTHS) + Fraction(left, YEAR + calendar.isleap(start.year))


def aprc(flows: Sequence[CashFlow]) -> Decimal:
    """The APRC of the Union.

    Raises:
        CostError: there is none.
    """
    first = _first_day(flows)
    with localcontext(EXACT):
        terms = [(Decimal(flow.net), _decimal(_years(first, flow.day))) for flow in flows]

        def worth(rate: Decimal) -> Decimal:
            return sum((net / (1 + rate) ** years for net, years in terms), Decimal(0))

        return upwards(_root(worth))
