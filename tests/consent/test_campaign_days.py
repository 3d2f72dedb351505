"""Coordinator, lenders and the notice's operator write their own dates: the registry takes those of today, because a
period's evidence goes by them, and what answers a notice is no older than it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from protocol.campaigns import Approval, Campaign

DAY = timedelta(days=1)


def approval(market, campaign, signed):
    said = Approval(campaign_sha256=campaign.sha256, lender="aspen", lot="l" * 43, approved_at=signed)
    target = f"/v1/campaigns/{campaign.sha256}/approvals"
    return market.call("aspen", "POST", target, {"token": said.sign(market.keys["aspen"])})


@pytest.mark.parametrize("apart", [-400 * DAY, -DAY - timedelta(minutes=1), timedelta(minutes=6), 40 * DAY])
def test_an_approval_of_another_day_is_refused(market, apart):
    campaign = market.campaign(("aspen", "birch"), approving=("birch",))
    answer = approval(market, campaign, market.clock() + apart)
    assert answer.status_code == 409 and "handed in within a day" in answer.text
    assert approval(market, campaign, market.clock() + timedelta(minutes=4)).status_code == 201


@pytest.mark.parametrize("apart", [-400 * DAY, -DAY - timedelta(minutes=1), timedelta(minutes=6), 40 * DAY])
def test_a_campaign_of_another_day_is_refused(market, apart):
    made = market.campaign(("aspen", "birch"), approving=())
    said = made.model_dump() | {"id": "other", "created_at": market.clock() + apart}
    said["expires_at"] = market.clock() + 50 * DAY
    token = Campaign.model_validate(said).sign(market.keys["coordinator"])
    answer = market.call("coordinator", "POST", "/v1/campaigns", {"token": token})
    assert answer.status_code == 409 and "handed in within a day" in answer.text


@pytest.mark.parametrize("apart", [-4000 * DAY, -DAY - timedelta(minutes=1), timedelta(minutes=6)])
def test_a_notice_of_another_day_is_refused(market, apart):
    """Traced: it was published as one of eleven years before."""
    said = market.notices[-1].model_copy(update={"version": 2, "published_at": market.clock() + apart})
    answer = market.call("registry", "POST", "/v1/notices", {"token": said.sign(market.keys["registry"])})
    assert answer.status_code == 409 and "handed in within a day" in answer.text


def test_what_was_signed_the_evening_before_is_taken(market):
    made = market.campaign(("aspen", "birch"), approving=("birch",), created_at=market.clock() - timedelta(hours=20))
    assert approval(market, made, market.clock() - timedelta(hours=20)).status_code == 201
