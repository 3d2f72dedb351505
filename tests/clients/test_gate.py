"""The gate: consent before use, log before use, and nothing when in doubt (invariants 1, 2, 4 and 5)."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from datetime import timedelta

import httpx
import pandas as pd
import pytest
from support.peers import MEGABYTES, PACE_S, SLOWLY, answering
from support.waiting import until
from support.world import features, loans, schema_of

from auditlog.audit import verify_log
from clients.budget_ledger import Attempt, PersonCaps
from clients.data.book import loan_book
from clients.data.importing import import_book
from clients.data.mapped import MappedSource
from clients.errors import GateClosed, NodeError
from clients.gate import Gate
from clients.home import approve
from clients.releases import join, release
from clients.witness import WITNESS_FOLDER, origin_hash
from credit.grid import FeatureCells, Grid
from credit.questions import Question
from crypto.notes import Checkpoint
from privacy.charges import Budget, Charge
from privacy.mechanism import ReleaseKind
from protocol.campaigns import RosterCommitment
from protocol.client import nodes as client_module
from protocol.client.lenders import LenderClient
from protocol.consents import Action, ConsentDecision
from protocol.errors import AuditFailed, ConsentError, RegistryUnavailable
from protocol.schema import now

BOUNDLESS = PersonCaps(Budget(1e6, 1e-5), Budget(1e6, 1e-5))


def reads(monkeypatch) -> list[str]:
    """Records when rows are read, without changing what happens."""
    log: list[str] = []
    rows = MappedSource.rows
    monkeypatch.setattr(MappedSource, "rows", lambda self, *a: log.append("rows") or rows(self, *a))
    return log


def test_only_consenting_borrowers_stand_in_the_roster(active):
    active.open_gate(lender="cedar")
    assert active.members(0, "cedar") == {p.pseudonym for p in active.consenting("cedar")}


def test_a_withdrawn_subject_is_absent_from_the_next_roster(active):
    active.open_gate(0, "cedar")
    person = active.consenting("cedar")[3]
    assert person.pseudonym in active.members(0, "cedar")
    active.withdraw(person)
    active.open_gate(1, "cedar")
    assert active.members(1, "cedar") == active.members(0, "cedar") - {person.pseudonym}


def test_an_expired_consent_is_absent_without_anybody_doing_anything(house):
    person = house.borrowers["cedar"][0]
    house.withdraw(person)
    decision = person.decide(house.notice, {"ordinary": Action.GIVE})
    changes = {"event_time": now() + timedelta(seconds=1), "expiry_time": now() + timedelta(seconds=60)}
    signed = ConsentDecision.claimed(decision).model_copy(update={"nonce": "n" * 16, **changes}).sign(person.key)
    house.anyone().decide([signed])
    house.activate()
    house.clock.offset = timedelta(seconds=61)
    house.open_gate(0, "cedar", clock=house.clock)
    assert person.pseudonym not in house.members(0, "cedar")


def test_features_without_their_own_consent_are_masked(active):
    batch = active.open_gate(lender="cedar")
    keeps_to_herself = sum(not p.sensitive for p in active.consenting("cedar"))
    assert keeps_to_herself > 0
    assert batch.table["income"].isna().sum() == keeps_to_herself
    assert not batch.table["late"].isna().any()


def test_a_person_at_two_lenders_is_counted_at_one(active):
    """Invariant 5: whoever borrows at several lenders is counted once per release."""
    active.open_gate(lender="aspen")
    active.open_gate(lender="birch")
    by_pseudonym = {p.pseudonym: p.ledger_pseudonym for people in active.borrowers.values() for p in people}
    used = [by_pseudonym[name] for lender in ("aspen", "birch") for name in active.members(0, lender)]
    assert len(used) == len(set(used))
    shared = {p.ledger_pseudonym for p in active.consenting("aspen")[:5]}
    assert shared <= set(used)


def test_log_before_use_no_row_is_read_before_the_log_has_acknowledged(active, monkeypatch):
    order = reads(monkeypatch)
    commit = LenderClient.commit_roster
    monkeypatch.setattr(
        LenderClient, "commit_roster", lambda self, *a: (commit(self, *a), order.append("acknowledged"))[0]
    )
    active.open_gate()
    assert order == ["acknowledged", "rows"]


def test_no_acknowledged_entry_no_rows(active, monkeypatch):
    order = reads(monkeypatch)
    node = active.node()

    def refuse(self, *_):
        raise RegistryUnavailable("log unreachable")

    monkeypatch.setattr(LenderClient, "commit_roster", refuse)
    with pytest.raises(RegistryUnavailable, match="aspen"):
        active.open_gate()
    assert order == []
    assert [r.release for r in node.store.releases(active.campaign.sha256)] == [0], "what was reserved stays charged"


def test_an_acknowledgement_of_something_else_is_no_acknowledgement(active, monkeypatch):
    order = reads(monkeypatch)
    original = client_module.commitment_fields
    monkeypatch.setattr(client_module, "commitment_fields", lambda r, c: {**original(r, c), "root": "f" * 64})
    with pytest.raises(RegistryUnavailable, match="another entry"):
        active.open_gate()
    assert order == []


def test_registry_down_means_no_rows(active, monkeypatch):
    order = reads(monkeypatch)
    node = active.node()
    dead = LenderClient("http://127.0.0.1:9", node.consortium, "aspen", node.key)
    with pytest.raises(RegistryUnavailable, match="does not answer"):
        active.open_gate(client=dead)
    assert order == []


def test_a_wrong_clock_means_no_rows(active, monkeypatch):
    order = reads(monkeypatch)
    for offset in (timedelta(hours=2), timedelta(minutes=-10)):
        with pytest.raises(GateClosed, match="no row was read"):
            active.open_gate(clock=lambda offset=offset: now() + offset)
    assert order == []


def test_a_state_from_before_a_withdrawal_cannot_be_replayed(active, monkeypatch):
    """Somebody between node and registry who keeps an answer cannot pass it off as the answer to a new challenge."""
    kept: list[httpx.Response] = []
    send = LenderClient._send

    def replaying(self, method, target, body=None):
        if not target.startswith("/v1/consent-states"):
            return send(self, method, target, body)
        if not kept:
            kept.append(send(self, method, target, body))
        return kept[0]

    monkeypatch.setattr(LenderClient, "_send", replaying)
    active.node("cedar").consents.sync(active.client("cedar"), active.campaign.purpose)
    active.withdraw(active.consenting("cedar")[0])
    with pytest.raises(RegistryUnavailable, match="another state than was asked for"):
        active.open_gate(lender="cedar")


def test_requests_at_the_same_moment_cannot_share_one_attempt(house):
    """The look at what was spent and the reservation are one transaction."""
    house.activate(plan={"collusion_bound": 0, "spare_attempts": 1})
    outcomes: list[str] = []

    def attempt(number: int) -> None:
        try:
            house.open_gate(1, "cedar", number)
            outcomes.append("open")
        except GateClosed:
            outcomes.append("closed")

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["closed"] * 4 + ["open"] * 2


def test_a_person_keeps_one_place_and_one_budget_in_every_campaign(house):
    def counted_at(campaign) -> dict[str, str]:
        places = {}
        for lender in house.borrowers:
            client = house.client(lender)
            snapshot = house.node(lender).consents.sync(client, campaign.purpose)
            names = {p.pseudonym: p.ledger_pseudonym for p in house.borrowers[lender]}
            needs = campaign.needs(house.node(lender).consortium)
            usable = snapshot.usable(client.places(campaign.sha256), needs)
            places |= {names[name]: lender for name in usable.members}
        return places

    first = counted_at(house.activate(epsilon=0.2))
    assert first
    for number in range(3):
        assert counted_at(house.activate(epsilon=0.2, id=f"next-{number}")) == first
    assert counted_at(house.activate(epsilon=1.0, id="too-dear")) == {}, "nobody has so much left"


def test_somebody_twice_in_a_book_is_left_out_and_nobody_hears_of_it(active):
    path = active.founded.node_home("cedar") / "book.parquet"
    book = pd.read_parquet(path)
    twice = active.consenting("cedar")[0].pseudonym
    whole = len(active.open_gate(lender="cedar").table)
    pd.concat([book, book[book["pseudonym"] == twice]]).to_parquet(path)
    assert len(active.open_gate(1, lender="cedar").table) == whole - 1


def test_the_same_release_attempt_cannot_be_contributed_twice(active):
    active.open_gate()
    with pytest.raises(GateClosed, match="reserved before"):
        active.open_gate()


def test_a_retry_is_charged_again(house):
    """Invariant 4: retries included."""
    house.activate(plan={"collusion_bound": 0, "spare_attempts": 1})
    house.open_gate(lender="cedar")
    house.open_gate(lender="cedar", attempt=2)
    person = house.consenting("cedar")[0].pseudonym
    assert len(house.node("cedar").store.spent([person])[person]) == 2


def test_nobody_is_used_past_the_cap(active):
    """Invariant 4: nobody can spend past the cap, the coordinator included; budgets outlive campaigns."""
    for number in range(len(active.campaign.mechanism.releases)):
        active.open_gate(number, "cedar")
    active.activate(id="the-next")
    assert active.open_gate(0, "cedar").table.empty, "an empty roster, not a refusal: that would speak"
    assert active.members(0, "cedar") == set()


def test_a_person_at_the_cap_is_left_out_and_the_others_go_on(active):
    person = active.consenting("cedar")[0].pseudonym
    spent = Attempt("0" * 64, 0, 1, "histogram", active.campaign.planned(0).charge)
    store = active.node("cedar").store
    for number in range(20):
        store.reserve(replace(spent, release=number), [person], BOUNDLESS, now())
    active.open_gate(0, "cedar")
    others = {p.pseudonym for p in active.consenting("cedar")} - {person}
    assert active.members(0, "cedar") == others


def test_every_release_is_charged_before_rows_are_read(active, monkeypatch):
    store = active.node("cedar").store
    seen: list[int] = []
    rows = MappedSource.rows
    monkeypatch.setattr(
        MappedSource,
        "rows",
        lambda self, *a: (seen.append(len(store.releases(active.campaign.sha256))), rows(self, *a))[1],
    )
    active.open_gate(lender="cedar")
    assert seen == [1]


def test_less_noise_than_the_campaign_states_is_refused(active):
    with pytest.raises(GateClosed, match="NoLessNoise"):
        active.gate().open(active.asked(), Charge(0.2))


def test_a_campaign_that_the_own_operator_did_not_approve_is_refused(active):
    folder = active.founded.node_home("aspen") / "approved"
    (folder / f"{active.campaign.sha256}.approval.jws").unlink()
    with pytest.raises(NodeError, match="has not approved"):
        active.open_gate()


def test_an_altered_approved_campaign_is_refused(active):
    node = active.node()
    other = active.make_campaign(epsilon=0.5)
    path = node.home / "approved" / f"{active.campaign.sha256}.campaign.jws"
    path.write_text(other.sign(active.coordinator().key), encoding="utf-8")
    with pytest.raises(Exception, match="another campaign"):
        active.open_gate()


def test_no_quorum_no_run(house):
    house.propose(house.make_campaign())
    node = house.node()
    house.client().approve(approve(node, house.campaign_token), node.key)
    with pytest.raises(ConsentError, match="lacks approvals"):
        house.open_gate()


def test_a_lender_without_a_consenting_borrower_answers_like_any_other(active):
    """One person more or less decides nothing but noise: a refusal would be an answer about them without any."""
    active.anyone().decide([p.withdrawal(active.notice) for p in active.consenting("cedar")])
    keys = {name: join(active.node(name), active.campaign.sha256) for name in active.borrowers}
    packed = Question(ReleaseKind.HISTOGRAM).pack()
    asked = active.asked(parameters_sha256=packed.sha256, mask_keys=keys)
    words = release(active.node("cedar"), asked.sign(active.coordinator().key), packed)
    assert len(words) == Grid(features()).size and active.members(0, "cedar") == set()


def test_one_person_s_missing_value_moves_nobody_else():
    """Whole numbers become floats when one consent masks a value among them; the others' categories stay."""
    code = {"name": "code", "kind": "category", "category": "income", "sensitivity": "sensitive", "values": ["1", "2"]}
    codes = pd.Series([1, 2, 1, 2])
    masked = codes.mask(pd.Series([True, False, False, False]))
    cells = FeatureCells(schema_of(code).features[0])
    assert cells.of(masked).tolist()[1:] == cells.of(codes).tolist()[1:] == [1, 0, 1]


