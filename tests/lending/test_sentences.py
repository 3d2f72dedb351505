"""Reasons in both languages: specific, from codes, in the lender's words."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files

import pytest
from support import scorecards

from law.vocabulary import LANGUAGES
from lending.cases import PrincipalReason
from lending.score.compiled import ScoreError
from lending.score.glossary import Glossary
from lending.score.sentences import reason_sentence

DATA = {
    "families": {"debts": {"features": ["late", "balance"], "en": "debts and late payments", "zh": "负债与逾期"}},
    "changeable": {"late": "down"},
}


@pytest.fixture
def glossary():
    return Glossary.of(scorecards.schema(), DATA)


def because(code, neutral=False):
    return PrincipalReason(code, "score", 12, {"feature": "late", "neutral": neutral})


def test_a_reason_names_its_family_and_by_how_much(glossary):
    assert reason_sentence(because("debts"), glossary, "en").startswith("debts and late payments: 12 points below")
    assert reason_sentence(because("debts"), glossary, "zh") == "负债与逾期：比刚达到标准的人低12分"
    assert reason_sentence(because("fine"), glossary, "en").startswith("seconds since the last query: 12")
    assert "not shared" in reason_sentence(because("used", neutral=True), glossary, "en")
    assert "未授权" in reason_sentence(because("used", neutral=True), glossary, "zh")


def test_no_sentence_says_only_that_the_score_is_low():
    """Each template names what it is about; in both languages."""
    said = tomllib.loads((files("lending.score") / "sentences.toml").read_text(encoding="utf-8"))
    for name in ("reason", "left_out"):
        for language in LANGUAGES:
            assert {"{family}", "{points}"} <= set(re.findall(r"\{\w+\}", said[name][language]))
    text = str(said).lower()
    assert not re.search(r"score (is|was) too low|insufficient|评分不足|综合评分", text)
    assert all(set(part) == set(LANGUAGES) for part in said.values())


@pytest.mark.parametrize(("code", "kind"), [("nobody", "score"), ("debts", "rule"), ("debts", "cost")])
def test_reasons_that_are_not_of_this_score_have_no_words_here(glossary, code, kind):
    with pytest.raises(ScoreError, match="no words for reason"):
        reason_sentence(PrincipalReason(code, kind), glossary, "en")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"families": {"a": {"features": ["nothing"], "en": "aa", "zh": "甲"}}}, "reads no feature 'nothing'"),
        ({"families": {"a": {"features": ["late"], "en": "aa"}}}, "zh"),
        ({"families": {"a": {"features": [], "en": "aa", "zh": "甲"}}}, "features"),
        ({"changeable": {"late": "sideways"}}, "late"),
        ({"changeable": {"nothing": "up"}}, "reads no feature 'nothing'"),
        ({"colour": 1}, "colour"),
        ([], "must be an object"),
        ({"families": {"used": {"features": ["late"], "en": "aa", "zh": "甲"}}}, "name of a feature outside it"),
        (
            {"families": {c: {"features": ["late"], "en": "aa", "zh": "甲"} for c in ("a", "b")}},
            "'late' is in two families",
        ),
    ],
)
def test_what_is_no_glossary_is_refused_in_one_sentence(data, why):
    with pytest.raises(ScoreError, match=re.escape(why)) as error:
        Glossary.of(scorecards.schema(), data, "families.toml")
    assert str(error.value).startswith("families.toml: ")
