"""Decision tables by chance, and what they say by the book: no pieces, no bits, only the definitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import pairwise, product
from typing import Any

from hypothesis import strategies as st

from lending.policy.conditions import Condition, DeclaredFact, Span, TableError, parse_condition, written
from lending.policy.tables import DecisionTable, HitPolicy, TableRow

FACTS = {
    "whole": DeclaredFact(kind="integer", low=-3, high=8),
    "money": DeclaredFact(kind="fen", low=0, high=6),
    "share": DeclaredFact(kind="number", low=-1.5, high=2),
    "open_number": DeclaredFact(kind="number"),
    "job": DeclaredFact(kind="code", values=("salaried", "farmer", "自由职业", "none")),
    "owner": DeclaredFact(kind="boolean"),
    "since": DeclaredFact(kind="date", low=date(2026, 1, 1), high=date(2026, 1, 9)),
}
"""Small ranges, so that every point of them can be asked."""


def _ordered(fact: DeclaredFact) -> st.SearchStrategy[Any]:
    if fact.kind == "date":
        return st.dates(date(2025, 12, 30), date(2026, 1, 11))
    if fact.kind == "number":
        return st.one_of(st.integers(-2, 3), st.sampled_from([-1.5, -0.1, 0.1, 0.30000000000000004, 0.5, 1e-7]))
    return st.integers(-4, 9)


def values(fact: DeclaredFact) -> st.SearchStrategy[Any]:
    """Inside and a little outside of what is declared."""
    if fact.kind == "boolean":
        return st.booleans()
    if fact.kind == "code":
        return st.sampled_from([*fact.values, "stranger"])
    return _ordered(fact)


@st.composite
def spans(draw: st.DrawFn, fact: DeclaredFact) -> Span:
    left, right = sorted((draw(_ordered(fact)), draw(_ordered(fact))))
    shape = draw(st.sampled_from(["below", "above", "between", "one"]))
    closed = draw(st.booleans()), draw(st.booleans())
    if shape == "below":
        return Span(None, right, with_high=closed[1])
    if shape == "above":
        return Span(left, None, with_low=closed[0])
    return Span(left, right, *closed) if shape == "between" and left < right else Span(left, left)


@st.composite
def conditions(draw: st.DrawFn, fact: DeclaredFact) -> Condition | None:
    if draw(st.integers(0, 2)) == 0:
        return None
    if fact.ordered:
        cell = ", ".join(map(str, draw(st.lists(spans(fact), min_size=1, max_size=2))))
    else:
        names = fact.values if fact.kind == "code" else ("true", "false")
        some = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        cell = ("not " if draw(st.booleans()) else "") + ", ".join(some)
    return parse_condition(cell, fact)


@st.composite
def rows(draw: st.DrawFn, facts: Sequence[str] = tuple(FACTS), most: int = 5) -> list[TableRow]:
    read = draw(st.lists(st.sampled_from(list(facts)), min_size=1, max_size=3, unique=True))
    found = []
    for number in range(draw(st.integers(1, most))):
        drawn = {name: draw(conditions(FACTS[name])) for name in read}
        when = {name: one for name, one in drawn.items() if one is not None}
        found.append(TableRow(f"r{number}", when, {"to": draw(st.sampled_from(["x", "y"]))}))
    return found


@st.composite
def tables(draw: st.DrawFn, hit: HitPolicy) -> list[TableRow]:
    """Rows of a table that loads: of those that were drawn, the ones that something is left for; and one for the
    rest."""
    found: list[TableRow] = []
    for row in draw(rows(most=4)):
        if loads("collect", [row]) and (hit == "collect" or loads("first", [*found, row, REST])):
            found.append(row)
    if hit != "collect" or not found:
        found.append(REST)
    return found


REST = TableRow("rest", {}, {"to": "x"})


def loads(hit: HitPolicy, these: Sequence[TableRow]) -> bool:
    named = [replace(row, id=f"r{n}") for n, row in enumerate(these)]
    try:
        DecisionTable("t", hit, named, FACTS)
    except TableError:
        return False
    return True


def known_facts(only: Sequence[str] = tuple(FACTS)) -> st.SearchStrategy[dict[str, Any]]:
    """What is known of somebody: each fact, or nothing of it."""
    return st.fixed_dictionaries({}, optional={name: values(FACTS[name]) for name in only})


def inside(fact: DeclaredFact, value: Any) -> bool:
    if not fact.ordered:
        return value in (fact.values if fact.kind == "code" else (True, False))
    low, high = fact.range
    return low <= value <= high


def truth(row: TableRow, known: Mapping[str, Any]) -> bool | None:
    """Kleene's strong "and" over the row's conditions."""
    seen = [
        condition.holds(known[name]) if name in known and inside(FACTS[name], known[name]) else None
        for name, condition in row.when.items()
    ]
    return False if False in seen else None if None in seen else True


def by_the_book(hit: HitPolicy, table: Sequence[TableRow], known: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The rows that count, and those that might."""
    found = {row.id: truth(row, known) for row in table}
    held = [name for name, one in found.items() if one]
    unknown = [name for name, one in found.items() if one is None]
    if hit == "collect":
        return held, unknown
    if hit == "unique":
        return (held, []) if held else ([], unknown)
    first = next((name for name, one in found.items() if one is not False), None)
    return ([], []) if first is None else ([first], []) if found[first] else ([], [first])


def points(table: Sequence[TableRow]) -> list[dict[str, Any]]:
    """Enough points of the declared domain that a gap or an overlap, if there is one, shows at one of them."""
    read = dict.fromkeys(name for row in table for name in row.when)
    grids = []
    for name in read:
        fact = FACTS[name]
        if fact.kind == "boolean":
            grid: list[Any] = [True, False]
        elif fact.kind == "code":
            grid = list(fact.values)
        elif fact.kind == "date":
            grid = [date(2026, 1, day) for day in range(1, 10)]
        elif fact.kind == "number":
            ends = {b for r in table if name in r.when for s in r.when[name].spans for b in (s.low, s.high)} - {None}
            low, high = (-1e9, 1e9) if fact.low is None else fact.range
            grid = sorted({*ends, low, high})
            between = [(a + b) / 2 for a, b in pairwise(grid)]
            grid = [one for one in (*grid, *between) if low <= one <= high]
        else:
            grid = list(range(fact.low, fact.high + 1))  # type: ignore[arg-type, operator]
        grids.append(grid)
    return [dict(zip(read, point, strict=True)) for point in product(*grids)]


def shown(point: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {written(value)}" for name, value in point.items())
