"""From accounts to a loan book: one row for each loan that is mature and clearly good or bad, with
the dates that a node's feature schema asks for: when the outcome was recorded and when it ended,
and of each fact the day that it was of when it was decided on. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from credit.features import FeatureSchema, date_columns
from lending.account.balances import Account
from lending.account.default import Definition, Label, Performance, label
from lending.account.states import LoanStatus
from lending.cases import Value
from lending.errors import PortfolioError

Cell = Value | None
OPENED = "disbursed_on"
"""The column that tells the loans of one person apart: ``latest_by`` of a node's ``data.toml``."""


@dataclass(frozen=True, slots=True)
class BookLoan:
    """A loan and who has it, with what was known of them when it was decided."""

    person: str
    """The pseudonym, as the loan book names people."""
    account: Account
    facts: Mapping[str, Cell]
    """By feature, as of the decision: never as of now. What was refused or absent is None."""
    observed: Mapping[str, date | None] = field(default_factory=dict)
    """By feature, the day that its fact is of (``desk.retention``): of an adverse one that on which
    the behaviour ended."""


@dataclass(frozen=True, slots=True)
class LoanBook:
    """Rows to write, and how many loans are in none, by why."""

    rows: tuple[dict[str, Cell], ...]
    left_out: Mapping[Performance, int]


def mature_book(
    loans: Iterable[BookLoan],
    schema: FeatureSchema,
    person_column: str,
    definition: Definition,
    as_of: date,
) -> LoanBook:
    """The loan book as of a day. Immature and indeterminate loans are no rows; a contract that was
    never paid out is no loan.

    Raises:
        PortfolioError: an account is not known as of that day, or the column of people is also
            another.
    """
    others = {schema.target, *schema.names, *date_columns(schema)}
    if taken := {person_column, OPENED} & others:
        raise PortfolioError(
            f"a loan book has a column {min(taken)!r} of its own, and the schema another: rename it"
        )
    rows: list[dict[str, Cell]] = []
    left_out = Counter[Performance]()
    for loan in loans:
        if loan.account.status is LoanStatus.AGREED:
            continue
        found = label(loan.account, definition, as_of)
        if found.performance in {"immature", "indeterminate"}:
            left_out[found.performance] += 1
            continue
        features = {name: loan.facts.get(name) for name in schema.names}
        own: dict[str, Cell] = {person_column: loan.person, OPENED: loan.account.contract.starts}
        days = days_of(loan.observed, schema)
        rows.append({**own, **features, **days, **_outcome(found, schema)})
    return LoanBook(tuple(rows), dict(left_out))


def days_of(observed: Mapping[str, date | None], schema: FeatureSchema) -> dict[str, Cell]:
    """By date column of the features; where several share one, the earliest day, so that nothing is
    kept for longer than it may be. The one day of an adverse fact is that of its end: when it was
    recorded is then not known, and stays empty."""
    found: dict[str, Cell] = {}
    for one in schema.features:
        for column in filter(None, (one.dated_by, one.ended_by)):
            day = observed.get(one.name) if column == (one.ended_by or one.dated_by) else None
            known = [each for each in (day, found.get(column)) if isinstance(each, date)]
            found[column] = min(known, default=None)
    return found


def _outcome(found: Label, schema: FeatureSchema) -> dict[str, Cell]:
    """The outcome is recorded when the window has elapsed, and ends when the arrears do."""
    cells: dict[str, Cell] = {schema.target: int(found.performance == "bad")}
    if schema.outcome_dated_by:
        cells[schema.outcome_dated_by] = found.matures_on
    if schema.outcome_ended_by:
        cells[schema.outcome_ended_by] = found.ended_on
    return cells
