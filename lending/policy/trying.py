"""What the tables of a policy say of somebody, before any price list, law or account is asked: for
a risk officer who writes them. A decision (:mod:`lending.policy.decide`) can only be more cautious.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from lending.cases import Value
from lending.policy.conditions import WHOLE, DeclaredFact
from lending.policy.document import CreditPolicy, PolicyRefused, TableName
from lending.policy.tables import Looked

Said = Literal["approve", "review", "decline"]


@dataclass(frozen=True, slots=True)
class Tried:
    """What the tables came to.

    Args:
        looked: what each table that was reached said; those of terms are reached with a tier.
        missing: the facts that are not known and that it depends on.
    """

    outcome: Said
    looked: Mapping[TableName, Looked]
    missing: tuple[str, ...]

    @property
    def tier(self) -> str | None:
        row = self.looked["tiers"].row
        return None if row is None or "tier" not in row.then else str(row.then["tier"])

    @property
    def limit(self) -> int | None:
        """Fen."""
        return self._output("limits", "limit")

    @property
    def rate(self) -> int | None:
        """Parts per million a day, before the cap."""
        return self._output("pricing", "rate")

    def _output(self, table: TableName, name: str) -> int | None:
        row = self.looked[table].row if table in self.looked else None
        return None if row is None else int(row.then[name])  # type: ignore[arg-type]


def readable_facts(policy: CreditPolicy) -> dict[str, DeclaredFact]:
    """What somebody may be described by."""
    found = policy.readable("affordability")
    return {name: fact for name, fact in found.items() if name != "tier"}


def try_tables(policy: CreditPolicy, known: Mapping[str, Value]) -> Tried:
    """Ask every table in the order of a decision.

    Args:
        known: facts by name, of :func:`readable_facts`; what is not there is not known.
    """
    looked: dict[TableName, Looked] = {}
    outcomes: set[str] = set()
    with_tier = dict(known)

    def look(name: TableName) -> Looked:
        looked[name] = policy.tables[name].look(with_tier)
        if looked[name].unknown:
            outcomes.add("review")
        return looked[name]

    if look("knock_outs").held:
        outcomes.add("decline")
    tier = look("tiers").row
    if tier is not None:
        outcomes.add(str(tier.then["outcome"]))
    if tier is not None and "tier" in tier.then:
        with_tier["tier"] = tier.then["tier"]
    if look("review").held:
        outcomes.add("review")
    if "tier" in with_tier:
        look("limits")
        look("pricing")
        afforded = look("affordability").row
        outcomes |= set() if afforded is None else {str(afforded.then["outcome"])}
    worst: Said = "decline" if "decline" in outcomes else "review"
    if outcomes == {"approve"}:
        worst = "approve"
    missing = dict.fromkeys(name for one in looked.values() for name in one.missing)
    return Tried(worst, looked, tuple(missing))


def facts_from(row: Mapping[str, Any], facts: Mapping[str, DeclaredFact]) -> dict[str, Value]:
    """Facts as a file has them: empty, null and columns that are not declared say nothing; text is
    read as the fact's kind.

    Raises:
        PolicyRefused: a value is not of its fact's kind; names the fact, never the value.
    """
    found = {}
    for name, fact in facts.items():
        given = row.get(name)
        if given is None or given == "" or given != given:  # a missing number of a data frame
            continue
        value = _read(given, fact) if isinstance(given, str) else given
        if fact.kind in WHOLE and isinstance(value, float) and value.is_integer():
            value = int(value)
        if not fact.is_one(value):
            raise PolicyRefused(f"{name} is not of kind {fact.kind}")
        found[name] = value
    return found


def _read(text: str, fact: DeclaredFact) -> Any:
    try:
        if fact.kind in WHOLE:
            return int(text)
        if fact.kind == "number":
            return float(text)
        if fact.kind == "date":
            return date.fromisoformat(text)
    except ValueError:
        return None
    return {"true": True, "false": False}.get(text.lower()) if fact.kind == "boolean" else text