def test_nobody_is_trained_on_and_evaluated_on_in_one_campaign_under_another_name(house):
    house.activate(plan={"hold_out": 0.3})
    house.open_gate(0, "cedar")
    trained = sorted(house.members(0, "cedar"))
    store = house.node("cedar").store
    store.rename({trained[0]: "v1." + "R" * 43}, now())
    last = len(house.campaign.mechanism.releases) - 1
    evaluation = Attempt(house.campaign.sha256, last, 1, ReleaseKind.EVALUATION, house.campaign.planned(last).charge)
    people = ["v1." + "R" * 43, trained[1], "v1." + "N" * 43]
    assert store.reserve(evaluation, people, BOUNDLESS, now()).members == ["v1." + "N" * 43]


def test_a_full_disk_under_the_ledger_means_no_rows(active, monkeypatch):
    order = reads(monkeypatch)

    def full(*_, **__):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("clients.budget_ledger.sqlite3.connect", full)
    with pytest.raises(NodeError, match="disk is full"):
        active.open_gate()
    assert order == []


def test_a_rewritten_history_closes_the_gate(active):
    """Invariant 7: consistency is checked by every client that reads a checkpoint."""
    node = active.node("cedar")
    active.open_gate(0, "cedar")
    size = active.client("cedar").head().size
    forked = active.colluding(Checkpoint(active.registry.ledger.log.origin, size, b"\x07" * 32))
    (node.home / "log.head").write_text(forked, encoding="utf-8")
    with pytest.raises(RegistryUnavailable, match=r"history was rewritten|does not extend"):
        active.open_gate(1, "cedar")


