"""Everybody who applied and was decided about, lent to or not, as a node's ``applicants.toml``
reads it: what a campaign that watches who comes through the door counts.

One row for each application, with what was known when it was first decided, of which day, and
whether it was approved in the end; who applied twice has two, and the node reads the latest of a
period (``latest_by = "applied_on"``). What was refused or disputed then is empty; what is forgotten
is in no row; and who said no to being watched is left to the node's gate, which asks the registry.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import select

from credit.features import FeatureSchema, date_columns
from crypto.errors import SealError
from desk.commands.export_book import PERSON, require_table, write_rows
from desk.office import Desk
from desk.records import opened_case, usable_key
from desk.storage.tables import applications, decisions
from lending.portfolio.labels import days_of
from protocol.errors import Malformed
from protocol.watched import APPLIED, APPROVED

_YES, _NO = frozenset({"approve", "counter"}), frozenset({"decline"})


@dataclass(frozen=True)
class ApplicantsWritten:
    """Rows, and how many applications are in none: of another day, not decided by anybody yet, or
    forgotten."""

    rows: int
    undecided: int
    forgotten: int


def export_applicants(
    desk: Desk, schema: FeatureSchema, since: date, until: date, out: Path
) -> ApplicantsWritten:
    """Write those who applied from ``since`` to before ``until``, as CSV or Parquet by the name of
    ``out``.

    Raises:
        Malformed: the file's name ends otherwise, the days are in no order or to come, or the
            schema has a column of the same name as one of ours.
    """
    require_table(out)
    with desk.reading() as hand:
        if not since < until <= desk.day(hand.moment):
            raise Malformed(f"from {since} to before {until} is no period that is over")
    dates = (APPLIED, *date_columns(schema))
    if taken := {PERSON, APPLIED, APPROVED} & {*schema.names, *date_columns(schema)}:
        raise Malformed(f"the schema has a column {min(taken)!r}, and the rows one of their own")
    missed = {"undecided": 0, "forgotten": 0}
    rows = list(_rows(desk, schema, (since, until), missed))
    write_rows(rows, [PERSON, *schema.names, APPROVED], dates, out)
    return ApplicantsWritten(len(rows), **missed)


def _rows(
    desk: Desk, schema: FeatureSchema, period: tuple[date, date], missed: dict[str, int]
) -> Iterator[dict[str, Any]]:
    statement = (
        select(decisions, usable_key(), applications.c.pseudonym, applications.c.received_at)
        .join(applications, applications.c.id == decisions.c.application)
        .order_by(applications.c.number, decisions.c.number)
    )
    with desk.reading() as hand:
        found = hand.connection.execute(statement).all()
    last = {row.application: row.outcome for row in found}
    for row in found:
        day = desk.day(row.received_at)
        if row.id != row.application or not period[0] <= day < period[1]:
            continue  # a later decision about the same application; another day
        outcome = last[row.application]
        if outcome not in _YES | _NO:
            missed["undecided"] += 1
            continue
        try:
            case = opened_case(row.sealed, desk.at_rest.of(row.application, row.wrapped_key))
        except SealError:
            missed["forgotten"] += 1
            continue
        known = {name: one for name, one in case.facts.items() if one.status == "present"}
        observed = {name: one.observed_on for name, one in known.items()}
        facts = {name: known[name].value if name in known else None for name in schema.names}
        own = {PERSON: row.pseudonym, APPLIED: day, APPROVED: int(outcome in _YES)}
        yield {**own, **facts, **days_of(observed, schema)}
