"""What a desk decides by: the model, the policy, the products and the law, as of a day.

The seam between the service and the pure room ``lending``: whoever replays a decision, or tries a
policy, puts another one in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from lending.cases import Case, Cost, Decision, Fact, LoanOffer, Scored
from lending.loan_events import LoanContract


@dataclass(frozen=True)
class Versions:
    """By hash, what is in force."""

    model: str
    policy: str
    law: str


class LendingRules(Protocol):
    """Pure: the same case gives the same decision, always."""

    def versions(self, day: date) -> Versions:
        """What is in force on a day."""
        ...

    def score(self, facts: Mapping[str, Fact], day: date) -> Scored | None:
        """None where no model may be asked."""
        ...

    def decide(self, case: Case) -> Decision: ...

    def offer(self, case: Case, amount: int, term_days: int) -> LoanOffer | None:
        """What can be lent where a person approves: the price of the policy, under the cap of the
        day; None where none fits."""
        ...

    def contract(self, offer: LoanOffer, loan: str, principal: int, starts: date) -> LoanContract:
        """What is owed when: of the money that was received, on the day on which it was (Civil Code
        670)."""
        ...

    def cost(self, contract: LoanContract, day: date) -> Cost:
        """What the loan costs a year, against the cap of ``day``."""
        ...

    def hidden(self, day: date) -> frozenset[str]:
        """Protected features, which may be held for measuring fairness, and which no reviewer
        sees."""
        ...
