"""The loan book: a lender's own rows, keyed by pairwise pseudonym.

Identity numbers are replaced when a book is imported and are not kept beside the features. Only the gate may open a
book for reading rows (``tests/test_architecture.py`` checks who imports this module).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from clients.errors import SourceError
from credit.features import FeatureRegistry, check_table, date_columns
from crypto.pseudonyms import pairwise_pseudonym

PSEUDONYM = "pseudonym"


def import_book(
    path: Path, loans: pd.DataFrame, identity: str, registry: FeatureRegistry, lender_key: bytes, where: str
) -> None:
    """Check ``loans`` against the registry, replace identities by pseudonyms, write the book.

    A borrower with several loans stands in it once, by the latest row: the unit of privacy is the person.

    Raises:
        SourceError: no rows. FeatureError: the table does not fit the registry.
    """
    if loans.empty:
        raise SourceError(f"{where} has no loans")
    check_table(loans, registry, where)
    names = [pairwise_pseudonym(lender_key, person) for person in loans[identity].astype(str)]
    declared = [registry.target, *registry.names, *date_columns(registry)]
    book = loans[declared].assign(**{PSEUDONYM: names}).drop_duplicates(PSEUDONYM, keep="last")
    partial = path.with_suffix(".partial")
    partial.touch(mode=0o600)
    pq.write_table(pa.Table.from_pandas(book, preserve_index=False), partial)
    partial.replace(path)


@dataclass(frozen=True)
class LoanBook:
    """A book on disk."""

    path: Path

    def people(self) -> list[str]:
        """The pseudonyms in the book; no feature is read."""
        try:
            return [str(name) for name in pq.read_table(self.path, columns=[PSEUDONYM])[PSEUDONYM].to_pylist()]
        except (OSError, pa.ArrowException) as error:
            raise SourceError(f"cannot read the loan book {self.path}: {error}") from error

    def rows(self, people: Collection[str], registry: FeatureRegistry) -> pd.DataFrame:
        """The declared columns of these people, in the order of their pseudonyms."""
        columns = [PSEUDONYM, registry.target, *registry.names, *date_columns(registry)]
        try:
            table = pq.read_table(self.path, columns=columns, filters=[(PSEUDONYM, "in", set(people))])
        except (OSError, pa.ArrowException) as error:
            raise SourceError(f"cannot read the loan book {self.path}: {error}") from error
        frame: pd.DataFrame = table.to_pandas()
        return frame.sort_values(PSEUDONYM, ignore_index=True)