def test_another_lender_s_witness_that_saw_another_history_closes_the_gate(active, monkeypatch):
    """This node was shown one history from the beginning, with a quorum; its neighbour's witness stands in another."""
    log = reads(monkeypatch)
    active.open_gate(0, "cedar")
    log.clear()
    size = active.client("cedar").head().size
    forked = active.colluding(Checkpoint(active.registry.ledger.log.origin, size, b"\x07" * 32))
    remembered = f"{origin_hash(active.registry.ledger.log.origin)}.checkpoint"
    (active.founded.node_home("birch") / WITNESS_FOLDER / remembered).write_text(forked, encoding="utf-8")
    with pytest.raises(RegistryUnavailable, match=r"two heads|history was rewritten|does not extend"):
        active.open_gate(1, "cedar")
    assert log == []


@pytest.mark.parametrize("slowly", [True, False], ids=["a byte at a time", "megabytes"])
def test_another_lender_s_witness_that_does_not_come_to_an_end_does_not_hold_the_gate(active, slowly):
    """Birch's witness dribbles the headers of its answer, or sends without an end; cedar's rows are used anyway."""
    endless = SLOWLY["headers"] if slowly else MEGABYTES["chunks"]
    with answering(*endless, pace_s=PACE_S if slowly else 0.0) as peer:
        opened = active.gate("cedar")
        policy = opened._node.consortium.policy
        moved = tuple(replace(one, url=peer.url) if "birch" in one.name else one for one in policy.witnesses)
        assert moved != policy.witnesses
        opened._node.consortium.__dict__["policy"] = replace(policy, witnesses=moved)
        assert len(opened.open(active.asked(), active.campaign.planned(0).charge).table)
        until(lambda: peer.hung_up == peer.asked == 1, "the node hung up")


