"""Rows of law, and which of them is in force on a day.

A row holds from its first day to the day before ``until``. Before a key's first row, after its last
and in a gap the tables are silent, and :class:`LawSilent` says so in a sentence: what needs the row
does not happen. A lender adds rows of its own, such as next month's LPR, with
:meth:`Laws.with_rows`; they are part of :attr:`Laws.hash`, which every decision carries.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import cached_property
from importlib.resources import files
from itertools import groupby, pairwise
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from crypto.documents import document_hash
from crypto.sentences import one_sentence
from law.categories import DataCategory
from law.packs import PACKS, Bar, Jurisdiction
from lending.errors import LawSilent, LawTableError


class LawRow(BaseModel):
    """One value that a law sets, for as long as it does: from ``since``, before ``until``."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    key: str = Field(pattern="^[a-z0-9.-]+$")
    value: int | str | tuple[str, ...]
    """A whole number, a decimal as text, a word or words: never a double."""
    times: str = ""
    """The key whose value of the day this one multiplies."""
    since: date = Field(alias="from")
    until: date | None = None
    article: str = Field(min_length=1)
    source: str = Field(min_length=1)
    verified: bool
    """Whether somebody read the source; where not, counsel must before it is relied on."""

    @model_validator(mode="before")
    @classmethod
    def _no_double(cls, given: Any) -> Any:
        value = given.get("value")
        if isinstance(value, bool | float):
            raise ValueError(f"{value!r} must be a whole number, or a decimal as text")
        return {**given, "value": tuple(value)} if isinstance(value, list) else given

    @model_validator(mode="after")
    def _makes_sense(self) -> LawRow:
        if self.bars and (unknown := sorted(set(self.words) - set(DataCategory))):
            raise ValueError(f"no category of data is called {unknown[0]!r}")
        if self.until is not None and self.until <= self.since:
            raise ValueError(f"it ends on {self.until}, not after its first day {self.since}")
        return self

    @property
    def bars(self) -> bool:
        """It names kinds of data that no score and no policy may read."""
        return self.key.startswith(("forbidden.", "protected."))

    def holds(self, day: date) -> bool:
        return self.since <= day and (self.until is None or day < self.until)

    @property
    def number(self) -> Decimal:
        """The value, where it is a number."""
        try:
            return Decimal(self.value if isinstance(self.value, int | str) else "words")
        except InvalidOperation as error:
            raise LawTableError(
                f"{self.key} of {self.since} is {self.value!r}, no number"
            ) from error

    @property
    def words(self) -> tuple[str, ...]:
        return self.value if isinstance(self.value, tuple) else (str(self.value),)

    def payload(self) -> dict[str, Any]:
        """As it is hashed."""
        return self.model_dump(mode="json", by_alias=True)


