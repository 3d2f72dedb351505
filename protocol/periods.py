"""Periods in words."""

from __future__ import annotations

from protocol.watched import WatchedPeriod


def period_name(period: WatchedPeriod) -> str:
    """``2026-11`` of a calendar month, else its first and last day."""
    first, last = period.since, period.last
    starts = first.day == 1 and period.until.day == 1
    if starts and (first.year, first.month) == (last.year, last.month):
        return f"{first:%Y-%m}"
    return f"{first} to {last}"
