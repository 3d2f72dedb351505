"""Decision tables: rows of conditions over declared facts, and what follows where all of them hold.

Three-valued: a fact that is absent, refused, late, disputed or outside of what is declared makes a
condition *unknown*. A row fails if one of its conditions fails, holds if all hold, and is unknown
otherwise (Kleene's strong logic).

Hit policies (DMN 1.5, section 8.2.8): ``unique``, no two rows hold anywhere; ``first``, the first
row that holds counts, unless one before it is unknown; ``collect``, every row that holds counts.

When a table is compiled, each fact is cut where some row changes its mind, and every piece gets the
set of rows (bits of a whole number) that hold on it. Evaluating is then one look-up for each fact,
and what a combination of pieces says is worked out once. The static check walks the same pieces,
and so finds a gap, an overlap or a row that never counts with a point where it happens.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from lending.cases import Step, Value
from lending.policy.conditions import (
    WHOLE,
    Condition,
    DeclaredFact,
    Ordered,
    TableError,
    parse_condition,
    written,
)

HitPolicy = Literal["unique", "first", "collect"]
MOST_KEPT = 4096
"""What a table says depends on pieces alone: of so many combinations of them it is kept."""
MOST_STATES = 200_000
"""How much a static check may look at; a table that needs more is told to be split."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row: its conditions by fact, and what follows."""

    id: str
    when: Mapping[str, Condition]
    then: Mapping[str, Value]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a table says of some facts.

    Args:
        held: the rows that count; at most one unless the table collects.
        unknown: those that might, for all that is known; never beside ``held`` unless it collects.
        steps: every row that was looked at. Of a row that failed, the last fact that it read is the
            one that failed.
        missing: the facts that are not known and that an unknown row reads.
    """

    held: tuple[TableRow, ...]
    unknown: tuple[TableRow, ...]
    steps: tuple[Step, ...]
    missing: tuple[str, ...]

    @property
    def row(self) -> TableRow | None:
        """Of a table that does not collect: the row that counts."""
        return self.held[0] if self.held else None


@dataclass(frozen=True, slots=True)
class Piece:
    """Values of one fact between which no row tells a difference: one of them, and the rows that
    hold there (or do not ask)."""

    value: Value
    rows: int


@dataclass(frozen=True, slots=True)
class Axis:
    """One fact of a table, in pieces."""

    fact: str
    kind: type | None
    """The type of its values; None: a number, whole or not."""
    points: tuple[Any, ...]
    """Of an ordered fact. Piece 2i + 1 is point i, piece 2i what lies before it."""
    between: tuple[int | None, ...]
    """The rows that hold, by piece; None outside of what was declared."""
    by_value: Mapping[Value, int]
    """Of another fact."""
    asking: int
    """The rows with a condition on it."""

    def rows(self, value: Value | None) -> int | None:
        """The rows that hold, or do not ask, for this value; None if it is not known."""
        found = type(value)
        if self.kind is None:
            if (found is not float and found is not int) or value != value:
                return None
        elif found is not self.kind:
            return None
        points = self.points
        if not points:
            return self.by_value.get(value)  # type: ignore[arg-type]
        at = bisect_left(points, value)
        return self.between[2 * at + (at < len(points) and points[at] == value)]


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A row as evaluation needs it: its bit, and the steps that it can come to."""

    bit: int
    row: TableRow
    axes: tuple[int, ...]
    held: Step
    unknown: Step
    failed: tuple[Step, ...]


