"""What may not stay in a lender's rows: found, deleted, and shown to be gone.

Three things go: rows of people whom the registry ordered erased; rows whose bad outcome ended
longer ago than the law lets an adverse record be kept; and of other rows each adverse value whose
behaviour ended that long ago, with its date (征信业管理条例 16). What has no date of its end stays,
since nothing shows that it is old; it is counted, and training does not use it.

Files are rewritten, each whole or not at all. A database is read and never written to: what is to
go there its owner deletes, and here it is counted until it is gone. No node imports this.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from clients.data.columns import CHUNK_ROWS, Conversion, NoRow, OddQuotes
from clients.data.description import Column
from clients.data.files import FileReader, plain
from clients.data.lines import Lines
from clients.data.mapped import MappedSource
from clients.errors import SourceError
from credit.features import FeatureSchema
from credit.values import UNREADABLE_DATE, codes, moment, moments, number
from crypto.keys import sync_folder
from law.packs import adverse_days

Mask = NDArray[np.bool_]
_BOM = "\ufeff".encode()
_GZIP = b"\x1f\x8b"


@dataclass
class Over:
    """What is in a lender's rows and may not be. Nobody is named."""

    rows: int = 0
    """All that were looked at."""
    erased: int = 0
    """Rows of people who are to be erased."""
    outcomes: int = 0
    """Rows whose bad outcome ended too long ago."""
    records: Counter[str] = field(default_factory=Counter)
    """By adverse feature: values whose behaviour ended too long ago, in rows that stay."""
    undated: int = 0
    """Bad outcomes and adverse values that do not say when they ended. They stay."""

    @property
    def total(self) -> int:
        """How much has to go."""
        return self.erased + self.outcomes + sum(self.records.values())


@dataclass(frozen=True)
class _Found:
    """Of one batch of rows."""

    erased: Mask
    outcomes: Mask
    records: dict[str, Mask]
    """By adverse feature, in rows that stay."""
    undated: int

    @property
    def staying(self) -> Mask:
        return ~(self.erased | self.outcomes)

    @property
    def anything(self) -> bool:
        return not self.staying.all() or any(mask.any() for mask in self.records.values())


@dataclass(frozen=True)
class BookKeeping:
    """The rows of one source, on one day.

    Args:
        erased: pairwise names of people who are to be erased.
    """

    source: MappedSource
    schema: FeatureSchema
    today: date
    erased: frozenset[str] = frozenset()

    def look(self) -> Over:
        """Read all rows and count. Raises SourceError, also for a line of a file that is no row: it
        could be anybody's."""
        found = Over()
        for batch in self.source.reader.batches(self._columns, _unreadable):
            one = self._find(batch)
            found.rows += len(batch)
            found.erased += int(one.erased.sum())
            found.outcomes += int((one.outcomes & ~one.erased).sum())
            found.records.update({name: int(mask.sum()) for name, mask in one.records.items()})
            found.undated += one.undated
        found.records = +found.records
        return found

    def delete(self) -> None:
        """Delete what :meth:`look` counts, and look again.

        Raises:
            SourceError: the rows are in a database; a file cannot be read or written; something is
                still there. Doing it again goes on.
        """
        reader = self.source.reader
        if not isinstance(reader, FileReader):
            raise SourceError(
                f"{self.source.where}: rows are in a database, which nothing here writes to; "
                "delete them there, and run this again"
            )
        for path in reader.files():
            if reader.kind == "csv":
                self._rewrite_csv(Lines(path, reader.delimiter, reader.encoding, reader.quoting))
            else:
                self._rewrite_parquet(path)
        if left := self.look().total:
            raise SourceError(
                f"{self.source.where}: {left:,} things are still there after they were deleted; "
                "does another program write to it?"
            )

    # --- what has to go

    @cached_property
    def _conversions(self) -> dict[str, Conversion]:
        return {one.name: one for one in self.source.conversions(self.schema)}

    @cached_property
    def _before(self) -> int | None:
        """What ended before this moment is over; None where no law of the schema says."""
        days = adverse_days(self.schema.jurisdictions, self.today)
        return None if days is None else moment(self.today - timedelta(days=days))

    @cached_property
    def _columns(self) -> list[str]:
        """The lender's, of all that is looked at."""
        adverse = [one for one in self.schema.features if one.adverse]
        asked = [self.schema.target, self.schema.outcome_ended_by]
        asked += [name for one in adverse for name in (one.name, one.ended_by)]
        mine = [self._conversions[name].source.column for name in asked if name is not None]
        return list(dict.fromkeys([self.source.description.person, *mine]))

    def _find(self, raw: pd.DataFrame) -> _Found:
        names = codes(raw[self.source.description.person])
        erased = np.fromiter((name in self.erased for name in names), bool, len(raw))
        outcomes, records = np.zeros(len(raw), bool), dict[str, Mask]()
        undated = 0
        if self._before is not None:
            bad = ~erased & (self._values(raw, self.schema.target) == 1)
            if self.schema.outcome_ended_by is None:
                undated += int(bad.sum())
            else:
                old, unknown = self._ended(raw, self.schema.outcome_ended_by, self._before)
                outcomes, undated = bad & old, undated + int((bad & unknown).sum())
            for one in self.schema.features:
                if not one.adverse or one.ended_by is None:
                    continue
                values = self._values(raw, one.name)
                there = ~erased & ~outcomes & ~pd.isna(values)
                if one.clean is not None:
                    there &= values != one.clean
                old, unknown = self._ended(raw, one.ended_by, self._before)
                records[one.name] = there & old
                undated += int((there & unknown).sum())
        return _Found(erased, outcomes, records, undated)

    def _values(self, raw: pd.DataFrame, name: str) -> NDArray[Any]:
        conversion = self._conversions[name]
        return np.asarray(conversion.of(raw[conversion.source.column]).values)

    def _ended(self, raw: pd.DataFrame, name: str, before: int) -> tuple[Mask, Mask]:
        """Which ended before a moment, and of which nobody knows when."""
        source = self._conversions[name].source
        found = moments(raw[source.column], source.format)
        unknown = found <= UNREADABLE_DATE
        return ~unknown & (found < before), unknown

    # --- files, written anew

    def _edits(self, found: _Found) -> Iterator[tuple[str, Mask, str | None]]:
        """By the lender's column: where, and what stands there instead; None for nothing.

        A value becomes ``clean`` where the schema has one: whose record was deleted must not be
        told from who never had any. A date goes with its value, unless something else needs it.
        """
        adverse = {one.name: one for one in self.schema.features if one.adverse}
        needed = {one.dated_by for one in self.schema.features}
        needed |= {self.schema.outcome_dated_by, self.schema.outcome_ended_by}
        for name, mask in found.records.items():
            if not mask.any():
                continue
            source, clean = self._conversions[name].source, adverse[name].clean
            yield source.column, mask, None if clean is None else _as_written(clean, source)
            date_column = adverse[name].ended_by
            if date_column not in needed and date_column is not None:
                yield self._conversions[date_column].source.column, mask, None

    def _rewrite_parquet(self, path: Path) -> None:
        with (
            pq.ParquetFile(path, pre_buffer=False) as file,
            _replacing(path) as (out, changed),
            pq.ParquetWriter(out, file.schema_arrow) as writer,
        ):
            for batch in file.iter_batches(CHUNK_ROWS):
                found = self._find(_frame(batch, self._columns))
                writer.write_batch(self._edited(batch, found).filter(pa.array(found.staying)))
                changed(found.anything)

    def _edited(self, batch: pa.RecordBatch, found: _Found) -> pa.RecordBatch:
        for column, mask, text in self._edits(found):
            place = batch.schema.get_field_index(column)
            there = batch.schema.field(place)
            fresh = pa.scalar(text, pa.string()).cast(there.type)
            values = pc.if_else(pa.array(mask), fresh, batch.column(place))
            batch = batch.set_column(place, there, values)
        return batch

    def _rewrite_csv(self, lines: Lines) -> None:
        columns = lines.columns()
        with _replacing(lines.path) as (out, changed), _text(lines, out) as text:
            write = _writer(lines, text)
            write(columns)
            for raw in lines.batches(columns, _unreadable, CHUNK_ROWS):
                found = self._find(raw)
                for column, mask, fresh in self._edits(found):
                    raw[column] = raw[column].mask(mask, fresh or "")
                for row in raw[found.staying].itertuples(index=False, name=None):
                    write(row)
                changed(found.anything)


