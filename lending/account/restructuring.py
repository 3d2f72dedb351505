"""What an extension and another plan do to the rows of an account: present days and amounts change,
contractual days never. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

from lending.account.events import Extended, LoanContract, Restructured
from lending.account.rows import Claim, DueRow, planned
from lending.errors import AccountError


def in_order(rows: Sequence[DueRow]) -> tuple[DueRow, ...]:
    """By present due day, a period before the principal that falls due with it."""
    return tuple(sorted(rows, key=lambda row: (row.due, not row.base, row.asks_on)))


def extended(rows: Sequence[DueRow], event: Extended) -> tuple[DueRow, ...]:
    """Every due from the event's day on is later; the period that is under way grows longer, those
    after it begin later."""
    by = timedelta(days=event.days)
    begun = False
    found = []
    for row in rows:
        if row.origin is None or row.due < event.day or not (row.base or row.open):
            found.append(row)
            continue
        start = row.start + by if begun else row.start
        begun = begun or bool(row.base)
        found.append(replace(row, due=row.due + by, grace_until=row.grace_until + by, start=start))
    if not begun:
        raise AccountError(
            f"nothing is due from {event.day} on that extension {event.id} could move"
        )
    return in_order(found)


def restructured(
    rows: Sequence[DueRow], event: Restructured, contract: LoanContract
) -> tuple[DueRow, ...]:
    """Outstanding principal goes into the plan's dues, that of the oldest contractual due first,
    and takes its contractual day along. The plan's own interest and fees have none: no contract of
    that day asked for them."""
    outstanding = sum(row.principal.open for row in rows)
    if outstanding != event.amount:
        raise AccountError(
            f"restructuring {event.id} plans for {event.amount} fen, but {outstanding} fen of "
            "principal are outstanding: make the plan for those"
        )
    first_due = event.dues[0].day
    moved, slices = [], []
    for row in sorted(rows, key=lambda one: one.origin or one.due):
        if row.origin is not None and row.principal.open:
            slices.append((row.origin, row.principal.open))
        moved.append(_emptied(row, first_due))
    for one, period in planned(event.dues, event.day, contract.grace_days):
        bare = DueRow(None, one.day, period.grace_until, one.day)
        moved.append(period)
        for origin, part in _taken(slices, one.principal):
            moved.append(replace(bare, origin=origin, principal=Claim(part)))
    return in_order(moved)


def _emptied(row: DueRow, first_due: date) -> DueRow:
    """A row without its principal and its period; what else is unpaid is due with the plan."""
    kept = replace(
        row,
        principal=row.principal.grown(-row.principal.open),
        base=0,
        days=0,
        planned_interest=0,
        planned_fees=0,
        planned_others=(),
    )
    return replace(kept, due=first_due, grace_until=first_due) if kept.open else kept


def _taken(slices: list[tuple[date, int]], amount: int) -> Sequence[tuple[date, int]]:
    """So much of the oldest principal that is left."""
    found = []
    while amount:
        origin, left = slices[0]
        part = min(left, amount)
        found.append((origin, part))
        amount -= part
        if part == left:
            slices.pop(0)
        else:
            slices[0] = (origin, left - part)
    return found
