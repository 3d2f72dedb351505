"""Declared facts, and conditions on one of them: the cells of a decision table.

A cell is text of a small language, the common part of what DMN and GoRules' JDM write in theirs:

- of ordered facts: ``[600..650)`` (a bracket includes its bound, a parenthesis does not), ``< 18``,
  ``>= 650``, ``3``, and several of them with commas: ``< 18, > 65``;
- of codes: ``salaried, pensioner``, or ``not student``; of booleans ``true`` and ``false``;
- nothing, or ``-``: whatever the fact says, even if it is not known.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)

from crypto.errors import TahiniError
from crypto.sentences import shaped
from law.categories import DataCategory
from lending.cases import Value

Kind = Literal["number", "integer", "fen", "boolean", "code", "date"]
"""``fen`` and ``integer`` are whole; a ``code`` is one of a closed list."""
Ordered = int | float | date
WHOLE = frozenset({"integer", "fen"})
MOST = sys.float_info.max
CODE = r"^(?!not$|-$)[^\s,\"'\\]{1,100}$"


class TableError(TahiniError):
    """A condition or a decision table cannot be used: says which, and names a concrete point."""


class DeclaredFact(BaseModel):
    """What a fact may be: a value outside is not known, whatever it is.

    ``low`` and ``high`` are its range, both included; ``values`` the codes of a ``code``;
    ``categories`` what it is about and was computed from, which the law is asked about.

    ``keep_days`` is for how long it is used after the day on which it was observed. An ``adverse``
    record is used no longer than the law allows after its end, which is that day then. What has no
    day is not used, unless it is ``clean``, the value that tells of none; that stands for what was
    forgotten, too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Kind
    low: int | float | date | None = None
    high: int | float | date | None = None
    values: tuple[str, ...] = ()
    categories: tuple[DataCategory, ...] = ()
    about: str = Field(default="", max_length=500)
    keep_days: int | None = Field(default=None, ge=1, le=36_500)
    adverse: bool = False
    clean: StrictBool | StrictInt | StrictStr | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.clean is not None and not (self.adverse and self.is_one(self.clean)):
            raise ValueError("clean is a value of an adverse fact that tells of nothing adverse")
        if (self.kind == "code") != bool(self.values):
            raise ValueError("a fact of kind code lists its values, no other does")
        if len(set(self.values)) < len(self.values):
            raise ValueError("a value stands twice in its list")
        if wrong := [one for one in self.values if not re.fullmatch(CODE, one)]:
            raise ValueError(f"{wrong[0]!r} cannot be a code: no blank, comma, quote or backslash")
        bounds = [one for one in (self.low, self.high) if one is not None]
        if bounds and self.kind in {"code", "boolean"}:
            raise ValueError(f"a fact of kind {self.kind} has no range")
        if not all(map(self._bounds, bounds)):
            raise ValueError(f"its range is not of kind {self.kind}")
        if len(bounds) == 2 and bounds[0] > bounds[1]:  # type: ignore[operator]
            raise ValueError(f"its range is empty: {self.low} to {self.high}")
        return self

    def _bounds(self, value: Ordered) -> bool:
        return self.is_one(value) and (isinstance(value, date) or abs(value) <= MOST)

    @property
    def ordered(self) -> bool:
        return self.kind not in {"code", "boolean"}

    @property
    def range(self) -> tuple[Ordered, Ordered]:
        """The least and the greatest value, of an ordered fact."""
        least, most = (date.min, date.max) if self.kind == "date" else (-MOST, MOST)
        return (
            least if self.low is None else self.low,
            most if self.high is None else self.high,
        )

    def is_one(self, value: Value | None) -> bool:
        """Whether ``value`` is of the declared kind; a whole number passes for a number, a truth
        value for neither."""
        found = type(value)
        if self.kind == "number":
            return found is float or found is int
        if self.kind in WHOLE:
            return found is int
        return found is {"boolean": bool, "code": str, "date": date}[self.kind]


FactName = shaped(r"^[a-z][a-z0-9_]{0,63}$", "a name of small letters, digits and underscores")


