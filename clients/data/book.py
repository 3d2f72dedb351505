"""A lender's own rows, keyed by pairwise pseudonym: a loan book in the node's home, or wherever
``data.toml`` says.

Identity numbers are replaced by names when a book is imported and are not kept beside the features.
Only the gate may open a source for reading rows, and the operator's own check, which counts them
(``tests/test_architecture.py`` checks who imports this module).
"""

from __future__ import annotations

from pathlib import Path

from clients.data.description import APPLICANTS_FILE, DATA_FILE, FileDescription
from clients.data.files import FileReader
from clients.data.mapped import MappedSource
from clients.errors import SourceError
from clients.home import BOOK_FILE

PSEUDONYM = "pseudonym"


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


def open_applicants(home: Path) -> MappedSource:
    """What a node's ``applicants.toml`` describes; raises SourceError if it is not sound, or not
    there."""
    if not (home / APPLICANTS_FILE).exists():
        raise SourceError(
            f"{home} has no {APPLICANTS_FILE}, which says where everybody who applied is; write "
            "their rows with: tahini desk export-applicants"
        )
    return MappedSource.load(home, APPLICANTS_FILE)
