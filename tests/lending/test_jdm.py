"""GoRules' JDM: what goes out comes back, their engine says of it what ours says, and what ours cannot say is
refused."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import zen
from hypothesis import given, settings
from hypothesis import strategies as st
from support.decision_tables import FACTS, inside, tables, values
from support.effort import effort
from support.lending_cases import DAY, LAW, POLICY, payload

from lending.policy.conditions import TableError, parse_condition, written
from lending.policy.document import CreditPolicy, PolicyDocument, PolicyRefused, policy_from
from lending.policy.jdm import from_jdm, to_jdm
from lending.policy.tables import TableRow

GRAPH = to_jdm(POLICY)


def policy_with(knock_outs: list[TableRow], limits: list[TableRow]) -> CreditPolicy:
    """The demo's policy with these conditions in two of its tables."""
    given = payload()
    facts = {name: one.model_dump(exclude_defaults=True) for name, one in FACTS.items()}
    tables = given["tables"]
    for name, hit, them in (("knock_outs", "collect", knock_outs), ("limits", "first", limits)):
        told = [{"reason": f"told-{n}"} if name == "knock_outs" else {"limit": n} for n in range(len(them))]
        found = [
            {"id": f"r{n}", "when": {f: str(c) for f, c in row.when.items()}, "then": told[n], "note": "why"}
            for n, row in enumerate(them)
        ]
        tables[name] = {"hit": hit, "rows": found}
    return policy_from(given | {"facts": given["facts"] | facts, "tables": tables}, LAW, DAY)


def policies() -> st.SearchStrategy[CreditPolicy]:
    return st.builds(policy_with, tables("collect"), tables("first"))


def conditions(policy: CreditPolicy) -> dict[str, Any]:
    return {
        name: [(row.id, row.when, row.then, row.note) for row in table.rows] for name, table in policy.tables.items()
    }


@settings(max_examples=effort(300), deadline=None)
@given(policies())
def test_what_goes_out_comes_back(policy: CreditPolicy):
    graph = json.loads(json.dumps(to_jdm(policy)))
    again = CreditPolicy(from_jdm(graph, policy.document))
    assert conditions(again) == conditions(policy)
    assert {name: one.hit for name, one in again.tables.items()} == {n: o.hit for n, o in policy.tables.items()}
    assert to_jdm(again) == graph


FULL = st.fixed_dictionaries(
    {name: values(fact).filter(lambda v, f=fact: inside(f, v)) for name, fact in FACTS.items()}
)


def engine(policy: CreditPolicy) -> Any:
    return zen.ZenEngine().create_decision(json.dumps(to_jdm(policy)))


def asked(known: dict[str, Any]) -> str:
    shown = {name: written(v) if FACTS.get(name) and FACTS[name].kind == "date" else v for name, v in known.items()}
    return json.dumps(shown)


USUAL = {
    "identity_verified": True, "has_file": True, "arrears_days": 0, "open_loans": 2, "applications_7d": 1,
    "purpose": "shopping", "amount": 300_000, "score": 680, "burden": 300, "term_days": 90, "product": "daily-30",
}  # fmt: skip


@settings(max_examples=effort(200), deadline=None)
@given(policies(), st.lists(FULL, min_size=1, max_size=6))
def test_their_engine_says_of_it_what_ours_says(policy: CreditPolicy, people):
    other = engine(policy)
    for person in people:
        known = {**USUAL, **person}
        result = other.evaluate(asked(known))["result"]
        mine = policy.tables["knock_outs"].look(known)
        assert [one["reason"] for one in result["knock_outs"]] == [row.then["reason"] for row in mine.held]
        row = policy.tables["limits"].look({**known, "tier": "b"}).row
        assert row is not None and result["limits"] == row.then


