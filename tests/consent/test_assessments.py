"""Impact assessments at the registry: no campaign is proposed without one that covers it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.observed import entries

from demo.assessing import make_assessment
from law.categories import DataCategory
from protocol.assessments import ImpactAssessment

ALL = (DataCategory.REPAYMENT, DataCategory.INCOME, DataCategory.BUREAU)


def recorded(market, **changes):
    made = make_assessment("coordinator", ALL, market.clock())
    made = ImpactAssessment.model_validate(made.payload() | changes)
    answer = market.call("coordinator", "POST", "/v1/assessments", {"token": made.sign(market.keys["coordinator"])})
    return made, answer


def propose(market, sha256):
    campaign = market.campaign(approving=())
    changed = type(campaign).model_validate(campaign.payload() | {"id": "another", "assessment_sha256": sha256})
    return market.call("coordinator", "POST", "/v1/campaigns", {"token": changed.sign(market.keys["coordinator"])})


def test_an_assessment_is_recorded_once_and_logged_without_its_words(any_market):
    market = any_market
    made, answer = recorded(market)
    again = market.call("coordinator", "POST", "/v1/assessments", {"token": made.sign(market.keys["coordinator"])})
    assert (answer.status_code, again.status_code) == (201, 201)
    assert answer.json() == again.json() == {"sha256": made.sha256}
    logged = [leaf for leaf in entries(market.registry) if leaf["type"] == "assessment.recorded"]
    assert [(leaf["actor"], leaf["assessment"]) for leaf in logged] == [("coordinator", made.sha256)]
    assert logged[0].keys() == {"v", "type", "actor", "time", "assessment", "body"}
    for caller in ("aspen", "auditor", "registry", "coordinator"):
        got = market.call(caller, "GET", f"/v1/assessments/{made.sha256}")
        assert ImpactAssessment.verify(got.json()["token"], market.party("coordinator").key) == made
        (listed,) = market.call(caller, "GET", "/v1/assessments").json()["items"]
        assert listed["sha256"] == made.sha256


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"categories": ["repayment", "bureau"]}, "income"),
        ({"purpose": "https://example.org/other"}, "another purpose"),
        ({"valid_until": "soon"}, "valid from"),
    ],
)
def test_a_campaign_under_an_assessment_that_does_not_cover_it_is_refused(market, changes, said):
    if "valid_until" in changes:
        changes = {"valid_until": (market.clock() + timedelta(minutes=10)).isoformat()}
    made, answer = recorded(market, **changes)
    assert answer.status_code == 201
    refused = propose(market, made.sha256)
    assert refused.status_code == 409 and said in refused.json()["detail"]


def test_a_campaign_without_an_assessment_or_with_one_that_is_unknown_is_refused(market):
    refused = propose(market, None)
    assert refused.status_code == 409 and "names no impact assessment" in refused.json()["detail"]
    assert propose(market, "0" * 64).status_code == 404


def test_an_assessment_that_expired_is_refused_and_so_is_a_campaign_under_it(market):
    made, _ = recorded(market, valid_until=(market.clock() + timedelta(hours=3)).isoformat())
    market.clock.move(hours=4)
    refused = propose(market, made.sha256)
    assert refused.status_code == 409 and "valid from" in refused.json()["detail"]
    late, answer = recorded(market)
    market.clock.move(days=400)
    answer = market.call("coordinator", "POST", "/v1/assessments", {"token": late.sign(market.keys["coordinator"])})
    assert answer.status_code == 201, "what is recorded already is not refused for its age"


def test_only_its_author_hands_it_in(market):
    made = make_assessment("coordinator", ALL, market.clock())
    forged = market.call("aspen", "POST", "/v1/assessments", {"token": made.sign(market.keys["aspen"])})
    assert forged.status_code == 403
    other = market.call("coordinator", "POST", "/v1/assessments", {"token": made.sign(market.keys["aspen"])})
    assert other.status_code in {400, 401, 403}
    old = make_assessment("coordinator", ALL, market.clock() - timedelta(days=366))
    late = market.call("coordinator", "POST", "/v1/assessments", {"token": old.sign(market.keys["coordinator"])})
    assert late.status_code == 409 and "expired" in late.json()["detail"]
