"""Cases and decisions as JSON and back, so that what was stored can be decided again, bit by bit.

Floating-point numbers are written in their shortest form that reads back as the same double, days
apart from texts that look like one, annual rates as decimal text.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import TypeAdapter

from lending.cases import Case, Decision

_CASE, _DECISION = TypeAdapter(Case), TypeAdapter(Decision)
_DAY = "day"


def case_json(case: Case) -> dict[str, Any]:
    """A case as JSON; :func:`case_from` reads it."""
    found: dict[str, Any] = _CASE.dump_python(case, mode="json")
    for name, fact in case.facts.items():
        if isinstance(fact.value, date):
            found["facts"][name]["value"] = {_DAY: fact.value.isoformat()}
    return found


def case_from(said: dict[str, Any]) -> Case:
    """Inverse of :func:`case_json`."""
    facts = {
        name: {**fact, "value": date.fromisoformat(fact["value"][_DAY])}
        if isinstance(fact["value"], dict)
        else fact
        for name, fact in said["facts"].items()
    }
    return _CASE.validate_python({**said, "facts": facts})


def decision_json(decision: Decision) -> dict[str, Any]:
    """A decision as JSON: what is stored, and what a decision made again must be equal to."""
    found: dict[str, Any] = _DECISION.dump_python(decision, mode="json")
    return found


def decision_from(said: dict[str, Any]) -> Decision:
    """Inverse of :func:`decision_json`, but for days in the details of a reason, which stay
    text."""
    return _DECISION.validate_python(said)
