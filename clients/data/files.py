"""CSV and Parquet files of any size, a bounded number of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from clients.data.columns import CHUNK_ROWS, Told, nobody
from clients.data.description import Quoting
from clients.data.lines import Lines
from clients.errors import SourceError


@dataclass(frozen=True)
class FileReader:
    """``pattern`` is a path below ``home``, or from the root, and may have wildcards unless a file
    has just that name.

    Files then belong together: each has the columns that are asked for, in whatever order.
    """

    home: Path
    pattern: str
    kind: Literal["parquet", "csv"]
    delimiter: str = ","
    encoding: str = "utf-8"
    quoting: Quoting = "rfc4180"

    def files(self) -> list[Path]:
        """In order of their names. Raises SourceError if there is none."""
        plain = self.home / self.pattern
        if plain.is_file():
            return [plain]
        try:
            found = [path for path in _matching(self.home, Path(self.pattern)) if path.is_file()]
        except ValueError as error:
            raise SourceError(f"the path {self.pattern!r} is no pattern: {error}") from None
        if not found:
            raise SourceError(f"cannot read {plain} as {self.kind}: there is no such file")
        return sorted(found)

    def columns(self) -> tuple[str, ...]:
        """Those that all files have, in the order of the first."""
        each = [self._columns(path) for path in self.files()]
        return tuple(name for name in each[0] if all(name in others for others in each))

    def batches(self, columns: Sequence[str], told: Told = nobody) -> Iterator[pd.DataFrame]:
        for path in self.files():
            if self.kind == "csv":
                yield from self._lines(path).batches(columns, told, CHUNK_ROWS)
            else:
                yield from _parquet(path, columns)

    def _lines(self, path: Path) -> Lines:
        return Lines(path, self.delimiter, self.encoding, self.quoting)

    def _columns(self, path: Path) -> tuple[str, ...]:
        if self.kind == "csv":
            return self._lines(path).columns()
        try:
            return tuple(pq.read_schema(path).names)
        except (OSError, pa.ArrowException) as error:
            raise _unread(path, error) from None


def _parquet(path: Path, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Each column with the type that the file declares."""
    wanted = list(dict.fromkeys(columns))
    try:
        # read ahead, Arrow would keep all of a file that it has read until the file is closed
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(CHUNK_ROWS, columns=wanted):
                yield pd.DataFrame(
                    {
                        name: pd.arrays.ArrowExtensionArray(pa.chunked_array([plain(batch[name])]))
                        for name in wanted
                    }
                )
    except (OSError, KeyError, pa.ArrowException) as error:
        raise _unread(path, error) from None


def plain(column: pa.Array) -> pa.Array:
    """A column in one of the types that every look at a value knows, by its declared type alone:
    what an extension type (JSON, say) stores, and views of text as text, whose bytes nobody
    checks."""
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if pa.types.is_dictionary(column.type) and pa.types.is_string_view(column.type.value_type):
        column = column.dictionary_decode()
    if pa.types.is_string_view(column.type):
        held = column.cast(pa.large_binary())
        buffers = held.buffers()
        return pa.Array.from_buffers(pa.large_string(), len(held), buffers, offset=held.offset)
    return column


def _unread(path: Path, error: Exception) -> SourceError:
    return SourceError(f"cannot read {path} as parquet ({type(error).__name__})")


def _matching(home: Path, pattern: Path) -> Iterator[Path]:
    """Folders whose very name a part of the pattern is, brackets and all, before those that match
    it as a wildcard."""
    found = [Path(pattern.anchor) if pattern.is_absolute() else home]
    for part in pattern.relative_to(pattern.anchor).parts:
        found = [
            path
            for folder in found
            if folder.is_dir()
            for path in ([folder / part] if (folder / part).exists() else folder.glob(part))
        ]
    yield from found
