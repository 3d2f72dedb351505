"""A campaign from the coordinator's side: exact sums, uniform parts, and stopping when something is missing."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from support.house import InMemoryFleet

from clients.errors import GateClosed
from clients.releases import join, release
from consent.documents import MaskKey, ReleaseKind, ReleaseRequest, parameters_sha256
from credit.models import CreditModel
from crypto.errors import SignatureError
from crypto.keys import SigningKey
from crypto.masks import decode, unmask
from server.app import release_card
from server.card import ModelCard
from server.errors import CampaignStopped
from server.home import MODEL_FILE
from server.run import CampaignRun


def run(house, fleet=None, **kwargs) -> CampaignRun:
    events = kwargs.pop("events", [])
    between = kwargs.pop("between_rounds", lambda _: None)
    return CampaignRun(house.coordinator(), house.campaign, fleet or InMemoryFleet(house), events.append, between)


def histogram_request(house, **changes) -> str:
    keys = {name: join(house.node(name), house.campaign.sha256) for name in house.borrowers}
    fields = {
        "campaign_sha256": house.campaign.sha256,
        "release": 0,
        "attempt": 1,
        "kind": ReleaseKind.HISTOGRAM,
        "parameters_sha256": parameters_sha256("", b""),
        "mask_keys": keys,
    }
    return ReleaseRequest(**(fields | changes)).sign(house.coordinator().key)


def test_a_campaign_ends_in_a_model_that_scores_and_a_signed_logged_card(active):
    events: list[dict] = []
    finished = run(active, events=events)
    model = finished.execute()
    assert [e["event"] for e in events] == ["joined", "binned", "round", "round"]
    assert events[-1]["epsilon"] <= active.campaign.mechanism.epsilon
    folder = active.coordinator().folder(active.campaign.sha256)
    loaded = CreditModel.load(folder / MODEL_FILE)
    from support.house import loans

    table = loans(50, 9)
    assert np.allclose(loaded.probability(table), model.probability(table))
    release_card(active.coordinator(), finished, 200.0, 0.3)
    card = ModelCard.verify((folder / "model-card.jws").read_text(), active.coordinator().key.public)
    assert card.model_sha256 == hashlib.sha256((folder / MODEL_FILE).read_bytes()).hexdigest()
    client = active.client()
    assert any(card.sha256 in leaf.decode() for leaf in client.leaves(client.head().size))


def test_a_single_lender_s_contribution_says_nothing(active):
    """Invariant 6: each masked vector is spread over the whole ring; only the sum means anything."""
    fleet = InMemoryFleet(active)
    run(active, fleet).execute()
    for answers in fleet.seen:
        total = unmask(list(answers.values()))
        assert np.abs(total).max() < 1e6
        for words in answers.values():
            assert np.abs(decode(words)).mean() > 1e9
            ones = np.unpackbits(words.view(np.uint8)).mean()
            assert abs(ones - 0.5) < 6 * 0.5 / np.sqrt(64 * len(words))


def test_a_missing_contribution_stops_the_campaign(active):
    fleet = InMemoryFleet(active, absent={"birch"})
    with pytest.raises(CampaignStopped, match="lacks the contribution of birch"):
        run(active, fleet).execute()
    assert not (active.coordinator().folder(active.campaign.sha256) / MODEL_FILE).exists()


def test_a_withdrawal_between_rounds_is_in_force_for_the_next_round(active):
    person = active.consenting("cedar")[0]
    run(active, between_rounds=lambda number: active.withdraw(person) if number == 1 else None).execute()
    store = active.node("cedar").store
    rosters = {r.release: set(store.members(n)) for n, r in store.releases(active.campaign.sha256)}
    assert person.pseudonym in rosters[0] & rosters[1]
    assert person.pseudonym not in rosters[2]


def test_a_coordinator_without_all_lenders_does_not_start(active):
    fleet = InMemoryFleet(active, mask_keys=lambda keys: {k: v for k, v in keys.items() if k != "cedar"})
    with pytest.raises(CampaignStopped, match="missing: cedar"):
        run(active, fleet).execute()


def test_a_mask_key_that_its_lender_did_not_sign_is_refused_by_coordinator_and_nodes(active):
    forged = MaskKey(campaign_sha256=active.campaign.sha256, lender="birch", public="A" * 43).sign(
        SigningKey.generate()
    )
    fleet = InMemoryFleet(active, mask_keys=lambda keys: {**keys, "birch": forged})
    with pytest.raises(CampaignStopped, match="birch's mask key"):
        run(active, fleet).execute()
    keys = {name: join(active.node(name), active.campaign.sha256) for name in active.borrowers}
    with pytest.raises(SignatureError):
        release(active.node(), histogram_request(active, mask_keys={**keys, "birch": forged}), "", np.zeros(0))


def test_a_roster_with_a_stranger_or_without_a_lender_is_refused(active):
    keys = {name: join(active.node(name), active.campaign.sha256) for name in active.borrowers}
    for roster in ({**keys, "zelkova": keys["birch"]}, {"aspen": keys["aspen"], "birch": keys["birch"]}):
        with pytest.raises(GateClosed, match="not the campaign's list of lenders"):
            release(active.node(), histogram_request(active, mask_keys=roster), "", np.zeros(0))
    assert active.node().store.releases(active.campaign.sha256) == []


def test_a_mask_key_under_another_name_is_refused(active):
    keys = {name: join(active.node(name), active.campaign.sha256) for name in active.borrowers}
    with pytest.raises(SignatureError):
        release(active.node(), histogram_request(active, mask_keys={**keys, "birch": keys["cedar"]}), "", np.zeros(0))


def test_a_request_that_the_coordinator_did_not_sign_is_refused(active):
    keys = {name: join(active.node(name), active.campaign.sha256) for name in active.borrowers}
    request = ReleaseRequest(
        campaign_sha256=active.campaign.sha256, release=0, attempt=1, kind=ReleaseKind.HISTOGRAM,
        parameters_sha256=parameters_sha256("", b""), mask_keys=keys,
    )  # fmt: skip
    with pytest.raises(SignatureError):
        release(active.node(), request.sign(active.node("birch").key), "", np.zeros(0))


def test_parameters_that_were_not_signed_are_refused(active):
    with pytest.raises(SignatureError, match="parameters"):
        release(active.node(), histogram_request(active), "", np.ones(3))


def test_two_views_of_the_roster_do_not_cancel(active):
    """If a coordinator shows lenders different requests, the sum is noise, not somebody's update."""
    first = histogram_request(active)
    second = histogram_request(active, attempt=2)
    contributions = [
        release(active.node("aspen"), first, "", np.zeros(0)),
        release(active.node("birch"), second, "", np.zeros(0)),
        release(active.node("cedar"), first, "", np.zeros(0)),
    ]
    assert np.abs(unmask(contributions)).mean() > 1e9
