"""When a lender must have answered a person's request: a dated table per jurisdiction
(``deadlines.toml``). Pure, but for reading that table once.

A period begins on the day after the one on which the request was received, as that day is counted
in the jurisdiction, and lasts until the end of its last day; in the Union, which has many zones, by
whichever zone ends it first. Where a law would move the end from a
holiday to the next working day it is not moved: too early a date wrongs nobody. For the same reason
Monday to Friday are working days, public holidays among them.

>>> due("object", "CN", datetime(2026, 3, 1, 8, tzinfo=UTC)).at.isoformat()
'2026-03-21T16:00:00+00:00'
"""

from __future__ import annotations

import calendar
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import cache
from importlib.resources import files
from typing import Any, Literal

Unit = Literal["calendar-days", "working-days", "months"]
DEFAULT_JURISDICTION = "CN"
"""Where neither a notice nor the consortium says which law applies."""
_ZONES = {
    "CN": (timezone(timedelta(hours=8)),) * 2,
    "EU": (timezone(timedelta(hours=-4)), timezone(timedelta(hours=4))),
}
"""In which it was received, and in which the last day ends: of the Union its westernmost and its
easternmost (Martinique and Réunion, TFEU article 355(1))."""
_FRIDAY = 4


@dataclass(frozen=True)
class Deadline:
    """How long one law gives for some rights, and where that was read."""

    rights: frozenset[str]
    jurisdiction: str
    count: int
    unit: Unit
    begins: date
    ends: date | None
    """The last day on which it was law."""
    article: str
    source: str
    policy: bool
    """The law gives no number; this one is the project's."""

    def in_force(self, day: date) -> bool:
        return self.begins <= day and (self.ends is None or day <= self.ends)

    def last_day(self, received: date) -> date:
        """The last day of the period."""
        if self.unit == "calendar-days":
            return received + timedelta(days=self.count)
        if self.unit == "months":
            return _months_later(received, self.count)
        return working_days_after(received, self.count)


@dataclass(frozen=True)
class Due:
    """By when, and which law says so."""

    at: datetime
    """UTC; the first instant at which an answer is late."""
    deadline: Deadline


def working_days_after(day: date, count: int) -> date:
    """The last of so many working days, counted from the day after."""
    for _ in range(count):
        day += timedelta(days=1)
        while day.weekday() > _FRIDAY:
            day += timedelta(days=1)
    return day


def _months_later(day: date, count: int) -> date:
    """The same day of the month, or its last (Regulation (EEC) 1182/71 article 3(2)(c))."""
    month = day.month - 1 + count
    year, month = day.year + month // 12, month % 12 + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def _read(entry: dict[str, Any]) -> Deadline:
    return Deadline(
        rights=frozenset(entry["rights"]),
        jurisdiction=entry["jurisdiction"],
        count=entry["count"],
        unit=entry["unit"],
        begins=entry["from"],
        ends=entry.get("until"),
        article=entry["article"],
        source=entry["source"],
        policy=entry["policy"],
    )


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(files("law").joinpath("deadlines.toml").read_text(encoding="utf-8"))


@cache
def deadlines() -> tuple[Deadline, ...]:
    """The table."""
    return tuple(_read(entry) for entry in _table()["deadline"])


def law_of(code: str) -> str:
    """Whose law an ISO 3166 code names: its country's, or ``EU`` of a member state."""
    country = code.partition("-")[0]
    return "EU" if country in _table()["union"] else country


def jurisdiction_of(codes: Iterable[str]) -> tuple[str, ...]:
    """Those of the table's jurisdictions that these ISO 3166 codes name (``DE`` is ``EU``);
    :data:`DEFAULT_JURISDICTION` where they name none."""
    known = {law_of(code) for code in codes} & _ZONES.keys()
    return tuple(sorted(known)) or (DEFAULT_JURISDICTION,)


def due(right: str, jurisdiction: str, received_at: datetime) -> Due:
    """When an answer is late.

    Args:
        right: a kind of request, such as ``object``. jurisdiction: ``CN`` or ``EU``.

    Raises:
        LookupError: the table has no entry for the day on which the request was received.
    """
    west, east = _ZONES[jurisdiction]
    received = received_at.astimezone(west).date()
    for deadline in deadlines():
        mine = deadline.jurisdiction == jurisdiction and right in deadline.rights
        if mine and deadline.in_force(received):
            over = datetime.combine(deadline.last_day(received) + timedelta(days=1), time(), east)
            return Due(over.astimezone(UTC), deadline)
    raise LookupError(f"no law of {jurisdiction} says when {right!r} is due on {received}")


def first_due(right: str, codes: Iterable[str], received_at: datetime) -> Due:
    """The earliest date of all jurisdictions that these ISO 3166 codes name."""
    found = [due(right, one, received_at) for one in jurisdiction_of(codes)]
    return min(found, key=lambda one: one.at)
