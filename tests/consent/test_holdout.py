"""Who is held out: drawn by every lender's lot, so that no coordinator can look for a campaign that suits it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.house import InMemoryFleet
from support.observed import entries

from auditlog.audit import verify_log
from clients.data.mapped import MappedSource
from clients.gate import Gate
from clients.home import approve
from crypto.documents import sign_document
from crypto.errors import SignatureError
from crypto.keys import SigningKey, unb64
from privacy.mechanism import Audience
from protocol.campaigns import Approval, Campaign, ReleaseRequest, RosterCommitment
from protocol.client.lenders import LenderClient
from protocol.errors import AuditFailed, ConsentError
from protocol.holdout import Draw, verified_approvals
from protocol.schema import now
from server.run import CampaignRun

PEOPLE = [f"v1.{number:043d}" for number in range(2000)]


def approvals(campaign: Campaign, **lots: str) -> list[Approval]:
    return [
        Approval(campaign_sha256=campaign.sha256, lender=name, lot=lots.get(name, "a" * 43), approved_at=now())
        for name in campaign.lenders
    ]


def held(draw: Draw) -> set[str]:
    return {name for name in PEOPLE if draw.audience_of(name) is Audience.HOLD_OUT}


@pytest.fixture
def campaign(house) -> Campaign:
    return house.make_campaign(plan={"hold_out": 0.3})


def test_any_one_lender_s_lot_decides_anew_and_the_share_is_kept(campaign):
    first = held(Draw.of(campaign, approvals(campaign)))
    assert 500 < len(first) < 700
    assert first == held(Draw.of(campaign, approvals(campaign)[::-1])), "the order is nobody's choice"
    for lender in campaign.lenders:
        other = held(Draw.of(campaign, approvals(campaign, **{lender: "b" * 43})))
        assert 100 < len(first & other) < 260, "three in ten of those who were held out, by chance"


def test_a_coordinator_cannot_know_who_is_held_out_by_whatever_it_writes_into_its_campaign(campaign):
    """Before, a few thousand titles were enough to have any eight people trained on, or none of them."""
    target = PEOPLE[:4]
    ground = next(
        found
        for seed in range(10_000)
        if held(Draw.of(found := campaign.model_copy(update={"seed": seed}), approvals(found))) >= set(target)
    )
    lots = {lender: SigningKey.generate().public.text for lender in campaign.lenders}
    assert held(Draw.of(ground, approvals(ground, **lots))) != held(Draw.of(ground, approvals(ground)))


def test_without_every_lender_s_lot_for_this_very_campaign_nobody_is_drawn(campaign):
    said = approvals(campaign)
    other = said[0].model_copy(update={"campaign_sha256": "0" * 64})
    for some in (said[1:], [], [other, *said[1:]]):
        with pytest.raises(SignatureError, match="without the lot of aspen"):
            Draw.of(campaign, some)


def test_an_approval_that_its_lender_did_not_sign_is_none(house, campaign):
    forged = [said.sign(SigningKey.generate()) for said in approvals(campaign)]
    with pytest.raises(SignatureError):
        verified_approvals(forged, house.founded.consortium)


def test_nobody_can_know_a_lender_s_lot_beforehand_its_own_operator_included(house):
    """Drawn anew for every approval: neither from the campaign nor from the lender."""
    house.propose(house.make_campaign(plan={"hold_out": 0.3}))
    stated = [approve(house.node(lender), house.campaign_token).lot for lender in ("aspen", "aspen", "birch", "cedar")]
    assert len(set(stated)) == len(stated)
    assert all(len(unb64(lot)) == 32 for lot in stated)


def test_lots_are_secret_until_the_last_lender_has_stated_its_own(house):
    house.propose(house.make_campaign(plan={"hold_out": 0.3}))
    seen = []
    for lender in ("aspen", "birch"):
        node = house.node(lender)
        house.client(lender).approve(approve(node, house.campaign_token), node.key)
        seen.append((node.home / "approved" / f"{house.campaign.sha256}.approval.jws").read_text(encoding="utf-8"))
    approved = [entry for entry in entries(house.registry) if entry["type"] == "campaign.approved"]
    assert len(approved) == 2
    assert not any(token in json.dumps(approved) for token in seen), "sealed in the log"
    for asker in (house.client("cedar"), house.coordinator().registry()):
        told = asker._send("GET", f"/v1/campaigns/{house.campaign.sha256}").text
        assert not any(token in told for token in seen)
        with pytest.raises(ConsentError):
            asker._send("GET", f"/v1/campaigns/{house.campaign.sha256}/places")


@pytest.mark.parametrize("keep", [0, 2])
def test_a_registry_that_leaves_an_approval_out_opens_no_gate(house, monkeypatch, keep):
    house.activate(plan={"hold_out": 0.3})
    order = []
    monkeypatch.setattr(MappedSource, "rows", lambda *_: order.append("rows"))
    places = LenderClient.places

    def fewer(self, sha256):
        found = places(self, sha256)
        return found.model_copy(update={"approvals": found.approvals[:keep]})

    monkeypatch.setattr(LenderClient, "places", fewer)
    node = house.node()
    found, approval = node.campaign(house.campaign.sha256)
    asked = ReleaseRequest(
        campaign_sha256=found.sha256, release=0, attempt=1, kind="histogram", parameters_sha256="0" * 64, mask_keys={}
    )
    with pytest.raises(SignatureError, match="without the lot of"):
        Gate(node, found, approval, house.client()).open(asked, found.planned(0).charge)
    assert order == [] and node.store.ledger() == []


def trained(house) -> None:
    run = CampaignRun(house.coordinator(), house.campaign, InMemoryFleet(house), lambda _: None, lambda _: None)
    run.execute()


def audited(house) -> None:
    auditor = house.founded.auditor(house.url)
    try:
        verify_log(auditor, auditor.checkpoint_note(), house.founded.auditor_recipient)
    finally:
        auditor.close()


def test_every_node_draws_by_the_approvals_that_the_auditor_finds_in_the_log(house):
    house.activate(plan={"hold_out": 0.3})
    trained(house)
    audited(house)


def test_a_node_that_drew_by_other_lots_is_found(house, monkeypatch):
    house.activate(plan={"hold_out": 0.3})
    real = Draw.of.__func__
    monkeypatch.setattr("clients.gate.Draw.of", lambda *args: replace(real(Draw, *args), sha256="f" * 64))
    trained(house)
    monkeypatch.undo()
    with pytest.raises(AuditFailed, match="not drawn by the lots in the log"):
        audited(house)


def test_an_approval_without_a_lot_is_read_and_neither_accepted_nor_drawn_by(house):
    """Those of earlier versions stay in the log, where the auditor goes on verifying them."""
    house.propose(house.make_campaign())
    said = {"campaign_sha256": house.campaign.sha256, "lender": "aspen", "approved_at": "2026-01-01T00:00:00Z"}
    key = house.node().key
    old = Approval.verify(sign_document(Approval.typ, said, key), key.public)
    with pytest.raises(ConsentError, match="no lot"):
        house.client().approve(old, key)
    with pytest.raises(SignatureError, match="without the lot of aspen"):
        Draw.of(house.campaign, [old, *approvals(house.campaign)[1:]])


def test_a_history_from_before_there_were_lots_still_verifies(house, monkeypatch):
    house.activate(plan={"hold_out": 0.3})
    trained(house)
    real = Approval.verify.__func__
    monkeypatch.setattr(
        "auditlog.campaign_checks.Approval.verify", lambda *args: real(Approval, *args).model_copy(update={"lot": None})
    )
    with pytest.raises(AuditFailed, match="not drawn by the lots"):
        audited(house)
    commitment = RosterCommitment.verify.__func__
    monkeypatch.setattr(
        "auditlog.campaign_checks.RosterCommitment.verify",
        lambda *args: commitment(RosterCommitment, *args).model_copy(update={"draw_sha256": None}),
    )
    audited(house)