def _frame(batch: pa.RecordBatch, columns: Sequence[str]) -> pd.DataFrame:
    """As :class:`FileReader` reads it."""
    return pd.DataFrame(
        {
            name: pd.arrays.ArrowExtensionArray(pa.chunked_array([plain(batch[name])]))
            for name in columns
        }
    )


def _as_written(value: float, source: Column) -> str:
    """A number of the schema's as the lender writes it: its code, if it has one."""
    theirs = value / source.scale
    coded = (ours for ours, known in source.values.items() if number(known) == theirs)
    return next(coded, f"{theirs:.15g}")


def _unreadable(found: NoRow | OddQuotes) -> None:
    """A line that is no row could hold what has to go: nothing is shown to be gone."""
    if isinstance(found, NoRow):
        raise SourceError(
            f"line {found.line} of {found.file} is no row ({found.why}); put it right first: "
            "nothing can be shown to be gone from what cannot be read"
        )


@contextmanager
def _replacing(path: Path) -> Iterator[tuple[IO[bytes], Callable[[bool], None]]]:
    """A new file in place of another, durable at the end, if anything was ``changed``; as readable
    as the old one was."""
    there = path.resolve()
    partial = there.with_name(f".{there.name}.retained")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    any_change: list[bool] = []
    try:
        with partial.open("wb") as file:
            yield file, any_change.append
            file.flush()
            os.fsync(file.fileno())
        if any(any_change):
            shutil.copymode(there, partial)
            partial.replace(there)
            sync_folder(there.parent)
    except (OSError, pa.ArrowException, UnicodeEncodeError) as error:
        raise SourceError(f"cannot rewrite {path} ({type(error).__name__})") from None
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _text(lines: Lines, out: IO[bytes]) -> Iterator[IO[str]]:
    """As the old file was written: packed or not, with a byte order mark or not."""
    with lines.path.open("rb") as old:
        packed = old.read(2) == _GZIP
    with gzip.open(lines.path) if packed else lines.path.open("rb") as old:
        marked = old.read(len(_BOM)) == _BOM
    raw = gzip.GzipFile(fileobj=out, mode="wb") if packed else out
    if marked:
        raw.write(_BOM)
    text = io.TextIOWrapper(raw, lines.encoding, newline="")
    try:
        yield text
        text.flush()
    finally:
        text.detach()
        if packed:
            raw.close()


def _writer(lines: Lines, text: IO[str]) -> Callable[[Sequence[str]], object]:
    if lines.quoting == "none":
        return lambda row: text.write(f"{lines.delimiter.join(row)}\n")
    return csv.writer(text, delimiter=lines.delimiter, lineterminator="\n").writerow
