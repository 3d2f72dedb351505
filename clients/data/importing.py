"""Loan books, written: imported under their people's names, and renamed when the names change.

Nothing here reads a row for a model; the gate opens books (:mod:`clients.data.book`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from clients.data.book import PSEUDONYM
from clients.errors import SourceError
from credit.features import FeatureSchema, date_columns
from credit.validation import check_table
from crypto.keys import sync_folder


def import_book(
    path: Path, loans: pd.DataFrame, names: Sequence[str], schema: FeatureSchema, where: str
) -> None:
    """Check ``loans`` against the schema and write the declared columns under the people's names.

    A borrower with several loans stands in it once, by the latest row: the unit of privacy is the
    person.

    Args:
        names: the pairwise name of the person in each row (:mod:`naming.client`).

    Raises:
        SourceError: no rows, or not one name per row. FeatureError: the table does not fit the
            schema.
    """
    if loans.empty:
        raise SourceError(f"{where} has no loans")
    if len(names) != len(loans):
        raise SourceError(
            f"{where} has {len(loans):,} loans and {len(names):,} names; each loan needs its "
            "borrower's"
        )
    check_table(loans, schema, where)
    declared = [schema.target, *schema.names, *date_columns(schema)]
    book = (
        loans[declared].assign(**{PSEUDONYM: list(names)}).drop_duplicates(PSEUDONYM, keep="last")
    )
    _write(path, pa.Table.from_pandas(book, preserve_index=False))


def rename_book(path: Path, names: Mapping[str, str]) -> int:
    """Put each person's new name in place of the old, whole or not at all; returns how many people
    had an old one.

    Doing it again changes nothing. Record the new names in the node's ledger first, see
    :mod:`clients.renaming`.

    Args:
        names: new names by old.

    Raises:
        SourceError: the book cannot be read, or two people would end up under one name.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"cannot read the loan book {path}: {error}") from error
    before = [str(name) for name in table[PSEUDONYM].to_pylist()]
    after = [names.get(name, name) for name in before]
    if len(set(after)) != len(after):
        raise SourceError(
            f"two people in the loan book {path} would have one name; it was left as it is"
        )
    place = table.schema.get_field_index(PSEUDONYM)
    column = table.schema.field(place)
    _write(path, table.set_column(place, column, pa.array(after, type=column.type)))
    return sum(name in names for name in before)


def _write(path: Path, table: pa.Table) -> None:
    """Replace the book, durable when this returns."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    with partial.open("wb") as file:
        pq.write_table(table, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)
