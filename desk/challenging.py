"""A challenger: a policy, or the policy in use with another model, that decides silently beside
what decides, to be compared with it.

What it says is kept for the lender's risk officer, sealed like the decision it stands beside. No
borrower, reviewer or system of the lender is shown it, it enters no letter and no receipt, and it
changes nothing: where it fails, that is counted, and the decision stands.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from desk.lending_rules import LendingRules
from desk.sealing import ApplicationKey
from lending.cases import Case, Decision, Outcome
from lending.records import decision_from, decision_json
from ops import metrics

logger = logging.getLogger("tahini.desk")
SILENT = "silent"
"""What a challenger said, as its sealed body is called."""


@dataclass(frozen=True)
class SilentDecision:
    """What a challenger, by its hash, would have decided; None where it failed, by ``failure``."""

    challenger: str
    decision: Decision | None
    failure: str = ""

    @property
    def outcome(self) -> Outcome | Literal["failed"]:
        return "failed" if self.decision is None else self.decision.outcome

    def sealed(self, key: ApplicationKey) -> bytes:
        said = None if self.decision is None else decision_json(self.decision)
        return key.seal(SILENT, {"decision": said, "failure": self.failure})

    @classmethod
    def opened(cls, challenger: str, sealed: bytes, key: ApplicationKey) -> SilentDecision:
        """Inverse of :meth:`sealed`; raises SealError."""
        said = key.open(SILENT, sealed)
        decision = None if said["decision"] is None else decision_from(said["decision"])
        return cls(challenger, decision, said["failure"])


def beside(rules: LendingRules, case: Case) -> SilentDecision | None:
    """What the challenger of the case's policy says of it; None where there is none; what
    it raises is kept, and told to nobody who applies."""
    challenger = challenger_of(rules, case)
    if challenger is None:
        return None
    found = said_by(rules, case, challenger)
    if found.failure:
        metrics.challenger_failed()
        logger.error("a challenger failed, and the decision stands: %s", found.failure)
    return found


def challenger_of(rules: LendingRules, case: Case) -> str | None:
    """The hash of what is tried beside the policy of a case."""
    return rules.challenger(case.application.product, case.policy_hash, case.now.date())


def said_by(rules: LendingRules, case: Case, challenger: str) -> SilentDecision:
    """What this challenger says of a case, or what it raises."""
    try:
        return SilentDecision(challenger, rules.silently(case, challenger))
    except Exception as error:  # whatever a policy that is being tried runs into
        return SilentDecision(challenger, None, type(error).__name__)
