"""From accounts to a loan book: one row for each loan that is mature and clearly good or bad, with
the dates that a node's feature schema asks for (``outcome_dated_by``, ``outcome_ended_by``). Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from credit.features import FeatureSchema
from lending.account.balances import Account
from lending.account.default import Definition, Label, Performance, label
from lending.account.states import LoanStatus
from lending.cases import Value
from lending.errors import PortfolioError

Cell = Value | None


@dataclass(frozen=True, slots=True)
class BookLoan:
    """A loan and who has it, with what was known of them when it was decided."""

    person: str
    """The pseudonym, as the loan book names people."""
    account: Account
    facts: Mapping[str, Cell]
    """By feature, as of the decision: never as of now. What was refused or absent is None."""


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
    dates = (schema.outcome_dated_by, schema.outcome_ended_by)
    if person_column in {schema.target, *schema.names, *dates}:
        raise PortfolioError(
            f"the column of people, {person_column!r}, is also another's: rename it"
        )
    rows, left_out = [], Counter[Performance]()
    for loan in loans:
        if loan.account.status is LoanStatus.AGREED:
            continue
        found = label(loan.account, definition, as_of)
        if found.performance in {"immature", "indeterminate"}:
            left_out[found.performance] += 1
            continue
        features = {name: loan.facts.get(name) for name in schema.names}
        rows.append({person_column: loan.person, **features, **_outcome(found, schema)})
    return LoanBook(tuple(rows), dict(left_out))


def _outcome(found: Label, schema: FeatureSchema) -> dict[str, Cell]:
    """The outcome is recorded when the window has elapsed, and ends when the arrears do."""
    cells: dict[str, Cell] = {schema.target: int(found.performance == "bad")}
    if schema.outcome_dated_by:
        cells[schema.outcome_dated_by] = found.matures_on
    if schema.outcome_ended_by:
        cells[schema.outcome_ended_by] = found.ended_on
    return cells
