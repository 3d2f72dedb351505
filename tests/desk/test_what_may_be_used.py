"""What was gathered and may not be used: of another kind than was consented to, of a day that a notice or the law
leaves out, or no value at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support import scorecards
from support.counter import GOOD, HASHES, Counter
from support.lending_cases import POLICY
from support.world import schema_of

from credit.features import forget
from crypto.errors import ProofError, SealError
from desk.commands.apply import within_notices
from desk.described import AskedAs, read_sources
from desk.errors import RulesMissing, SourceFailed
from desk.lending_rules import ReleasedRules
from desk.own_tables import FileSource
from desk.records import held
from desk.retention import kept, kept_by_policy
from desk.score_rules import ScoreRules
from desk.sources import About, Inquiry, Readable, Reading, Sources
from law.categories import DataCategory
from lending import Scorer
from lending.cases import Fact
from lending.law.features import LawOfDay
from lending.law.rows import LAWS
from lending.policy.conditions import DeclaredFact
from protocol.errors import BadSettings
from protocol.schema import now
from protocol.terms import Limits

BUREAU, INCOME, REPAYMENT = DataCategory.BUREAU, DataCategory.INCOME, DataCategory.REPAYMENT
TODAY = date(2026, 11, 28)


def facts(desk: Counter, application: str) -> dict[str, Fact]:
    with desk.desk.reading() as hand:
        return dict(held(hand.connection, application).made(desk.desk).case.facts)


def test_a_source_of_two_kinds_of_data_needs_both(desk: Counter):
    object.__setattr__(desk.income, "about", About("income", INCOME, ("income",), also=(BUREAU,)))
    desk.consents.refused = {BUREAU}
    said = desk.asks().json()
    assert (facts(desk, said["id"])["income"].status, desk.income.asked) == ("refused", 0)
    desk.consents.refused = set()
    assert facts(desk, desk.asks().json()["id"])["income"].status == "present"


def test_a_statement_names_every_kind_of_data_that_a_source_is_asked_for():
    assert About("pay", INCOME, (), also=(BUREAU,)).named == {"pay": INCOME, "pay-bureau": BUREAU}
    one, two = (SimpleNamespace(about=about) for about in (About("a", INCOME, (), also=(BUREAU,)),
                                                           About("a-bureau", INCOME, ())))  # fmt: skip
    with pytest.raises(SourceFailed, match="one name"):
        Sources([one, two])


def test_a_source_says_all_that_its_features_are_made_of():
    sources = Sources([SimpleNamespace(about=About("pay", REPAYMENT, ("income",)))])
    sources.require({"income": {REPAYMENT}, "elsewhere": {INCOME}})
    with pytest.raises(SourceFailed, match=r"'pay'.*'income'.*income"):
        sources.require({"income": {INCOME}})
    with pytest.raises(SourceFailed, match="bureau"):
        sources.require({"income": {REPAYMENT, BUREAU}})


SOURCE = '[sources.a]\nkind = "file"\npath = "f.csv"\nkey = "k"\ncolumns = { x = "x" }\n'


def test_a_description_names_one_kind_of_data_or_several(tmp_path: Path):
    for said, found in (('category = "income"', {INCOME}), ('categories = ["income", "bureau"]', {INCOME, BUREAU})):
        (tmp_path / "sources.toml").write_text(SOURCE + said, encoding="utf-8")
        sources, _ = read_sources(tmp_path, AskedAs("aspen", None, None))  # type: ignore[arg-type]
        assert sources.kinds == {"x": found}


@pytest.mark.parametrize("said", ["", "categories = []", 'category = "income"\ncategories = ["bureau"]'])
def test_a_description_that_names_none_is_refused(said: str, tmp_path: Path):
    (tmp_path / "sources.toml").write_text(SOURCE + said, encoding="utf-8")
    with pytest.raises(BadSettings, match="category"):
        read_sources(tmp_path, AskedAs("aspen", None, None))  # type: ignore[arg-type]


def test_a_source_has_a_name_in_the_log_for_each_kind_of_data(tmp_path: Path):
    said = SOURCE.replace("sources.a", f"sources.{'a' * 60}") + 'categories = ["income", "bureau"]'
    (tmp_path / "sources.toml").write_text(said, encoding="utf-8")
    with pytest.raises(BadSettings, match="shorten"):
        read_sources(tmp_path, AskedAs("aspen", None, None))  # type: ignore[arg-type]


def test_a_fact_of_a_day_that_the_notice_leaves_out_is_not_used(desk: Counter):
    asked = desk.consents.check
    limits = {INCOME: (Limits(data_life_days=30),)}
    desk.consents.check = lambda *who: replace(asked(*who), limits=limits)  # type: ignore[method-assign]
    desk.income.ask = lambda _: {"income": Reading(4000, date(2001, 1, 1))}  # type: ignore[method-assign]
    found = facts(desk, desk.asks().json()["id"])
    assert (found["income"].status, found["income"].value) == ("refused", None)
    assert found["late"].status == "present"
    desk.income.ask = lambda _: {"income": Reading(4000)}  # type: ignore[method-assign]
    assert facts(desk, desk.asks().json()["id"])["income"].status == "refused", "of no day that can be shown"


def test_every_kind_of_a_fact_is_asked_about(desk: Counter):
    permission = replace(
        desk.consents.check("p", [INCOME, BUREAU, REPAYMENT]), limits={BUREAU: (Limits(data_to=date(2026, 1, 1)),)}
    )
    fact = Fact("income", "present", 1, "pay", date(2026, 6, 1))
    found = within_notices({"income": fact}, {"income": frozenset({INCOME, BUREAU})}, permission, TODAY)
    assert found["income"].status == "refused"


def test_what_is_too_old_for_the_law_counts_at_the_desk_as_in_training(desk: Counter, monkeypatch):
    schema = schema_of(
        {"name": "late", "kind": "integer", "category": "repayment", "adverse": True, "ended_by": "day", "clean": 0}
    )
    monkeypatch.setattr(type(desk.rules), "kept", lambda _, found, __, day: kept(found, schema, day), raising=False)
    object.__setattr__(desk.book, "ask", lambda _: {"late": Reading(5, date(2001, 1, 1))})
    said = desk.asks().json()
    assert (facts(desk, said["id"])["late"].value, said["status"]) == (0, "offered")


AGES = st.one_of(st.none(), st.integers(0, 2500))


@given(
    age=AGES, value=st.integers(0, 9), adverse=st.booleans(), clean=st.sampled_from([None, 0.0, 2.0]),
    days=st.integers(1, 1826), dated=st.booleans(),
)  # fmt: skip
def test_the_desk_forgets_what_training_forgets(age, value, adverse, clean, days, dated):
    feature = {"name": "x", "kind": "integer", "category": "repayment", "retention_days": days}
    if adverse:
        feature |= {"adverse": True, "ended_by": "day", "clean": clean}
    elif dated:
        feature |= {"dated_by": "day"}
    schema = schema_of(feature)
    day = None if age is None else TODAY - timedelta(days=age)
    fact = kept({"x": Fact("x", "present", value, "s", day)}, schema, TODAY)["x"]
    table = pd.DataFrame({"x": [float(value)], "bad": [0], "day": pd.to_datetime([day]).astype("datetime64[us]")})
    trained = forget(table, schema, TODAY)["x"].iloc[0]
    assert (fact.status, fact.value) == (("absent", None) if pd.isna(trained) else ("present", trained))


def days_ago(days: int) -> date:
    return TODAY - timedelta(days=days)


ADVERSE = {"adverse": True, "clean": 0}


@pytest.mark.parametrize(
    ("rule", "value", "day", "found"),
    [
        ({}, 40, None, 40),
        ({}, 40, days_ago(1826), 40),
        ({}, 40, days_ago(1827), None),
        ({"keep_days": 30}, 40, days_ago(30), 40),
        ({"keep_days": 30}, 40, days_ago(31), None),
        ({"keep_days": 30}, 40, None, None),
        (ADVERSE, 40, days_ago(1826), 40),
        (ADVERSE, 40, days_ago(1827), 0),
        (ADVERSE | {"keep_days": 3000}, 40, days_ago(1827), 0),
        (ADVERSE, 40, None, None),
        (ADVERSE, 0, None, 0),
        ({"adverse": True}, 40, days_ago(1827), None),
    ],
)
def test_a_fact_that_only_a_policy_reads_has_a_rule_too(rule, value, day, found):
    """An adverse record without a day is not used, and never taken for none."""
    declared = {"x": DeclaredFact.model_validate({"kind": "integer"} | rule)}
    fact = kept_by_policy({"x": Fact("x", "present", value, "s", day)}, declared, "CN", TODAY)["x"]
    assert (fact.status, fact.value) == (("absent", None) if found is None else ("present", found))
    if found is not None:
        assert fact.observed_on == (day or TODAY), "a decision rests on nothing that is without a day"


def test_a_policys_rule_is_asked_of_what_no_model_reads():
    rules = ReleasedRules((POLICY,), SimpleNamespace(laws=LAWS), None)  # type: ignore[arg-type]
    old = Fact("arrears_days", "present", 90, "bureau", date(2020, 1, 1))
    assert rules.kept({"arrears_days": old}, "monthly-12", TODAY)["arrears_days"].value == 0
    model = SimpleNamespace(schema=schema_of({"name": "arrears_days", "kind": "integer", "category": "bureau"}))
    ours = replace(rules, model=model)
    assert ours.kept({"arrears_days": old}, "monthly-12", TODAY)["arrears_days"].value == 90, "the model says"
    assert rules.kept({"arrears_days": old}, "monthly-12", date(2040, 1, 1))["arrears_days"].value == 90, "not in force"


@pytest.mark.parametrize("wrong", [{"clean": 0}, {"adverse": True, "clean": "none"}, {"keep_days": 0}])
def test_a_rule_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        DeclaredFact.model_validate({"kind": "integer"} | wrong)


def test_what_the_consortium_declares_sensitive_needs_that_consent_at_the_desk():
    features = [{"name": "x", "kind": "integer", "category": "repayment", "sensitivity": "sensitive"},
                {"name": "y", "kind": "integer", "category": "bureau"}]  # fmt: skip
    model = ScoreRules(None, None, None, schema_of(*features), b"")  # type: ignore[arg-type]
    rules = ReleasedRules((), SimpleNamespace(), model)  # type: ignore[arg-type]
    assert rules.declared_sensitive == {REPAYMENT}


def test_only_what_is_present_is_forgotten():
    schema = schema_of({"name": "x", "kind": "integer", "category": "repayment", "dated_by": "day"})
    said = {"x": Fact("x", "refused", None, "s"), "y": Fact("y", "present", 1, "s")}
    assert kept(said, schema, TODAY) == said


@pytest.mark.parametrize("fault", [ValueError("4000 of 310101199001011234"), KeyError("x"), RuntimeError("x")])
def test_whatever_a_source_raises_it_is_late(desk: Counter, fault, caplog):
    desk.income.fails = fault
    said = desk.asks()
    assert said.status_code == 201 and facts(desk, said.json()["id"])["income"].status == "late"
    assert "310101199001011234" not in caplog.text


@pytest.mark.parametrize("value", [b"x", [1], {"a": 1}, Decimal("1"), now(), object()])
def test_whatever_a_source_gives_that_is_no_value_is_late(desk: Counter, value):
    desk.income.values["income"] = value
    said = desk.asks()
    assert said.status_code == 201, said.text
    assert facts(desk, said.json()["id"])["income"].status == "late"


def test_a_day_that_is_none_is_late(desk: Counter):
    object.__setattr__(desk.income, "ask", lambda _: {"income": Reading(1, "yesterday")})  # type: ignore[arg-type]
    assert facts(desk, desk.asks().json()["id"])["income"].status == "late"


def test_an_exact_number_of_a_database_is_a_number(tmp_path: Path):
    path = tmp_path / "f.parquet"
    rows = {"k": ["p"], "x": [Decimal("4000.50")], "y": [Decimal("4000.00")], "day": ["2026-11-01"]}
    pd.DataFrame(rows).to_parquet(path)
    source = FileSource(About("f", INCOME, ("x", "y"), 5.0), path, "k", {"x": "x", "y": "y"}, "day")
    found = Sources([source]).gather(Inquiry("a", "p", now()), Readable({INCOME}))
    assert [(one.value, type(one.value), one.observed_on) for one in found.values()] == [
        (4000.5, float, date(2026, 11, 1)), (4000, int, date(2026, 11, 1)),
    ]  # fmt: skip


def test_a_wrong_column_of_a_file_is_late(tmp_path: Path):
    path = tmp_path / "f.parquet"
    pd.DataFrame({"k": ["p"], "x": [1]}).to_parquet(path)
    source = FileSource(About("f", INCOME, ("x",), 5.0), path, "k", {"x": "nowhere"})
    assert Sources([source]).gather(Inquiry("a", "p", now()), Readable({INCOME}))["x"].status == "late"


def test_nobody_is_asked_where_nothing_can_be_decided(desk: Counter, monkeypatch):
    def missing(*_):
        raise RulesMissing("no policy for this product is in force")

    monkeypatch.setattr(type(desk.rules), "versions", missing)
    assert desk.asks().status_code == 503
    assert (desk.log.entries, desk.book.asked, desk.income.asked) == ([], 0, 0)
    monkeypatch.setattr(type(desk.rules), "versions", lambda *_: HASHES)
    assert desk.asks(GOOD).status_code == 201


@pytest.mark.parametrize(
    ("error", "status", "code"), [(SealError("gone"), 410, "forgotten"), (ProofError("other"), 500, "not-verified")]
)
def test_only_what_cannot_be_opened_is_forgotten(desk: Counter, monkeypatch, error, status, code):
    said = desk.offered()

    def fails(*_):
        raise error

    monkeypatch.setattr(desk.desk.trail, "receipt", fails)
    answer = desk.call("origination", "GET", f"/v1/decisions/{said['decision']['id']}/receipt")
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:tahini:problem:{code}")


def test_a_model_scores_nobody_from_the_day_on_that_bars_what_it_reads():
    """A desk that was opened before that day goes on serving after it."""
    turn, schema = date(2026, 11, 28), scorecards.model().embedding.grid.schema
    row = (
        '[[row]]\nkey = "protected.own"\nvalue = ["bureau"]\nfrom = {}\narticle = "a"\nsource = "s"\nverified = true\n'
    )
    laws = LAWS.with_rows("CN", row.format(turn))
    under = LawOfDay(schema.jurisdictions, turn - timedelta(days=1), laws)
    scorer = Scorer.of(scorecards.model(), "0" * 64, under)
    glossary = SimpleNamespace(families={})
    model = SimpleNamespace(scorer=scorer, reference=None, glossary=glossary, schema=schema)
    names = POLICY.document.products
    terms = SimpleNamespace(hash="f" * 64)
    pricing = SimpleNamespace(laws=LAWS, products={}, product=lambda _: terms, choices=lambda *_: None)
    rules = ReleasedRules((POLICY,), pricing, model)  # type: ignore[arg-type]
    assert rules.versions(names[0], turn - timedelta(days=1)).product == "f" * 64
    with pytest.raises(RulesMissing, match=r"is about bureau.*nothing is scored by it"):
        rules.versions(names[0], turn)
