"""Every type of entry that the product can write is one that the auditor checks; of any other it says so."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import get_args

import pytest

from auditlog.audit import verify_log
from auditlog.entries import Entry, entry_with_sealed_body
from auditlog.entry_checks import FORMS
from consent.commands.append_entries import EntryType
from crypto.documents import canonical_json
from protocol.cards import ModelCard
from protocol.errors import AuditFailed

ROOT = Path(__file__).resolve().parent.parent.parent
WRITERS = {"log_sealed": 0, "sealed_to_auditor": 0, "entry_for_subject": 0, "entry_with_sealed_body": 0, "entry": 0}
"""Which argument is the type."""
ROOMS = ("auditlog", "cli", "consent", "demo", "naming", "server")


def written() -> dict[str, str]:
    """Every type that stands in the product as the type of an entry, and where."""
    found: dict[str, str] = {}
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            first = node.args[0]
            if name in WRITERS and isinstance(first, ast.Constant) and "." in str(first.value):
                found[str(first.value)] = f"{path.relative_to(ROOT)}:{node.lineno}"
    return found


def audit(house):
    client = house.founded.auditor(house.url)
    house.clients.append(client)
    house.registry.ledger.catch_up()
    return verify_log(client, client.checkpoint_note(), house.founded.auditor_recipient)


def append(house, *entries: Entry) -> None:
    with house.registry.ledger.write() as session:
        house.registry.ledger.log.append(session, entries)


def test_every_type_that_can_be_written_has_a_form():
    types = written()
    assert len(types) >= 15, "the search itself is broken"
    missing = {kind: where for kind, where in types.items() if kind not in FORMS}
    assert not missing, f"the auditor checks no entries of these types (auditlog/entry_checks.py): {missing}"
    assert set(get_args(EntryType)) <= set(FORMS)


def test_no_form_is_of_a_type_that_nobody_writes():
    assert set(FORMS) == set(written()) | set(get_args(EntryType))


def test_an_entry_of_an_unknown_type_fails(house):
    append(house, house.registry.sealed_to_auditor("borrower.sold", "registry", {}, b"{}"))
    with pytest.raises(AuditFailed, match=r"nothing here checks entries of the type 'borrower.sold'"):
        audit(house)


@pytest.mark.parametrize(
    ("kind", "actor", "public", "said"),
    [
        ("notice.published", "aspen", {"notice": "n", "notice_version": 1, "texts": {}}, "not its to write"),
        ("subject.forgotten", "registry", {"key": "k", "name": "v1.x"}, "other fields than its type"),
        ("subject.forgotten", "registry", {}, "other fields than its type"),
        ("use.read", "auditor", {}, "not its to write"),
        ("names.keys", "aspen", {}, "not its to write"),
        ("population.counted", "coordinator", {"epsilon": 1e9}, "counts of people have cost more"),
        ("party.key_revoked", "aspen", {"party": "birch", "key": "k"}, "changed a key of 'birch'"),
        ("subjects.enrolled", "nobody", {}, "not a party of the consortium"),
        ("consent.state-served", "registry", {"lender": "registry", "state": "0" * 64}, "to no lender"),
    ],
)
def test_an_entry_that_does_not_keep_its_form_fails(house, kind, actor, public, said):
    append(house, house.registry.sealed_to_auditor(kind, actor, public, b"{}"))
    with pytest.raises(AuditFailed, match=said):
        audit(house)


def test_an_entry_that_is_not_sealed_to_the_auditor_fails(house):
    """What the auditor cannot read could say anything."""
    append(house, entry_with_sealed_body("subjects.enrolled", "aspen", {}, "naming", b"sealed"))
    with pytest.raises(AuditFailed, match="not sealed to the auditor"):
        audit(house)


# --- model cards


@pytest.fixture(scope="module")
def after_release(ground, tmp_path_factory):
    return ground.released(tmp_path_factory.mktemp("released") / "house")


@pytest.fixture
def released(after_release, tmp_path):
    """A campaign that has released its model, and the card as it was signed."""
    with after_release.copy(tmp_path / "house").opened() as house:
        folder = house.coordinator().folder(house.campaign.sha256)
        yield house, ModelCard.claimed((folder / "model-card.jws").read_text(encoding="utf-8"))


def changed(card: ModelCard, **fields) -> ModelCard:
    return ModelCard.model_validate({**card.model_dump(), **fields})


def log_card(house, card: ModelCard, key=None, campaign: str | None = None, **public: str) -> None:
    """A card that the registry let through without a look at it."""
    token = card.sign(key or house.coordinator().key)
    clear = {"campaign": campaign or house.campaign.sha256, "model_card": card.sha256, **public}
    append(
        house,
        house.registry.sealed_to_auditor("model.released", "coordinator", clear, canonical_json({"token": token})),
    )


def test_a_released_model_verifies(released):
    house, _ = released
    assert audit(house).by_type["model.released"] == 1


def test_any_text_as_a_model_card_fails(active):
    body = canonical_json({"token": "the best model ever"})
    public = {"campaign": active.campaign.sha256, "model_card": "0" * 64}
    append(active, active.registry.sealed_to_auditor("model.released", "coordinator", public, body))
    with pytest.raises(AuditFailed, match=r"model\.released"):
        audit(active)


def test_the_same_model_card_twice_fails(released):
    house, card = released
    log_card(house, card)
    with pytest.raises(AuditFailed, match="released twice"):
        audit(house)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epsilon_spent": 0.01}, "another epsilon than the rosters"),
        ({"epsilon_spent": 7.0}, "another epsilon than the rosters"),
        ({"epsilon": 0.1}, "another epsilon than was approved"),
        ({"purpose": "https://w3id.org/dpv#Marketing"}, "another purpose than was approved"),
        ({"features": ("late",)}, "another features than was approved"),
        ({"lenders": ("aspen", "zelkova")}, "without a roster in its last release"),
        ({"campaign_sha256": "0" * 64}, "another, or of another"),
    ],
)
def test_a_model_card_that_says_something_else_than_the_log_fails(released, changes, said):
    house, card = released
    log_card(house, changed(card, **changes))
    with pytest.raises(AuditFailed, match=said):
        audit(house)


def test_a_model_card_of_another_hand_or_hash_fails(released):
    house, card = released
    other = changed(card, population_released=1.0)
    log_card(house, other, model_card="0" * 64)
    with pytest.raises(AuditFailed, match="another, or of another"):
        audit(house)


def test_a_model_card_that_a_lender_signed_fails(released):
    house, card = released
    log_card(house, changed(card, population_released=1.0), house.node().key)
    with pytest.raises(AuditFailed, match="signature"):
        audit(house)


def test_a_model_card_of_releases_that_nobody_committed_fails(active):
    mechanism = active.campaign.mechanism
    card = ModelCard(
        campaign_sha256=active.campaign.sha256, campaign_title="t", model="scorecard", model_sha256="0" * 64,
        features=tuple(f["name"] for f in active.campaign.features["features"]), purpose=active.campaign.purpose,
        legal_basis=active.campaign.legal_basis, lenders=(), epsilon=mechanism.epsilon, delta=mechanism.delta,
        mechanism=mechanism.model_dump(mode="json"), releases=len(mechanism.releases), population_released=1.0,
        base_rate_released=0.1, released_at=active.campaign.created_at,
    )  # fmt: skip
    log_card(active, card)
    with pytest.raises(AuditFailed, match="counts release 0"):
        audit(active)


def test_without_the_auditors_key_the_order_is_still_checked(house):
    campaign = house.make_campaign()
    house.propose(campaign)
    public = {"campaign": campaign.sha256, "model_card": "0" * 64}
    append(house, house.registry.sealed_to_auditor("model.released", "coordinator", public, b"{}"))
    client = house.founded.auditor(house.url)
    house.clients.append(client)
    house.registry.ledger.catch_up()
    with pytest.raises(AuditFailed, match="not active"):
        verify_log(client, client.checkpoint_note())


def test_a_leaf_is_read_as_it_is_served(active):
    """What is checked is the leaf under the signed root, not what a registry says of it."""
    found = audit(active)
    leaf = json.loads(found.know.bodies.client.leaves(1)[0])
    assert leaf["type"] in FORMS
