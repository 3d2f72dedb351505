"""A lender's no to a campaign: on the record, before its yes or after; what it ends, and what it cannot."""

import pytest
from support.observed import entries
from support.plans import stated

from consent.commands.commit_roster import commit_roster
from protocol.campaigns import Authorisation, CommitmentRequest, Rejection
from protocol.errors import NotAllowed


@pytest.fixture
def market(market):
    for lender in ("aspen", "birch", "cedar"):
        market.enrol(lender, 2)
    return market


def reject(market, campaign, lender="aspen", signer=None):
    said = Rejection(campaign_sha256=campaign.sha256, lender=lender, rejected_at=market.clock())
    token = said.sign(market.keys[signer or lender])
    return market.call(lender, "POST", f"/v1/campaigns/{campaign.sha256}/rejections", {"token": token})


def kinds(market) -> list[tuple[str, str]]:
    return [(leaf["type"], leaf["actor"]) for leaf in entries(market.registry)]


def test_after_its_no_a_lender_is_authorised_for_nothing_and_the_others_are(market):
    campaign = market.campaign()
    assert market.authorise(campaign).status_code == 201
    answer = reject(market, campaign)
    assert (answer.status_code, answer.json()) == (201, {"was_active": True})
    refused = market.authorise(campaign)
    assert (refused.status_code, "has rejected campaign" in refused.json()["detail"]) == (403, True)
    assert market.authorise(campaign, "birch").status_code == 201
    assert ("campaign.rejected", "aspen") in kinds(market)


def test_an_authorisation_from_before_the_no_is_worth_nothing_after_it(market):
    campaign = market.campaign()
    held = Authorisation.claimed(market.authorise(campaign).json()["token"])
    request = CommitmentRequest(
        authorisation_id=held.jti, release=0, attempt=1, root="0" * 64, sealed_body="AA", **stated(campaign, 0)
    )
    reject(market, campaign)
    with pytest.raises(NotAllowed, match="has rejected"):
        commit_roster(market.registry, market.party("aspen"), campaign.sha256, request)


def test_a_campaign_that_somebody_rejected_never_becomes_active(market):
    campaign = market.campaign(approving=("aspen", "birch"))
    assert reject(market, campaign).json() == {"was_active": False}
    assert market.approve(campaign, "cedar").status_code == 409
    known = market.client("aspen").proposed(campaign.sha256)
    assert (known.active, known.approved_by, known.rejected_by) == (False, ("aspen", "birch"), ("aspen",))


def test_a_no_to_one_campaign_is_none_to_another(market):
    campaign, other = market.campaign(), market.campaign()
    reject(market, campaign)
    assert market.authorise(other).status_code == 201


def test_a_no_is_said_once_and_by_the_lender_itself(market):
    campaign = market.campaign()
    assert reject(market, campaign, "aspen", signer="birch").status_code == 401
    assert reject(market, campaign).status_code == 201
    assert reject(market, campaign).status_code == 409
    assert kinds(market).count(("campaign.rejected", "aspen")) == 1


def test_only_who_takes_part_can_say_no(market):
    campaign = market.campaign(lenders=("aspen", "birch"))
    assert reject(market, campaign, "cedar").status_code == 403
