"""Impact assessments: what a sound one is, and whether one covers a campaign. Each rule is red once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError
from support.plans import small_plan
from support.world import features

from demo.assessing import make_assessment
from law.categories import DataCategory
from protocol.assessments import RULES, Covering, Risk, campaign_categories, uncovered
from protocol.campaigns import Campaign
from protocol.errors import Malformed
from protocol.rules import first_broken, rule_name
from protocol.schema import now

SCHEMA = features().model_dump(mode="json")
MOMENT = now()
ASSESSMENT = make_assessment("coordinator", campaign_categories(SCHEMA), MOMENT)


def campaign(**changes) -> Campaign:
    fields = {
        "id": "c", "title": "T", "coordinator": "coordinator", "lenders": ("aspen", "birch"),
        "purpose": ASSESSMENT.purpose, "model": "scorecard", "features": SCHEMA, "mechanism": small_plan(lenders=2),
        "code_sha256": "0" * 64, "seed": 0, "created_at": MOMENT, "expires_at": MOMENT + timedelta(hours=1),
        "assessment_sha256": ASSESSMENT.sha256,
    }  # fmt: skip
    return Campaign.model_validate(fields | changes)


def remade(**changes):
    """Another assessment, and a campaign that names it."""
    made = type(ASSESSMENT).model_validate(ASSESSMENT.payload() | changes)
    return campaign(assessment_sha256=made.sha256), made


def test_one_that_covers_the_campaign_does():
    assert uncovered(campaign(), ASSESSMENT, MOMENT) is None


BROKEN = {
    "IsTheOneNamed": (campaign(assessment_sha256="1" * 64), ASSESSMENT, MOMENT),
    "IsItsCoordinators": (*remade(author="aspen"), MOMENT),
    "Lasts": (campaign(), ASSESSMENT, ASSESSMENT.valid_until),
    "SamePurpose": (*remade(purpose="https://example.org/advertising"), MOMENT),
    "DecidesNoMoreByMachine": (campaign(automated_decision=True), ASSESSMENT, MOMENT),
    "NoOtherData": (*remade(categories=["repayment", "bureau"]), MOMENT),
}


@pytest.mark.parametrize("name", [rule_name(rule) for rule in RULES])
def test_each_rule_refuses_what_it_is_for(name):
    found = first_broken(RULES, Covering(*BROKEN[name]))
    assert found is not None and found[0] == name


def test_data_that_it_says_nothing_about_are_named():
    named, made = remade(categories=["repayment", "bureau"])
    assert "income" in str(uncovered(named, made, MOMENT))


@pytest.mark.parametrize(
    ("ends", "moment"),
    [
        (timedelta(hours=2), timedelta(hours=2)),  # over
        (timedelta(minutes=59), timedelta()),  # over before the campaign is
        (timedelta(hours=2), -timedelta(minutes=6)),  # not begun
    ],
)
def test_it_is_in_force_now_and_for_as_long_as_the_campaign(ends, moment):
    named, made = remade(valid_until=(MOMENT + ends).isoformat())
    assert "valid from" in str(uncovered(named, made, MOMENT + moment))


def test_clocks_that_differ_a_little_do_not_matter():
    assert uncovered(campaign(), ASSESSMENT, MOMENT - timedelta(minutes=4)) is None


def test_a_feature_of_no_known_category_is_refused():
    for schema in ({"features": [{"name": "x"}]}, {"features": [{"category": "gossip"}]}, {}, {"features": None}):
        with pytest.raises(Malformed, match="category"):
            campaign_categories(schema)


def test_the_campaigns_hash_covers_the_assessment_and_documents_without_one_keep_theirs():
    without = campaign(assessment_sha256=None)
    assert campaign().sha256 != without.sha256
    assert "assessment_sha256" not in without.payload()  # as versions before signed it


RISK = {"what": "a leak", "likelihood": "low", "severity": "high", "measures": ["a lock"], "left": "high"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"valid_until": MOMENT.isoformat()}, "two years"),
        ({"valid_until": (MOMENT + timedelta(days=800)).isoformat()}, "two years"),
        ({"categories": ["income", "income"]}, "twice"),
        ({"risks": [RISK]}, "consulted"),
        ({"risks": []}, "risks"),
        ({"necessity": "because"}, "necessity"),
        ({"description": ""}, "description"),
    ],
)
def test_one_that_is_not_whole_is_none(changes, said):
    with pytest.raises(ValidationError, match=said):
        type(ASSESSMENT).model_validate(ASSESSMENT.payload() | changes)


def test_a_high_risk_that_is_left_needs_a_consulted_authority():
    asked = {"authority": "CAC", "at": MOMENT.isoformat(), "outcome": "no objection under two conditions"}
    made = type(ASSESSMENT).model_validate(ASSESSMENT.payload() | {"risks": [RISK], "consulted": asked})
    assert made.consulted is not None


def test_measures_do_not_add_to_a_risk():
    with pytest.raises(ValidationError, match="more is left"):
        Risk.model_validate(RISK | {"left": "severe"})


def test_it_is_kept_three_years_beyond_its_validity():
    assert (ASSESSMENT.keep_until - ASSESSMENT.valid_until).days >= 3 * 365


def test_every_category_can_be_assessed():
    assert make_assessment("coordinator", DataCategory, MOMENT).sha256
