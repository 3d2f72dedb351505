"""A lender fetches the model it helped to train, believes nobody about it, and reads its card."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from support.commands import done, refused, told

from clients.errors import NodeError
from clients.models import MODEL_FILE, KeptModel, check
from crypto.keys import SigningKey, b64
from protocol.campaigns import Approval
from protocol.cards import ModelCard
from protocol.errors import ConsentError
from protocol.schema import now


@pytest.fixture
def released(after_release, tmp_path):
    """A house whose campaign has released its model."""
    with after_release.copy(tmp_path / "released").opened() as house:
        yield house


@pytest.fixture
def kept(released):
    return KeptModel.fetch(released.client("birch"), released.campaign.sha256)


def test_every_lender_fetches_verifies_and_reads_the_model_by_itself(released):
    sha256 = released.campaign.sha256
    made = released.coordinator().folder(sha256) / MODEL_FILE
    for lender in released.borrowers:
        home = released.founded.node_home(lender)
        done("model", "fetch", sha256[:8], "--home", home)
        assert (home / "models" / sha256 / MODEL_FILE).read_bytes() == made.read_bytes()
    released.stop_registry()  # verifying and reading need no network
    said = told("model", "verify", sha256[:4], "--home", home)
    assert said["verified"] and said["approved_by"] == sorted(released.campaign.lenders)
    assert "verified" in done("model", "verify", sha256, "--home", home)
    card = told("model", "show", sha256, "--home", home)
    assert card["model_sha256"] == hashlib.sha256(made.read_bytes()).hexdigest() == said["model_sha256"]
    text = done("model", "show", sha256, "--home", home)
    for word in (card["campaign_title"], "epsilon", "late, income, grade", "bounded influence", "birch"):
        assert word in text


def test_applicants_are_scored_by_what_was_fetched_and_all_that_lies_beside_it_is_checked(released, tmp_path):
    home, sha256 = released.founded.node_home("aspen"), released.campaign.sha256
    done("model", "fetch", sha256, "--home", home)
    folder = home / "models" / sha256
    (tmp_path / "applicants.csv").write_text("late,income,grade\n1,3000,a\n,,\n", encoding="utf-8")
    asked = ("score", "--home", home, "--model", folder / MODEL_FILE, "--data", tmp_path / "applicants.csv")
    found = told(*asked)
    assert found["approvals_checked"]
    assert [350 <= one["score"] <= 950 for one in found["people"]] == [True, True]
    (folder / "approvals.json").write_text("[]", encoding="utf-8")
    assert "there is not one approval for each lender" in refused(*asked)


def test_refusals_are_one_sentence(released):
    home, sha256 = released.founded.node_home("aspen"), released.campaign.sha256
    assert "no campaign" in refused("model", "show", sha256, "--home", home)
    assert "no campaign" in refused("model", "fetch", "ffff" if sha256[0] != "f" else "0000", "--home", home)
    done("model", "fetch", sha256, "--home", home)
    path = home / "models" / sha256 / MODEL_FILE
    path.write_bytes(path.read_bytes() + b" ")
    said = refused("model", "verify", sha256, "--home", home)
    assert "not the one that its card names" in said


def test_there_is_no_model_before_one_is_released_and_none_for_strangers(active):
    client = active.client("aspen")
    with pytest.raises(ConsentError, match="has not released a model yet"):
        client.get(f"/v1/campaigns/{active.campaign.sha256}/model")


def test_a_lender_outside_the_campaign_gets_nothing(house):
    campaign = house.make_campaign(plan={"collusion_bound": 0, "spare_attempts": 1}, lenders=("aspen", "birch"))
    house.propose(campaign)
    for part in ("", "/file"):
        with pytest.raises(ConsentError, match="not part of campaign"):
            house.client("cedar").get(f"/v1/campaigns/{campaign.sha256}/model{part}")


def test_a_registry_that_alters_anything_is_not_believed(released, kept):
    """What is swapped for another's good document is refused as well as what is damaged."""
    sha256, consortium = released.campaign.sha256, released.founded.consortium
    coordinator, stranger = released.coordinator().key, SigningKey.generate()
    assert check(kept, sha256, consortium).card.sha256 == ModelCard.claimed(kept.card).sha256
    card = ModelCard.claimed(kept.card)
    cheaper = card.model_copy(update={"epsilon": card.epsilon / 10})
    other = Approval(campaign_sha256="0" * 64, lender="aspen", approved_at=now()).sign(released.node("aspen").key)
    forged = Approval(campaign_sha256=sha256, lender="aspen", approved_at=now()).sign(stranger)
    for altered in (
        replace(kept, model=kept.model + b"\0"),
        replace(kept, card=card.sign(stranger)),
        replace(kept, card=cheaper.sign(coordinator)),
        replace(kept, approvals=kept.approvals[1:]),
        replace(kept, approvals=(other, *kept.approvals[1:])),
        replace(kept, approvals=(forged, *kept.approvals[1:])),
        replace(kept, approvals=(kept.approvals[1], *kept.approvals[1:])),
        replace(kept, leaf=kept.leaf.replace(card.sha256.encode(), b"0" * 64)),
        replace(kept, leaf=released.client("aspen").leaves(1)[0]),
        replace(kept, proof=kept.proof.replace("index ", "index 1")),
    ):
        with pytest.raises(NodeError):
            check(altered, sha256, consortium)
    with pytest.raises(NodeError, match="another campaign"):
        check(kept, "0" * 64, consortium)


def test_a_card_of_another_cost_is_refused_although_it_is_signed_and_logged(released, kept):
    """The coordinator cannot state a smaller epsilon than the lenders approved."""
    coordinator, sha256 = released.coordinator(), released.campaign.sha256
    cheaper = ModelCard.model_validate(ModelCard.claimed(kept.card).payload() | {"epsilon": 0.001})
    with coordinator.registry() as registry:
        registry.log_model(sha256, cheaper.sha256, cheaper.sign(coordinator.key), kept.model)
    with pytest.raises(NodeError, match="another cost"):
        check(KeptModel.fetch(released.client("aspen"), sha256), sha256, released.founded.consortium)


def test_the_registry_keeps_only_the_model_that_its_card_names_and_a_card_once(released, kept):
    coordinator, sha256, card = released.coordinator(), released.campaign.sha256, ModelCard.claimed(kept.card)
    client = coordinator.registry()
    before = client.head().size
    client.log_model(sha256, card.sha256, kept.card, kept.model)
    assert client.head().size == before
    for changes in (
        {"model": b64(kept.model + b"\0")},
        {"card": card.sign(SigningKey.generate())},
        {"card_sha256": "0" * 64},
        {"model": "*"},
    ):
        body = {"card_sha256": card.sha256, "card": kept.card, "model": b64(kept.model)} | changes
        with pytest.raises(ConsentError):
            client._send("POST", f"/v1/campaigns/{sha256}/model", body)
    assert client.head().size == before
    client.close()