@dataclass(frozen=True)
class Laws:
    """The tables of every jurisdiction."""

    rows: Mapping[Jurisdiction, tuple[LawRow, ...]]

    @cached_property
    def _by_key(self) -> dict[tuple[str, str], tuple[LawRow, ...]]:
        found: dict[tuple[str, str], tuple[LawRow, ...]] = {}
        for place, rows in self.rows.items():
            for key, same in groupby(sorted(rows, key=_order), lambda row: row.key):
                found[place, key] = tuple(same)
        return found

    def find(self, jurisdiction: Jurisdiction, key: str, day: date) -> LawRow | None:
        """The row in force; None if none is, where that has a meaning of its own."""
        rows = self._by_key.get((jurisdiction, key), ())
        return next((row for row in rows if row.holds(day)), None)

    def at(self, jurisdiction: Jurisdiction, key: str, day: date) -> LawRow:
        """The row in force. Raises LawSilent: none is."""
        row = self.find(jurisdiction, key, day)
        if row is None:
            raise LawSilent(self._silence(jurisdiction, key, day))
        return row

    def under(self, jurisdiction: Jurisdiction, prefix: str, day: date) -> tuple[LawRow, ...]:
        """All rows in force whose keys begin with ``prefix`` and a dot."""
        begin = f"{prefix}."
        rows = self.rows[jurisdiction]
        return tuple(row for row in rows if row.key.startswith(begin) and row.holds(day))

    def _silence(self, jurisdiction: Jurisdiction, key: str, day: date) -> str:
        known = self._by_key.get((jurisdiction, key))
        said = f"the law table of {jurisdiction} has no {key!r} for {day}: "
        if known is None:
            return said + "no row of that key exists; add one with its article"
        if day < known[0].since:
            return said + f"it begins on {known[0].since}"
        last = max(row.until for row in known if row.until is not None and row.until <= day)
        return said + f"its rows end before {last}; add the one that follows"

    def unverified(self) -> Iterator[tuple[Jurisdiction, LawRow]]:
        """What nobody has read in its source yet."""
        for jurisdiction, rows in self.rows.items():
            yield from ((jurisdiction, row) for row in rows if not row.verified)

    def with_rows(self, jurisdiction: Jurisdiction, text: str) -> Laws:
        """These and more, written like the tables beside this module (``[[row]]``). A row that had
        no end ends where the next of its key begins.

        Raises:
            LawTableError: they make no sense, or say two things of one day.
        """
        more = _read(jurisdiction, text)
        barred = {row.key for row in self.rows[jurisdiction] if row.bars}
        if kept := sorted({row.key for row in more} & barred):
            raise LawTableError(
                f"{kept[0]!r} says what no score may read, and is not ended or said anew; what you "
                "bar besides needs a key of its own"
            )
        known = tuple(_ended(row, more) for row in self.rows[jurisdiction])
        return Laws(dict(self.rows) | {jurisdiction: _apart(known + more)})

    def payload(self) -> dict[str, Any]:
        """What is hashed: all rows, in one order."""
        return {
            str(jurisdiction): [row.payload() for row in sorted(rows, key=_order)]
            for jurisdiction, rows in self.rows.items()
        }

    @cached_property
    def hash(self) -> str:
        """What a decision says it was made under."""
        return document_hash(self.payload())

    @classmethod
    def of(cls, payload: Mapping[Jurisdiction, Sequence[Mapping[str, Any]]]) -> Laws:
        """Inverse of :meth:`payload`, for what was kept under its hash."""
        return cls({place: tuple(map(_row, rows)) for place, rows in payload.items()})


def _row(said: Mapping[str, Any]) -> LawRow:
    days = {name: date.fromisoformat(said[name]) for name in ("from", "until") if said[name]}
    return LawRow.model_validate({**said, **days})


def _order(row: LawRow) -> tuple[str, date]:
    return row.key, row.since


def _ended(row: LawRow, more: tuple[LawRow, ...]) -> LawRow:
    """``row``, if it has no end, until the first later one of its key."""
    begins = [one.since for one in more if one.key == row.key and one.since > row.since]
    if row.until is not None or not begins:
        return row
    return row.model_copy(update={"until": min(begins)})


def _apart(rows: tuple[LawRow, ...]) -> tuple[LawRow, ...]:
    """``rows``, if no two of one key hold on one day."""
    ordered = sorted(rows, key=_order)
    for one, following in pairwise(ordered):
        if one.key == following.key and (one.until is None or following.since < one.until):
            raise LawTableError(
                f"the law table says {one.key!r} twice of {following.since}: end the row of "
                f"{one.since} with until = {following.since}"
            )
    return tuple(ordered)


def _read(jurisdiction: Jurisdiction, text: str) -> tuple[LawRow, ...]:
    try:
        written = tomllib.loads(text)
        if surprises := sorted(set(written) - {"row"}):
            raise LawTableError(f"the law table of {jurisdiction} knows no {surprises[0]!r}")
        return tuple(LawRow.model_validate(row) for row in written.get("row", ()))
    except tomllib.TOMLDecodeError as error:
        raise LawTableError(f"the law table of {jurisdiction} is no TOML: {error}") from error
    except ValidationError as error:
        said = f"the law table of {jurisdiction} has a row that makes no sense"
        raise LawTableError(f"{said}: {one_sentence(error)}") from error


def _shipped(jurisdiction: Jurisdiction) -> tuple[LawRow, ...]:
    text = (files("lending.law") / f"{jurisdiction.lower()}.toml").read_text(encoding="utf-8")
    return _apart(_read(jurisdiction, text) + tuple(map(_barring, PACKS[jurisdiction].barred)))


def _barring(one: Bar) -> LawRow:
    """What no feature may be about no score and no policy may read: the list is that of ``law``."""
    said = one.model_dump(by_alias=True, exclude={"bar", "kinds"})
    kinds = [kind.value for kind in one.kinds]
    return LawRow.model_validate({**said, "key": f"{one.bar}.{one.key}", "value": kinds})


LAWS = Laws({one: _shipped(one) for one in get_args(Jurisdiction)})
"""As this version ships them."""
