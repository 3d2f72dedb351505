"""A lender's values as the schema's, each by itself (:mod:`credit.values`): codes, scales, codes
for missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clients.data.description import Column
from credit.features import FeatureSchema, date_columns
from credit.values import (
    NO_DATE,
    UNREADABLE_DATE,
    Floats,
    as_dates,
    by_code,
    code,
    codes,
    moments,
    number,
    numbers,
)

CHUNK_ROWS = 1 << 16
DIGITS_OF_A_VALUE = 6


@dataclass(frozen=True)
class NoRow:
    """A place in a file where a row should be and is none; it is left out. ``why`` is for the
    operator."""

    file: str
    line: int
    why: str


@dataclass(frozen=True)
class OddQuotes:
    """A record that begins at ``line`` and, by its quotation marks, spans several lines or has no
    end.

    Either somebody's text has line breaks, or the program that wrote the file does not quote what
    people type.
    """

    file: str
    line: int


Told = Callable[[NoRow | OddQuotes], None]


def nobody(_: NoRow | OddQuotes) -> None:
    """Whoever trains is told nothing: what is wrong with a row must not be seen from outside
    (invariant 10)."""


class Reader(Protocol):
    """Rows where they are, in the lender's own columns."""

    def columns(self) -> tuple[str, ...]:
        """The lender's columns, in order. Raises SourceError."""
        ...

    def batches(self, columns: Sequence[str], told: Told = nobody) -> Iterator[pd.DataFrame]:
        """These columns of all rows, about ``CHUNK_ROWS`` at a time, as they are declared where
        they lie.

        Nothing is inferred from the rows: a column has the type of its file or table, or is one of
        objects.

        Raises:
            SourceError: it quotes nothing that is in a row, and no row is the reason for it.
        """
        ...


class Converted(NamedTuple):
    """``values`` as the schema has them: doubles, codes, or dates; missing is NaN, None or NaT."""

    values: NDArray[Any]
    unreadable: int
    """How many are there but are not what they are declared to be. They are missing."""


@dataclass(frozen=True)
class Conversion:
    """One column of the schema, and what becomes of the lender's values for it."""

    name: str
    source: Column
    kind: Literal["number", "category", "date"]
    outcome: bool = False
    """Of an outcome with ``values`` nothing else is one: what is written otherwise must not count
    as its opposite."""

    def of(self, read: pd.Series) -> Converted:
        if self.kind == "date":
            found = moments(read, self.source.format)
            return Converted(as_dates(found), int((found == UNREADABLE_DATE).sum()))
        if self.kind == "category":
            return Converted(self._codes(read), 0)
        values, unreadable = self._numbers(read)
        if self.source.scale != 1:
            with np.errstate(all="ignore"):  # beyond the largest double is infinite
                values = values * self.source.scale
        return Converted(values, int(unreadable.sum()))

    @cached_property
    def _mapped(self) -> Mapping[str | None, str]:
        return {code(ours): theirs for ours, theirs in self.source.values.items()}

    @cached_property
    def _gone(self) -> frozenset[str | None]:
        return frozenset(code(missing) for missing in self.source.missing)

    def _codes(self, read: pd.Series) -> NDArray[np.object_]:
        def one(text: str | None) -> str | None:
            return None if text in self._gone else self._mapped.get(text, text)

        return by_code(read, one, np.object_)

    def _mapped_numbers(self, read: pd.Series) -> NDArray[np.object_]:
        """Codes where one is mapped, however a number is written: "1", " 1", "1.0" and "01" are
        one."""
        by_text = {str(ours).strip(): theirs for ours, theirs in self._mapped.items()}
        by_number = {
            number(ours): theirs
            for ours, theirs in self._mapped.items()
            if not np.isnan(number(ours))
        }

        def one(text: str | None) -> str | None:
            if text is None or text in self._gone:
                return None
            found = by_text.get(text.strip(), by_number.get(number(text)))
            return found if found is not None else "(no outcome)" if self.outcome else text

        return by_code(read, one, np.object_)

    def _numbers(self, read: pd.Series) -> tuple[Floats, NDArray[np.bool_]]:
        found = numbers(
            pd.Series(self._mapped_numbers(read), dtype=object) if self._mapped else read
        )
        values, unreadable = found.values, found.unreadable
        if self.source.missing:
            values = np.where(
                np.isin(values, [number(missing) for missing in self.source.missing]),
                np.nan,
                values,
            )
        if self._gone and unreadable.any():
            text = codes(read[unreadable])
            unreadable = unreadable.copy()
            unreadable[unreadable] = [one not in self._gone for one in text]
        return values, unreadable


def moments_of(source: Column, read: pd.Series) -> NDArray[np.int64]:
    """Of a column that orders a person's rows. Missing is ``NO_DATE``, unreadable
    ``UNREADABLE_DATE``."""
    found = moments(read, source.format)
    gone = [
        moment for moment in (code(missing) for missing in source.missing) if moment is not None
    ]
    return np.where(np.isin(codes(read).astype(str), gone), NO_DATE, found) if gone else found


def conversions(columns: Mapping[str, Column], schema: FeatureSchema) -> tuple[Conversion, ...]:
    """One for each column that the schema declares: the outcome, the features, the dates."""
    kinds: dict[str, Literal["number", "category", "date"]] = {schema.target: "number"}
    kinds |= {
        one.name: "category" if one.kind == "category" else "number" for one in schema.features
    }
    kinds |= dict.fromkeys(date_columns(schema), "date")
    return tuple(
        Conversion(
            name, columns.get(name, Column(column=name)), kind, outcome=name == schema.target
        )
        for name, kind in kinds.items()
    )


def listed(columns: Sequence[str]) -> str:
    """The columns, for a message; not where the first line of a file may be somebody's row."""
    if any(sum(one.isdigit() for one in name) >= DIGITS_OF_A_VALUE for name in columns):
        return "its first line does not look like the names of columns"
    return f"the columns are {', '.join(columns)}"
