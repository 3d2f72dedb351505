"""A released model that is recalled is used by nobody who hears of it, and says why."""

from __future__ import annotations

import pytest
from support.commands import done, refused, told
from support.observed import entries

from clients.errors import NodeError
from clients.models import KeptModel, check, check_origin
from crypto.keys import SigningKey
from protocol.cards import ModelCard
from protocol.errors import ConsentError
from protocol.recalls import BY_HAND, ModelRecall
from protocol.schema import now

REASON = "It approves hardly anybody under 25, and nobody knows why."


@pytest.fixture
def released(after_release, tmp_path):
    with after_release.copy(tmp_path / "released").opened() as house:
        yield house


def recall_of(house, party: str, **changes) -> ModelRecall:
    kept = KeptModel.fetch(house.client("birch"), house.campaign.sha256)
    said = {
        "campaign_sha256": house.campaign.sha256, "card_sha256": ModelCard.claimed(kept.card).sha256, "party": party,
        "reason": REASON, "recalled_at": now(),
    }  # fmt: skip
    return ModelRecall.model_validate(said | changes)


def test_any_lender_recalls_for_everybody_and_whoever_verifies_is_told(released):
    sha256 = released.campaign.sha256
    aspen, birch = (released.founded.node_home(name) for name in ("aspen", "birch"))
    for home in (aspen, birch):
        done("model", "fetch", sha256[:8], "--home", home)
    assert "# 使用说明" in done("model", "instructions", sha256, "--home", birch, "--language", "zh")
    assert "--language is one of" in refused("model", "instructions", sha256, "--home", birch, "--language", "fr")
    found = told("model", "recall", sha256[:8], "--home", aspen, "--reason", REASON)
    logged = [leaf for leaf in entries(released.registry) if leaf["type"] == "model.recalled"]
    assert [(leaf["actor"], leaf["model_card"]) for leaf in logged] == [("aspen", found["card_sha256"])]
    done("model", "verify", sha256, "--home", birch)  # it has not heard of it
    said = refused("model", "fetch", sha256[:8], "--home", birch)
    assert REASON in said and "aspen" in said and BY_HAND in said
    released.stop_registry()
    assert "recalled by 'aspen'" in refused("model", "verify", sha256, "--home", birch)
    assert "recalled by 'aspen'" in refused("model", "instructions", sha256, "--home", birch)
    text = done("model", "show", sha256, "--home", birch)
    assert text.startswith("RECALLED") and REASON in text
    (recall,) = told("model", "show", sha256, "--home", birch)["recalls"]
    assert recall["party"] == "aspen"


def test_the_coordinator_recalls_too_and_says_what_to_use_meanwhile(released):
    coordinator, sha256 = released.founded.coordinator_home, released.campaign.sha256
    unknown = refused("model", "recall", sha256, "--home", coordinator, "--reason", REASON, "--fallback", "1" * 64)
    assert "could be used meanwhile" in unknown
    done("model", "recall", sha256, "--home", coordinator, "--reason", REASON)
    kept = KeptModel.fetch(released.client("cedar"), sha256)
    with pytest.raises(NodeError, match="recalled by 'coordinator'"):
        check(kept, sha256, released.founded.consortium)
    assert [one.reason for one in check_origin(kept, sha256, released.founded.consortium).recalls] == [REASON]


def test_nobody_else_recalls_and_nothing_else_is_recalled(released):
    sha256 = released.campaign.sha256
    client, key = released.client("aspen"), released.node("aspen").key
    target = f"/v1/campaigns/{sha256}/model/recalls"

    def hand_in(recall: ModelRecall, signer: SigningKey = key) -> None:
        client._send("POST", target, {"token": recall.sign(signer)})

    for recall, signer in (
        (recall_of(released, "birch"), key),
        (recall_of(released, "aspen"), SigningKey.generate()),
        (recall_of(released, "aspen", campaign_sha256="0" * 64), key),
    ):
        with pytest.raises(ConsentError):
            hand_in(recall, signer)
    with pytest.raises(ConsentError, match="released no such model"):
        hand_in(recall_of(released, "aspen", card_sha256="0" * 64))
    own = recall_of(released, "aspen")
    with pytest.raises(ConsentError, match="no fallback for itself"):
        hand_in(own.model_copy(update={"fallback_card_sha256": own.card_sha256}))
    check(KeptModel.fetch(client, sha256), sha256, released.founded.consortium)
    hand_in(own)
    hand_in(recall_of(released, "aspen"))
    assert len([leaf for leaf in entries(released.registry) if leaf["type"] == "model.recalled"]) == 1


def test_a_recall_that_nobody_in_the_campaign_signed_is_not_believed(released):
    """A registry cannot stop a model by itself."""
    sha256, consortium = released.campaign.sha256, released.founded.consortium
    kept = KeptModel.fetch(released.client("aspen"), sha256)
    forged = recall_of(released, "aspen").sign(SigningKey.generate())
    registry = recall_of(released, "registry").sign(released.registry.signing_key)
    for token in (forged, registry):
        altered = KeptModel(kept.model, kept.card, kept.campaign, kept.approvals, kept.leaf, kept.proof, (token,))
        with pytest.raises(NodeError, match="does not verify"):
            check(altered, sha256, consortium)
