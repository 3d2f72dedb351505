"""Cases and decisions go to JSON and back exactly, and a stored decision comes out again to the bit."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.effort import effort
from support.lending_cases import KEY, POLICY, PRICES, STATUSES, case, cases, prices, score_reasons

from crypto.documents import MAX_INT, canonical_json, document_hash
from lending.cases import (
    Application,
    Case,
    Cost,
    Decision,
    Fact,
    FeaturePoints,
    LoanOffer,
    PrincipalReason,
    Scored,
    Step,
)
from lending.policy.decide import decide
from lending.policy.document import PolicyRefused
from lending.policy.offers import Pricing
from lending.policy.replay import replay
from lending.records import RecordError, case_from, case_hash, case_json, decision_from, decision_json


@dataclass(frozen=True)
class AsThen:
    """The demo's policy, whatever was scored, and prices."""

    scored: Scored | None
    pricing: Pricing = PRICES

    def score(self, facts: Mapping[str, Fact]) -> Scored | None:
        return self.scored

    def decide(self, one: Case) -> Decision:
        return decide(one, POLICY, self.pricing, score_reasons, KEY)


whole = st.integers(-MAX_INT, MAX_INT)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.one_of(
    st.booleans(), st.integers(), st.floats(), st.sampled_from([-0.0, 3.0, 0.1, 5e-324]), words, st.dates()
)
zones = st.sampled_from([UTC, timezone(timedelta(hours=8)), timezone(-timedelta(hours=3, minutes=30))])
moments = st.datetimes(timezones=zones)
decimals = st.decimals(allow_nan=False)
points = st.builds(FeaturePoints, words, whole, whole, st.booleans())
scores = st.builds(
    Scored, whole, words, st.floats(allow_nan=False), whole, st.lists(points, max_size=3).map(tuple)
)  # fmt: skip
facts = st.dictionaries(
    words, st.tuples(st.sampled_from(("present", *STATUSES)), st.none() | values, words, st.none() | st.dates())
).map(lambda found: {name: Fact(name, *one) for name, one in found.items()})
applications = st.builds(Application, words, words, whole, whole, words, moments, st.booleans())
any_case = st.builds(Case, applications, facts, st.none() | scores, whole, moments, *[words] * 4)
costs = st.builds(Cost, decimals, decimals, st.none() | decimals, words, whole)
offers = st.builds(LoanOffer, words, whole, whole, whole, whole, costs, moments)
kinds = st.sampled_from(["score", "rule", "cost"])
reasons = st.builds(PrincipalReason, words, kinds, whole, st.dictionaries(words, values, max_size=2))
steps = st.builds(Step, words, words, st.none() | st.booleans(), st.lists(words, max_size=2).map(tuple))
any_decision = st.builds(
    Decision,
    words,
    st.sampled_from(["approve", "counter", "review", "decline"]),
    st.none() | scores,
    st.none() | offers,
    st.lists(reasons, max_size=4).map(tuple),
    st.lists(steps, max_size=3).map(tuple),
    words,
    moments,
)


@settings(max_examples=effort(1000), deadline=None)
@given(any_case)
def test_a_case_reads_back_as_it_was(one: Case):
    written = case_json(one)
    stored = json.loads(canonical_json(written))
    assert stored == written
    again = case_from(stored)
    assert case_json(again) == written
    for name, fact in one.facts.items():
        assert repr(again.facts[name]) == repr(fact)  # to the bit: 3.0 is not 3, nor is -0.0 0.0, nor true 1
    assert replace(again, facts={}) == replace(one, facts={})
    assert case_hash(again) == case_hash(one) == document_hash(written)


@settings(max_examples=effort(800), deadline=None)
@given(any_decision)
def test_a_decision_reads_back_as_it_was(one: Decision):
    written = decision_json(one)
    again = decision_from(json.loads(canonical_json(written)))
    assert decision_json(again) == written
    assert replace(again, reasons=()) == replace(one, reasons=())
    for mine, other in zip(again.reasons, one.reasons, strict=True):
        assert replace(mine, detail={}) == replace(other, detail={})
        assert {n: repr(v) for n, v in mine.detail.items()} == {n: repr(v) for n, v in other.detail.items()}


@pytest.mark.parametrize(
    ("one", "other"), [(3, 3.0), (0, False), (1, True), (0.0, -0.0), ("3", 3), (2**53, 2**53 + 1), (1.5, "1.5")]
)
def test_two_values_that_python_might_take_for_one_give_two_hashes(one: Any, other: Any):
    first, second = (replace(case(), facts={"f": Fact("f", "present", value)}) for value in (one, other))
    assert case_hash(first) != case_hash(second)


