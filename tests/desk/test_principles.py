"""What a desk publishes of its scoring: everybody may read it, it is what is in force, and nobody games it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.counter import Counter
from support.lending_house import POLICY_FILE, released
from support.world import features

from desk.commands.monitor import keep_review
from desk.commands.publish import published
from desk.errors import RulesMissing
from desk.lending_rules import ReleasedRules
from desk.principles import in_words, weights
from law.categories import DataCategory
from law.deadlines import deadlines
from lending.law.rows import LAWS, Laws
from lending.policy.document import CreditPolicy, PolicyDocument
from lending.score.glossary import Glossary
from tahini import main

FAMILIES = {
    "families": {
        "repayment": {"features": ["late"], "en": "late repayments", "zh": "逾期还款"},
        "means": {"features": ["income", "grade"], "en": "income and grade", "zh": "收入与等级"},
    }
}


@pytest.fixture
def open_to_all(desk: Counter, tmp_path: Path) -> Counter:
    """A desk that decides by a model, policies and products that were released."""
    rules = released(tmp_path)
    assert rules.model is not None
    model = replace(rules.model, glossary=Glossary.of(features(), FAMILIES))
    desk.desk.lending = replace(rules, model=model)
    return desk


def read(desk: Counter, **headers: str) -> Any:
    """As somebody whom nobody knows."""
    return desk.http.get("/v1/principles", headers={name.replace("_", "-"): said for name, said in headers.items()})


def rules_of(desk: Counter) -> ReleasedRules:
    assert isinstance(desk.desk.lending, ReleasedRules)
    return desk.desk.lending


def test_everybody_reads_without_a_token_what_is_in_force(open_to_all: Counter):
    answer = read(open_to_all)
    assert answer.status_code == 200 and "public" in answer.headers["cache-control"]
    found, rules = answer.json(), rules_of(open_to_all)
    assert rules.model is not None
    model, policy = found["model"], rules.policies[0]
    assert model["sha256"] == rules.model.scorer.model_sha256
    assert (model["lowest"], model["highest"]) == (350, 950)
    assert [one["from"] for one in model["bands"]] == [350, 550, 600, 650, 700]
    assert {one["policy"]["sha256"] for one in found["products"]} == {policy.hash}
    assert [one["product"] for one in found["products"]] == ["daily-30", "monthly-12"]
    assert {one["decided_by"] for one in found["products"]} == {"machine"}
    assert {one["explored_ppm"] for one in found["products"]} == {20_000}
    assert all("the score" in one["price_depends_on"] for one in found["products"])
    never = {one["name"] for one in found["never_used"]}
    assert {"your religion", "your genes", "your blood type"} <= never and all(
        one["law"] for one in found["never_used"]
    )


def test_families_stand_in_the_order_of_their_weight(open_to_all: Counter):
    rules = rules_of(open_to_all)
    assert rules.model is not None
    weight = weights(rules.model.scorer.look_up)
    by_hand = {
        "late repayments": weight["late"],
        "income and grade": weight["income"] + weight["grade"],
    }
    told = [one["name"] for one in read(open_to_all).json()["model"]["families"]]
    assert told == sorted(by_hand, key=lambda one: -by_hand[one]) and len(set(by_hand.values())) == 2
    # the mean is over people, not over bins: each feature's own table, by hand
    for table in rules.model.scorer.look_up.tables:
        moved = [abs(one) * share for one, share in zip(table.deviations, table.frequency, strict=False)]
        assert weight[table.name] == pytest.approx(sum(moved)) and weight[table.name] > 0


def test_what_is_not_in_force_any_more_is_not_told_as_if_it_were(open_to_all: Counter):
    rules = rules_of(open_to_all)
    ended = rules.policies[0].document.model_copy(update={"valid_until": open_to_all.desk.now().date()})
    open_to_all.desk.lending = replace(rules, policies=[CreditPolicy(ended)])
    found = read(open_to_all).json()
    assert [one["policy"] for one in found["products"]] == [None, None]
    assert "nothing is decided now" in read(open_to_all, Accept="text/plain").text


def test_without_a_model_it_says_that_people_decide(open_to_all: Counter):
    open_to_all.desk.lending = replace(rules_of(open_to_all), model=None)
    found = read(open_to_all).json()
    assert found["model"] is None and {one["decided_by"] for one in found["products"]} == {"person"}
    assert {one["explored_ppm"] for one in found["products"]} == {0}
    assert "a person decides every application" in read(open_to_all, Accept="text/plain").text


def test_it_says_what_people_can_do_and_how_soon_they_are_answered(open_to_all: Counter):
    rights = {one["right"]: one["answered_within"] for one in read(open_to_all).json()["rights"]}
    assert {"review", "refuse-automated", "explain", "object", "complain"} <= set(rights)
    day = open_to_all.desk.now().date()
    for right, within in rights.items():
        (law,) = [one for one in deadlines() if one.jurisdiction == "CN" and right in one.rights and one.in_force(day)]
        assert (within["count"], within["unit"], within["law"]) == (law.count, law.unit, law.article)
        assert within["set_by"] == ("policy" if law.policy else "law")


def test_it_says_when_this_model_was_last_looked_at_and_no_other(open_to_all: Counter):
    model, desk = rules_of(open_to_all).model, open_to_all.desk
    assert model is not None and read(open_to_all).json()["model"]["reviewed_as_of"] is None
    day = desk.now().date()
    keep_review(desk, "e" * 64, day, False)
    assert "Not yet reviewed" in read(open_to_all, Accept="text/plain").text
    keep_review(desk, model.scorer.model_sha256, day, True)
    keep_review(desk, model.scorer.model_sha256, day.replace(year=day.year - 1, day=1), False)
    assert read(open_to_all).json()["model"]["reviewed_as_of"] == day.isoformat()


@pytest.mark.parametrize(
    ("wanted", "language"),
    [("", "en"), ("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("en;q=0.9, zh;q=0.1", "en"), ("fr", "en"), ("zh;q=x", "en"),
     ("zh;q=0", "en"), ("zh;q=nan, en;q=0.1", "en"), ("fr, zh-Hant;q=0.2", "zh")],
)  # fmt: skip
def test_it_is_told_in_the_language_that_somebody_wants(open_to_all: Counter, wanted: str, language: str):
    answer = read(open_to_all, Accept="text/plain", Accept_Language=wanted)
    assert answer.headers["content-language"] == language
    assert answer.headers["content-type"].startswith("text/plain")
    assert ("目的" in answer.text) is (language == "zh")
    assert answer.text == in_words(published(open_to_all.desk, language), language)  # type: ignore[arg-type]
    for character in "{}":
        assert character not in answer.text


def test_nothing_is_told_by_which_somebody_could_game_it(open_to_all: Counter):
    """No cut-off, no bound of a bin, no points, no name of a fact, no way into the exploration slice."""
    said = read(open_to_all).text + read(open_to_all, Accept="text/plain").text
    rules = rules_of(open_to_all)
    assert rules.model is not None
    policy = rules.policies[0].document
    assert policy.exploration is not None
    numbers = set(map(int, re.findall(r"(?<![\w.-])\d+(?![\w.-])", said)))
    hidden = {rules.model.reference.cut_off, policy.exploration.lowest_score, policy.exploration.most_amount}
    assert not hidden & numbers
    for name in policy.facts:
        assert not re.search(rf'"{name}"|\b{name}\b', said) or "_" not in name
    for table in rules.model.scorer.look_up.tables:
        assert not {str(one) for one in table.edges} & set(re.findall(r"\d+\.\d+", said))
        assert not {str(one) for one in table.units if abs(one) > 1000} & set(map(str, numbers))


def test_nobody_stands_in_it(open_to_all: Counter):
    """Whoever applied changes nothing of it."""
    before, rules = read(open_to_all).text, open_to_all.desk.lending
    open_to_all.desk.lending = open_to_all.rules
    open_to_all.offered()
    open_to_all.desk.lending = rules
    assert read(open_to_all).text == before


def priced_by(rules: ReleasedRules, table: str, category: str) -> ReleasedRules:
    """The policy with one more fact, which a table reads."""
    said = rules.policies[0].document.payload()
    said["facts"]["basket"] = {"kind": "boolean", "categories": [category], "about": "a fact"}
    rows = said["tables"][table]["rows"]
    first = rows[0]
    other = first | {"id": "other", "when": first["when"] | {"basket": "false"}}
    rows[0] = first | {"when": first["when"] | {"basket": "true"}}
    rows.append(other)
    return replace(rules, policies=[CreditPolicy(PolicyDocument.model_validate(said))])


@pytest.mark.parametrize("table", ["pricing", "tiers"])
@pytest.mark.parametrize("category", ["consumption", "device"])
def test_nobodys_price_is_set_by_what_they_buy_or_with_which_device(open_to_all: Counter, table: str, category: str):
    """互联网信息服务算法推荐管理规定 21; through tiers too, and whatever the policy calls it if the source says so."""
    rules, day = rules_of(open_to_all), open_to_all.desk.now().date()
    with pytest.raises(RulesMissing, match=f"sets prices by 'basket', {category}: .* 21 bars"):
        priced_by(rules, table, category).versions("daily-30", day)
    hidden = priced_by(rules, table, "bureau")
    assert hidden.versions("daily-30", day).policy == hidden.policies[0].hash
    with pytest.raises(RulesMissing, match="sets prices by"):
        replace(hidden, held={"basket": [DataCategory(category)]}).versions("daily-30", day)


def test_where_the_law_does_not_say_what_a_loan_may_cost_nothing_is_decided_and_nobody_is_read(open_to_all: Counter):
    rules, day = rules_of(open_to_all), open_to_all.desk.now().date()
    assert rules.versions("daily-30", day).policy
    rows = {**LAWS.rows, "CN": tuple(row for row in LAWS.rows["CN"] if not row.key.startswith("cap."))}
    silent = replace(rules, pricing=replace(rules.pricing, laws=Laws(rows)))
    with pytest.raises(RulesMissing, match="nothing is decided about 'daily-30'"):
        silent.versions("daily-30", day)


def test_a_risk_officer_is_told_before_anything_is_signed(tmp_path: Path):
    row = '{ id = "a", when = { tier = "a" }, then = { rate = 300, floor = 150 } },'
    said = POLICY_FILE.read_text(encoding="utf-8")
    assert row in said
    two = row.replace('"a" }', '"a", basket = "true" }') + row.replace('"a" }', '"a", basket = "not true" }')
    fact = '[facts]\nbasket = { kind = "code", values = ["true", "false"], categories = ["KIND"], about = "a fact" }'
    said = said.replace(row, two.replace('id = "a"', 'id = "a2"', 1)).replace("[facts]", fact)
    for kind, code in (("consumption", 1), ("bureau", 0)):
        (tmp_path / "policy.toml").write_text(said.replace("KIND", kind), encoding="utf-8")
        found = CliRunner().invoke(main, ["policy", "check", str(tmp_path / "policy.toml"), "--on", "2026-11-28"])
        assert found.exit_code == code, found.output
        assert ("sets prices by 'basket', consumption" in found.stderr) is bool(code)


def test_it_says_by_which_kinds_of_data_prices_are_set(open_to_all: Counter):
    open_to_all.desk.lending = priced_by(rules_of(open_to_all), "pricing", "bureau")
    for one in read(open_to_all).json()["products"]:
        assert one["price_depends_on"] == ["credit reports about you", "the score"]


def test_a_desk_that_decides_by_nothing_released_tells_nothing(desk: Counter):
    refused = read(desk)
    assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")


@pytest.mark.parametrize(
    ("wanted", "kind"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("text/plain", "plain"),
        ("text/plain, */*;q=0.1", "plain"),
        ("application/json, text/plain", "json"),
        ("text/plain;charset=utf-8;q=0.9", "plain"),
        ("text/plain;q=0, */*", "json"),
        ("text/html, text/*;q=0.5", "plain"),
        ("text/plain;q=0.2, application/json;q=0.8", "json"),
    ],
)
def test_it_is_told_as_somebody_wants_it(open_to_all: Counter, wanted: str, kind: str):
    answer = read(open_to_all, Accept=wanted)
    assert answer.status_code == 200 and kind in answer.headers["content-type"]
