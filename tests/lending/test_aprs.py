"""The examples of Reg Z Appendix J (c), and those of the directives on consumer credit."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from support.loans import once, product

from lending.days import months_later
from lending.errors import CostError
from lending.terms.apr import UnitPeriod, actuarial_apr, apr, aprc
from lending.terms.cost import CashFlow, flows_of, xirr
from lending.terms.schedule import schedule

MONTH = UnitPeriod(1, "months")


def monthly(first: date, count: int, amount: int, every: int = 1) -> list[CashFlow]:
    return [CashFlow(months_later(first, every * at), charges=amount) for at in range(count)]


def weekly(first: date, count: int, amount: int, every: int = 1) -> list[CashFlow]:
    return [CashFlow(first + timedelta(weeks=every * at), charges=amount) for at in range(count)]


def odd(*day: int, amount: int) -> list[CashFlow]:
    return [CashFlow(date(*day), charges=amount)]


APPENDIX_J = {
    "(c)(1)(i)": ("9.69", MONTH, (1978, 1, 10), 500000, monthly(date(1978, 2, 10), 24, 23000)),
    "(c)(1)(ii)": ("11.82", MONTH, (1978, 2, 10), 600000, monthly(date(1978, 4, 1), 36, 20000)),
    "(c)(1)(iv)": ("8.97", UnitPeriod(3, "months"), (1978, 5, 23), 1000000, monthly(date(1978, 10, 1), 40, 38500, 3)),
    "(c)(1)(v)": ("14.96", UnitPeriod(1, "weeks"), (1978, 3, 20), 50000, weekly(date(1978, 4, 21), 30, 1760)),
    "(c)(2)(i)": ("10.08", MONTH, (1978, 1, 10), 500000,
                  odd(1978, 2, 10, amount=25000) + monthly(date(1978, 3, 10), 23, 23000)),
    "(c)(2)(ii)": ("28.50", UnitPeriod(4, "weeks"), (1978, 3, 18), 40000,
                   odd(1978, 4, 20, amount=3950) + weekly(date(1978, 5, 18), 11, 3831, 4)),
    "(c)(3)(i)": ("10.50", MONTH, (1978, 1, 10), 500000,
                  monthly(date(1978, 2, 10), 23, 23000) + odd(1980, 1, 10, amount=28000)),
    "(c)(3)(ii)": ("12.22", UnitPeriod(2, "weeks"), (1978, 4, 3), 20000,
                   weekly(date(1978, 4, 11), 19, 950, 2) + weekly(date(1979, 1, 2), 1, 3000)),
    "(c)(4)(i)": ("10.90", MONTH, (1978, 1, 10), 500000, odd(1978, 2, 10, amount=25000)
                  + monthly(date(1978, 3, 10), 22, 23000) + odd(1980, 1, 10, amount=28000)),
    "(c)(4)(ii)": ("7.30", UnitPeriod(2, "months"), (1978, 1, 10), 800000, odd(1978, 3, 1, amount=44936)
                   + monthly(date(1978, 5, 1), 18, 46500, 2) + odd(1981, 5, 1, amount=20000)),
    "(c)(5)(i)": ("11.45", UnitPeriod(255, "days"), (1978, 1, 3), 100000, odd(1978, 9, 15, amount=108000)),
}  # fmt: skip


@pytest.mark.parametrize("name", APPENDIX_J)
def test_the_examples_of_appendix_j(name):
    wanted, unit, start, amount, paid = APPENDIX_J[name]
    found = actuarial_apr([CashFlow(date(*start), amount), *paid], unit)
    assert f"{found * 100:.2f}" == wanted


START = date(2026, 1, 1)
UNION = [  # 98/7/EC and 2008/48/EC: equal months, whatever the days
    ("12.9", 100000, [(18, 120000)]),
    ("16.9", 95000, [(18, 120000)]),
    ("13.1", 100000, [(12, 60000), (24, 60000)]),
    ("13.2", 100000, [(3, 27200), (6, 27200), (12, 54400)]),
    ("9.4", 600000, [(month, 14931) for month in range(1, 49)]),
]


@pytest.mark.parametrize(("wanted", "amount", "paid"), UNION)
def test_the_examples_of_the_union(wanted, amount, paid):
    flows = [CashFlow(START, amount), *(CashFlow(months_later(START, n), charges=fen) for n, fen in paid)]
    assert f"{aprc(flows) * 100:.1f}" == wanted


def test_a_day_of_a_leap_year_is_a_366th():
    loan = [CashFlow(date(2028, 1, 1), 100_000), CashFlow(date(2028, 1, 31), charges=101_000)]
    assert abs(aprc(loan) - (Decimal("1.01") ** (Decimal(366) / 30) - 1)) < Decimal("1e-11")


def test_the_apr_of_a_loan_by_its_dues():
    """One due: the term is the unit-period, at most a year; monthly dues: twelve times the month's rate."""
    single = schedule(once(), 1_000_000, 500, START, 30)
    assert apr(single) == Decimal("0.1825")
    twelve = schedule(product(day_count="30/360"), 1_000_000, 500, START, 360)
    assert abs(apr(twelve) - Decimal("0.18")) < Decimal("1e-5")
    assert apr(twelve) < xirr(flows_of(twelve))


def test_where_there_is_no_rate_that_is_said():
    with pytest.raises(CostError, match="received and paid back"):
        aprc([CashFlow(START, 100)])
    with pytest.raises(CostError, match="received and paid back"):
        aprc([CashFlow(START, 100, charges=100), CashFlow(months_later(START, 1), 0, 100)])
    with pytest.raises(CostError, match="received and paid back"):
        aprc([])
    with pytest.raises(CostError, match="less is paid back"):
        actuarial_apr([CashFlow(START, 100), CashFlow(months_later(START, 1), 0, 90)], MONTH)
