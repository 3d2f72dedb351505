"""A lender's own rows, keyed by pairwise pseudonym: a loan book in the node's home, or wherever
``data.toml`` says.

Identity numbers are replaced by names when a book is imported and are not kept beside the features.
Only the gate may open a source for reading rows, and the operator's own check, which counts them
(``tests/test_architecture.py`` checks who imports this module).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from clients.data.description import DATA_FILE, FileDescription
from clients.data.files import FileReader
from clients.data.mapped import MappedSource
from clients.errors import SourceError
from clients.home import BOOK_FILE
from credit.features import FeatureSchema, check_table, date_columns
from crypto.keys import sync_folder

PSEUDONYM = "pseudonym"


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


def loan_book(path: Path) -> MappedSource:
    """A book on disk, whose columns are the schema's own."""
    description = FileDescription(kind="parquet", path=path.name, person=PSEUDONYM)
    return MappedSource(
        description, FileReader(path.parent, path.name, "parquet"), f"the loan book {path}"
    )


def open_source(home: Path) -> MappedSource:
    """Where a node's rows are: what its ``data.toml`` describes, else its loan book.

    Raises:
        SourceError: the description is not sound, or there is a book beside what it describes.
    """
    book = home / BOOK_FILE
    if not (home / DATA_FILE).exists():
        return loan_book(book)
    source = MappedSource.load(home)
    reader = source.reader
    if book.exists() and not (isinstance(reader, FileReader) and book in reader.files()):
        raise SourceError(
            f"{home} has an imported loan book, {BOOK_FILE}, and a {DATA_FILE} that describes "
            "other rows; move the one that is not to be used elsewhere"
        )
    return source
