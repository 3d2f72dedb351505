"""Decisions: total, deterministic, by the worst that anything came to, and never more than is known or allowed."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.effort import effort
from support.lending_cases import (
    KEY,
    LAW,
    NOW,
    POLICY,
    PRICES,
    STATUSES,
    USUAL,
    PlainPrices,
    case,
    cases,
    fact,
    payload,
    prices,
    score_reasons,
)

from lending.cases import Case, Decision
from lending.policy.decide import MOST_REASONS, decide, decide_silently
from lending.policy.document import CreditPolicy, PolicyRefused, policy_from

RANK = {"decline": 0, "review": 1, "counter": 2, "approve": 3}


def decided(one: Case, pricing: PlainPrices = PRICES, key: bytes = b"", policy: CreditPolicy = POLICY) -> Decision:
    return decide(one, policy, pricing, score_reasons, key)


def codes(decision: Decision) -> list[str]:
    return [one.code for one in decision.reasons]


def with_facts(one: Case, **facts: Any) -> Case:
    return replace(one, facts={**one.facts, **{name: fact(name, value) for name, value in facts.items()}})


@settings(max_examples=effort(1500), deadline=None)
@given(cases(), prices(), st.sampled_from([b"", KEY]), st.randoms(use_true_random=False))
def test_every_case_is_decided_once_and_for_all(one: Case, pricing: PlainPrices, key: bytes, chance: random.Random):
    found = decided(one, pricing, key)
    shuffled = list(one.facts.items())
    chance.shuffle(shuffled)
    assert decided(replace(one, facts=dict(shuffled)), pricing, key) == found
    assert len(found.reasons) <= MOST_REASONS
    assert len(set(codes(found))) == len(found.reasons)
    assert bool(found.reasons) == (found.outcome != "approve")
    assert (found.offer is not None) == (found.outcome in {"approve", "counter"})
    if one.application.wants_person:
        assert found.outcome == "review"
    if found.offer is None:
        return
    offer, asked = found.offer, one.application
    assert None not in {step.held for step in found.trace}, "what is unknown never approves"
    assert one.scored is not None and one.scored.neutral <= POLICY.document.most_neutral
    assert offer.amount <= asked.amount and offer.cost.within
    assert (pricing.cap is None) or max(offer.cost.compound, offer.cost.simple) <= pricing.cap
    assert one.outstanding + offer.amount <= min(offer.limit, pricing.household or offer.limit)
    assert offer.term_days in pricing.terms and pricing.least <= offer.amount <= pricing.most
    assert (offer.amount - pricing.least) % pricing.step == 0
    same = (offer.amount, offer.term_days) == (asked.amount, asked.term_days)
    assert same == (found.outcome == "approve")
    assert offer.valid_until == NOW + timedelta(days=7)


@settings(max_examples=effort(1000), deadline=None)
@given(cases(), prices(), st.sampled_from(sorted(USUAL)), st.sampled_from(STATUSES), st.integers(1, 8))
def test_to_say_less_is_never_a_reason_to_decline(one, pricing, name, status, neutral):
    """Whoever is not declined for what is known is not declined for refusing, and not approved for it either where
    they were not before."""
    before = decided(one, pricing)
    refused = decided(with_facts(one, **{name: status}), pricing)
    assert RANK[refused.outcome] <= max(RANK[before.outcome], RANK["review"])
    if before.outcome != "decline":
        assert refused.outcome != "decline"
        if one.scored is not None:
            points = tuple(replace(p, neutral=p.neutral or n < neutral) for n, p in enumerate(one.scored.points))
            assert decided(replace(one, scored=replace(one.scored, points=points)), pricing).outcome != "decline"


@settings(max_examples=effort(800), deadline=None)
@given(cases(), cases(), prices())
def test_what_was_decided_without_a_fact_stays_when_it_comes(one: Case, other: Case, pricing: PlainPrices):
    """Unless it was a review, which waited for it."""
    before = decided(one, pricing)
    known = {name: fact for name, fact in one.facts.items() if fact.status == "present"}
    after = decided(replace(one, facts={**other.facts, **known}), pricing)
    if before.outcome in {"approve", "counter"}:
        assert (after.outcome, after.offer) == (before.outcome, before.offer)
    if before.outcome == "decline":
        assert after.outcome == "decline"


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("name", sorted(set(USUAL) - {"exploration_outstanding"}))
def test_no_fact_that_is_read_may_be_unknown(name, status):
    found = decided(case(**{name: status}))
    assert found.outcome == "review"
    assert codes(found) == ["facts-unknown"]
    assert found.reasons[0].detail == {"facts": name}


@pytest.mark.parametrize("status", STATUSES)
def test_a_value_that_is_not_present_is_not_used(status):
    """A disputed fact may still carry what is disputed."""
    one = case()
    held = replace(one.facts["arrears_days"], status=status)
    found = decided(replace(one, facts={**one.facts, "arrears_days": held}))
    assert found.outcome == "review" and found.reasons[0].detail == {"facts": "arrears_days"}


@settings(max_examples=effort(1000), deadline=None)
@given(cases(), prices(), st.integers(350, 950), st.integers(350, 950))
def test_a_better_score_or_income_never_makes_it_worse(one, pricing, low, high):
    low, high = sorted((low, high))
    if one.scored is None or one.scored.neutral > POLICY.document.most_neutral:
        return  # an untrusted score below the cut-off is looked at before anybody asks for terms
    worse, better = (decided(replace(one, scored=replace(one.scored, score=s)), pricing) for s in (low, high))
    assert RANK[worse.outcome] <= RANK[better.outcome]
    poor, rich = (decided(with_facts(one, monthly_income=i), pricing) for i in (low * 1000, high * 1000))
    assert RANK[poor.outcome] <= RANK[rich.outcome]
    free, owing = (decided(with_facts(one, monthly_obligations=i), pricing) for i in (low * 1000, high * 1000))
    assert RANK[owing.outcome] <= RANK[free.outcome]


@pytest.mark.parametrize(
    ("changes", "outcome", "reasons"),
    [
        ({}, "approve", []),
        ({"score": 599}, "decline", ["utilisation", "history", "payments", "inquiries"]),
        ({"arrears_days": 31}, "decline", ["in-arrears"]),
        ({"arrears_days": 31, "open_loans": 13}, "decline", ["in-arrears", "too-many-loans"]),
        ({"arrears_days": 31, "score": 500}, "decline", ["in-arrears", "utilisation", "history", "payments"]),
        ({"purpose": "investing"}, "decline", ["purpose-not-allowed"]),
        ({"score": 605}, "review", ["close-to-the-cut-off", "utilisation", "history", "payments"]),
        (
            {"score": 605, "applications_7d": 9},
            "review",
            ["close-to-the-cut-off", "many-applications", "utilisation", "history"],
        ),
        ({"applications_7d": 9}, "review", ["many-applications"]),
        ({"applications_7d": 9, "arrears_days": 31}, "decline", ["in-arrears"]),
        ({"applications_7d": "late", "score": 500}, "decline", ["utilisation", "history", "payments", "inquiries"]),
        ({"score": None}, "review", ["no-score"]),
        ({"score": None, "arrears_days": 31}, "decline", ["in-arrears"]),
        ({"score": 951}, "review", ["facts-unknown"]),
        ({"neutral": 4}, "review", ["too-much-neutral"]),
        (
            {"neutral": 4, "score": 500},
            "review",
            ["too-much-neutral", "score-below-the-cut-off", "utilisation", "history"],
        ),
        ({"neutral": 4, "arrears_days": 31}, "decline", ["in-arrears"]),
        ({"wants_person": True}, "review", ["person-wanted"]),
        ({"wants_person": True, "arrears_days": 31}, "review", ["person-wanted", "in-arrears"]),
        ({"wants_person": True, "score": 500}, "review", ["person-wanted", "utilisation", "history", "payments"]),
        ({"monthly_income": 0}, "decline", ["payments-too-heavy-for-income"]),
        ({"monthly_income": 240_000}, "review", ["payments-heavy-for-income"]),
        ({"has_file": False, "arrears_days": "absent", "open_loans": "absent", "applications_7d": "absent",
          "monthly_income": 3_000_000}, "approve", []),
        ({"has_file": False, "amount": 1_010_000, "monthly_income": 3_000_000}, "review", ["large-first-loan"]),
        ({"amount": 5_500_000, "monthly_income": 9_000_000}, "counter", ["credit-limit"]),
        ({"outstanding": 4_900_000, "monthly_income": 9_000_000}, "counter", ["credit-limit"]),
        ({"outstanding": 5_000_000}, "decline", ["credit-limit"]),
        ({"amount": 5_000}, "decline", ["amount-too-small"]),
        ({"term_days": 31}, "counter", ["term-not-offered"]),
        ({"amount": 305_000}, "counter", ["amount-not-offered"]),
    ],
)  # fmt: skip
def test_the_worst_that_anything_came_to_is_the_outcome(changes, outcome, reasons):
    found = decided(case(**changes))
    assert (found.outcome, codes(found)) == (outcome, reasons)


def test_the_price_is_lowered_until_the_cost_fits():
    plain = decided(case(score=620), PlainPrices(cap=None)).offer
    capped = decided(case(score=620), PlainPrices(cap=Decimal("0.12"))).offer
    assert plain is not None and capped is not None
    assert plain.rate_ppm_day == 550 and 200 <= capped.rate_ppm_day < 330
    assert Decimal("0.119") < max(capped.cost.compound, capped.cost.simple) <= Decimal("0.12")


def test_where_no_price_fits_another_term_is_offered_or_the_loan_is_declined_for_its_cost():
    """A fee of 3% is more than 24% a year on 30 days, and less on a year."""
    dear = PlainPrices(fee_ppm=30_000)
    found = decided(case(term_days=30, amount=100_000), dear)
    assert found.outcome == "counter" and found.offer is not None and found.offer.term_days == 90
    assert codes(found) == ["cost-cap"] and found.reasons[0].kind == "cost"
    refused = decided(case(term_days=30, amount=100_000), replace(dear, terms=(30,)))
    assert (refused.outcome, codes(refused), refused.reasons[0].kind) == ("decline", ["cost-cap"], "cost")
    below_floor = decided(case(), PlainPrices(cap=Decimal("0.05")))
    assert (below_floor.outcome, codes(below_floor)) == ("decline", ["cost-cap"])


def test_where_income_is_short_the_largest_amount_that_it_carries_is_offered():
    found = decided(case(amount=4_000_000, monthly_income=500_000))
    assert found.outcome == "counter" and codes(found) == ["payments-too-heavy-for-income"]
    assert found.offer is not None
    more = PRICES.choices("monthly-12", date.today()).step
    assert decided(case(amount=found.offer.amount, monthly_income=500_000)).outcome == "approve"
    assert decided(case(amount=found.offer.amount + more, monthly_income=500_000)).outcome != "approve"


def test_what_the_law_lets_a_household_owe_binds_before_the_limit():
    found = decided(case(amount=300_000, outstanding=50_000), PlainPrices(household=200_000))
    assert found.outcome == "counter" and codes(found) == ["household-limit"]
    assert found.offer is not None and found.offer.amount == 150_000 and found.offer.limit == 200_000


def test_a_price_list_that_answers_beyond_the_cap_or_the_price_makes_no_offer():
    class Beyond(PlainPrices):
        def lawful_price(self, terms, most):
            return most + 1, self.cost(terms, most)

    class Dear(PlainPrices):
        def lawful_price(self, terms, most):
            return most, self.cost(terms, 5_000)

    assert codes(decided(case(), Beyond())) == codes(decided(case(), Dear())) == ["cost-cap"]


def test_below_the_cut_off_a_small_share_is_explored_with_small_loans():
    people = [case(score=560, amount=50_000, id=f"a-{n}") for n in range(1500)]
    chosen = [one for one in people if decided(one, key=KEY).outcome == "approve"]
    assert 5 < len(chosen) < 60  # 30 of 1,500, five standard deviations each way
    assert [one for one in people if POLICY.explores(one.application.id, KEY)] == chosen
    assert not [one for one in people if decided(one).outcome != "decline"], "without a key, nobody"
    other = {one.application.id for one in people if POLICY.explores(one.application.id, b"another key")}
    assert other != {one.application.id for one in chosen}
    inside = chosen[0]
    large = decided(replace(inside, application=replace(inside.application, amount=900_000)), key=KEY)
    assert large.outcome == "counter" and large.offer is not None and large.offer.amount == 50_000
    for lent in (5_000_000, "absent"):
        declined = decided(with_facts(inside, exploration_outstanding=lent), key=KEY)
        assert (declined.outcome, codes(declined)[0]) == ("decline", "utilisation"), "by the score, as anybody else"
    assert decided(with_facts(inside, arrears_days=31), key=KEY).outcome == "decline"
    assert decided(replace(inside, scored=replace(inside.scored, score=539)), key=KEY).outcome == "decline"


def test_a_score_without_reasons_of_its_own_gives_that_of_its_row():
    found = decide(case(score=500), POLICY, PRICES, lambda scored: ())
    assert (found.outcome, codes(found)) == ("decline", ["score-below-the-cut-off"])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"now": NOW.replace(year=2026, month=7, day=31)}, "not in force before 2026-08-01, and it is 2026-07-31"),
        ({"now": NOW.replace(year=2028, month=1, day=1)}, "was in force until 2028-01-01, and it is 2028-01-01"),
        ({"product": "car-loan"}, "'car-loan' is no product of policy 'first-loans'"),
    ],
)
def test_a_policy_decides_on_its_days_and_of_its_products_only(changes, sentence):
    with pytest.raises(PolicyRefused, match=sentence):
        decided(case(**changes))


def test_a_case_of_another_policy_is_refused():
    with pytest.raises(PolicyRefused, match="another policy"):
        decided(replace(case(), policy_hash="0" * 64))


def challenger(**changes: Any) -> CreditPolicy:
    tables = payload()["tables"]
    tables["tiers"]["rows"][-1]["when"]["score"] = "< 580"
    tables["tiers"]["rows"][-2]["when"]["score"] = "[580..610)"
    return policy_from(payload(challenges=POLICY.hash, tables=tables, **changes), LAW, NOW.date())


def test_a_challenger_decides_silently_beside_the_champion():
    one, other = case(score=590), challenger()
    silent = decide_silently(one, other, PRICES, score_reasons)
    assert (decided(one).outcome, silent.outcome) == ("decline", "review")
    assert silent == decided(replace(one, policy_hash=other.hash), policy=other)
    assert silent.case_hash != decided(one).case_hash, "it says by which policy"
    with pytest.raises(PolicyRefused, match="was in force until"):
        decide_silently(one, challenger(valid_until=date(2026, 9, 1)), PRICES, score_reasons)
    with pytest.raises(PolicyRefused, match="beside another policy"):
        decide_silently(one, POLICY, PRICES, score_reasons)


def test_a_challenger_explores_nothing():
    explores = payload()["exploration"] | {"share_ppm": 50_000}
    other = challenger(exploration=explores)
    chosen = next(f"a-{n}" for n in range(10_000) if other.explores(f"a-{n}", KEY))
    one = case(score=570, id=chosen)
    assert decided(replace(one, policy_hash=other.hash), policy=other, key=KEY).offer is not None
    assert decide_silently(one, other, PRICES, score_reasons).outcome == "decline"
