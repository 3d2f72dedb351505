"""Registry and coordinator together show a node something else than the log: the node or the auditor finds out."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from auditlog.audit import Past, verify_log
from clients.consents import HeldSnapshot
from clients.errors import GateClosed, NodeError
from clients.home import approve
from consent.commands.serve_states import state_entry
from consent.commands.sync_consents import read_snapshot
from crypto.documents import canonical_json
from crypto.keys import SigningKey
from protocol.client.lenders import LenderClient
from protocol.errors import AuditFailed, Conflict, ConsentError
from protocol.parties import Consortium, Role
from protocol.snapshots import ConsentSnapshot, Places, packed


def audit(house, past: Past | None = None):
    client = house.founded.auditor(house.url)
    house.clients.append(client)
    house.registry.ledger.catch_up()
    return verify_log(client, client.checkpoint_note(), house.founded.auditor_recipient, past=past)


def served(house) -> int:
    with house.registry.ledger.read() as session:
        log = house.registry.ledger.log
        return sum(b"consent.state-served" in log.entry(session, i).leaf for i in range(log.size(session)))


# --- the consortium


def test_a_campaign_under_another_consortium_document_is_not_proposed(house):
    for other in ("0" * 64, None):
        with pytest.raises(ConsentError, match="another consortium document"):
            house.propose(house.make_campaign(consortium_sha256=other))


def other_consortium(house) -> Consortium:
    """The same parties under a laxer policy, signed by the same registry."""
    return Consortium.model_validate({**house.founded.consortium.model_dump(), "max_epsilon": 50.0})


def forged_campaign(house) -> None:
    """Registry and coordinator agree on another document than the lenders pinned."""
    other = other_consortium(house)
    object.__setattr__(house.registry, "consortium", other)
    house.propose(house.make_campaign(consortium_sha256=other.sha256))


def test_a_lender_does_not_approve_under_another_consortium(house):
    forged_campaign(house)
    with pytest.raises(NodeError, match="another consortium document"):
        approve(house.node(), house.campaign_token)


def test_a_gate_stays_closed_under_another_consortium(house, monkeypatch):
    """Even where an operator was made to approve it."""
    forged_campaign(house)
    monkeypatch.setattr("clients.home.NodeError", lambda *_: None)
    pinned = house.founded.consortium
    for lender in house.borrowers:
        node = house.node(lender)
        object.__setattr__(node, "consortium", other_consortium(house))
        approval = approve(node, house.campaign_token)
        house.client(lender).approve(approval, node.key)
    assert house.node().consortium == pinned
    with pytest.raises(GateClosed, match="consortium document"):
        house.open_gate()


def test_the_auditor_finds_a_campaign_under_another_consortium_and_knows_earlier_ones(house):
    forged_campaign(house)
    with pytest.raises(AuditFailed, match="another consortium document than any that is pinned"):
        audit(house)
    audit(house, Past((other_consortium(house),)))


def test_once_campaigns_name_their_consortium_none_goes_without(house):
    house.activate()
    campaign = house.make_campaign(id="again", consortium_sha256=None)
    public = {"campaign": campaign.sha256, "epsilon": 1.0, "delta": 1e-5}
    token = campaign.sign(house.coordinator().key)
    entry = house.registry.sealed_to_auditor(
        "campaign.proposed", "coordinator", public, canonical_json({"token": token})
    )
    with house.registry.ledger.write() as session:
        house.registry.ledger.log.append(session, [entry])
    with pytest.raises(AuditFailed, match="another consortium document"):
        audit(house)


# --- places


def test_other_places_than_were_fixed_are_found(active, monkeypatch):
    active.open_gate(lender="cedar")
    audit(active)
    honest = LenderClient.places

    def everybody(self, sha256):
        found: Places = honest(self, sha256)
        bitmap = packed(np.packbits(np.ones(found.people, dtype=bool), bitorder="little"))
        return found.model_copy(update={"bitmap": bitmap, "sensitive": bitmap})

    monkeypatch.setattr(LenderClient, "places", everybody)
    active.open_gate(1, "cedar")
    with pytest.raises(AuditFailed, match="other places than those that were fixed"):
        audit(active)


# --- consent states


def test_a_state_is_in_the_log_before_it_is_used_and_costs_nothing_where_it_cannot_be(active):
    client, node = active.client("cedar"), active.node("cedar")
    for _ in range(5):
        node.consents.sync(client, active.campaign.purpose)
    assert served(active) == 0
    active.open_gate(lender="cedar")
    assert served(active) == 1
    found = audit(active)
    (commitment,) = found.commitments
    state = found.know.states[commitment.opened.state_sha256]
    assert state.index < commitment.index
    assert state.opened.lender == "cedar"


def test_another_state_than_was_logged_is_found(active, monkeypatch):
    """The registry logs one snapshot and serves another one, both signed."""
    real = state_entry

    def another(registry, lender, snapshot):
        return real(registry, lender, read_snapshot(registry, lender, active.campaign.purpose, "c" * 16))

    monkeypatch.setattr("consent.commands.serve_states.state_entry", another)
    active.open_gate(lender="cedar")
    with pytest.raises(AuditFailed, match="a consent state that the registry never logged as served"):
        audit(active)


def test_a_state_that_was_served_unlogged_is_found(active, monkeypatch):
    monkeypatch.setattr("consent.commands.serve_states.state_entry", lambda *_: None)
    active.open_gate(lender="cedar")
    with pytest.raises(AuditFailed, match="never logged as served"):
        audit(active)


def test_another_lenders_state_does_not_count(active, monkeypatch):
    active.open_gate(lender="birch")
    (birchs,) = audit(active).know.states
    monkeypatch.setattr(HeldSnapshot, "token_sha256", property(lambda self: birchs))
    active.open_gate(lender="cedar")
    with pytest.raises(AuditFailed, match="never logged as served"):
        audit(active)


def test_a_state_is_not_served_while_the_log_takes_nothing(active, monkeypatch):
    """Fail closed: no entry, no state, no row."""
    opened = active.gate("cedar")
    opened._live_authorisation()
    monkeypatch.setattr(
        type(active.registry.ledger.log), "append", lambda *_: (_ for _ in ()).throw(Conflict("the log is full"))
    )
    with pytest.raises(ConsentError, match="the log is full"):
        opened.open(active.asked(), active.campaign.planned(0).charge)


def test_what_is_logged_is_the_hash_of_what_the_node_got(active):
    active.open_gate(lender="cedar")
    (sha256,) = audit(active).know.states
    token = active.node("cedar").consents.held(active.campaign.purpose).token
    assert hashlib.sha256(token.encode()).hexdigest() == sha256


def test_a_state_that_somebody_else_signed_is_no_state(active):
    snapshot = read_snapshot(
        active.registry, active.registry.consortium.party("cedar"), active.campaign.purpose, "c" * 16
    )
    token = ConsentSnapshot.claimed(snapshot.token).sign(SigningKey.generate())
    sha256 = hashlib.sha256(token.encode()).hexdigest()
    entry = active.registry.sealed_to_auditor(
        "consent.state-served",
        active.registry.consortium.one(Role.REGISTRY).id,
        {"lender": "cedar", "state": sha256},
        canonical_json({"token": token}),
    )
    with active.registry.ledger.write() as session:
        active.registry.ledger.log.append(session, [entry])
    with pytest.raises(AuditFailed, match="signature"):
        audit(active)
