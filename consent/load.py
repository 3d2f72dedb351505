"""Load what a lender's borrowers decided elsewhere, from a CSV or Parquet file, through the registry's own imports.

The file has one row per answer, in the order in which the answers were given: ``number`` (on the lender's roll) or
``pseudonym``; ``sensitivity``, ``action``, ``event_time`` (RFC 3339), ``evidence_sha256``. A batch is accepted whole or
not at all, under one log entry. Several go at once, split by person: one person's answers keep their order.

What was acknowledged is noted beside the file. A load that was cut short goes on from there, and a batch whose answer
was lost is answered as the first time: each is sent under an Idempotency-Key made from its content.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
from sqlalchemy import select

from consent.client import RegistryClient
from consent.commands.import_decisions import MAX_BATCH, Import, import_decisions
from consent.documents import Notice, Party
from consent.errors import ConsentError, Malformed, RegistryUnavailable
from consent.idempotency import Once
from consent.registry import Registry
from consent.storage.tables import SubjectRow
from consent.terms import Channel
from crypto.keys import replace_file

TARGET = "/v1/imports"
_ANSWER = ("sensitivity", "action", "event_time", "evidence_sha256")
_RETRY_S = (1.0, 2.0, 4.0, 8.0, 16.0)
_MOST_PEOPLE = 1 << 31
Row = dict[str, Any]


class Importing(Protocol):
    """Where batches go."""

    def hand_in(self, body: dict[str, Any]) -> None:
        """Record one batch, durable; a batch that was recorded before is not recorded again. Raises ConsentError."""

    def numbers(self) -> dict[str, int]:
        """Number on the roll by pseudonym."""


class OverHttp(RegistryClient):
    """As the lender, to a registry that serves. Arguments as of :class:`RegistryClient`; one for each thread."""

    def _authorization(self, method: str, target: str, content: bytes) -> dict[str, str]:
        key = {"Idempotency-Key": hashlib.sha256(content).hexdigest()} if target == TARGET else {}
        return {**super()._authorization(method, target, content), **key}

    def hand_in(self, body: dict[str, Any]) -> None:
        """While the registry does not answer, ask again for half a minute."""
        for pause in _RETRY_S:
            try:
                self._send("POST", TARGET, body)
                return
            except RegistryUnavailable:
                time.sleep(pause)
        self._send("POST", TARGET, body)

    def numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.roll(0, _MOST_PEOPLE))}


@dataclass(frozen=True)
class Directly:
    """Into the database of a registry that does not serve."""

    registry: Registry
    lender: Party

    def hand_in(self, body: dict[str, Any]) -> None:
        asked = Import.model_validate(body)
        content = json.dumps(body).encode()
        once = Once.of(self.lender.id, hashlib.sha256(content).hexdigest(), "POST", TARGET, content)

        def record() -> tuple[int, dict[str, int]]:
            return 201, {"imported": len(asked.records), "entry_index": self._record(asked)}

        self.registry.once(once, record)

    def _record(self, asked: Import) -> int:
        return import_decisions(self.registry, self.lender, asked)

    def numbers(self) -> dict[str, int]:
        with self.registry.database.read() as session:
            rows = session.execute(
                select(SubjectRow.pseudonym, SubjectRow.number).where(SubjectRow.lender == self.lender.id)
            )
            return {row[0]: row[1] for row in rows}


# --- reading


def _batches(path: Path, rows: int) -> Iterator[pa.RecordBatch]:
    if path.suffix.lower() == ".parquet":
        with pa_parquet.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=rows)
        return
    texts = dict.fromkeys(("pseudonym", *_ANSWER), pa.string())
    convert = pa_csv.ConvertOptions(column_types={"number": pa.int64(), **texts}, strings_can_be_null=False)
    with pa_csv.open_csv(path, convert_options=convert) as reader:
        yield from reader


def _time_text(value: Any) -> str:
    """Parquet has times of its own; one without a zone is UTC."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    return str(value)


def _rows(batch: pa.RecordBatch, numbers: Callable[[], Mapping[str, int]]) -> list[Row]:
    columns = set(batch.schema.names)
    if not columns >= set(_ANSWER) or len(columns & {"number", "pseudonym"}) != 1 or len(columns) != 5:
        raise Malformed(f"the file needs the columns number or pseudonym, {', '.join(_ANSWER)}, and no other")
    named = batch.column("number" if "number" in columns else "pseudonym").to_pylist()
    if "pseudonym" in columns:
        known = numbers()
        if strangers := sum(name not in known for name in named):
            raise Malformed(f"{strangers} of the file's pseudonyms are not on this lender's roll")
        named = [known[name] for name in named]
    rest = [batch.column(name).to_pylist() for name in _ANSWER]
    rest[2] = [_time_text(value) for value in rest[2]]
    return [
        {"number": number, "sensitivity": s, "action": a, "event_time": t, "evidence_sha256": e}
        for number, s, a, t, e in zip(named, *rest, strict=True)
    ]


