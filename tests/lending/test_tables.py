"""Decision tables: what they say against the definitions, and what the static check finds against every point."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.decision_tables import FACTS, by_the_book, conditions, known_facts, points, rows, tables, truth
from support.effort import effort

from lending.cases import Step
from lending.policy.conditions import Condition, DeclaredFact, TableError, parse_condition
from lending.policy.tables import DecisionTable, HitPolicy, rows_of

HITS = st.sampled_from(["unique", "first", "collect"])
SCORE = {"score": DeclaredFact(kind="integer", low=350, high=950), "job": FACTS["job"]}


def table(hit: HitPolicy, *cells: dict[str, Any], facts: dict[str, DeclaredFact] = SCORE) -> DecisionTable:
    written = [{"id": f"r{n}", "when": cell, "then": {"to": n}} for n, cell in enumerate(cells)]
    return DecisionTable("t", hit, rows_of(written, facts, "t"), facts)


@settings(max_examples=effort(1000), deadline=None)
@given(st.data(), HITS, known_facts())
def test_a_table_says_what_the_definitions_say(data, hit, known):
    drawn = data.draw(rows() if hit == "unique" else tables(hit))
    try:
        made = DecisionTable("t", hit, drawn, FACTS)
    except TableError:
        return
    looked = made.look(known)
    held, unknown = by_the_book(hit, drawn, known)
    assert [row.id for row in looked.held] == held
    assert [row.id for row in looked.unknown] == unknown
    for step in looked.steps:
        row = next(row for row in drawn if row.id == step.row)
        if step.held is False:
            assert truth(row, known) is False
            last = step.read[-1]
            assert not row.when[last].holds(known[last])
        elif hit != "unique":
            assert truth(row, known) is step.held
    assert bool(looked.missing) == bool(unknown)


@settings(max_examples=effort(800), deadline=None)
@given(st.data(), st.sampled_from(["first", "collect"]), known_facts(), known_facts())
def test_whatever_is_learnt_later_was_possible_before(data, hit, known, learnt):
    """What a table says of little it says of more, whatever else comes to be known."""
    made = DecisionTable("t", hit, data.draw(tables(hit)), FACTS)
    little, more = made.look(known), made.look({**learnt, **known})
    before, after = ({row.id for row in looked.held} for looked in (little, more))
    possible = before | {row.id for row in little.unknown}
    assert before <= after
    if hit == "collect":
        assert after <= possible
    elif before:
        assert after == before


@settings(max_examples=effort(800), deadline=None)
@given(rows(), HITS)
def test_the_static_check_finds_what_a_walk_over_every_point_finds(drawn, hit):
    """Neither more nor less: a table that loads has no gap, overlap or dead row, and one that does not has one."""
    everywhere = points(drawn)
    held = [[row.id for row in drawn if truth(row, point)] for point in everywhere]
    reached = {names[0] for names in held if names}
    empty = [row.id for row in drawn if not any(row.id in names for names in held)]
    fault = (
        bool(empty)
        or (hit == "unique" and any(len(names) > 1 for names in held))
        or (hit == "first" and len(reached) < len(drawn))
        or (hit != "collect" and not all(held))
    )
    try:
        DecisionTable("t", hit, drawn, FACTS)
    except TableError:
        assert fault
    else:
        assert not fault


@settings(max_examples=effort(800), deadline=None)
@given(st.data())
def test_a_condition_is_read_back_as_it_is_written(data):
    fact = FACTS[data.draw(st.sampled_from(list(FACTS)))]
    condition = data.draw(conditions(fact))
    assert parse_condition("-" if condition is None else str(condition), fact) == condition


@pytest.mark.parametrize(
    ("hit", "cells", "sentence"),
    [
        ("unique", [{"score": "< 600"}, {"score": "> 600"}], "no row holds at score = 600"),
        ("first", [{"score": "[350..600)"}, {"score": "[600..950)"}], "no row holds at score = 950"),
        ("unique", [{"score": "<= 600"}, {"score": ">= 600"}], "'r0' and 'r1' both hold at score = 600 and say diff"),
        ("first", [{"score": ">= 500"}, {"score": "[600..650]"}, {}], "'r1' never counts, because rows before it"),
        ("first", [{}, {"score": "< 600"}], "'r1' never counts"),
        ("first", [{"score": "< 600"}, {"score": ">= 600"}, {}], "'r2' never counts"),
        ("collect", [{"score": "< 300"}], "'r0' holds nowhere"),
        ("collect", [{"score": "(600..601)"}], "'r0' holds nowhere"),
        (
            "first",
            [{"score": ">= 600", "job": "salaried"}, {"score": "< 600"}, {"job": "not salaried, none"}],
            "no row holds at score = 600, job = none",
        ),
        ("collect", [{"age": "< 18"}], "reads 'age', which is not declared"),
        ("collect", [{"score": "low"}], "row 'r0', score: 'low' is no whole number"),
        ("collect", [{"score": "[7..3]"}], "in the wrong order"),
        ("collect", [{"job": "pirate"}], "'pirate' is none of its values"),
    ],
)
def test_a_faulty_table_is_refused_with_a_point_where_it_fails(hit, cells, sentence):
    with pytest.raises(TableError) as caught:
        table(hit, *cells)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("value", [True, 600.0, "600", None, 349, 951, 10**400, float("nan")])
def test_what_was_not_declared_is_not_known(value):
    made = table("first", {"score": ">= 600"}, {})
    looked = made.look({"score": value})
    assert looked.row is None
    assert looked.missing == ("score",)
    assert looked.steps == (Step("t", "r0", None, ("score",)),)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400, True, "0"])
def test_no_number_is_no_number(value):
    facts = {"share": DeclaredFact(kind="number")}
    made = table("unique", {"share": "< 0.5"}, {"share": ">= 0.5"}, facts=facts)
    assert made.look({"share": value}).row is None


def test_a_moment_is_no_date():
    facts = {"since": DeclaredFact(kind="date")}
    made = table("unique", {"since": "< 2026-01-01"}, {"since": ">= 2026-01-01"}, facts=facts)
    assert made.look({"since": date(2025, 12, 31)}).row is made.rows[0]
    assert made.look({"since": datetime(2025, 12, 31)}).row is None


def test_neighbouring_doubles_have_nothing_between_them():
    facts = {"share": DeclaredFact(kind="number", low=0, high=1)}
    table("unique", {"share": "<= 0.1"}, {"share": ">= 0.10000000000000002"}, facts=facts)
    with pytest.raises(TableError, match=r"no row holds at share = 0\.1000000000000000"):
        table("unique", {"share": "<= 0.1"}, {"share": ">= 0.10000000000000005"}, facts=facts)


def test_a_row_before_the_one_that_holds_may_hold_too_if_it_is_unknown():
    """The second row holds, but nobody knows whether it is asked at all."""
    made = table("first", {"job": "none"}, {"score": ">= 600"}, {})
    looked = made.look({"score": 700})
    assert looked.row is None and [row.id for row in looked.unknown] == ["r0"] and looked.missing == ("job",)
    assert made.look({"score": 700, "job": "farmer"}).row is made.rows[1]


def test_what_the_others_decide_needs_no_unknown_fact():
    """No bureau file, so nothing that a file could say matters: how a thin file is decided without a person."""
    facts = {"has_file": DeclaredFact(kind="boolean"), "overdue": DeclaredFact(kind="integer", low=0, high=9999)}
    made = table("collect", {"has_file": "true", "overdue": "> 90"}, facts=facts)
    assert made.look({"has_file": False}).unknown == ()
    assert len(made.look({"has_file": True}).unknown) == 1
    assert len(made.look({"overdue": 100}).unknown) == 1


def test_a_table_that_cannot_be_checked_is_told_to_be_split(monkeypatch):
    monkeypatch.setattr("lending.policy.tables.MOST_STATES", 2)
    facts = {f"f{n}": DeclaredFact(kind="boolean") for n in range(6)}
    cells = [{f"f{n}": "true"} for n in range(6)] + [{f"f{n}": "false" for n in range(6)}]
    with pytest.raises(TableError, match="too many combinations"):
        table("first", *cells, facts=facts)


@pytest.mark.parametrize(
    "declared",
    [
        {"kind": "code"},
        {"kind": "integer", "values": ("a",)},
        {"kind": "code", "values": ("a", "a")},
        {"kind": "code", "values": ("a b",)},
        {"kind": "code", "values": ("not",)},
        {"kind": "boolean", "low": 0},
        {"kind": "integer", "low": 0.5},
        {"kind": "integer", "low": 3, "high": 2},
        {"kind": "number", "high": 10**400},
        {"kind": "date", "low": 3},
    ],
)
def test_a_fact_is_declared_soundly(declared):
    with pytest.raises(ValueError):
        DeclaredFact(**declared)


def test_an_empty_cell_asks_nothing():
    assert parse_condition(" ", SCORE["score"]) is None
    assert parse_condition("-", SCORE["job"]) is None
    assert isinstance(parse_condition("not none", SCORE["job"]), Condition)
