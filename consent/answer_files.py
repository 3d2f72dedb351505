"""Answers that were collected elsewhere, out of a CSV or Parquet file: row by row, each with its
place in the file.

One row per answer: ``number`` (on the lender's roll) or ``pseudonym``; ``sensitivity``, ``action``,
``event_time`` (RFC 3339), ``evidence_sha256``; where somebody else decided or the person is a minor
also ``age_band``, ``guardian_entity_id``, ``authority_evidence_hash``. What does not fit is refused
with the row, the line and the column that it stands in.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pa_parquet
from pydantic import ValidationError

from consent.commands.import_decisions import ImportedRecord
from crypto.sentences import one_sentence
from protocol.errors import Malformed

_ANSWER = ("sensitivity", "action", "event_time", "evidence_sha256")
_AUTHORITY = ("age_band", "guardian_entity_id", "authority_evidence_hash")
_WANTED = (
    f"the file needs the columns number or pseudonym, {', '.join(_ANSWER)}; it may have "
    f"{', '.join(_AUTHORITY)}, and no other"
)
_AT_ONCE = 20_000
_NUMBER = re.compile(r"[0-9]{1,10}")
Numbers = Callable[[], Mapping[str, int]]
"""Number on the lender's roll by pseudonym; asked only for files that name people so."""


class Row(NamedTuple):
    """One answer, as the import takes it."""

    position: int
    """From 1."""
    place: str
    """For people: ``row 7 (line 8)``."""
    answer: dict[str, Any]


def _columns(names: Sequence[str], where: str) -> None:
    """Raises Malformed unless these are the columns of a file of answers."""
    if len(names) == 1 and (other := re.search(r"[;\t|]", names[0])):
        raise Malformed(
            f"{where}: columns are separated by {other[0]!r} here, and must be by commas; {_WANTED}"
        )
    known = {"number", "pseudonym", *_ANSWER, *_AUTHORITY}
    for name in names:
        if name not in known:
            raise Malformed(f"{where}: the column {name!r} is not known; {_WANTED}")
        if names.count(name) > 1:
            raise Malformed(f"{where}: the column {name!r} stands twice; {_WANTED}")
    for name in _ANSWER:
        if name not in names:
            raise Malformed(f"{where}: the column {name!r} is missing; {_WANTED}")
    if len({"number", "pseudonym"} & set(names)) != 1:
        raise Malformed(
            f"{where}: people are named by number or by pseudonym, one of the two; {_WANTED}"
        )


def _lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise Malformed(
                    f"{path}, line {number}: this is not UTF-8; save the file as CSV in UTF-8"
                ) from error


def _csv_rows(path: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Position, place and cells of each row; lines with nothing in them are none."""
    reader = csv.reader(_lines(path), strict=True)
    names: list[str] = []
    position = line = 0
    try:
        for cells in reader:
            begins = line + 1
            line = reader.line_num
            values = [cell.strip() for cell in cells]
            if not any(values):
                continue
            if not names:
                names = values
                _columns(names, f"{path}, line {begins}")
                continue
            position += 1
            place = f"row {position} (line {begins})"
            if len(values) != len(names):
                raise Malformed(
                    f"{path}, {place}: {len(values)} fields where the first line names {len(names)}"
                )
            yield position, place, dict(zip(names, values, strict=True))
    except csv.Error as error:
        raise Malformed(f"{path}, line {line + 1}: this is not CSV ({error})") from error
    if not names:
        raise Malformed(f"{path} is empty; {_WANTED}")


def _parquet_rows(path: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    position = 0
    try:
        with pa_parquet.ParquetFile(path) as file:
            _columns(file.schema_arrow.names, str(path))
            for batch in file.iter_batches(batch_size=_AT_ONCE):
                for values in batch.to_pylist():
                    position += 1
                    yield position, f"row {position}", values
    except pa.ArrowException as error:
        raise Malformed(
            f"{path} cannot be read as a table: {str(error).splitlines()[0]}"
        ) from error


def _time_text(value: Any) -> Any:
    """Parquet has times of its own; one without a zone is UTC."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    return value


def _answer(where: str, values: dict[str, Any], numbers: Numbers) -> dict[str, Any]:
    """The row as the import takes it; raises Malformed."""
    answer = {name: values[name] for name in _ANSWER}
    answer["event_time"] = _time_text(answer["event_time"])
    if authority := {name: values[name] for name in _AUTHORITY if values.get(name)}:
        answer["authority"] = authority
    if "pseudonym" in values:
        number = numbers().get(values["pseudonym"])
        if number is None:
            raise Malformed(f"{where}: this pseudonym is not on this lender's roll")
    else:
        number = values["number"]
        if isinstance(number, str) and _NUMBER.fullmatch(number):
            number = int(number)
        if type(number) is not int:
            raise Malformed(f"{where}: number must be a whole number")
    answer["number"] = number
    try:
        ImportedRecord.model_validate(answer)
    except ValidationError as error:
        raise Malformed(f"{where}: {one_sentence(error)}") from error
    return answer


def read_answers(path: Path, numbers: Numbers) -> Iterator[Row]:
    """Every row of the file, checked; raises Malformed at the first that does not fit, or
    OSError."""
    rows = _parquet_rows(path) if path.suffix.lower() == ".parquet" else _csv_rows(path)
    for position, place, values in rows:
        yield Row(position, place, _answer(f"{path}, {place}", values, numbers))


def count_rows(path: Path) -> int | None:
    """How many rows a Parquet file says it has; a CSV file does not say. Raises Malformed."""
    try:
        return (
            int(pa_parquet.read_metadata(path).num_rows)
            if path.suffix.lower() == ".parquet"
            else None
        )
    except pa.ArrowException as error:
        raise Malformed(
            f"{path} cannot be read as a table: {str(error).splitlines()[0]}"
        ) from error
