"""The audit log: any interleaving of appends is one history, and nobody rewrites it unnoticed (invariant 7)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from consent.audit import verify_log
from consent.client import HeadStore, RegistryClient
from consent.documents import now
from consent.errors import AuditFailed, NotFound, RegistryUnavailable
from consent.log import AuditLog, Entry, entry_for_party, entry_for_subject
from consent.storage import Database
from crypto.documents import canonical_json
from crypto.errors import ProofError
from crypto.keys import SigningKey
from crypto.merkle import leaf_hash, leaves_reader, tree_root, verify_consistency
from crypto.notes import Checkpoint, open_checkpoint, sign_checkpoint
from crypto.sealing import new_data_key
from crypto.tiles import TILE_WIDTH, parse_entry_bundle


@pytest.fixture(scope="module")
def log() -> AuditLog:
    return AuditLog("log.test/one", SigningKey.generate())


def fresh(tmp_path_factory) -> Database:
    database = Database(tmp_path_factory.mktemp("log") / "log.db")
    database.migrate()
    return database


@settings(max_examples=15)
@given(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=6), data=st.data())
def test_any_interleaving_of_appends_yields_one_history(log, tmp_path_factory, sizes, data):
    database = fresh(tmp_path_factory)
    leaves: list[bytes] = []
    heads: list[Checkpoint] = []
    for number, size in enumerate(sizes):
        batch = [Entry(f"{number}/{i}".encode(), b"") for i in range(size)]
        with database.write() as session:
            assert log.append(session, batch) == len(leaves)
        leaves += [entry.leaf for entry in batch]
        with database.read() as session:
            heads.append(open_checkpoint(log.checkpoint(session), log.verifier))
        assert heads[-1].root == tree_root(len(leaves), leaves_reader([leaf_hash(x) for x in leaves]))
    index = data.draw(st.integers(0, len(leaves) - 1))
    with database.read() as session:
        log.prove_inclusion(session, index).verify(leaves[index], log.verifier)
        for old in heads:
            proof = log.prove_consistency(session, old.size, heads[-1].size)
            verify_consistency(old.size, heads[-1].size, proof, old.root, heads[-1].root)
        served = []
        for bundle in range((len(leaves) + TILE_WIDTH - 1) // TILE_WIDTH):
            width = min(TILE_WIDTH, len(leaves) - bundle * TILE_WIDTH)
            served += parse_entry_bundle(log.entries(session, bundle, width))
    assert served == leaves
    database.close()


def test_what_the_log_does_not_have_is_refused(log, tmp_path_factory):
    database = fresh(tmp_path_factory)
    with database.read() as session, pytest.raises(NotFound):
        log.checkpoint(session)
    with database.write() as session:
        log.append(session, [Entry(b"only", b"")])
    with database.read() as session:
        for refused in (
            lambda: log.prove_inclusion(session, 1),
            lambda: log.prove_consistency(session, 0, 1),
            lambda: log.prove_consistency(session, 1, 2),
        ):
            with pytest.raises(ProofError):
                refused()
        for absent in (
            lambda: log.tile(session, 0, 1, 1),
            lambda: log.entries(session, 0, 2),
            lambda: log.entry(session, 9),
        ):
            with pytest.raises(NotFound):
                absent()
    database.close()


def test_a_failed_transaction_leaves_no_trace_in_the_log(log, tmp_path_factory):
    database = fresh(tmp_path_factory)
    with database.write() as session:
        log.append(session, [Entry(b"first", b"")])
    with pytest.raises(ZeroDivisionError), database.write() as session:
        log.append(session, [Entry(b"second", b"")])
        raise ZeroDivisionError
    with database.write() as session:
        assert log.append(session, [Entry(b"third", b"")]) == 1
    with database.read() as session:
        log.prove_inclusion(session, 1).verify(b"third", log.verifier)
    database.close()


def test_a_skeleton_names_nobody(active):
    """Leaves hold no pseudonym, and nothing from which a person could be guessed."""
    client = active.client("aspen")
    names = {p.pseudonym for people in active.borrowers.values() for p in people}
    names |= {p.ledger_pseudonym for people in active.borrowers.values() for p in people}
    for leaf in client.leaves(client.head().size):
        text_of_leaf = leaf.decode()
        assert not any(name in text_of_leaf for name in names)
        if json.loads(leaf)["type"] == "consent.decided":
            assert set(json.loads(leaf)) == {"v", "type", "time", "actor", "body", "decision"}


def test_a_body_is_bound_to_its_leaf_and_opens_for_its_subject_only():
    key = new_data_key()
    entry = entry_for_subject("consent.decided", now(), "registry", {}, key, b"secret")
    assert b"secret" not in entry.leaf + entry.body
    assert json.loads(entry.leaf)["body"]["sealed_to"] == "subject"


# --- from the outside


def audit(house):
    client = house.founded.auditor(house.url)
    house.clients.append(client)
    with house.registry.database.read() as session:
        first = house.registry.log.checkpoint(session, 1)
    return verify_log(client, first, house.founded.auditor_recipient)


def tamper(house, statement: str) -> None:
    """What an operator with the database in hand can do: triggers do not stop them, mathematics does."""
    with house.registry.database.write() as session:
        triggers = session.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
        for name in triggers:
            session.execute(text(f"DROP TRIGGER {name}"))
        session.execute(text(statement))


def test_an_honest_log_verifies(active):
    found = audit(active)
    assert found.by_type["campaign.approved"] == 3
    assert found.by_type["consent.decided"] == sum(
        p.answer != "silent" for people in active.borrowers.values() for p in people
    )


def test_an_altered_entry_is_found(active):
    tamper(active, "UPDATE log_entries SET leaf = CAST(replace(CAST(leaf AS TEXT), 'aspen', 'birch') AS BLOB)")
    with pytest.raises(AuditFailed, match="do not hash to the signed root"):
        audit(active)


def test_an_altered_body_is_found(active):
    tamper(
        active,
        "UPDATE log_entries SET body = x'00' WHERE CAST(leaf AS TEXT) LIKE '%campaign.approved%'",
    )
    with pytest.raises(AuditFailed, match="body is not the one in the leaf"):
        audit(active)


def rebuild(house, leaves: list[bytes], bodies: list[bytes]) -> None:
    """Fork the log: sign another history with the real key."""
    tamper(house, "DELETE FROM log_entries")
    with house.registry.database.write() as session:
        session.execute(text("DELETE FROM log_tiles"))
        session.execute(text("DELETE FROM log_checkpoints"))
    with house.registry.database.write() as session:
        house.registry.log.append(session, [Entry(a, b) for a, b in zip(leaves, bodies, strict=True)])


def history(house) -> tuple[list[bytes], list[bytes]]:
    with house.registry.database.read() as session:
        size = house.registry.log.size(session)
        entries = [house.registry.log.entry(session, i) for i in range(size)]
    return [e.leaf for e in entries], [e.body for e in entries]


def test_history_rewritten_by_the_operator_is_caught_by_whoever_kept_a_checkpoint(active, tmp_path):
    node = active.node()
    keeper = RegistryClient(active.url, node.consortium, "aspen", node.key, HeadStore(tmp_path / "head"))
    keeper.head()
    leaves, bodies = history(active)
    rebuild(active, leaves[:3] + leaves[4:] + [leaves[3]], bodies[:3] + bodies[4:] + [bodies[3]])
    with pytest.raises(RegistryUnavailable, match="history was rewritten"):
        keeper.head()
    keeper.close()


def test_a_roster_without_authority_is_found(active):
    leaves, bodies = history(active)
    forged = json.loads(leaves[-1])
    forged.update(type="roster.committed", actor="aspen", authorisation_id="0" * 32, release=1, attempt=1)
    first = active.registry.log.checkpoint
    with active.registry.database.read() as session:
        size = active.registry.log.size(session)
    with active.registry.database.write() as session:
        active.registry.log.append(session, [Entry(json.dumps(forged).encode(), bodies[-1])])
    assert size == len(leaves)
    assert first is not None
    with pytest.raises(AuditFailed, match="without authorisation"):
        client = active.founded.auditor(active.url)
        active.clients.append(client)
        with active.registry.database.read() as session:
            note = active.registry.log.checkpoint(session, size)
        verify_log(client, note, active.founded.auditor_recipient)


def test_a_quorum_that_the_registry_made_up_is_found(house):
    """The auditor opens every approval; the registry's word that everybody approved is not enough."""
    campaign = house.make_campaign()
    house.propose(campaign)
    registry, (auditor, key) = house.registry, house.registry.auditor_key
    public = {"campaign": campaign.sha256}
    body = canonical_json({"token": "forged"})
    kinds = [("campaign.approved", lender) for lender in house.borrowers] + [("campaign.activated", "registry")]
    entries = [entry_for_party(kind, now(), actor, public, auditor, key, body) for kind, actor in kinds]
    with registry.database.write() as session:
        registry.log.append(session, entries)
    with pytest.raises(AuditFailed, match=r"tahini-approval document|not a signed document"):
        audit(house)


def test_a_checkpoint_signed_by_somebody_else_is_not_believed(active, monkeypatch):
    forged = sign_checkpoint(Checkpoint(active.registry.log.origin, 5, b"\0" * 32), SigningKey.generate())
    monkeypatch.setattr(RegistryClient, "checkpoint_note", lambda self: forged)
    with pytest.raises(AuditFailed, match="not signed"):
        audit(active)
