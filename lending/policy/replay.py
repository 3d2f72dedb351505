"""A stored decision, made again from the case that was stored with it, and compared to the bit: the
score from the facts, the decision from the score.

A decision that does not come out as it stands was altered, or made by other code or other rules
than it says: whoever replays is told where they part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from lending.cases import Case, Decision, Fact, Scored
from lending.records import Json, case_as_read, decision_json, identical, stored_hash


class DecidesAgain(Protocol):
    """What a case was decided by, as it was then. Pure."""

    def score(self, facts: Mapping[str, Fact]) -> Scored | None:
        """None where no model may be asked."""

    def decide(self, case: Case) -> Decision:
        """As :func:`lending.policy.decide.decide`."""


@dataclass(frozen=True, slots=True)
class MadeAgain:
    """What came out, and the first field in which it is not what was stored; None if it is, bit for
    bit."""

    case: Case
    decision: Decision
    differs: str | None


def replay(case: Json, decision: Json, rules_of: Callable[[Case], DecidesAgain]) -> MadeAgain:
    """Score and decide the stored ``case`` again (:mod:`lending.records` writes it and the stored
    ``decision``).

    Args:
        rules_of: the rules that a case names.

    Raises:
        RecordError: what was stored is no case. Whatever ``rules_of`` raises where it does not
            have them, and they where they do not decide such a case.
    """
    read = case_as_read(case)
    rules = rules_of(read)
    scored = rules.score(read.facts)
    made = rules.decide(replace(read, scored=scored))
    if scored != read.scored:
        differs: str | None = "scored"
    else:
        differs = _differing(decision_json(made), decision)
        if differs is None and made.case_hash != stored_hash(case):
            differs = "case"  # it says more, or otherwise, than was read
    return MadeAgain(read, made, differs)


def _differing(written: Json, stored: Json) -> str | None:
    if identical(written, stored):
        return None
    if set(written) != set(stored):
        return "fields"
    return next(name for name in written if not identical(written[name], stored[name]))
