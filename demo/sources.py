"""A table as a lender would keep it, and read back as its node reads: for attacks on what stands
before the sums."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import sqlalchemy as sa

from clients.data.book import open_source
from clients.data.description import DATA_FILE
from clients.data.importing import import_book
from credit.features import FeatureSchema
from demo.through import Through

PERSON = "person_name"


def reading_through(kind: Through, schema: FeatureSchema) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Writes the rows of a table, one person each, and returns what the gate would be given of
    them, in their order."""

    def read(table: pd.DataFrame) -> pd.DataFrame:
        people = [f"v1.{number:043d}" for number in range(len(table))]
        with TemporaryDirectory() as folder:
            home = Path(folder)
            _write(kind, home, table.assign(**{PERSON: people}), schema)
            rows = pd.concat(open_source(home).rows(people, schema)).sort_index()
        return rows[[schema.target, *schema.names]].reset_index(drop=True)

    return read


def _write(kind: Through, home: Path, table: pd.DataFrame, schema: FeatureSchema) -> None:
    described = {"csv": 'path = "rows.csv"', "parquet": 'path = "rows.parquet"'}
    if kind is Through.BOOK:
        import_book(home / "book.parquet", table, table[PERSON].tolist(), schema, "the table")
        return
    if kind is Through.CSV:
        table.to_csv(home / "rows.csv", index=False)
    if kind is Through.PARQUET:
        table.to_parquet(home / "rows.parquet", index=False)
    if kind is Through.SQLITE:
        url = f"sqlite:///{home / 'rows.db'}"
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            table.to_sql("rows", connection, index=False)
        engine.dispose()
        (home / "url").touch(mode=0o600)
        (home / "url").write_text(url, encoding="utf-8")
        described["sqlite"] = 'url_file = "url"\ntable = "rows"'
    name = "sql" if kind is Through.SQLITE else kind.value
    text = f'kind = "{name}"\nperson = "{PERSON}"\n{described[kind.value]}\n'
    (home / DATA_FILE).write_text(text, encoding="utf-8")
