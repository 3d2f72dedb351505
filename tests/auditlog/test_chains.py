"""A verification is told step by step, and a campaign as entries that rest on one another."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace

import pytest

from auditlog.audit import STEPS, audit_steps, followed
from auditlog.chains import Chains
from auditlog.entry_checks import FORMS
from crypto.merkle import leaf_hash, leaves_reader, tree_root
from crypto.notes import Checkpoint
from protocol.errors import AuditFailed, SplitView


def steps_of(house, first_note=None, chains=None):
    client = house.founded.auditor(house.url)
    house.clients.append(client)
    house.registry.ledger.catch_up()
    chains = chains or Chains()
    key = house.founded.auditor_recipient
    return audit_steps(client, first_note or client.checkpoint_note(), key, check=chains.check)


@pytest.fixture
def released(after_release, tmp_path):
    with after_release.copy(tmp_path / "house").opened() as house:
        yield house


def test_each_entry_of_a_campaign_rests_on_those_that_it_needs(released):
    chains, told = Chains(), []
    audit = followed(steps_of(released, chains=chains), told.append)
    assert tuple(one.name for one in told) == STEPS and chains.checked == audit.entries
    leaves = [json.loads(leaf) for leaf in audit.leaves]
    (links,) = chains.links.values()
    kinds = defaultdict(list)
    for link in links:
        kinds[link.kind].append(link)
        assert leaves[link.index]["type"] == link.kind and all(one < link.index for one in link.rests_on)
    (activation,), (card,) = kinds["campaign.activated"], kinds["model.released"]
    assert set(activation.rests_on) == {one.index for one in kinds["campaign.approved"]}
    assert set(card.rests_on) == {one.index for one in kinds["roster.committed"]}
    for link in kinds["roster.committed"]:
        authorisation, state = (leaves[one] for one in link.rests_on)
        own = leaves[link.index]
        assert authorisation["authorisation"] == own["authorisation_id"] and authorisation["lender"] == own["actor"]
        assert (state["type"], state["lender"]) == ("consent.state-served", own["actor"])


def test_where_it_breaks_is_known_and_nothing_after_it_is_a_link(released, monkeypatch):
    def refuse(know, leaf):
        know.require(False, "the card is another")

    monkeypatch.setattr("auditlog.entry_checks.FORMS", _with_check("model.released", refuse))
    chains = Chains()
    with pytest.raises(AuditFailed, match="the card is another"):
        followed(steps_of(released, chains=chains), lambda _: None)
    assert chains.broken and chains.broken.index == chains.checked
    (links,) = chains.links.values()
    assert "model.released" not in {link.kind for link in links}


def _with_check(kind, check):
    return {**FORMS, kind: replace(FORMS[kind], check=check)}


def test_a_log_that_was_rolled_back_is_refused_whoever_signs_it(house):
    followed(steps_of(house), lambda _: None)
    client = house.founded.auditor(house.url)
    house.clients.append(client)
    kept = client.checkpoint_note()
    size = client.trust.open(kept).size
    leaves = client.leaves(size)
    older = Checkpoint(client.trust.open(kept).origin, size - 5, b"")
    root = tree_root(older.size, leaves_reader([leaf_hash(leaf) for leaf in leaves[: older.size]]))
    note = house.colluding(Checkpoint(older.origin, older.size, root))
    client.checkpoint_note = lambda: note
    with pytest.raises(AuditFailed, match="rolled back"):
        followed(audit_steps(client, kept), lambda _: None)


def test_two_heads_of_one_size_are_a_split_view(house):
    client = house.founded.auditor(house.url)
    house.clients.append(client)
    kept = client.checkpoint_note()
    head = client.trust.open(kept)
    other = house.colluding(Checkpoint(head.origin, head.size, b"\7" * 32))
    client.checkpoint_note = lambda: other
    with pytest.raises(AuditFailed, match="signed two heads") as refused:
        followed(audit_steps(client, kept), lambda _: None)
    assert isinstance(refused.value.__cause__, SplitView)
