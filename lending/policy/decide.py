"""From a case to a decision: pure, total for every case of a policy that is in force, the same each
time.

The order is knock-outs, tier of the score, review triggers, exposure, limit, price, cost,
affordability. Outcomes are ranked *decline, review, counter, approve*: the worst that anything came
to is the outcome, and

- whoever wants a person gets one (PIPL 24, GDPR 22): review, whatever the rules say;
- what is not known never approves: a row that might hold sends the case to review;
- with more neutral features than the policy allows, the *score* declines nobody: review. A rule
  that held on facts declines still;
- without a score nothing is approved;
- the price is lowered until the all-in cost fits the cap of the day. Where that, the limit or the
  applicant's income forbids what was asked, other terms that the product allows are offered, never
  more than was asked; where none will do, the case is declined for that reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from lending.cases import (
    Case,
    Decision,
    LoanOffer,
    Outcome,
    PrincipalReason,
    Scored,
    Step,
    Value,
)
from lending.policy.document import PURPOSE, CreditPolicy, PolicyRefused
from lending.policy.offers import LoanTerms, NoTerms, Pricing, Search, rule_reason
from lending.policy.tables import Looked, TableRow
from lending.records import case_hash
from lending.score.reasons import MOST_REASONS

ScoreReasons = Callable[[Scored], tuple[PrincipalReason, ...]]
"""The principal reasons of a score at or below the cut-off, in the order of weight."""


@dataclass(slots=True)
class _Findings:
    """What the rules came to so far, each list in the order of the rules."""

    trace: list[Step] = field(default_factory=list)
    declines: list[PrincipalReason] = field(default_factory=list)
    reviews: list[PrincipalReason] = field(default_factory=list)
    missing: dict[str, None] = field(default_factory=dict)
    """Facts that are not known and on which it depends whether some row holds: a person looks."""
    counters: list[PrincipalReason] = field(default_factory=list)
    below: TableRow | None = None
    """The row by which the score alone declines."""
    about_score: bool = False
    """The score is a reason why nothing is approved."""
    offer: LoanOffer | None = None

    def take(self, looked: Looked) -> TableRow | None:
        """Note what a table said; returns the row that counts."""
        self.trace += looked.steps
        if looked.missing:
            self.missing |= dict.fromkeys(looked.missing)
        return looked.row


def decide(
    case: Case,
    policy: CreditPolicy,
    pricing: Pricing,
    score_reasons: ScoreReasons,
    exploration_key: bytes = b"",
) -> Decision:
    """Decide ``case``.

    Args:
        pricing: products, caps and costs of the day of ``case.now``.
        exploration_key: the lender's secret (``CreditPolicy.explores``); without it nobody below
            the cut-off is approved.

    Raises:
        PolicyRefused: the case names another policy, a product that is not the policy's, or a day
            on which it is not in force. RecordError: a case without a canonical form. Whatever
            ``pricing`` raises, as where no law of the day says what a loan may cost.
    """
    require(case, policy)
    known = known_facts(case, policy)
    found = _Findings()
    found.trace.append(_PERSON[case.application.wants_person])
    looked = policy.tables["knock_outs"].look(known)
    found.take(looked)
    found.declines += [rule_reason(row, known) for row in looked.held]
    most_amount = _tier(case, policy, exploration_key, known, found)
    looked = policy.tables["review"].look(known)
    found.take(looked)
    found.reviews += [rule_reason(row, known) for row in looked.held]
    if "tier" in known and not found.declines:
        _terms(Search(case, policy, pricing, known, most_amount), found)
    outcome = _outcome(case, found)
    return Decision(
        application=case.application.id,
        outcome=outcome,
        scored=case.scored,
        offer=found.offer if outcome in {"approve", "counter"} else None,
        reasons=_reasons(outcome, case, found, score_reasons),
        trace=tuple(found.trace),
        case_hash=case_hash(case),
        decided_at=case.now,
    )


def require(case: Case, policy: CreditPolicy) -> None:
    """Raises PolicyRefused: this policy does not decide this case."""
    if case.policy_hash != policy.hash:
        raise PolicyRefused("the case names another policy than the one that it is decided by")
    if why := policy.out_of_force(case.now.date()):
        raise PolicyRefused(why)
    if case.application.product not in policy.document.products:
        named = policy.document.id
        raise PolicyRefused(f"{case.application.product!r} is no product of policy {named!r}")


def _steps(table: str, row: str, *read: str) -> Mapping[bool, Step]:
    return {held: Step(table, row, held, read) for held in (True, False)}


_PERSON = _steps("person", "wanted", "wants_person")
_TRUSTED = _steps("score", "trusted", "neutral")
_EXPLORED = _steps("exploration", "chosen", "score", "exploration_outstanding")


def known_facts(case: Case, policy: CreditPolicy) -> dict[str, Value]:
    """The facts that are present, of those that the policy declares, and what is worked out."""
    asked = case.application
    known: dict[str, Value] = {}
    for name in policy.document.facts:
        fact = case.facts.get(name)
        if fact is not None and fact.status == "present" and fact.value is not None:
            known[name] = fact.value
    if PURPOSE in policy.document.facts:
        known[PURPOSE] = asked.purpose
    known["amount"] = asked.amount
    known["term_days"] = asked.term_days
    known["product"] = asked.product
    known["outstanding"] = case.outstanding
    known["exposure"] = case.outstanding + asked.amount
    if case.scored is not None:
        known["score"] = case.scored.score
        known["neutral"] = case.scored.neutral
    return known


def _tier(
    case: Case,
    policy: CreditPolicy,
    key: bytes,
    known: dict[str, Value],
    found: _Findings,
) -> int | None:
    """Put the tier among the known facts, if the score leads to one. Returns the most that may be
    lent to it, if the tier is that of the slice below the cut-off."""
    scored = case.scored
    if scored is None:
        found.trace.append(Step("score", "asked", None, ()))
        found.reviews.append(PrincipalReason("no-score", "rule"))
        return None
    neutral = int(known["neutral"])  # type: ignore[arg-type]
    trusted = neutral <= policy.document.most_neutral
    found.trace.append(_TRUSTED[trusted])
    if not trusted:
        withheld = {"neutral": neutral}
        found.reviews.append(PrincipalReason("too-much-neutral", "rule", detail=withheld))
    row = found.take(policy.tables["tiers"].look(known))
    if row is None:
        return None
    if row.then["outcome"] != "decline":
        known["tier"] = row.then["tier"]
        if row.then["outcome"] == "review":
            found.about_score = "score" in row.when
            found.reviews.append(rule_reason(row, known))
        return None
    if "score" not in row.when:
        found.declines.append(rule_reason(row, known))
        return None
    found.about_score = True
    if not trusted:
        found.reviews.append(rule_reason(row, known))
        return None
    room = _explored(case, policy, key, known, found)
    if room is None:
        found.below = row
    return room


def _explored(
    case: Case,
    policy: CreditPolicy,
    key: bytes,
    known: dict[str, Value],
    found: _Findings,
) -> int | None:
    """The most that may be lent, if this application is in the slice below the cut-off."""
    explored = policy.document.exploration
    if explored is None or not policy.explores(case.application.id, key):
        return None
    lent = policy.covered("exploration_outstanding", known)
    above = case.scored is not None and case.scored.score >= explored.lowest_score
    room = 0 if lent is None else min(explored.most_amount, explored.most_outstanding - lent)
    chosen = above and room > 0
    found.trace.append(_EXPLORED[chosen])
    if not chosen:
        return None
    known["tier"] = explored.tier
    return room


def _terms(search: Search, found: _Findings) -> None:
    """Look for terms, and take over what came of it."""
    result = search.run()
    found.trace += result.trace
    found.reviews += result.reviews
    found.missing |= dict.fromkeys(result.missing)
    if isinstance(result.outcome, NoTerms):
        found.declines += result.outcome.reasons
    elif result.outcome is not None:
        found.offer = result.outcome
        found.counters += result.counters


def _outcome(case: Case, found: _Findings) -> Outcome:
    if case.application.wants_person:
        return "review"
    if found.declines or found.below is not None:
        return "decline"
    if found.reviews or found.missing or found.offer is None:
        return "review"
    return "counter" if found.counters else "approve"


def _reasons(
    outcome: Outcome, case: Case, found: _Findings, score_reasons: ScoreReasons
) -> tuple[PrincipalReason, ...]:
    """The reasons of the outcome, of rules before those of the score; where both are, both are
    named. Whoever wanted a person is told so first."""
    if outcome == "approve":
        return ()
    if outcome == "counter":
        return _principal(found.counters, ())
    rules = list(found.declines)
    if outcome == "review":
        rules += found.reviews
        if case.application.wants_person:
            rules.insert(0, PrincipalReason("person-wanted", "rule"))
        if found.missing:
            named = ", ".join(found.missing)
            rules.append(PrincipalReason("facts-unknown", "rule", detail={"facts": named}))
    scored = case.scored
    if scored is None or not found.about_score:
        return _principal(rules, ())
    scores = score_reasons(scored)
    if found.below is not None and not scores:
        rules.append(rule_reason(found.below, {"score": scored.score}))
    return _principal(rules, scores)


def _principal(
    rules: list[PrincipalReason], scores: tuple[PrincipalReason, ...]
) -> tuple[PrincipalReason, ...]:
    """At most four, each code once: half of them of the score, if it has as many."""
    once: dict[str, PrincipalReason] = {}
    for one in rules:
        once.setdefault(one.code, one)
    kept = list(once.values())[: MOST_REASONS - min(MOST_REASONS // 2, len(scores))]
    return (*kept, *scores)[:MOST_REASONS]


def decide_silently(
    case: Case, challenger: CreditPolicy, pricing: Pricing, score_reasons: ScoreReasons
) -> Decision:
    """What ``challenger`` would have said of a case that the policy decides which it challenges:
    for the lender's eyes, and without any effect. It explores nothing: what it would lend below the
    cut-off is not lent.

    Raises:
        PolicyRefused: as :func:`decide`, or the challenger was made beside another policy.
    """
    if challenger.document.challenges != case.policy_hash:
        raise PolicyRefused("the challenger was made to be tried beside another policy")
    return decide(replace(case, policy_hash=challenger.hash), challenger, pricing, score_reasons)


def price_by_hand(policy: CreditPolicy, case: Case, terms: LoanTerms) -> tuple[int, int] | None:
    """Rate and floor of a loan that a person approves: those of the tier that the score leads to;
    where it leads to none, of the dearest tier. None where the pricing cannot be told, because
    something that it reads is not known."""
    known: dict[str, Value] = known_facts(case, policy) | {
        "amount": terms.amount,
        "term_days": terms.term_days,
        "exposure": case.outstanding + terms.amount,
    }
    row = policy.tables["tiers"].look(known).row
    tier = None if row is None else row.then.get("tier")
    tiers = policy.document.tiers if tier is None else (str(tier),)
    rows = [policy.tables["pricing"].look({**known, "tier": one}).row for one in tiers]
    prices = [(int(one.then["rate"]), int(one.then.get("floor", 0))) for one in rows if one]  # type: ignore[arg-type]
    return max(prices) if prices else None
