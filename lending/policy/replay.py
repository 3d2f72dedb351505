"""A stored decision, made again from the case that was stored with it, and compared to the bit.

A decision that does not come out as it stands was altered, or made by other code, another policy,
another law or another key than it says: whoever replays is told where they part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lending.policy.decide import ScoreReasons, decide
from lending.policy.document import CreditPolicy, PolicyRefused
from lending.policy.offers import Pricing
from lending.records import case_from, decision_json, identical


@dataclass(frozen=True, slots=True)
class Rules:
    """What decisions are made by: every policy that was ever in use, by hash; prices, reasons and
    key as of :func:`lending.policy.decide.decide`."""

    policies: Mapping[str, CreditPolicy]
    pricing: Pricing
    score_reasons: ScoreReasons
    exploration_key: bytes = b""


def replay(case: Mapping[str, Any], decision: Mapping[str, Any], rules: Rules) -> str | None:
    """Decide the stored ``case`` again. None if the stored ``decision`` is bit for bit what comes
    out (:mod:`lending.records` writes both); otherwise the first field that differs.

    Raises:
        RecordError: what was stored is no case. PolicyRefused: its policy is not among these, or
            did not decide such cases on its day.
    """
    read = case_from(case)
    policy = rules.policies.get(read.policy_hash)
    if policy is None:
        raise PolicyRefused(f"no policy with the hash {read.policy_hash} is known here")
    again = decide(read, policy, rules.pricing, rules.score_reasons, rules.exploration_key)
    written = decision_json(again)
    if set(written) != set(decision):
        return "fields"
    return next((name for name in written if not identical(written[name], decision[name])), None)
