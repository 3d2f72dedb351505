"""Days between days, as contracts count them, and the days on which something falls due.

Calendar days only: a due day moves off a holiday if, and only if, a set of holidays is handed in.
"""

from __future__ import annotations

import calendar
from collections.abc import Container
from datetime import date, timedelta
from fractions import Fraction
from typing import Literal

from lending.errors import DateError

DayCount = Literal["ACT/365F", "ACT/360", "30/360", "ACT/ACT"]
"""2006 ISDA Definitions 4.16: ``ACT/365F`` (d), ``ACT/360`` (e), ``30/360`` the bond basis (f),
``ACT/ACT`` ISDA (b), which counts the days of leap years by 366."""
LENGTH: dict[DayCount, int] = {"ACT/365F": 365, "ACT/360": 360, "30/360": 360, "ACT/ACT": 365}
"""Days of the year whose rate is the daily rate times so many."""
LEAP = 366


def between(start: date, end: date) -> int:
    """Calendar days. Raises DateError where ``end`` is before ``start``."""
    if end < start:
        raise DateError(f"{end} is before {start}: give the days in their order")
    return (end - start).days


def year_fraction(start: date, end: date, basis: DayCount) -> Fraction:
    """The part of a year from ``start`` to ``end``, exactly. Raises DateError as
    :func:`between`."""
    actual = between(start, end)
    if basis == "30/360":
        return Fraction(_bond_days(start, end), 360)
    if basis == "ACT/ACT":
        return sum((_in_year(start, end, year) for year in range(start.year, end.year + 1)), _ZERO)
    return Fraction(actual, LENGTH[basis])


def counted(start: date, end: date, basis: DayCount) -> Fraction:
    """For how many days a daily rate counts: the calendar days, but for ``30/360`` (months of 30)
    and ``ACT/ACT`` (in leap years a 366th of a year is worth 365/366 of a day)."""
    if basis in {"ACT/365F", "ACT/360"}:
        return Fraction(between(start, end))
    return year_fraction(start, end, basis) * LENGTH[basis]


_ZERO = Fraction(0)


def _bond_days(start: date, end: date) -> int:
    """The 31st is the 30th; at the end only where the beginning is the 30th or 31st."""
    first = min(start.day, 30)
    last = 30 if end.day == 31 and first == 30 else end.day
    return 360 * (end.year - start.year) + 30 * (end.month - start.month) + last - first


def _in_year(start: date, end: date, year: int) -> Fraction:
    # by ordinals: after 9999-12-31 there is no day
    first = date(year, 1, 1).toordinal()
    length = LEAP if calendar.isleap(year) else LENGTH["ACT/ACT"]
    days = min(end.toordinal(), first + length) - max(start.toordinal(), first)
    return Fraction(days, length)


def months_later(day: date, months: int) -> date:
    """The same day of the month, or the month's last.

    >>> [months_later(date(2027, 12, 31), n).isoformat() for n in (1, 2, 3)]
    ['2028-01-31', '2028-02-29', '2028-03-31']
    """
    month = day.month - 1 + months
    year, month = day.year + month // 12, month % 12 + 1
    if not date.min.year <= year <= date.max.year:
        raise DateError(f"{months} months after {day} there is no calendar: choose a shorter term")
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def later(day: date, days: int) -> date:
    """So many calendar days later."""
    try:
        return day + timedelta(days=days)
    except OverflowError as error:
        raise DateError(f"{days} days after {day} there is no calendar: shorten it") from error


def moved(day: date, holidays: Container[date]) -> date:
    """The first day from ``day`` on that is no holiday."""
    while day in holidays:
        day = later(day, 1)
    return day
