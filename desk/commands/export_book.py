"""The loop closes: from accounts a loan book with mature labels, which a node's ``data.toml`` reads
and trains on.

One row for each loan whose performance window has elapsed and that is clearly good or bad, with
what was known when it was decided, and of which day: never what was learned since (no leakage).
What was refused or disputed then is empty, and who withdrew since is left to the node's gate, which
asks the registry. Who borrowed twice has two rows: the node reads the latest (``latest_by =
"disbursed_on"``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from credit.features import FeatureSchema, date_columns
from desk.accounts import lent_by
from desk.office import Desk
from lending.account.default import Definition
from lending.portfolio.labels import OPENED, BookLoan, Cell, mature_book
from protocol.errors import Malformed

PERSON = "pseudonym"


@dataclass(frozen=True)
class BookWritten:
    """What was written, and how many loans were not, by why."""

    rows: int
    left_out: dict[str, int]


def export_book(
    desk: Desk, schema: FeatureSchema, definition: Definition, as_of: date, out: Path
) -> BookWritten:
    """Write the book as of a day, as CSV or Parquet by the name of ``out``.

    Raises:
        Malformed: the file's name ends otherwise, or the day is to come.
    """
    require_table(out)
    with desk.reading() as hand:
        if as_of > desk.day(hand.moment):
            raise Malformed(f"{as_of} is still to come")
    forgotten: list[str] = []
    book = mature_book(_loans(desk, as_of, forgotten), schema, PERSON, definition, as_of)
    dates = (OPENED, *date_columns(schema))
    write_rows(book.rows, [PERSON, *schema.names, schema.target], dates, out)
    left: dict[str, int] = {str(why): count for why, count in book.left_out.items()}
    return BookWritten(len(book.rows), left | ({"forgotten": len(forgotten)} if forgotten else {}))


def _loans(desk: Desk, as_of: date, forgotten: list[str]) -> Iterator[BookLoan]:
    """With the facts of the machine's decision, which every application begins with."""
    for loan, account, case in lent_by(desk, as_of):
        if case is None:
            forgotten.append(loan.id)
            continue
        known = {name: one for name, one in case.facts.items() if one.status == "present"}
        facts: dict[str, Cell] = {name: one.value for name, one in known.items()}
        days = {name: one.observed_on for name, one in known.items()}
        yield BookLoan(loan.pseudonym, account, facts, days)


def require_table(out: Path) -> None:
    """Raises Malformed unless the file's name says in which form it is written."""
    if out.suffix not in {".csv", ".parquet"}:
        raise Malformed("rows are written to a .csv or a .parquet file")


def write_rows(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], dates: Sequence[str], out: Path
) -> None:
    """All columns, also where there is no row; the file is whole or not there."""
    columns = {name: [row.get(name) for row in rows] for name in (*names, *dates)}
    kinds = dict.fromkeys(dates, pa.date32())
    table = pa.table({name: pa.array(one, kinds.get(name)) for name, one in columns.items()})
    beside = out.with_name(f".{out.name}.partial")
    try:
        if out.suffix == ".csv":
            arrow_csv.write_csv(table, beside)
        else:
            pq.write_table(table, beside)
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)
