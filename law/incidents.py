"""Grades of incidents and by when whom to tell, from ``incidents.toml``. Pure.

Only what follows from counts of records is computed. Grades by interruption of service, and what an
authority decides, are for the institution (PBOC 令〔2025〕4号, articles 7 to 10).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, Literal

Jurisdiction = Literal["CN", "EU"]
COUNTED = ("records", "sensitive_records", "credit_records")


class Grade(StrEnum):
    """From the least to the gravest."""

    GENERAL = "general"
    LARGER = "larger"
    MAJOR = "major"
    EXTREMELY_MAJOR = "extremely-major"

    @property
    def rank(self) -> int:
        """0 for the least."""
        return list(Grade).index(self)


@dataclass(frozen=True)
class Graded:
    """A grade, and by which article."""

    grade: Grade
    article: str
    check: bool = False
    """Whether the digits of that article were in doubt when they were read."""


@dataclass(frozen=True)
class Due:
    """Something that is due; ``at`` is None where its clock has not begun."""

    name: str
    article: str
    at: datetime | None


@cache
def table() -> Mapping[str, Any]:
    """The table as it is installed."""
    return tomllib.loads(files("law").joinpath("incidents.toml").read_text(encoding="utf-8"))


def grade_of(counts: Mapping[str, int | None]) -> Graded:
    """The grade that follows from how many records left, by kind; unknown is "larger" (article 12).

    >>> grade_of({"records": 500, "sensitive_records": 0, "credit_records": 500}).grade.value
    'larger'
    >>> grade_of({"records": 499, "sensitive_records": 0, "credit_records": 499}).grade.value
    'general'
    """
    known = {name: counts.get(name) for name in COUNTED}
    for row in table()["grade"]:
        if any((known[name] or 0) >= row[name] for name in COUNTED if name in row):
            found = Graded(Grade(row["name"]), row["article"], row.get("check", False))
            break
    else:
        found = Graded(Grade.GENERAL, "pboc 10(5)")
    if None in known.values() and found.grade.rank < Grade.LARGER.rank:
        return Graded(Grade.LARGER, "pboc 12")
    return found


def working_days_after(moment: datetime, days: int) -> datetime:
    """The end of the last of so many working days; the day of ``moment`` is not counted.

    >>> from datetime import UTC
    >>> str(working_days_after(datetime(2026, 11, 27, 3, tzinfo=UTC), 1))  # a Friday
    '2026-12-01 00:00:00+08:00'
    """
    calendar = table()["calendar"]
    zone = timezone(timedelta(hours=calendar["utc_offset_hours"]))
    day = moment.astimezone(zone).date()
    left = days
    while left:
        day += timedelta(days=1)
        left -= _is_working(day, calendar)
    return datetime.combine(day + timedelta(days=1), time(), zone)


def _is_working(day: date, calendar: Mapping[str, Any]) -> bool:
    if day in calendar["worked"]:
        return True
    return day.weekday() < 5 and day not in calendar["free"]


def clocks(
    grade: Grade,
    discovered: datetime,
    handled: datetime | None = None,
    jurisdiction: Jurisdiction | None = None,
) -> list[Due]:
    """What is due by when, the first first; those that have not begun last.

    Args:
        handled: when what was done about it had ended.
        jurisdiction: whose clocks; everybody's without it.
    """
    found = []
    for row in table()["clock"]:
        if Grade(row["least"]).rank > grade.rank:
            continue
        if jurisdiction is not None and row["jurisdiction"] != jurisdiction:
            continue
        start = handled if row["start"] == "handled" else discovered
        found.append(Due(row["name"], row["article"], start and _due(start, row)))
    return sorted(found, key=lambda due: (due.at is None, due.at or discovered))


def _due(start: datetime, row: Mapping[str, Any]) -> datetime:
    if "working_days" in row:
        return working_days_after(start, row["working_days"])
    return start + timedelta(hours=row["hours"])
