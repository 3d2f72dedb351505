"""In what two policies differ, and for whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lending.cases import Value
from lending.policy.document import OUTPUTS, CreditPolicy, PolicyDocument, TableName
from lending.policy.tables import TableRow
from lending.policy.trying import try_tables


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row that one of two policies has, or that says something else in it. ``moved``: it stands
    elsewhere among the rows of a table whose first row counts."""

    table: TableName
    row: str
    kind: Literal["added", "removed", "changed", "moved"]
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class FieldChange:
    """Something that is no row."""

    field: str
    before: Any
    after: Any


def shown(row: TableRow) -> str:
    """A row in one line."""
    when = "; ".join(f"{fact}: {condition}" for fact, condition in row.when.items()) or "always"
    then = ", ".join(f"{name} {value}" for name, value in row.then.items())
    return f"{when} → {then}"


def changed_fields(one: PolicyDocument, other: PolicyDocument) -> list[FieldChange]:
    """What is no row, down to single facts."""
    before, after = _flat(one), _flat(other)
    names = dict.fromkeys((*before, *after))
    return [
        FieldChange(name, before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    ]


def _flat(document: PolicyDocument) -> dict[str, Any]:
    found = document.payload()
    facts = found.pop("facts")
    tables = found.pop("tables")
    found |= {f"facts.{name}": fact for name, fact in facts.items()}
    return found | {f"tables.{name}.hit": table["hit"] for name, table in tables.items()}


def changed_rows(one: CreditPolicy, other: CreditPolicy) -> list[RowChange]:
    """Rows are the same row if they have the same id; how a condition is spelled is no change."""
    found = []
    for name in OUTPUTS:
        before = {row.id: row for row in one.tables[name].rows}
        after = {row.id: row for row in other.tables[name].rows}
        for row in dict.fromkeys((*before, *after)):
            if row not in after:
                found.append(RowChange(name, row, "removed", shown(before[row]), ""))
            elif row not in before:
                found.append(RowChange(name, row, "added", "", shown(after[row])))
            elif shown(before[row]) != shown(after[row]):
                found.append(RowChange(name, row, "changed", shown(before[row]), shown(after[row])))
        if "first" in {one.tables[name].hit, other.tables[name].hit}:
            found += _moved(name, before, after)
    return found


def _moved(
    name: TableName, before: Mapping[str, TableRow], after: Mapping[str, TableRow]
) -> list[RowChange]:
    was = [row for row in before if row in after]
    now = [row for row in after if row in before]
    return [
        RowChange(name, row, "moved", f"row {was.index(row) + 1}", f"row {at}")
        for at, row in enumerate(now, 1)
        if was.index(row) + 1 != at
    ]


@dataclass(frozen=True, slots=True)
class Effect:
    """How many people two policies' tables say something else of.

    Args:
        outcomes: people by outcome before and after.
        limits, rates: people by ``higher``, ``lower`` or ``same``, where both give terms.
    """

    people: int
    outcomes: Mapping[tuple[str, str], int]
    limits: Mapping[str, int]
    rates: Mapping[str, int]

    @property
    def changed(self) -> int:
        """How many get another outcome."""
        return sum(count for (before, after), count in self.outcomes.items() if before != after)


def effect(one: CreditPolicy, other: CreditPolicy, people: Iterable[Mapping[str, Value]]) -> Effect:
    """What a change of policy changes for these people, by the tables alone
    (:mod:`lending.policy.trying`)."""
    outcomes: Counter[tuple[str, str]] = Counter()
    limits: Counter[str] = Counter()
    rates: Counter[str] = Counter()
    for known in people:
        before, after = try_tables(one, known), try_tables(other, known)
        outcomes[before.outcome, after.outcome] += 1
        limits[_compared(before.limit, after.limit)] += 1
        rates[_compared(before.rate, after.rate)] += 1
    del limits["no terms"], rates["no terms"]
    return Effect(outcomes.total(), dict(outcomes), dict(limits), dict(rates))


def _compared(before: int | None, after: int | None) -> str:
    if before is None or after is None:
        return "no terms"
    return "same" if before == after else "higher" if after > before else "lower"