def read_rows(path: Path, skip: int, size: int, numbers: Callable[[], Mapping[str, int]]) -> Iterator[list[Row]]:
    """The rows of the file after the first ``skip``, at most ``size`` at a time; raises Malformed or OSError."""
    waiting: list[Row] = []
    try:
        for batch in _batches(path, size):
            left, skip = batch.slice(skip), max(0, skip - batch.num_rows)
            if left.num_rows:
                waiting += _rows(left, numbers)
            while len(waiting) >= size:
                yield waiting[:size]
                waiting = waiting[size:]
    except pa.ArrowException as error:
        raise Malformed(f"{path} cannot be read as a table: {str(error).splitlines()[0]}") from error
    if waiting:
        yield waiting


def count_rows(path: Path) -> int | None:
    """How many rows a Parquet file says it has; a CSV file does not say."""
    try:
        return int(pa_parquet.read_metadata(path).num_rows) if path.suffix.lower() == ".parquet" else None
    except pa.ArrowException as error:
        raise Malformed(f"{path} cannot be read as a table: {str(error).splitlines()[0]}") from error


# --- what was answered, and how far


@dataclass(frozen=True)
class Answered:
    """Which text was answered, in which language, over which channel."""

    notice: Notice
    language: str
    channel: Channel

    @property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps(self.body([])).encode()).hexdigest()

    def body(self, rows: Sequence[Row]) -> dict[str, Any]:
        return {
            "notice_id": self.notice.id,
            "notice_version": self.notice.version,
            "notice_language": self.language,
            "notice_sha256": self.notice.text_sha256(self.language),
            "channel": self.channel,
            "records": list(rows),
        }


@dataclass
class Progress:
    """How many rows of a file were acknowledged, for one lender and notice; kept beside the file."""

    path: Path
    about: dict[str, str]
    rows: int = 0

    @classmethod
    def of(cls, source: Path, lender: str, answered: Answered, lanes: int) -> Progress:
        """``lanes``: how many batches go at once; a load goes on with as many as it began with, so that each batch is
        the same as the first time. Raises Malformed when the note is of another load."""
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        about = {"file": digest, "lender": lender, "answered": answered.sha256, "connections": str(lanes)}
        progress = cls(source.with_name(source.name + ".progress"), about)
        if progress.path.exists():
            try:
                found = json.loads(progress.path.read_bytes())
                progress.rows = int(found.pop("rows"))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise Malformed(f"{progress.path} is damaged; what was loaded cannot be told from it") from error
            if found != about:
                raise Malformed(
                    f"{progress.path} is about another file, lender, notice or number of connections; go on as it "
                    "began, or move it away to start anew"
                )
        return progress

    def advance(self, rows: int) -> None:
        self.rows += rows
        replace_file(self.path, json.dumps({**self.about, "rows": self.rows}).encode())


# --- loading


@dataclass
class Loader:
    """``importing``: one way in for each batch that may be under way at a time. ``batch``: rows of one request."""

    importing: Sequence[Importing]
    answered: Answered
    batch: int = MAX_BATCH
    _numbers: dict[str, int] = field(default_factory=dict, repr=False)

    def _roll(self) -> dict[str, int]:
        self._numbers = self._numbers or self.importing[0].numbers()
        return self._numbers

    def load(self, source: Path, progress: Progress, told: Callable[[int], None] = lambda _: None) -> int:
        """Hand in what is not acknowledged yet; returns how many rows that was.

        Raises:
            ConsentError: a batch was refused, by its rows; those before are recorded and noted, it and later ones of
                the same round are not all. Malformed, OSError: the file.
        """
        lanes, before = len(self.importing), progress.rows
        told(progress.rows)
        with ThreadPoolExecutor(lanes) as pool:
            waiting: tuple[int, list[Any]] | None = None
            for rows in read_rows(source, progress.rows, lanes * self.batch, self._roll):
                by_lane: dict[int, list[Row]] = defaultdict(list)
                for row in rows:
                    by_lane[row["number"] % lanes].append(row)
                if waiting is not None:  # the next rows were read while these were under way
                    self._settle(waiting, progress, told)
                sent = [pool.submit(self._lane, self.importing[lane], mine) for lane, mine in by_lane.items()]
                waiting = (len(rows), sent)
            if waiting is not None:
                self._settle(waiting, progress, told)
        return progress.rows - before

    def _lane(self, importing: Importing, rows: Sequence[Row]) -> None:
        for start in range(0, len(rows), self.batch):
            importing.hand_in(self.answered.body(rows[start : start + self.batch]))

    @staticmethod
    def _settle(waiting: tuple[int, list[Any]], progress: Progress, told: Callable[[int], None]) -> None:
        count, sent = waiting
        failures = [error for future in sent if (error := future.exception()) is not None]
        for failure in failures:
            if not isinstance(failure, ConsentError):
                raise failure
            refusal = ConsentError(
                f"one of the rows {progress.rows + 1} to {progress.rows + count} was refused: {failure}; what came "
                "before is recorded, and the same command goes on from here"
            )
            refusal.status, refusal.code = failure.status, failure.code
            raise refusal from failure
        progress.advance(count)
        told(progress.rows)


__all__ = ["Answered", "Directly", "Importing", "Loader", "OverHttp", "Progress", "count_rows"]