@pytest.mark.parametrize("late", [timedelta(hours=-2), timedelta(hours=2), timedelta(days=3)])
def test_the_auditor_sees_by_the_lender_s_own_word_that_an_authorisation_was_over(active, monkeypatch, late):
    """The log tells the day; the second is in what the lender signed."""

    def stated(**fields):
        return RosterCommitment(**fields | {"committed_at": fields["committed_at"] + late})

    client = active.founded.auditor(active.url)
    active.clients.append(client)
    first = client.checkpoint_note()
    active.open_gate(0, "cedar")
    active.registry.ledger.catch_up()
    (seen,) = verify_log(client, first, active.founded.auditor_recipient).commitments
    assert seen.opened.committed_at is not None
    assert "T00:00:00" in seen.leaf["time"]
    monkeypatch.setattr("clients.gate.RosterCommitment", stated)
    active.open_gate(1, "cedar")
    active.registry.ledger.catch_up()
    with pytest.raises(AuditFailed, match="not in force"):
        verify_log(client, first, active.founded.auditor_recipient)


def test_a_reservation_survives_a_crash_before_it_is_settled(active, monkeypatch):
    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Gate, "_commit", crash)
    with pytest.raises(KeyboardInterrupt):
        active.open_gate(lender="cedar")
    person = active.consenting("cedar")[0].pseudonym
    assert len(active.node("cedar").store.spent([person])[person]) == 1


def test_ledger_rows_cannot_be_deleted_or_changed(active):
    active.open_gate(lender="cedar")
    columns = "id, campaign, release, attempt, kind, 9, 1, 1, root, salt, '', NULL"
    with sqlite3.connect(active.founded.node_home("cedar") / "ledger.db") as connection:
        for statement in (
            "DELETE FROM members",
            "DELETE FROM releases",
            "UPDATE releases SET noise_multiplier = 1000",
            "UPDATE releases SET id = id + 1000",
            f"INSERT OR REPLACE INTO releases SELECT {columns} FROM releases",
            "UPDATE members SET pseudonym = 'x'",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)


def test_the_person_s_record_is_used_once_per_lender(tmp_path):
    import_book(tmp_path / "book.parquet", loans(4, 1), ["a", "b", "a", "c"], features(), "aspen")
    assert len(loan_book(tmp_path / "book.parquet").people()) == 3


def test_authorisations_are_renewed_before_they_end(active):
    opened = active.gate("cedar")
    first = opened._live_authorisation()
    assert opened._live_authorisation() is first
    opened._authorisation = replace_expiry(first)
    assert opened._live_authorisation().jti != first.jti


def replace_expiry(authorisation):
    return authorisation.model_copy(update={"exp": now() + timedelta(seconds=10)})
