"""The figures of a month that is over, closed: kept as they were then, and never overwritten.

What is booked back into a month that was closed, or corrected, changes none of its figures: they
are closed again, as a new row with its reason and its day beside the one that was in force.
Counts of loans and whole fen; nobody is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import orjson
from sqlalchemy import Row, insert, select

from crypto.documents import canonical_json
from desk.accounts import account_of
from desk.commands.book import ends_of_months, standing_of
from desk.office import Desk, InHand
from desk.storage.tables import closings, loans
from protocol.errors import Conflict, Malformed

MAX_REASON = 400


@dataclass(frozen=True)
class Closing:
    """A month's figures as they were closed.

    Args:
        version: 1 when the month was first closed; the highest is in force.
        reason: why they were closed again; None of the first.
    """

    month: str
    version: int
    closed_at: datetime
    reason: str | None
    figures: Mapping[str, Any]


def close_month(desk: Desk, month: date, reason: str | None = None) -> Closing:
    """Close a month, or close it again.

    Args:
        month: any day of it. reason: why it is closed again.

    Raises:
        Malformed: it is not over; a reason for what was never closed, or one that is too long.
        Conflict: it was closed, and nothing has changed since, or nobody says why.
    """
    if reason is not None and not 0 < len(reason.strip()) <= MAX_REASON:
        raise Malformed(f"a reason has 1 to {MAX_REASON} characters")

    def record(hand: InHand) -> Closing:
        name, today = f"{month:%Y-%m}", desk.day(hand.moment)
        if (month.year, month.month) >= (today.year, today.month):
            raise Malformed(f"{name} is not over yet; close it when it is")
        figures = _figures(hand, ends_of_months(month, today)[0])
        before = [one for one in _all(hand) if one.month == name]
        if not before and reason is not None:
            raise Malformed(f"{name} was never closed, so there is nothing to correct: no reason")
        if before and before[-1].figures == figures:
            raise Conflict(f"{name} is closed, and nothing of it has changed since")
        if before and reason is None:
            raise Conflict(
                f"{name} is closed, and its figures have changed since: say why, and they are "
                "closed again beside those"
            )
        made = Closing(name, len(before) + 1, hand.moment, reason, figures)
        hand.connection.execute(
            insert(closings).values(
                month=name,
                version=made.version,
                closed_at=made.closed_at,
                reason=reason,
                figures=canonical_json(figures).decode(),
            )
        )
        return made

    return desk.write(record)


def closed_months(desk: Desk) -> list[Closing]:
    """Every closing, by month and version: of each month the last is in force."""
    with desk.reading() as hand:
        return _all(hand)


def in_force(closed: list[Closing]) -> list[Closing]:
    """Of each month the newest."""
    return list({one.month: one for one in closed}.values())


def _all(hand: InHand) -> list[Closing]:
    query = select(closings).order_by(closings.c.month, closings.c.version)
    return [_closing(row) for row in hand.connection.execute(query).all()]


def _closing(row: Row[Any]) -> Closing:
    figures = orjson.loads(row.figures)
    return Closing(row.month, row.version, row.closed_at, row.reason, figures)


def _figures(hand: InHand, end: date) -> dict[str, Any]:
    rows = hand.connection.execute(
        select(loans).where(loans.c.disbursed_on <= end).order_by(loans.c.number)
    ).all()
    accounts = [account_of(hand.connection, row, end) for row in rows]
    book = standing_of(accounts, end)
    return {
        "as_of": end.isoformat(),
        "loans": book.loans,
        "lent": book.lent,
        "outstanding": book.outstanding,
        "received": sum(one.received - one.refunded for one in accounts),
        "arrears": dict(book.arrears[end]) if book.arrears else {},
    }
