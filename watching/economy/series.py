"""Public series by month: dated, sourced, and marked where nobody compared them with their
publisher. Pure, but for packaged data.

A value is a decimal as text, as its publisher prints it. A series that *carries* holds a value
until the next one (a rate that is set); any other has gaps where it has them, and says nothing
there.
"""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Annotated, Any

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from crypto.sentences import one_sentence
from watching.errors import WatchError

Month = Annotated[str, Field(pattern=r"^(19|20)\d\d-(0[1-9]|1[0-2])$")]
Decimal = Annotated[str, Field(pattern=r"^-?\d{1,6}(\.\d{1,6})?$")]
PACKAGED = ("unemployment", "cpi", "lpr-1y")
MAX_BYTES = 1 << 20


class PublicSeries(BaseModel):
    """One series and where it is from."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    key: str = Field(pattern="^[a-z0-9-]{1,40}$")
    english: str = Field(min_length=1, max_length=200)
    chinese: str = Field(min_length=1, max_length=200)
    publisher: str = Field(min_length=1, max_length=200)
    source: str = Field(min_length=1, max_length=500)
    checked_on: date
    verified: bool
    """Whether somebody compared the values with their publisher."""
    carries: bool
    values: Mapping[Month, Decimal] = Field(min_length=1, max_length=2400)

    @field_validator("values")
    @classmethod
    def _in_order(cls, values: Mapping[str, str]) -> Mapping[str, str]:
        if any(later <= earlier for earlier, later in pairwise(values)):
            raise ValueError("months stand in order, the oldest first")
        return values

    @property
    def first(self) -> int:
        return month_number(next(iter(self.values)))

    @property
    def last(self) -> int:
        return month_number(list(self.values)[-1])

    def at(self, month: int) -> float | None:
        """The value of a month (:func:`month_number`); None where it has none."""
        if not self.first <= month <= self.last:
            return None
        back = range(month, self.first - 1, -1) if self.carries else (month,)
        found = (self.values.get(month_name(one)) for one in back)
        return next((float(one) for one in found if one is not None), None)

    def mean(self, first: int, last: int) -> float | None:
        """Over these months, both included; None where one of them has no value."""
        values = [self.at(month) for month in range(first, last + 1)]
        known = [one for one in values if one is not None]
        return sum(known) / len(known) if known and len(known) == len(values) else None

    def toml(self) -> str:
        """As it is kept."""
        return tomli_w.dumps(self.model_dump())


def month_number(month: str) -> int:
    """Months since year 0; from 'YYYY-MM'.

    >>> month_name(month_number("2026-12") + 1)
    '2027-01'
    """
    year, _, number = month.partition("-")
    return 12 * int(year) + int(number) - 1


def month_name(number: int) -> str:
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


def read_series(text: str, named: str) -> PublicSeries:
    """From TOML. Raises WatchError: it is none, in one sentence that names it."""
    try:
        return PublicSeries.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise WatchError(f"{named} is no TOML: {error}") from error
    except ValidationError as error:
        raise WatchError(f"{named} is no public series: {one_sentence(error)}") from error


@cache
def packaged(key: str) -> PublicSeries:
    """One of :data:`PACKAGED`. Raises WatchError: there is none of that name."""
    if key not in PACKAGED:
        raise WatchError(f"no series is called {key!r}: there are {', '.join(PACKAGED)}")
    return read_series(
        files("watching.economy").joinpath(f"{key}.toml").read_text(encoding="utf-8"), key
    )


def table(text: str, columns: Mapping[str, bool]) -> list[dict[str, str]]:
    """Rows of a CSV with these columns, true where one must be there.

    Raises:
        WatchError: it has not, or another; or is too large.
    """
    if len(text) > MAX_BYTES:
        raise WatchError("the table is larger than 1 MiB: a row for each month is expected")
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    try:
        rows: list[dict[Any, Any]] = list(reader)
    except csv.Error as error:
        raise WatchError(f"the table is no CSV: {error}") from error
    given = set(reader.fieldnames or ())
    needed = {name for name, must in columns.items() if must}
    ragged = any(None in row or None in row.values() for row in rows)
    if not needed <= given <= set(columns) or ragged or not rows:
        raise WatchError(
            f"the table needs the columns {', '.join(columns)} and a row for each month; it has "
            f"{', '.join(sorted(given)) or 'none'}"
        )
    return rows


def imported(text: str, about: Mapping[str, Any]) -> PublicSeries:
    """From a CSV of ``month`` (YYYY-MM) and ``value``, in any order.

    Args:
        about: the other fields of :class:`PublicSeries`.

    Raises:
        WatchError: a row that is none, a month twice, or a field that does not fit.
    """
    rows = table(text, {"month": True, "value": True})
    values = {row["month"].strip(): row["value"].strip() for row in rows}
    if len(values) < len(rows):
        raise WatchError(
            "a month stands twice in the table: keep the value that was published last"
        )
    try:
        return PublicSeries.model_validate({**about, "values": dict(sorted(values.items()))})
    except ValidationError as error:
        raise WatchError(f"the table is no public series: {one_sentence(error)}") from error


def merged(known: PublicSeries, newer: PublicSeries) -> PublicSeries:
    """Both together: where both have a month, the newer's; verified only if both are."""
    values = dict(sorted({**known.values, **newer.values}.items()))
    sure = known.verified and newer.verified
    return newer.model_copy(update={"values": values, "verified": sure})
