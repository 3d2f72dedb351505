"""The audit log: any interleaving of appends is one history, and nobody rewrites it unnoticed (invariant 7)."""

from __future__ import annotations

import json
import threading
from datetime import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from support.logs import Logbook

from auditlog.audit import verify_log
from auditlog.entries import (
    Entry,
    day_of,
    entry_for_subject,
    entry_with_sealed_body,
    leaf_time,
    opened_counts,
    public_time,
)
from auditlog.sequencer import Sequencer
from auditlog.tables import LogPublishedRow
from auditlog.witnesses import Witnesses
from consent.commands.append_entries import NewEntry
from crypto.bodies import SealedBody, new_data_key, unseal
from crypto.documents import canonical_json
from crypto.errors import ProofError, SealError
from crypto.keys import SigningKey, b64, unb64
from crypto.merkle import leaf_hash, leaves_reader, tree_root, verify_consistency
from crypto.notes import Checkpoint, sign_checkpoint
from crypto.sealing import body_context, pad, unpad
from crypto.tiles import TILE_WIDTH, parse_entry_bundle
from protocol.campaigns import AuthorisationRequest, Rejection
from protocol.client.base import RegistryClient
from protocol.client.lenders import LenderClient
from protocol.errors import AuditFailed, NotFound, NotWitnessed, RegistryUnavailable
from protocol.heads import HeadStore
from protocol.schema import now


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=6),
    pauses=st.lists(st.booleans(), min_size=6, max_size=6),
    data=st.data(),
)
def test_any_interleaving_of_appends_yields_one_history(make_database, sizes, pauses, data):
    book = Logbook.over(make_database())
    leaves: list[bytes] = []
    heads: list[Checkpoint] = []
    for number, (size, pause) in enumerate(zip(sizes, pauses, strict=False)):
        batch = [f"{number}/{i}".encode() for i in range(size)]
        assert book.append(*batch) == len(leaves)
        leaves += batch
        if pause and number < len(sizes) - 1:
            continue
        assert book.settle() == len(leaves)
        with book.database.read() as session:
            heads.append(book.log.policy.open(book.log.checkpoint(session)))
        assert heads[-1].root == tree_root(len(leaves), leaves_reader([leaf_hash(x) for x in leaves]))
    index = data.draw(st.integers(0, len(leaves) - 1))
    with book.database.read() as session:
        book.log.prove_inclusion(session, index).verify(leaves[index], book.log.policy)
        for old in heads:
            proof = book.log.prove_consistency(session, old.size, heads[-1].size)
            verify_consistency(old.size, heads[-1].size, proof, old.root, heads[-1].root)
        served = []
        for bundle in range((len(leaves) + TILE_WIDTH - 1) // TILE_WIDTH):
            width = min(TILE_WIDTH, len(leaves) - bundle * TILE_WIDTH)
            served += parse_entry_bundle(book.log.entries(session, bundle, width))
    assert served == leaves


def test_appends_from_many_threads_are_one_history(make_database):
    book = Logbook.over(make_database())
    book.sequencer.start()
    threads = [
        threading.Thread(target=lambda n=n: [book.append(f"{n}/{i}".encode()) for i in range(20)]) for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    book.sequencer.wait_for(119)
    leaves = book.leaves()
    assert sorted(leaves) == sorted(f"{n}/{i}".encode() for n in range(6) for i in range(20))
    for n in range(6):
        mine = [leaf for leaf in leaves if leaf.startswith(f"{n}/".encode())]
        assert mine == [f"{n}/{i}".encode() for i in range(20)], "one caller's entries keep their order"
    with book.database.read() as session:
        for index, leaf in enumerate(leaves):
            book.log.prove_inclusion(session, index).verify(leaf, book.log.policy)
    book.sequencer.stop()


def test_what_the_log_does_not_have_is_refused(make_database):
    book = Logbook.over(make_database())
    with book.database.read() as session, pytest.raises(NotFound):
        book.log.checkpoint(session)
    book.append(b"only")
    book.settle()
    with book.database.read() as session:
        for refused in (
            lambda: book.log.prove_inclusion(session, 1),
            lambda: book.log.prove_consistency(session, 0, 1),
            lambda: book.log.prove_consistency(session, 1, 2),
        ):
            with pytest.raises(ProofError):
                refused()
        for absent in (
            lambda: book.log.tile(session, 0, 1, 1),
            lambda: book.log.entries(session, 0, 2),
            lambda: book.log.entry(session, 9),
            lambda: book.log.envelope(session, "0" * 64),
        ):
            with pytest.raises(NotFound):
                absent()


def test_an_entry_has_its_index_before_it_is_integrated(make_database):
    book = Logbook.over(make_database())
    assert book.append(b"first") == 0
    with book.database.read() as session:
        assert book.log.size(session) == 1
        with pytest.raises(NotFound):
            book.log.checkpoint(session)
    book.settle()
    with book.database.read() as session:
        book.log.prove_inclusion(session, 0).verify(b"first", book.log.policy)


def test_a_failed_transaction_leaves_no_trace_in_the_log(make_database):
    book = Logbook.over(make_database())
    book.append(b"first")
    with pytest.raises(ZeroDivisionError), book.database.write() as session:
        book.log.append(session, [Entry(b"second", b"")])
        raise ZeroDivisionError
    assert book.append(b"third") == 1
    book.settle()
    with book.database.read() as session:
        book.log.prove_inclusion(session, 1).verify(b"third", book.log.policy)


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
    entry = entry_for_subject("consent.decided", "registry", {}, 1, key, b"secret")
    leaf = json.loads(entry.leaf(b"2026-01-01T00:00:00.000000Z"))
    assert b"secret" not in entry.template + entry.body
    assert leaf["body"]["sealed_to"] == ["subject"]
    sealed = SealedBody(entry.body, unb64(leaf["body"]["key_commitment"]))
    assert unpad(unseal(key, sealed, body_context("consent.decided"))) == b"secret"
    with pytest.raises(SealError):
        unseal(new_data_key(), sealed, body_context("consent.decided"))


@given(st.binary(max_size=3000))
def test_padding_hides_the_length_and_comes_off_again(body):
    padded = pad(body)
    assert unpad(padded) == body
    assert len(padded).bit_count() == 1
    assert len(padded) >= 256


def test_a_leaf_is_canonical_json_with_its_time_filled_in():
    entry = entry_with_sealed_body("use.read", "aspen", {"campaign": "0" * 64, "counts": {"n": 1}}, "auditor", b"x")
    leaf = entry.leaf(leaf_time(1_700_000_000_000_001).encode())
    assert canonical_json(json.loads(leaf)) == leaf
    assert json.loads(leaf)["time"] == "2023-11-14T22:13:20.000001Z"


def test_a_leaf_tells_the_day_and_never_when_somebody_acted(active):
    """Who stood beside somebody who withdrew knows the second; the order is the index."""
    leaves = [json.loads(entry.template) for entry in history(active)]
    assert {leaf["type"] for leaf in leaves} >= {"consent.decided", "campaign.activated"}
    for leaf in leaves:
        moment = datetime.fromisoformat(leaf["time"])
        assert moment == moment.replace(hour=0, minute=0, second=0, microsecond=0)
    assert public_time(1_700_000_000_000_001) == "2023-11-14T00:00:00.000000Z"
    assert day_of({"time": "2023-11-14T22:13:20.000001Z"}) == "2023-11-14", "as it was before version 0.6.0"


def test_exact_counts_of_people_are_sealed_with_the_body_and_the_rest_stays_in_clear():
    counts = {"rows": 7, "people": 6, "files": 2}
    entry = NewEntry.model_validate({"type": "use.read", "to": ["auditor"], "counts": counts, "body": b64(b"{}\n\x00")})
    assert entry.public() == {"counts": {"files": 2}, "sealed": ["people", "rows"]}
    assert opened_counts(entry.public(), entry.content()) == ({"people": 6, "rows": 7}, b"{}\n\x00")
    plain = NewEntry.model_validate(
        {"type": "use.read", "to": ["auditor"], "counts": {"files": 2}, "body": b64(b"x\n")}
    )
    assert opened_counts(plain.public(), plain.content()) == ({}, b"x\n")
    for wrong in (b"", b"[1]\n", b'{"rows":7}\nx', b"no json\n"):
        with pytest.raises(ValueError, match=r"sealed counts|Expecting"):
            opened_counts(entry.public(), wrong)


# --- from the outside


def audit(house):
    client = house.founded.auditor(house.url)
    house.clients.append(client)
    house.registry.ledger.catch_up()
    with house.registry.ledger.read() as session:
        first = session.scalar(select(LogPublishedRow.note).order_by(LogPublishedRow.size).limit(1))
    return verify_log(client, first, house.founded.auditor_recipient)


def tamper(house, *statements: str) -> None:
    registry = house.registry
    Logbook(registry.ledger.database, registry.ledger.log, registry.ledger.sequencer).tamper(*statements)


def test_an_honest_log_verifies(active):
    found = audit(active)
    assert found.by_type["campaign.approved"] == 3
    assert found.by_type["consent.decided"] == sum(
        p.answer != "silent" for people in active.borrowers.values() for p in people
    )


def test_an_altered_entry_is_found(active):
    tamper(active, "UPDATE log_entries SET leaf = CAST(replace(CAST(leaf AS TEXT), 'aspen', 'birch') AS BLOB)")
    with pytest.raises(AuditFailed, match=r"damaged or lost|do not hash to the signed root"):
        audit(active)


def test_an_altered_body_is_found(active):
    tamper(active, "UPDATE log_entries SET body = x'00' WHERE CAST(leaf AS TEXT) LIKE '%campaign.approved%'")
    with pytest.raises(AuditFailed, match="body is not the one in the leaf"):
        audit(active)


def history(house) -> list[Entry]:
    ledger = house.registry.ledger
    with ledger.read() as session:
        entries = [ledger.log.entry(session, i) for i in range(ledger.log.size(session))]
    return [Entry(entry.leaf, entry.body) for entry in entries]


def rewritten(house) -> Sequencer:
    """What signs another history with the real key: the fourth entry has become the last."""
    ledger = house.registry.ledger
    ledger.catch_up()
    entries = history(house)
    tamper(
        house,
        *(f"DELETE FROM {table}" for table in ("log_entries", "log_tiles", "log_checkpoints", "log_published")),
        "UPDATE log_state SET appended = 0, integrated = 0",
    )
    with ledger.database.write() as session:
        ledger.log.append(session, entries[:3] + entries[4:] + entries[3:4])
    return Sequencer(ledger.database, ledger.log, Witnesses.of(ledger.log.policy))


def test_history_rewritten_by_the_operator_finds_no_witness(active):
    """The witnesses have seen the other history: they cosign nothing of this one, and the log says so and stops."""
    forked = rewritten(active)
    while forked.integrate():
        pass
    with pytest.raises(NotWitnessed, match="422"):
        forked.publish()


def test_history_rewritten_by_the_operator_is_caught_by_whoever_kept_a_checkpoint(active, tmp_path, monkeypatch):
    """Even where every witness colludes."""
    node = active.node()
    keeper = LenderClient(active.url, node.consortium, "aspen", node.key, HeadStore(tmp_path / "head"))
    keeper.head()
    note = active.colluding(rewritten(active).integrate())
    active.registry.ledger.log.policy.open(note)
    monkeypatch.setattr(RegistryClient, "checkpoint_note", lambda self: note)
    with pytest.raises(RegistryUnavailable, match="history was rewritten"):
        keeper.head()
    keeper.close()


def test_a_roster_without_authority_is_found(active):
    last = history(active)[-1]
    forged = json.loads(last.template)
    forged.update(type="roster.committed", actor="aspen", authorisation_id="0" * 32, release=1, attempt=1)
    forged.update(kind="gram", root="0" * 64, noise_multiplier=1.0, sampling_rate=1.0, steps=1)
    with active.registry.ledger.write() as session:
        index = active.registry.ledger.log.append(session, [Entry(json.dumps(forged).encode(), last.body)])
    active.registry.ledger.sequencer.wait_for(index)
    with pytest.raises(AuditFailed, match="without authorisation"):
        audit(active)


def rejected(house, lender: str = "aspen") -> None:
    said = Rejection(campaign_sha256=house.campaign.sha256, lender=lender, rejected_at=now())
    client = house.client(lender)
    client.reject(said, house.node(lender).key)


def test_a_rejection_stands_in_the_log_and_verifies(active):
    rejected(active)
    assert audit(active).by_type["campaign.rejected"] == 1


def test_an_authorisation_after_the_lenders_no_is_found(active, monkeypatch):
    """By a registry that forgot its own rule."""
    rejected(active)
    monkeypatch.setattr("consent.commands.authorise.require", lambda _: None)
    client, node = active.client("aspen"), active.node("aspen")
    asked = AuthorisationRequest(
        node_key=node.key.public.thumbprint, purpose=active.campaign.purpose, code_sha256=active.campaign.code_sha256,
        checkpoint=client.accepted_note(),
    )  # fmt: skip
    client.authorisation(active.campaign.sha256, asked)
    with pytest.raises(AuditFailed, match="was authorised after it rejected"):
        audit(active)


def test_a_quorum_that_the_registry_made_up_is_found(house):
    """The auditor opens every approval; the registry's word that everybody approved is not enough."""
    campaign = house.make_campaign()
    house.propose(campaign)
    registry = house.registry
    public = {"campaign": campaign.sha256}
    body = canonical_json({"token": "forged"})
    kinds = [("campaign.approved", lender) for lender in house.borrowers] + [("campaign.activated", "registry")]
    entries = [registry.sealed_to_auditor(kind, actor, public, body) for kind, actor in kinds]
    with registry.ledger.write() as session:
        index = registry.ledger.log.append(session, entries)
    registry.ledger.sequencer.wait_for(index)
    with pytest.raises(AuditFailed, match=r"tahini-approval document|not a signed document"):
        audit(house)


def test_a_checkpoint_signed_by_somebody_else_is_not_believed(active, monkeypatch):
    forged = sign_checkpoint(Checkpoint(active.registry.ledger.log.origin, 5, b"\0" * 32), SigningKey.generate())
    monkeypatch.setattr(RegistryClient, "checkpoint_note", lambda self: forged)
    with pytest.raises(AuditFailed, match="not signed"):
        audit(active)