class DecisionTable:
    """A compiled and checked table."""

    def __init__(
        self,
        name: str,
        hit: HitPolicy,
        rows: Sequence[TableRow],
        facts: Mapping[str, DeclaredFact],
    ) -> None:
        """Compile ``rows``. Raises TableError: an undeclared fact, a row that cannot hold, an
        overlap (unique), a row that never counts (first), a gap (both)."""
        self.name = name
        self.hit = hit
        self.rows = tuple(rows)
        if not rows:
            raise TableError(f"table {name!r} has no rows")
        if twice := sorted({row.id for row in rows if [r.id for r in rows].count(row.id) > 1}):
            raise TableError(f"table {name!r} has two rows {twice[0]!r}")
        read = dict.fromkeys(fact for row in rows for fact in row.when)
        if undeclared := [fact for fact in read if fact not in facts]:
            raise TableError(f"table {name!r} reads {undeclared[0]!r}, which is not declared")
        pieces = {fact: tuple(_pieces(fact, facts[fact], self.rows)) for fact in read}
        self.axes = tuple(_axis(fact, facts[fact], pieces[fact], self.rows) for fact in read)
        self._compiled = tuple(_compiled(name, i, row, self.axes) for i, row in enumerate(rows))
        self._all = (1 << len(rows)) - 1
        self._said: dict[tuple[int | None, ...], Looked] = {}
        _Check(self, tuple(pieces.values())).run()

    def look(self, known: Mapping[str, Value]) -> Looked:
        """What the table says of ``known``, the facts that are present, by name."""
        pieces = tuple([axis.rows(known.get(axis.fact)) for axis in self.axes])
        looked = self._said.get(pieces)
        if looked is None:
            looked = self._look(pieces)
            if len(self._said) < MOST_KEPT:
                self._said[pieces] = looked
        return looked

    def _look(self, pieces: Sequence[int | None]) -> Looked:
        """What the table says where these rows hold, fact by fact; None: not known."""
        sure = alive = self._all
        for axis, rows in zip(self.axes, pieces, strict=True):
            if rows is None:
                sure &= ~axis.asking
            else:
                sure &= rows
                alive &= rows
        sure &= alive
        last = self._all
        if self.hit == "first" and alive:
            last = ((alive & -alive) << 1) - 1  # up to the first row that holds, or may
            sure &= last
            alive &= last
        elif self.hit == "unique" and sure:
            alive = sure
        steps: list[Step] = []
        held: list[TableRow] = []
        unknown: list[_Compiled] = []
        for one in self._compiled:
            if one.bit > last:
                break
            if sure & one.bit:
                held.append(one.row)
                steps.append(one.held)
            elif alive & one.bit:
                unknown.append(one)
                steps.append(one.unknown)
            else:
                steps.append(_why(one, pieces))
        asked = {at for one in unknown for at in one.axes}
        missing = (
            axis.fact for at, axis in enumerate(self.axes) if at in asked and pieces[at] is None
        )
        return Looked(tuple(held), tuple(one.row for one in unknown), tuple(steps), tuple(missing))


def _why(one: _Compiled, pieces: Sequence[int | None]) -> Step:
    """The step of a row that did not hold: up to the condition that failed."""
    for number, at in enumerate(one.axes):
        rows = pieces[at]
        if rows is not None and not rows & one.bit:
            return one.failed[number]
    return one.unknown  # unique, and another row holds: it cannot


def _compiled(table: str, number: int, row: TableRow, axes: Sequence[Axis]) -> _Compiled:
    reads = tuple(row.when)
    place = {axis.fact: at for at, axis in enumerate(axes)}
    return _Compiled(
        bit=1 << number,
        row=row,
        axes=tuple(place[fact] for fact in reads),
        held=Step(table, row.id, True, reads),
        unknown=Step(table, row.id, None, reads),
        failed=tuple(Step(table, row.id, False, reads[: n + 1]) for n in range(len(reads))),
    )


def _holding(fact: str, value: Value, rows: Sequence[TableRow]) -> int:
    bits = 0
    for number, row in enumerate(rows):
        condition = row.when.get(fact)
        if condition is None or condition.holds(value):
            bits |= 1 << number
    return bits


def _points(fact: str, declared: DeclaredFact, rows: Sequence[TableRow]) -> list[Any]:
    low, high = declared.range
    found: set[Any] = {low, high}
    for row in rows:
        if fact in row.when:
            for span in row.when[fact].spans:
                found |= {bound for bound in (span.low, span.high) if bound is not None}
    return sorted(found)


def _middle(left: Any, right: Any, kind: str) -> Ordered | None:
    """Some value strictly between two; None if there is none."""
    if kind == "date":
        return left + timedelta(days=1) if (right - left).days > 1 else None
    if kind in WHOLE:
        middle = math.floor(left) + 1
        return middle if middle < right else None
    near = (left + 1, right - 1, left / 2 + right / 2, math.nextafter(left, math.inf))
    return next((one for one in near if left < one < right), None)


def _pieces(fact: str, declared: DeclaredFact, rows: Sequence[TableRow]) -> Iterator[Piece | None]:
    """In the order of :class:`Axis`; None: nothing that was declared lies there."""
    if not declared.ordered:
        for value in declared.values if declared.kind == "code" else (False, True):
            yield Piece(value, _holding(fact, value, rows))
        return
    low: Any
    high: Any
    (low, high), points = declared.range, _points(fact, declared, rows)
    left: Any = None
    for point in points:
        between: Any = None if left is None else _middle(left, point, declared.kind)
        for one in (between, point):
            here = one is not None and low <= one <= high
            yield Piece(one, _holding(fact, one, rows)) if here else None
        left = point
    yield None


