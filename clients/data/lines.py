"""CSV, row by row: what one row says, and whether it is one, depends on no other.

Nothing is guessed from the rows: delimiter and encoding are declared, the first line names the
columns, every value is text. A row is a record of RFC 4180: fields with line breaks, delimiters or
quotation marks stand in quotation marks. A record that is closed is one row or none, with all its
lines: nobody's text becomes somebody's row. A line whose quotation mark is never closed, or stands
where none may, is no row, and the next line is looked at anew.

That promise rests on the program that wrote the file: if it does not quote what people type, a
quotation mark that somebody typed swallows the lines up to the next one, and the file alone cannot
tell. For such files the lender says ``quoting = "none"``: a quotation mark is a character like any
other, and each line is a record.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pandas as pd

from clients.data.columns import NoRow, OddQuotes, Told, nobody
from clients.data.description import Quoting
from clients.errors import SourceError

MAX_RECORD = 1 << 24
"""Characters of one record; a quotation mark that is open for longer is a stray one."""
_BOMS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
QUOTE = '"'


class QuotedRecord:
    """A record of RFC 4180 that is read line by line, and each line once."""

    def __init__(self, delimiter: str) -> None:
        self.delimiter, self.fields = delimiter, list[str]()
        self._within: list[str] | None = None  # of a field whose quotation marks are open

    def ends_with(self, line: str) -> bool:
        """Whether it ends with this line, whose line break is left off. Raises ValueError: a
        quotation mark stands where none may (RFC 4180, section 2, rules 5 to 7)."""
        at = 0
        if self._within is not None:
            self._within.append("\n")
        elif QUOTE not in line:
            self.fields = line.split(self.delimiter)
            return True
        while True:
            if self._within is None and line.startswith(QUOTE, at):
                self._within, at = [], at + 1
            if self._within is None:
                end = line.find(self.delimiter, at)
                field, at = (line[at:], len(line)) if end < 0 else (line[at:end], end)
                if QUOTE in field:
                    raise ValueError("a quotation mark within a field that does not begin with one")
                self.fields.append(field)
            elif (at := self._closed(self._within, line, at)) < 0:
                return False
            if at == len(line):
                return True
            if not line.startswith(self.delimiter, at):
                raise ValueError("something stands between a quotation mark and the next field")
            at += len(self.delimiter)

    def _closed(self, parts: list[str], line: str, at: int) -> int:
        """Where the quotation marks around a field end; -1 where they do not end in this line."""
        while (end := line.find(QUOTE, at)) >= 0:
            parts.append(line[at:end])
            if not line.startswith(QUOTE, end + 1):
                self.fields.append("".join(parts))
                self._within = None
                return end + 1
            parts.append(QUOTE)
            at = end + 2
        parts.append(line[at:])
        return -1


class _Record(NamedTuple):
    """One row, or ``why`` it is none. ``odd`` if its quotation marks say that it has several lines,
    or no end."""

    fields: list[str] | None = None
    why: str = ""
    odd: bool = False


@dataclass(frozen=True)
class Lines:
    """One CSV file."""

    path: Path
    delimiter: str
    encoding: str
    quoting: Quoting = "rfc4180"

    def columns(self) -> tuple[str, ...]:
        """The header. Raises SourceError."""
        with closing(self._records(nobody)) as records:
            return tuple(next(records))

    def batches(self, columns: Sequence[str], told: Told, rows: int) -> Iterator[pd.DataFrame]:
        with closing(self._records(told)) as records:
            header = next(records)
            places = [header.index(name) for name in columns]
            while chunk := list(islice(records, rows)):
                yield pd.DataFrame(
                    {
                        name: pd.Series(_column(chunk, place), dtype=object)
                        for name, place in zip(columns, places, strict=True)
                    }
                )

    def _records(self, told: Told) -> Generator[list[str], None, None]:
        """The header, then every row."""
        with self._opened() as file:
            numbered = _Numbered(file, self._decoded)
            header = self._header(numbered)
            yield header
            while (first := numbered.next()) is not None:
                begins = numbered.line
                found = self._record(first, numbered, len(header))
                if found.odd:
                    told(OddQuotes(str(self.path), begins))
                if found.fields is not None:
                    yield found.fields
                elif found.why:
                    told(NoRow(str(self.path), begins, found.why))

    def _header(self, numbered: _Numbered) -> list[str]:
        first = numbered.next()
        if first is None:
            raise SourceError(f"{self.path} is empty; its first line must name the columns")
        if isinstance(first, UnicodeDecodeError):
            raise SourceError(
                f"line 1 of {self.path} is not {self.encoding.upper()}; {_advice(self.encoding)}"
            )
        record = QuotedRecord(self.delimiter)
        try:
            whole = self._ended(record, first.removeprefix("\ufeff"))
        except ValueError:
            whole = False
        header = record.fields
        if not whole:
            raise SourceError(
                f"line 1 of {self.path} must name the columns; it has a stray quotation mark"
            )
        if twice := [name for place, name in enumerate(header) if name in header[:place]]:
            raise SourceError(f"{self.path}: two columns are named {twice[0]!r}")
        return header

    def _ended(self, record: QuotedRecord, line: str) -> bool:
        if self.quoting == "rfc4180":
            return record.ends_with(line)
        record.fields = line.split(self.delimiter)
        return True

    def _record(self, first: str | UnicodeDecodeError, numbered: _Numbered, width: int) -> _Record:
        """The record that begins with a line, or why there is none: empty for an empty line.

        A record whose quotation marks are closed takes its lines with it, row or not: what stands
        between them is one person's text, and must not be read as somebody's row.
        """
        text, torn, more = self._readable(first), isinstance(first, UnicodeDecodeError), 0
        if not text:
            return _Record()
        record, size = QuotedRecord(self.delimiter), len(text)
        try:
            while not self._ended(record, text):
                more += 1
                line = numbered.peek(more)
                if line is None or size > MAX_RECORD:
                    return _Record(why="a quotation mark is not closed", odd=True)
                torn |= isinstance(line, UnicodeDecodeError)
                text = self._readable(line)
                size += len(text)
        except ValueError as error:
            return _Record(why=str(error), odd=True)
        found = record.fields
        numbered.skip(more)
        if torn:
            return _Record(
                None, f"it is not {self.encoding.upper()}; {_advice(self.encoding)}", more > 0
            )
        if len(found) != width:
            return _Record(None, f"it has {len(found)} fields, the header has {width}", more > 0)
        return _Record(found, odd=more > 0)

    def _readable(self, line: str | UnicodeDecodeError) -> str:
        return line if isinstance(line, str) else line.object.decode(self.encoding, "replace")

    def _decoded(self, line: bytes) -> str | UnicodeDecodeError:
        try:
            return line.decode(self.encoding)
        except UnicodeDecodeError as error:
            return error

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        """The file, unpacked. Raises SourceError."""
        try:
            with self.path.open("rb") as raw:
                packed = raw.peek(2)[:2] == b"\x1f\x8b"
                with gzip.open(raw) if packed else raw as file:
                    if bom := _BOMS.get(file.peek(2)[:2]):
                        raise SourceError(f"{self.path} is {bom} text; save it as UTF-8")
                    yield file  # type: ignore[misc]
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(f"cannot read {self.path} as csv ({type(error).__name__})") from None


def _column(chunk: list[list[str]], place: int) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    return np.fromiter((row[place] for row in chunk), dtype=object, count=len(chunk))


def _advice(encoding: str) -> str:
    if encoding == "utf-8":
        return 'if it was saved by a Chinese Excel, say encoding = "gb18030" in data.toml'
    return "say the right encoding in data.toml"


class _Numbered:
    """Lines with a look ahead; ``line`` is the number of the one that was taken last."""

    def __init__(
        self, file: BinaryIO, decoded: Callable[[bytes], str | UnicodeDecodeError]
    ) -> None:
        self._file = file
        self._decoded = decoded
        self._ahead = list[str | UnicodeDecodeError]()
        self._taken = self.line = 0

    def next(self) -> str | UnicodeDecodeError | None:
        if self._taken < len(self._ahead):
            self._taken += 1
            self.line += 1
            return self._ahead[self._taken - 1]
        self._ahead.clear()
        self._taken = 0
        found = self._read()
        self.line += found is not None
        return found

    def peek(self, ahead: int) -> str | UnicodeDecodeError | None:
        while len(self._ahead) < self._taken + ahead:
            found = self._read()
            if found is None:
                return None
            self._ahead.append(found)
        return self._ahead[self._taken + ahead - 1]

    def skip(self, count: int) -> None:
        self._taken += count
        self.line += count

    def _read(self) -> str | UnicodeDecodeError | None:
        line = self._file.readline()
        return self._decoded(line.rstrip(b"\r\n")) if line else None
