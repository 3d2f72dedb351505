"""CSV and Parquet files of any size, by DuckDB, which holds a few row groups of them at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb
import pandas as pd

from clients.errors import SourceError
from clients.sources.columns import CHUNK_ROWS, Wanted

MEMORY, THREADS = "1GB", 2
"""Of DuckDB, beside what a chunk takes. It never writes: without a folder for what does not fit it gives up instead."""
_DATES = ("DATE", "TIMESTAMP")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _expression(wanted: Wanted, kind: str) -> str:
    """DuckDB's own text-to-double conversion rounds correctly, as Python's does, so that every source agrees."""
    column = _quoted(wanted.column)
    if wanted.form == "date" and kind.startswith(_DATES):
        return f"CAST({column} AS TIMESTAMP)"
    if wanted.form in {"text", "date"}:
        return f"CAST({column} AS VARCHAR)"
    # trim() also keeps the conversion out of the CSV reader, where what is not a number is an error and not missing
    number = f"TRY_CAST(trim({column}) AS DOUBLE)" if kind == "VARCHAR" else f"TRY_CAST({column} AS DOUBLE)"
    return number if wanted.form == "number" else f"{column} IS NOT NULL AND {number} IS NULL"


@dataclass(frozen=True)
class FileReader:
    """``path`` may have wildcards; files then belong together, with columns of the same names."""

    path: Path
    kind: Literal["parquet", "csv"]
    delimiter: str = ","

    def columns(self) -> tuple[str, ...]:
        with closing(_engine()) as engine:
            return tuple(self._kinds(engine))

    def batches(self, wanted: Mapping[str, Wanted]) -> Iterator[pd.DataFrame]:
        with closing(_engine()) as engine:
            kinds = self._kinds(engine)
            asked = ", ".join(f"{_expression(w, kinds[w.column])} AS {_quoted(name)}" for name, w in wanted.items())
            try:
                # columns are quoted, the path is a parameter
                rows = engine.sql(f"SELECT {asked} FROM {self._scan}", params=self._parameters)  # noqa: S608
                for batch in rows.to_arrow_reader(CHUNK_ROWS):
                    frame: pd.DataFrame = batch.to_pandas()
                    yield frame
            except (duckdb.Error, OSError, ValueError) as error:
                raise self._unread(error) from None  # what DuckDB says quotes the line

    @property
    def _scan(self) -> str:
        if self.kind == "parquet":
            return "read_parquet(?)"
        return "read_csv(?, all_varchar = true, header = true, delim = ?, quote = '\"', escape = '\"')"

    @property
    def _parameters(self) -> list[str]:
        return [str(self.path)] if self.kind == "parquet" else [str(self.path), self.delimiter]

    def _kinds(self, engine: duckdb.DuckDBPyConnection) -> dict[str, str]:
        try:
            found = engine.execute(f"DESCRIBE SELECT * FROM {self._scan}", self._parameters).fetchall()  # noqa: S608
        except (duckdb.Error, OSError) as error:
            raise self._unread(error) from None
        return {str(row[0]): str(row[1]) for row in found}

    def _unread(self, error: Exception) -> SourceError:
        return SourceError(f"cannot read {self.path} as {self.kind} ({type(error).__name__})")


def _engine() -> duckdb.DuckDBPyConnection:
    """An engine that fetches nothing from anywhere, in UTC."""
    engine = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": MEMORY,
            "threads": THREADS,
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    engine.execute("SET TimeZone = 'UTC'")
    return engine