@dataclass(frozen=True, slots=True)
class Span:
    """Values between two bounds; None: without."""

    low: Ordered | None
    high: Ordered | None
    with_low: bool = True
    with_high: bool = True

    def holds(self, value: Any) -> bool:
        above = self.low is None or value > self.low or (self.with_low and value == self.low)
        below = self.high is None or value < self.high or (self.with_high and value == self.high)
        return above and below

    def __str__(self) -> str:
        if self.low is None:
            return f"{'<=' if self.with_high else '<'} {written(self.high)}"
        if self.high is None:
            return f"{'>=' if self.with_low else '>'} {written(self.low)}"
        if self.low == self.high and self.with_low and self.with_high:
            return written(self.low)
        left, right = "[" if self.with_low else "(", "]" if self.with_high else ")"
        return f"{left}{written(self.low)}..{written(self.high)}{right}"


@dataclass(frozen=True, slots=True)
class Condition:
    """What one fact must be: in one of these spans, or one of these values."""

    spans: tuple[Span, ...] = ()
    values: frozenset[str | bool] = frozenset()
    excluding: bool = False
    """Any declared value but these."""

    def holds(self, value: Value) -> bool:
        if self.spans:
            return any(span.holds(value) for span in self.spans)
        return (value in self.values) is not self.excluding

    def __str__(self) -> str:
        if self.spans:
            return ", ".join(map(str, self.spans))
        named = ", ".join(sorted(map(written, self.values)))
        return f"not {named}" if self.excluding else named


def written(value: Value | None) -> str:
    """A value as a cell has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date) else str(value)


_COMPARED = re.compile(r"(<=|>=|<|>)\s*(.+)")
_BETWEEN = re.compile(r"([\[(])(.+?)\.\.(.+)([\])])")


def parse_condition(cell: str, fact: DeclaredFact) -> Condition | None:
    """The condition that a cell is; None if it asks nothing.

    Raises:
        TableError: it is not of this language, or not of the fact's kind.
    """
    text = cell.strip()
    if text in {"", "-"}:
        return None
    if fact.ordered:
        read = _number if fact.kind == "number" else _whole if fact.kind in WHOLE else _date
        return Condition(spans=tuple(_span(term.strip(), read) for term in text.split(",")))
    excluding = text.startswith("not ")
    terms = [term.strip() for term in text.removeprefix("not ").split(",")]
    known = fact.values if fact.kind == "code" else ("true", "false")
    if unknown := [term for term in terms if term not in known]:
        raise TableError(f"{unknown[0]!r} is none of its values: {', '.join(known)}")
    if fact.kind == "boolean":
        return Condition(values=frozenset((term == "true") is not excluding for term in terms))
    return Condition(values=frozenset(terms), excluding=excluding)


def _span(term: str, read: Callable[[str], Ordered]) -> Span:
    if found := _COMPARED.fullmatch(term):
        sign, bound = found[1], read(found[2])
        if sign.startswith("<"):
            return Span(None, bound, with_high=sign == "<=")
        return Span(bound, None, with_low=sign == ">=")
    if found := _BETWEEN.fullmatch(term):
        span = Span(read(found[2]), read(found[3]), found[1] == "[", found[4] == "]")
        if span.low > span.high:  # type: ignore[operator]
            raise TableError(f"the bounds of {term!r} are in the wrong order")
        if span.low == span.high and not (span.with_low and span.with_high):
            raise TableError(f"{term!r} holds for no value; leave the row out, or write the value")
        return span
    value = read(term)
    return Span(value, value)


def _whole(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,30}", text.strip()):
        raise TableError(f"{text.strip()!r} is no whole number")
    return int(text)


def _number(text: str) -> int | float:
    if re.fullmatch(r"-?[0-9]{1,15}", text.strip()):
        return int(text)
    if not re.fullmatch(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?", text.strip()):
        raise TableError(f"{text.strip()!r} is no number")
    value = float(text)
    if abs(value) > MOST:
        raise TableError(f"{text.strip()!r} is larger than any number that a fact can have")
    return value


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError as error:
        raise TableError(f"{text.strip()!r} is no date, as 2026-01-31") from error
