"""Entries of recalls, and that lenders heard of them, say what was signed by whom it is of."""

from __future__ import annotations

import pytest
from support.entries import append, audit

from crypto.documents import canonical_json
from protocol.cards import ModelCard
from protocol.errors import AuditFailed
from protocol.recalls import ModelRecall, RecallAcknowledgement
from protocol.schema import now


@pytest.fixture
def released(after_release, tmp_path):
    """A campaign that has released its model, and the card as it was signed."""
    with after_release.copy(tmp_path / "house").opened() as house:
        folder = house.coordinator().folder(house.campaign.sha256)
        yield house, ModelCard.claimed((folder / "model-card.jws").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("actor", "card_sha256", "signed", "said"),
    [
        ("aspen", None, {}, ""),
        ("coordinator", None, {}, ""),
        ("aspen", "0" * 64, {}, "never released"),
        ("registry", None, {}, "not its to write"),
        ("aspen", None, {"card_sha256": "1" * 64}, "another than was stated"),
        ("aspen", None, {"party": "birch"}, "another than was stated"),
    ],
)
def test_a_recall_is_of_a_released_model_by_who_has_a_part_in_it(released, actor, card_sha256, signed, said):
    house, card = released
    named = card_sha256 or card.sha256
    recall = ModelRecall.model_validate({
        "campaign_sha256": house.campaign.sha256, "card_sha256": named, "party": actor, "recalled_at": now(),
        "reason": "Nobody knows why it says what it says.",
    } | signed)  # fmt: skip
    key = house.coordinator().key if actor == "coordinator" else house.node("aspen").key
    clear = {"campaign": house.campaign.sha256, "model_card": named}
    body = canonical_json({"token": recall.sign(key)})
    append(house, house.registry.sealed_to_auditor("model.recalled", actor, clear, body))
    if not said:
        assert audit(house).by_type["model.recalled"] == 1
        return
    with pytest.raises(AuditFailed, match=said):
        audit(house)


@pytest.mark.parametrize(
    ("actor", "recalled", "signed", "said"),
    [
        ("aspen", True, {}, ""),
        ("aspen", False, {}, "nobody recalled"),
        ("coordinator", True, {}, "not its to write"),
        ("aspen", True, {"card_sha256": "1" * 64}, "another than was stated"),
        ("aspen", True, {"lender": "birch"}, "another than was stated"),
    ],
)
def test_a_recall_is_acknowledged_by_a_lender_of_the_campaign_once_there_is_one(
    released, actor, recalled, signed, said
):
    house, card = released
    about = {"campaign_sha256": house.campaign.sha256, "card_sha256": card.sha256}
    clear = {"campaign": house.campaign.sha256, "model_card": card.sha256}
    key = house.node("aspen").key
    if recalled:
        recall = ModelRecall(**about, party="aspen", recalled_at=now(), reason="Nobody knows why it says so.")
        body = canonical_json({"token": recall.sign(key)})
        append(house, house.registry.sealed_to_auditor("model.recalled", "aspen", clear, body))
    heard = RecallAcknowledgement.model_validate(about | {"lender": "aspen", "acknowledged_at": now()} | signed)
    body = canonical_json({"token": heard.sign(key)})
    append(house, house.registry.sealed_to_auditor("recall.acknowledged", actor, clear, body))
    if not said:
        assert audit(house).by_type["recall.acknowledged"] == 1
        return
    with pytest.raises(AuditFailed, match=said):
        audit(house)