@settings(max_examples=effort(500), deadline=None)
@given(
    st.fixed_dictionaries({
        "identity_verified": st.booleans(), "has_file": st.booleans(), "arrears_days": st.integers(29, 32),
        "open_loans": st.integers(11, 14), "applications_7d": st.integers(3, 6), "score": st.integers(590, 720),
        "amount": st.integers(999_999, 1_000_001), "burden": st.integers(499, 602),
        "purpose": st.sampled_from(POLICY.document.facts["purpose"].values),
    })
)  # fmt: skip
def test_their_engine_says_of_the_demo_what_ours_says(known):
    result = ENGINE.evaluate(json.dumps(known))["result"]
    for name in ("knock_outs", "review"):
        held = POLICY.tables[name].look(known).held
        if name == "review" or held:
            assert [one["reason"] for one in result[name] or []] == [row.then["reason"] for row in held]
    tier = POLICY.tables["tiers"].look(known).row
    assert tier is not None and result["tiers"] == tier.then
    known = {**known, "tier": tier.then.get("tier")}
    for name in ("limits", "pricing", "affordability"):
        row = POLICY.tables[name].look(known).row
        if known["tier"] is not None:
            assert row is not None and result[name] == row.then


ENGINE = engine(POLICY)


def changed(node: str, change: Any) -> dict[str, Any]:
    graph = copy.deepcopy(GRAPH)
    change(next(one for one in graph["nodes"] if one["name"] == node))
    return graph


def cell(node: str, row: int, column: str, text: str) -> dict[str, Any]:
    return changed(node, lambda one: one["content"]["rules"][row].update({column: text}))


@pytest.mark.parametrize(
    ("graph", "sentence"),
    [
        ([], "no JSON object"),
        ({}, "has no nodes"),
        ({"nodes": []}, "no decision table"),
        ({"nodes": [1]}, "no object"),
        (changed("tiers", lambda n: n.update(type="functionNode")), "'tiers' is a functionNode"),
        (changed("tiers", lambda n: n.update(name="scores")), "'scores' is no table of a policy"),
        ({"nodes": [GRAPH["nodes"][1]] * 2}, "two nodes are called 'knock_outs'"),
        (changed("tiers", lambda n: n.update(content=None)), "has no content"),
        (changed("tiers", lambda n: n["content"].update(hitPolicy="last")), "'last' is not known"),
        (changed("tiers", lambda n: n["content"].update(executionMode="loop")), "run on a part of its input"),
        (changed("tiers", lambda n: n["content"]["inputs"][0].update(field="score * 2")), "no declared fact"),
        (changed("tiers", lambda n: n["content"]["inputs"][0].update(field="")), "no declared fact"),
        (changed("tiers", lambda n: n["content"]["outputs"][0].update(field="colour")), "nothing called 'colour'"),
        (cell("tiers", 0, "in-score", ">= limit"), "row 'a', score: 'limit' is no whole number"),
        (cell("tiers", 0, "in-score", "len($) > 2"), "is no whole number"),
        (cell("tiers", 0, "in-score", "> 600 and > 700"), "write an interval"),
        (cell("tiers", 0, "in-score", "> 700 and < 600"), "in the wrong order"),
        (cell("pricing", 0, "in-tier", "a"), "no list of texts"),
        (cell("pricing", 0, "in-tier", 'in ["a"'), "no list of texts"),
        (cell("pricing", 0, "in-tier", '"gold"'), "'gold' is none of its values"),
        (cell("pricing", 0, "out-rate", "score / 2"), "is computed"),
        (cell("pricing", 0, "out-rate", "1.5"), "neither text, nor a whole number"),
        (cell("pricing", 0, "out-rate", '"much"'), "the tables make no policy"),
    ],
)
def test_what_ours_cannot_say_is_refused(graph, sentence):
    with pytest.raises((TableError, PolicyRefused)) as caught:
        from_jdm(graph, POLICY.document)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("node", "column", "text", "same"),
    [
        ("tiers", "in-score", ">= 700 and <= 950", "[700..950]"),
        ("tiers", "in-score", "[700..950]", "[700..950]"),
        ("tiers", "in-score", "]699..951[", "(699..951)"),
        ("tiers", "in-score", "$ >= 700", ">= 700"),
        ("tiers", "in-score", "700 or > 700", "700, > 700"),
        ("pricing", "in-tier", "in ['a']", "a"),
        ("pricing", "in-tier", "== 'a'", "a"),
        ("pricing", "in-tier", 'not in ["b", "c", "x"]', "not b, c, x"),
        ("limits", "in-has_file", "false", "false"),
    ],
)
def test_their_other_spellings_are_understood(node, column, text, same):
    made = CreditPolicy(from_jdm(cell(node, 0, column, text), POLICY.document))
    assert str(made.tables[node].rows[0].when[column.removeprefix("in-")]) == same
    assert zen.ZenEngine().create_decision(json.dumps(cell(node, 0, column, text)))


