"""Instructions for use say what the signed card says, in both languages, and nothing better."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from protocol.cards import ModelCard
from protocol.instructions import EVALUATED_AGAIN, instructions

EVERYBODY = {
    "name": "everybody", "people": {"value": 5000.0, "error": 10.0}, "bad_rate": {"value": 0.111, "error": 0.002},
    "auc": {"value": 0.741, "error": 0.004}, "ks": {"value": 0.352, "error": 0.006},
    "ece": {"value": 0.021, "error": 0.003}, "observed_to_expected": {"value": 1.02, "error": 0.01},
}  # fmt: skip
HEADINGS = 8


def card(*segments: dict, **changes) -> ModelCard:
    said = {
        "campaign_sha256": "1" * 64, "campaign_title": "Spring", "model": "scorecard", "model_sha256": "2" * 64,
        "features": ("late", "income"), "purpose": "https://example.org/training", "legal_basis": "A13-1-1",
        "lenders": ("aspen", "birch"), "epsilon": 0.87, "delta": 1e-5, "mechanism": {}, "releases": 13,
        "population_released": 9000.0, "base_rate_released": 0.11, "released_at": datetime(2026, 11, 1, tzinfo=UTC),
        "evaluation": {"segments": [EVERYBODY, *segments]},
    }  # fmt: skip
    return ModelCard.model_validate(said | changes)


def group(auc: float, error: float = 0.004, name: str = "thin file") -> dict:
    return EVERYBODY | {"name": name, "auc": {"value": auc, "error": error}}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_all_of_the_card_is_in_them(language):
    """AI Act 13 and Annex IV: purpose, users, inputs, accuracy per group, limits, oversight, robustness, upkeep."""
    one = card(group(0.70))
    text = instructions(one, language)
    assert len(re.findall(r"^## ", text, re.M)) == HEADINGS
    for said in (*one.features, *one.lenders, *one.limits, one.purpose, one.legal_basis, one.sha256[:12], "0.87", "13"):
        assert str(said) in text
    assert "auc 0.741 ± 0.008" in text and "thin file" in text
    assert (one.released_at + EVALUATED_AGAIN).date().isoformat() in text
    assert "tahini model recall" in text and "tahini model verify" in text
    assert ("以记录的 epsilon 为上限" in text) is (language == "zh")
    assert ("credit officers" if language == "en" else "信贷与风险管理人员") in text
    assert text == instructions(one, language), "same card, same page"


@pytest.mark.parametrize(
    ("auc", "error", "worse"),
    [(0.70, 0.004, True), (0.735, 0.004, False), (0.70, 0.05, False), (0.80, 0.004, False)],
)
def test_a_group_that_ranks_worse_by_more_than_the_noise_is_named(auc, error, worse):
    text = instructions(card(group(auc, error)), "en")
    assert ("For thin file it ranks worse" in text) is worse
    assert ("No group that could be measured ranks worse" in text) is not worse


def test_how_near_to_the_cut_off_a_person_decides_follows_from_the_calibration():
    text = instructions(card(), "en")
    assert "miss by 0.021 on average, 0.027 at two errors" in text and "gain / (gain + loss)" in text
    assert "11.1% were bad" in text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_was_not_measured_is_not_said_to_be_good(language):
    text = instructions(card(evaluation=None), language)
    assert ("Not measured" if language == "en" else "未评估") in text
    assert "auc" not in text and "±" not in text
    drowned = {"name": "age 0 to 24", "people": {"value": 3.0, "error": 10.0}}
    said = instructions(card(drowned), language)
    assert ("too few people to say" if language == "en" else "人数过少") in said


@pytest.mark.parametrize("language", ["en", "zh"])
def test_who_cannot_be_told_is_named_in_one_line_and_errors_are_said_to_be_what_they_are(language):
    found = {"segments": [EVERYBODY], "untold": ["thin file", "age 0 to 24"], "held_out": EVERYBODY["people"]}
    text, before = (instructions(card(evaluation=one), language) for one in (found, {"segments": [EVERYBODY]}))
    (line,) = [line for line in text.splitlines() if "thin file" in line]
    assert "age 0 to 24" in line and "thin file" not in before
    sampling, noise = ("sampling", "errors of the noise") if language == "en" else ("抽样误差", "两倍噪声标准误差")
    assert sampling in text and noise in before and noise not in text
    nobody = instructions(card(evaluation=found | {"segments": []}), language)
    assert "auc" not in nobody and "thin file" in nobody
