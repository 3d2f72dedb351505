"""Who is somebody else now was given nothing under the name of before (PIPL 22, 23): nothing is scored then. That
nothing is authorised stands in ``test_authorising``."""

from __future__ import annotations

from typing import Any

import pytest
from support.market import open_market
from support.scoring import Desk, asks_to_score

from law.categories import DataCategory
from protocol.parties import Consortium
from protocol.uses import Blinding


@pytest.fixture
def market(tmp_path):
    with open_market(tmp_path) as opened:
        yield opened


@pytest.fixture
def amended(market):
    """Says of one party other things from now on, as ``tahini registry amend`` does."""

    def becomes(party: str, **changes: Any) -> None:
        before = market.registry.consortium
        parties = [one.model_dump(mode="json") for one in before.parties]
        told = [one | changes if one["id"] == party else one for one in parties]
        after = Consortium.model_validate({**before.payload(), "parties": told})
        object.__setattr__(market.registry, "consortium", after)

    return becomes


def test_nothing_is_scored_for_a_lender_that_is_called_otherwise_now(market, amended, tmp_path):
    """Traced: training stopped until people were asked by the new name, and scoring went on under the old one."""
    asks_to_score(market)
    desk = Desk.of(market, tmp_path / "desk")
    (person,) = market.consenting("aspen")
    statements, permission = desk.trail._statements, desk.permission(person)
    said = statements.read(Blinding.of("a-1"), permission, {"bureau": DataCategory.BUREAU})
    body = {"tokens": [said.sign(market.keys["aspen"])]}
    name = market.party("aspen").name
    amended("aspen", name="Data Broker (Cayman) Ltd")
    (refused,) = market.call("aspen", "POST", "/v1/uses", body).json()["items"]
    assert refused["index"] is None and "calls 'aspen'" in refused["refused"]
    amended("aspen", name=name)
    (taken,) = market.call("aspen", "POST", "/v1/uses", body).json()["items"]
    assert taken["refused"] is None