def _axis(
    fact: str, declared: DeclaredFact, pieces: Sequence[Piece | None], rows: Sequence[TableRow]
) -> Axis:
    kinds: Mapping[str, type | None] = {
        "number": None,
        "boolean": bool,
        "code": str,
        "date": date,
    }
    return Axis(
        fact,
        kinds.get(declared.kind, int),
        tuple(_points(fact, declared, rows)) if declared.ordered else (),
        tuple(one.rows if one else None for one in pieces) if declared.ordered else (),
        {} if declared.ordered else {one.value: one.rows for one in pieces if one},
        sum(1 << number for number, row in enumerate(rows) if fact in row.when),
    )


class _Check:
    """The static check of one table."""

    def __init__(self, table: DecisionTable, pieces: Sequence[Sequence[Piece | None]]) -> None:
        self.table = table
        self.pieces = [[one for one in each if one is not None] for each in pieces]
        self.free = self._free()
        self.seen: set[tuple[int, int, int]] = set()

    def _free(self) -> list[int]:
        """For each depth, the rows that ask nothing from there on."""
        asking = [axis.asking for axis in self.table.axes]
        everything = (1 << len(self.table.rows)) - 1
        free = [everything]
        for one in reversed(asking):
            free.append(free[-1] & ~one)
        return free[::-1]

    def run(self) -> None:
        table, rows = self.table, self.table.rows
        where = f"table {table.name!r}"
        for number, row in enumerate(rows):
            if self._common(1 << number) is None:
                raise TableError(f"{where}: row {row.id!r} holds nowhere in what is declared")
        if table.hit == "unique":
            for later in range(len(rows)):
                for earlier in range(later):
                    if (point := self._common(1 << earlier | 1 << later)) is not None:
                        self._overlap(rows[earlier], rows[later], point)
        if table.hit == "first":
            for number, row in enumerate(rows):
                self.seen.clear()
                if self._gap(0, (1 << number) - 1, 1 << number) is None:
                    raise TableError(
                        f"{where}: row {row.id!r} never counts, because rows before it hold "
                        f"wherever it does, as at {self._shown(self._common(1 << number) or {})}"
                    )
        if table.hit != "collect":
            self.seen.clear()
            if (point := self._gap(0, (1 << len(rows)) - 1, 0)) is not None:
                raise TableError(f"{where}: no row holds at {self._shown(point)}")

    def _overlap(self, one: TableRow, other: TableRow, point: Mapping[str, Value]) -> None:
        same = one.then == other.then
        says = "and say the same" if same else "and say different things"
        raise TableError(
            f"table {self.table.name!r}: rows {one.id!r} and {other.id!r} both hold at "
            f"{self._shown(point)} {says}; in a unique table one row alone may"
        )

    def _common(self, bits: int) -> dict[str, Value] | None:
        """A point at which all of these rows hold."""
        point = {}
        for axis, pieces in zip(self.table.axes, self.pieces, strict=True):
            here = next((one for one in pieces if one.rows & bits == bits), None)
            if here is None:
                return None
            point[axis.fact] = here.value
        return point

    def _gap(self, depth: int, rows: int, inside: int) -> dict[str, Value] | None:
        """A point at which none of ``rows`` holds, and ``inside``, if it is one, does."""
        if rows & self.free[depth] or (depth, rows, inside) in self.seen:
            return None
        if depth == len(self.pieces):
            return {}
        tried: set[int] = set()
        for piece in self.pieces[depth]:
            left = piece.rows & rows
            if left in tried or (inside and not piece.rows & inside):
                continue
            tried.add(left)
            if (point := self._gap(depth + 1, left, inside)) is not None:
                return {self.table.axes[depth].fact: piece.value, **point}
        if len(self.seen) >= MOST_STATES:
            raise TableError(
                f"table {self.table.name!r} has too many combinations to be checked; split it"
            )
        self.seen.add((depth, rows, inside))
        return None

    def _shown(self, point: Mapping[str, Value]) -> str:
        return ", ".join(f"{fact} = {written(v)}" for fact, v in point.items()) or "every point"


def rows_of(
    written_rows: Sequence[Mapping[str, Any]], facts: Mapping[str, DeclaredFact], table: str
) -> list[TableRow]:
    """Rows as a file has them (``id``, ``when``, ``then``, ``note``), their cells parsed. Raises
    TableError, which names the row and the fact."""
    found = []
    for one in written_rows:
        when = {}
        for fact, cell in one["when"].items():
            if fact not in facts:
                raise TableError(
                    f"table {table!r}, row {one['id']!r} reads {fact!r}, which is not declared"
                )
            try:
                condition = parse_condition(written(cell), facts[fact])
            except TableError as error:
                raise TableError(f"table {table!r}, row {one['id']!r}, {fact}: {error}") from error
            if condition is not None:
                when[fact] = condition
        found.append(TableRow(one["id"], when, one["then"], one.get("note", "")))
    return found