def test_the_order_of_facts_is_no_part_of_a_case():
    one = case()
    assert case_hash(replace(one, facts=dict(reversed(one.facts.items())))) == case_hash(one)


@pytest.mark.parametrize(
    "broken",
    [
        replace(case(), now=datetime(2026, 1, 1)),
        replace(case(), facts={"f": Fact("g", "absent")}),
        replace(case(), outstanding=MAX_INT + 1),
        replace(case(), law_hash="\ud800"),
        replace(case(), facts={"名": Fact("名", "present", "\ud800")}),
        replace(case(), facts={"f": Fact("f", "present", Decimal(1))}),
    ],
)
def test_what_has_no_canonical_form_is_refused(broken: Case):
    with pytest.raises(RecordError):
        case_hash(broken)


def damaged(stored: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    found = copy.deepcopy(stored)
    *way, last = path.split(".")
    inner = found
    for part in way:
        inner = inner[part]
    if value is KeyError:
        del inner[last]
    else:
        inner[last] = value
    return found


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("extra", 1),
        ("now", KeyError),
        ("now", "2026-11-27T09:30:00"),
        ("now", "2026-11-27 09:30:00+00:00"),
        ("outstanding", {}),
        ("application.id", KeyError),
        ("application.extra", 1),
        ("facts.open_loans.status", "forgotten"),
        ("facts.open_loans.value", {"number": "1e5"}),
        ("facts.open_loans.value", {"number": "x"}),
        ("facts.open_loans.value", {"integer": "5", "number": "5"}),
        ("facts.open_loans.value", {"integer": "5"}),
        ("facts.open_loans.value", [1]),
        ("facts.open_loans.source", 1),
        ("scored.score", 680.0),
        ("scored.points", [["f", 1, 2, 1]]),
        ("outstanding", False),
        ("scored.points", [["f", 1]]),
        ("scored", []),
        ("facts", None),
    ],
)
def test_what_is_not_exactly_a_case_is_refused(path, value):
    with pytest.raises(RecordError, match="what was stored is no case"):
        case_from(damaged(case_json(case()), path, value))


@settings(max_examples=effort(500), deadline=None)
@given(cases(), prices())
def test_a_stored_decision_comes_out_again(one: Case, pricing):
    made = decide(one, POLICY, pricing, score_reasons, KEY)
    stored = json.loads(canonical_json([case_json(one), decision_json(made)]))
    again = replay(stored[0], stored[1], lambda case: AsThen(one.scored, pricing))
    assert (again.case, again.decision, again.differs) == (one, made, None)
    assert decision_from(stored[1]) == made


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("outcome", "decline"),
        ("offer.amount", 310_000),
        ("offer.amount", 300_000.0),
        ("offer.cost.total", True),
        ("case_hash", "0" * 64),
        ("reasons", [{}]),
        ("trace", []),
        ("decided_at", "2026-11-27T09:30:00Z"),
        ("scored.score", 681),
        ("extra", None),
    ],
)
def test_an_altered_decision_does_not(path, value):
    made = decision_json(decide(case(), POLICY, PRICES, score_reasons, KEY))
    assert differing(case(), made) is None
    expected = "fields" if path == "extra" else path.partition(".")[0]
    assert differing(case(), damaged(made, path, value)) == expected


SCORED = case().scored


def differing(one: Case, made: dict[str, Any], scored: Scored | None = SCORED) -> str | None:
    return replay(case_json(one), made, lambda _: AsThen(scored)).differs


def test_a_case_that_says_more_than_is_read_does_not_come_out():
    made = decision_json(decide(case(), POLICY, PRICES, score_reasons, KEY))
    more = case_json(case()) | {"note": "seen by nobody"}
    assert replay(more, made, lambda _: AsThen(SCORED)).differs == "case"


def test_an_altered_case_or_another_score_or_policy_does_not_either():
    made = decision_json(decide(case(), POLICY, PRICES, score_reasons, KEY))
    assert differing(case(outstanding=1), made) == "case_hash"
    assert SCORED is not None
    other = replace(SCORED, points=(replace(SCORED.points[0], bin=2), *SCORED.points[1:]))
    assert differing(case(), made, other) == "scored" == differing(case(), made, None)
    with pytest.raises(PolicyRefused, match="another policy"):
        differing(replace(case(), policy_hash="p"), made)