def test_a_table_that_is_not_in_the_graph_stays_and_rows_of_their_editor_get_a_name():
    graph = cell("limits", 1, "_id", "5ZnYGPFT-N")
    graph["nodes"] = [one for one in graph["nodes"] if one["name"] in {"limits", "request", "response"}]
    made = from_jdm(graph, POLICY.document)
    assert made.tables["tiers"] == POLICY.document.tables["tiers"]
    assert made.tables["limits"].rows[1].id == "row-2"


def test_a_number_that_their_engine_rounds_does_not_go_out():
    facts = payload()["facts"] | {"share": {"kind": "number"}}
    row = {"id": "tiny", "when": {"share": "< 1e-30"}, "then": {"reason": "tiny"}}
    tables = payload()["tables"] | {"knock_outs": {"hit": "collect", "rows": [row]}}
    policy = policy_from(payload(facts=facts, tables=tables), LAW, DAY)
    with pytest.raises(TableError, match="it keeps 28 digits"):
        to_jdm(policy)
    assert isinstance(policy.document, PolicyDocument)


def test_an_interval_that_holds_nothing_is_refused():
    """Their engine and ours do not say the same of one beside another."""
    for text, name in (("(2026-01-02..2026-01-02), 2026-01-05", "since"), ("[5..5)", "whole")):
        with pytest.raises(TableError, match="holds for no value"):
            parse_condition(text, FACTS[name])


def test_an_and_behind_an_or_is_not_guessed_at():
    """Their engine reads ``a or b and c`` as ``(a or b) and c``, and so do no two readers alike."""
    early, late = 'date($) > date("2026-01-05")', 'date($) > date("2026-01-01") and date($) < date("2026-01-03")'
    since = parse_condition("> 2026-01-05", FACTS["since"])
    assert since is not None
    policy = policy_with([TableRow("r", {"since": since}, {})], [TableRow("r", {}, {})])
    graph = json.dumps(to_jdm(policy))
    instead = {one: json.dumps(one)[1:-1] for one in (early, f"{early} or {late}", f"{late} or {early}")}
    with pytest.raises(TableError, match="write an interval"):
        from_jdm(json.loads(graph.replace(instead[early], instead[f"{early} or {late}"])), policy.document)
    from_jdm(json.loads(graph.replace(instead[early], instead[f"{late} or {early}"])), policy.document)


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("tiers", "in-score", 0),
        ("tiers", "in-score", False),
        ("limits", "out-limit", 0),
        ("tiers", "in-score", [">= 1"]),
    ],
)
def test_a_cell_that_is_no_text_is_refused_and_not_taken_for_nothing(name: str, column: str, value: Any):
    graph = copy.deepcopy(GRAPH)
    node = next(one for one in graph["nodes"] if one["name"] == name)
    assert column in node["content"]["rules"][0]
    node["content"]["rules"][0][column] = value
    with pytest.raises(TableError, match="is no text"):
        from_jdm(graph, POLICY.document)


@pytest.mark.parametrize(("side", "column"), [("inputs", "in-score"), ("outputs", "out-tier")])
def test_two_columns_of_one_fact_are_refused_and_none_is_dropped(side: str, column: str):
    """Their engine asks both; of ours the second would stand in place of the first."""
    graph = copy.deepcopy(GRAPH)
    content = next(one for one in graph["nodes"] if one["name"] == "tiers")["content"]
    (first,) = (one for one in content[side] if one["id"] == column)
    content[side].append(first | {"id": "another"})
    for rule in content["rules"]:
        rule["another"] = ""
    with pytest.raises(TableError, match="two columns"):
        from_jdm(graph, POLICY.document)
