"""``data.toml`` in a node's home: where the lender's rows are, and which of its columns is which
feature."""

from __future__ import annotations

import math
import re
import tomllib
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from clients.errors import SourceError
from credit.values import UNIX_FORMATS, moment
from crypto.sentences import one_sentence

DATA_FILE = "data.toml"
APPLICANTS_FILE = "applicants.toml"
"""The same about everybody who applied, lent to or not: what a campaign that watches who comes
through the door counts."""
Name = Annotated[str, Field(min_length=1, max_length=200)]
Quoting = Literal["rfc4180", "none"]
_UTC_DAYS = tuple(
    datetime(year, month, day, hour, 59, 58, 123456, UTC)
    for year, month, day, hour in ((1987, 11, 23, 4), (2004, 2, 29, 23), (2026, 6, 5, 15))
)
_ELSEWHERE = tuple(day.astimezone(timezone(timedelta(hours=8))) for day in _UTC_DAYS)
_PRECISIONS: tuple[dict[str, Any], ...] = (
    {},
    {"microsecond": 0},
    {"second": 0},
    {"minute": 0},
    {"hour": 0},
    {"day": 1},
)
"""What a format may leave out, each with all before it: a month alone is its first day."""


def can_be_read_back(form: str) -> bool:
    """Whether days that are written in a format of ``strptime`` are read as the days that they are.

    To whatever precision the format has, a month at least, and in whatever zone if it has one.
    """
    expected: dict[str, Any] = {}
    for step in _PRECISIONS:
        expected |= step
        days = _UTC_DAYS + _ELSEWHERE if re.search("%[zZ]", form) else _UTC_DAYS
        try:
            if all(
                moment(day.strftime(form), form) == moment(day.replace(**expected)) for day in days
            ):
                return True
        except (ValueError, re.error):  # no format at all; the same code twice
            return False
    return False


class Column(BaseModel):
    """The lender's column that holds a feature, and how its values become the registry's.

    ``missing`` lists codes that mean "not known" (-999), as the lender writes them, before
    ``scale``; ``scale`` multiplies a number; ``values`` maps the lender's codes to the registry's,
    others stay as they are; ``format`` says how dates are written that are not ISO 8601
    (``"%d/%m/%Y"``, ``"%Y年%m月%d日"``, ``"unix"``, ``"unix_ms"``); a month alone is its first day.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    column: Name
    scale: float = 1.0
    missing: tuple[float | str, ...] = ()
    values: dict[str, str] = {}
    format: str | None = Field(default=None, min_length=2, max_length=100)

    @field_validator("format")
    @classmethod
    def _written(cls, form: str | None) -> str | None:
        if form is not None and form not in UNIX_FORMATS and not can_be_read_back(form):
            raise ValueError(
                "a date that is written in this format cannot be read back; a format has Python's "
                "codes of strptime "
                'for day, month and year, as "%d/%m/%Y" or "%Y-%m-%d %H:%M:%S", or for month and '
                "year (which is the "
                'first of the month), or is "unix" or "unix_ms"'
            )
        return form

    @field_validator("values", mode="before")
    @classmethod
    def _codes(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {
            code: str(value) if isinstance(value, int | float) else value
            for code, value in values.items()
        }

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.scale == 0 or not math.isfinite(self.scale):
            raise ValueError("a scale is a number other than zero")
        return self


class _Described(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    person: Name
    """The column with people's pairwise names (``tahini book name``)."""
    latest_by: Column | None = None
    """The column with a date by which a person's latest row is the one that counts; a name alone,
    or with its format.

    Without it a person may have one row only.
    """
    columns: dict[str, Column] = {}
    """By feature, outcome or date column of the registry; one that is not listed is in the column
    of its own name."""

    @model_validator(mode="before")
    @classmethod
    def _no_secret(cls, data: Any) -> Any:
        if isinstance(data, dict) and {"url", "password"} & data.keys():
            raise ValueError(
                "keep the URL out of this file: say url_env or url_file, a variable or file that "
                "holds it"
            )
        return data

    @field_validator("latest_by", mode="before")
    @classmethod
    def _named(cls, column: Any) -> Any:
        return {"column": column} if isinstance(column, str) else column

    @field_validator("columns", mode="before")
    @classmethod
    def _short(cls, columns: Any) -> Any:
        """A name alone is a column without further ado."""
        if not isinstance(columns, dict):
            return columns
        return {
            name: {"column": found} if isinstance(found, str) else found
            for name, found in columns.items()
        }


class FileDescription(_Described):
    """``path`` is relative to the node's home and may have wildcards."""

    kind: Literal["parquet", "csv"]
    path: Name
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    encoding: str = "utf-8"
    """Of a CSV file: the name of an encoding whose lines end in the byte 10, such as utf-8, gb18030
    or big5."""
    quoting: Quoting = "rfc4180"
    """Of a CSV file: "none" if the program that wrote it does not quote. A quotation mark is then a
    character like any other and each line is a record, so that nothing that somebody typed within a
    line reaches another one."""

    @field_validator("delimiter")
    @classmethod
    def _divides(cls, delimiter: str) -> str:
        if delimiter in '"\r\n':
            raise ValueError("a delimiter is neither a quotation mark nor a line break")
        return delimiter

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str) -> str:
        try:
            alike = "\n".encode(encoding) == b"\n"
        except LookupError:
            raise ValueError(
                f"there is no encoding {encoding!r}; utf-8, gb18030 and big5 are some"
            ) from None
        if not alike:
            raise ValueError(
                f"a CSV file in {encoding} cannot be read line by line; save it as UTF-8"
            )
        return "utf-8" if encoding.lower() in {"utf8", "utf-8-sig"} else encoding

    @field_validator("path")
    @classmethod
    def _here(cls, path: str) -> str:
        if "://" in path:
            raise ValueError("rows are read from files of this machine only")
        return path


class SqlDescription(_Described):
    """``table`` or ``query``; the URL, which may hold a password, is kept elsewhere.

    A table of another schema is ``schema.table``, or ``table`` and ``schema`` where either has a
    dot in its name.
    """

    kind: Literal["sql"]
    url_env: Name | None = None
    url_file: Name | None = None
    table: Name | None = None
    schema_: Name | None = Field(default=None, alias="schema")
    query: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.url_env is None) == (self.url_file is None):
            raise ValueError("say where the database's URL is: either url_env or url_file")
        if (self.table is None) == (self.query is None):
            raise ValueError("say what to read: either table or query")
        return self


Description = FileDescription | SqlDescription
_ANY: TypeAdapter[Description] = TypeAdapter(Annotated[Description, Field(discriminator="kind")])


def load_description(path: Path) -> Description:
    """Read a ``data.toml``; raises SourceError with one sentence that names the place, never a
    value."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot read {path} ({type(error).__name__})") from error
    except tomllib.TOMLDecodeError as error:
        raise SourceError(f"{path} is not TOML: {error}") from error
    try:
        return _ANY.validate_python(data)
    except ValidationError as error:
        said = one_sentence(error, lambda place: place.partition(".")[2] or place)
    raise SourceError(f"{path}: {said}")
