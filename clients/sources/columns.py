"""A lender's values as the registry's. Every value is converted by itself: what it becomes depends on no other row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clients.sources.description import Column
from credit.binning import category_code
from credit.features import FeatureRegistry, date_columns

Floats = NDArray[np.float64]
Form = Literal["number", "text", "date", "flaw"]
"""How a column is read: as a double, as text, as a date (or text that may be one), or as whether it is there but is no
number. What cannot be read in that form is missing."""
CHUNK_ROWS = 100_000


@dataclass(frozen=True)
class Wanted:
    """A lender's column, and in which form."""

    column: str
    form: Form


class Reader(Protocol):
    """Rows where they are, in the lender's own columns."""

    def columns(self) -> tuple[str, ...]:
        """The lender's columns, in order. Raises SourceError."""
        ...

    def batches(self, wanted: Mapping[str, Wanted]) -> Iterator[pd.DataFrame]:
        """All rows, about ``CHUNK_ROWS`` at a time, with the columns ``wanted`` under the names given there.

        Raises SourceError, which quotes nothing that is in a row.
        """
        ...


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")


def numbers(values: Iterable[object]) -> Floats:
    """Doubles; what is not a number is missing (NaN). A decimal becomes the double nearest to it."""
    listed = list(values)
    try:
        return np.array(listed, dtype=np.float64)
    except (TypeError, ValueError):
        return np.fromiter((_number(value) for value in listed), dtype=np.float64, count=len(listed))


def dates(values: pd.Series) -> pd.Series:
    """Points in time in UTC, without a zone; text must be ISO 8601, anything else is missing."""
    found = pd.to_datetime(values, errors="coerce", utc=True, format="ISO8601")
    return found.dt.tz_localize(None).astype("datetime64[us]")


@dataclass(frozen=True)
class Conversion:
    """One column of the registry: what to ask the reader for, and what becomes of it."""

    name: str
    source: Column
    kind: Literal["number", "category", "date"]

    @property
    def wanted(self) -> Wanted:
        if self.kind == "date":
            return Wanted(self.source.column, "date")
        coded = self.source.values or any(isinstance(missing, str) for missing in self.source.missing)
        return Wanted(self.source.column, "text" if self.kind == "category" or coded else "number")

    def of(self, read: pd.Series) -> pd.Series:
        """The registry's values: doubles, codes as text, or dates; missing is NaN, None or NaT."""
        if self.kind == "date":
            return dates(read)
        if self.wanted.form == "number":
            return pd.Series(self._scaled(read.to_numpy(dtype=np.float64)), index=read.index)
        codes = self._codes(read)
        if self.kind == "category":
            return codes
        return pd.Series(self._scaled(numbers(codes.array)), index=read.index)

    def unreadable(self, read: pd.Series, flaw: pd.Series | None, converted: pd.Series) -> int:
        """How many values are there, but are not what they are declared to be."""
        if self.kind == "category":
            return 0
        if self.wanted.form == "number":
            return 0 if flaw is None else int(flaw.fillna(False).sum())
        there = read.notna() if self.kind == "date" else self._codes(read).notna()
        return int((there & converted.isna()).sum())

    def _scaled(self, values: Floats) -> Floats:
        missing = [float(missing) for missing in self.source.missing if not isinstance(missing, str)]
        kept = np.where(np.isin(values, missing), np.nan, values) if missing else values
        return kept if self.source.scale == 1 else kept * self.source.scale

    def _codes(self, read: pd.Series) -> pd.Series:
        mapped = {category_code(ours): theirs for ours, theirs in self.source.values.items()}
        gone = {category_code(missing) for missing in self.source.missing}

        def one(value: object) -> str | None:
            if value is None or value != value or value == "":
                return None
            text = category_code(value)
            return None if text in gone else mapped.get(text, text)

        which, different = pd.factorize(read.to_numpy(dtype=object), use_na_sentinel=True)
        became = np.array([*(one(value) for value in different), None], dtype=object)  # -1 stands for what is missing
        return pd.Series(became[which], index=read.index, dtype=object)


def conversions(columns: Mapping[str, Column], registry: FeatureRegistry) -> tuple[Conversion, ...]:
    """One for each column that the registry declares: the outcome, the features, the dates."""
    kinds: dict[str, Literal["number", "category", "date"]] = {registry.target: "number"}
    kinds |= {one.name: "category" if one.kind == "category" else "number" for one in registry.features}
    kinds |= dict.fromkeys(date_columns(registry), "date")
    return tuple(Conversion(name, columns.get(name, Column(column=name)), kind) for name, kind in kinds.items())
