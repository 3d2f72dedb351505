"""A policy is refused in one sentence, or it is complete, lawful on its day and signed."""

from __future__ import annotations

import copy
from datetime import date
from typing import Any

import pytest
from support.lending_cases import DAY, LAW, POLICY, DatedLaw, case, payload, with_rows

from crypto.documents import sign_document
from crypto.errors import SignatureError
from crypto.keys import SigningKey
from law.categories import DataCategory
from lending.policy.conditions import TableError
from lending.policy.document import POLICY_TYP, PolicyDocument, PolicyRefused, policy_from, verified_policy


def without(table: str) -> dict[str, Any]:
    return payload(tables={name: rows for name, rows in payload()["tables"].items() if name != table})


def with_fact(name: str, **declared: Any) -> dict[str, Any]:
    return payload(facts=payload()["facts"] | {name: declared})


def rows_but(table: str, at: int, **changes: Any) -> dict[str, Any]:
    rows = copy.deepcopy(payload()["tables"][table]["rows"])
    rows[at] |= changes
    return with_rows(table, rows)


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (payload(valid_until=date(2026, 8, 1)), "over before it begins"),
        (payload(valid_until=date(9999, 1, 1)), "valid_until"),
        (payload(products=[]), "products must be a list of at least 1"),
        (payload(jurisdiction="XX"), "jurisdiction must be one of"),
        (payload(colour="blue"), "colour is not known"),
        (without("tiers"), "no table 'tiers'"),
        (payload(tables=payload()["tables"] | {"extra": {"hit": "first", "rows": []}}), "tables"),
        (with_fact("score", kind="integer"), "'score' is worked out"),
        (with_fact("burden", kind="integer"), "'burden' is worked out"),
        (with_fact("Income", kind="fen"), "small letters"),
        (with_fact("purpose", kind="boolean"), "a purpose is a code"),
        (with_fact("monthly_income", kind="number"), "'monthly_income' must be declared, as fen"),
        (payload(burden={"income": "nothing", "obligations": "monthly_obligations"}), "'nothing' must be declared"),
        (payload(exploration=payload()["exploration"] | {"share_ppm": 50_001}), "at most 50000"),
        (with_rows("limits", payload()["tables"]["limits"]["rows"], "collect"), "'limits' must not collect"),
        (with_rows("review", payload()["tables"]["review"]["rows"], "first"), "'review' collects"),
        (rows_but("knock_outs", 0, then={}), "table 'knock_outs', row 'not-verified': reason is missing"),
        (rows_but("knock_outs", 0, then={"reason": "Too Bad"}), "small letters"),
        (rows_but("tiers", 0, then={"outcome": "approve"}), "leads to a tier if and only if"),
        (rows_but("tiers", 4, then={"outcome": "decline", "tier": "c", "reason": "x"}), "leads to a tier if and only"),
        (rows_but("tiers", 4, then={"outcome": "decline"}), "whatever does not approve has a reason"),
        (rows_but("affordability", 2, then={"outcome": "decline"}), "whatever does not approve has a reason"),
        (rows_but("limits", 1, then={"limit": 1.5}), "limit"),
        (rows_but("limits", 1, then={"limit": True}), "limit must be a whole number"),
        (rows_but("pricing", 0, then={"rate": 300, "floor": 301}), "its floor lies above its rate"),
        (rows_but("knock_outs", 1, id="not-verified"), "two rows 'not-verified'"),
        (rows_but("knock_outs", 0, when={"tier": "a"}), "reads 'tier', which is not declared"),
        (rows_but("pricing", 0, when={"burden": "> 3"}), "reads 'burden', which is not declared"),
        (rows_but("tiers", 0, when={"score": ">= 701"}), "no row holds at score = 700"),
        (rows_but("pricing", 2, when={"tier": "c"}), "no row holds at tier = x"),
        (rows_but("affordability", 0, when={"burden": "<= 600"}), "both hold at burden = 501"),
        (rows_but("limits", 0, when={}), "never counts, because rows before it hold"),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused_in_one_sentence(written, sentence):
    with pytest.raises((PolicyRefused, TableError)) as caught:
        policy_from(written, LAW, DAY)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_policy_that_names_a_protected_feature_stops_loading_on_the_day():
    """Social data were allowed until the day before."""
    written = with_fact("friends", kind="integer", categories=["social"])
    law = DatedLaw(DataCategory.SOCIAL, since=date(2026, 11, 20))
    assert policy_from(written, law, date(2026, 11, 19))
    with pytest.raises(PolicyRefused, match="'friends', which is about social, which article 7 protects"):
        policy_from(written, law, date(2026, 11, 20))


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        ("belief", {"categories": ["religion"]}),
        ("anything", {"categories": ["bureau", "genetic"]}),
        ("religion", {}),
        ("plain", {"about": "the church somebody attends"}),
    ],
)
def test_what_the_law_forbids_does_not_load_by_category_or_by_name(name, declared):
    with pytest.raises(PolicyRefused, match="which"):
        policy_from(with_fact(name, kind="boolean", **declared), LAW, DAY)


def test_a_signed_policy_is_the_same_policy():
    key, other = SigningKey.generate(), SigningKey.generate()
    token = POLICY.document.sign(key)
    assert verified_policy(token, key.public, LAW, DAY).hash == POLICY.hash
    with pytest.raises(SignatureError):
        verified_policy(token, other.public, LAW, DAY)
    with pytest.raises(SignatureError, match=f"expected a {POLICY_TYP} document"):
        verified_policy(sign_document("tahini-notice", POLICY.document.payload(), key), key.public, LAW, DAY)
    head, body, signature = token.split(".")
    with pytest.raises(SignatureError):
        verified_policy(f"{head}.{body[:-2]}AA.{signature}", key.public, LAW, DAY)


def test_the_hash_is_that_of_what_the_policy_says():
    same = policy_from(PolicyDocument.model_validate(payload()).payload(), LAW, DAY)
    assert same.hash == POLICY.hash
    spelled = rows_but("tiers", 0, when={"score": " >= 700"})
    assert policy_from(spelled, LAW, DAY).hash != POLICY.hash
    assert policy_from(payload(most_neutral=4), LAW, DAY).hash != POLICY.hash


@pytest.mark.parametrize(
    ("day", "force"), [("2026-07-31", False), ("2026-08-01", True), ("2027-12-31", True), ("2028-01-01", False)]
)
def test_it_is_in_force_from_its_first_day_to_the_day_before_its_end(day, force):
    assert (POLICY.out_of_force(date.fromisoformat(day)) is None) == force


def test_a_cell_may_be_a_plain_value():
    rows = payload()["tables"]["knock_outs"]["rows"]
    rows[0] = rows[0] | {"when": {"identity_verified": False}}
    made = policy_from(with_rows("knock_outs", rows), LAW, DAY)
    assert made.tables["knock_outs"].look({"identity_verified": False}).held[0].id == "not-verified"
    assert case().policy_hash == POLICY.hash
