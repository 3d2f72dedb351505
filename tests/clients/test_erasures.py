"""A lender's node erases whom the registry orders to erase, in ledger and roll, and keeps what proves the past."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from clients.budget_ledger import Attempt, BudgetLedger, PersonCaps
from clients.consents import FOLDER
from clients.errors import NodeError, StoreFailed
from clients.ledger_tables import SCHEMA
from consent.commands.forget_subject import forget_subject
from crypto.rosters import Roster, salted
from privacy.charges import Budget, Charge
from protocol.schema import now

CAPS = PersonCaps(Budget(100.0, 1e-5), Budget(100.0, 1e-5))


@pytest.fixture
def store(tmp_path) -> BudgetLedger:
    ledger = BudgetLedger(tmp_path / "ledger.db")
    ledger.create()
    return ledger


def reserve(store, release, *people):
    asked = Attempt("c" * 64, release, 1, "gradient", Charge(20.0))
    return store.reserve(asked, sorted(people), CAPS, now())


def content(store) -> bytes:
    return b"".join(path.read_bytes() for path in store.path.parent.glob("ledger.db*"))


def test_the_ledger_keeps_what_an_erased_person_spent_and_not_who_it_was(store):
    reserve(store, 0, "ann", "bob")
    reserve(store, 1, "ann", "bob")
    before = store.spent(["ann", "bob"])
    assert len(before["ann"]) == 2
    store.erase("ann")
    assert b"ann" not in content(store)
    assert store.spent(["ann", "bob"]) == before, "known if they come back"
    reserve(store, 2, "ann", "bob")
    assert len(store.spent(["ann"])["ann"]) == 3
    store.erase("ann")
    store.erase("ann")
    assert b"ann" not in content(store)
    assert len(store.spent(["ann"])["ann"]) == 3
    assert len(store.spent(["bob"])["bob"]) == 3


def test_all_names_of_an_erased_person_go_and_a_later_name_finds_what_they_spent(store):
    reserve(store, 0, "ann", "bob")
    store.rename({"ann": "anna", "bob": "bobby"}, now())
    reserve(store, 1, "anna")
    store.erase("anna")
    assert b"ann" not in content(store)
    assert len(store.spent(["anna"])["anna"]) == 2
    assert store.rename({"anna": "zoe"}, now()) == 1
    assert store.rename({"anna": "zoe"}, now()) == 0
    assert len(store.spent(["zoe"])["zoe"]) == 2
    reserve(store, 2, "zoe")
    store.erase("zoe")
    assert b"zoe" not in content(store)
    assert b"ann" not in content(store)
    assert len(store.spent(["zoe"])["zoe"]) == 3
    assert store.spent(["bob"]) == {"bob": store.spent(["bobby"])["bobby"]}


def test_the_leaves_of_the_roster_stay(store):
    reserved = reserve(store, 0, "ann", "bob", "cyd")
    store.erase("bob")
    (row,) = store.ledger()
    with closing(sqlite3.connect(store.path)) as there:
        rows = there.execute("SELECT pseudonym, leaf FROM members").fetchall()
    leaves = {leaf if leaf is not None else salted(row.salt, name) for name, leaf in rows}
    assert Roster(row.salt, tuple(sorted(leaves))).root == reserved.roster.root


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE members SET pseudonym = 'x' WHERE pseudonym = 'bob'",
        "UPDATE members SET leaf = x'00', release_id = 2 WHERE pseudonym = 'bob'",
        "UPDATE members SET leaf = x'00' WHERE leaf NOT NULL",
        "UPDATE members SET leaf = NULL WHERE leaf NOT NULL",
        "DELETE FROM members WHERE leaf NOT NULL",
        "DELETE FROM renamings WHERE old = 'bob'",
        "DELETE FROM renamings WHERE old = 'bobby'",
    ],
)
def test_nothing_else_of_the_ledger_can_change(store, statement):
    reserve(store, 0, "ann", "bob")
    reserve(store, 1, "ann")
    store.rename({"bob": "bobby"}, now())
    store.rename({"bobby": "robert"}, now())
    store.erase("ann")
    with closing(sqlite3.connect(store.path)) as there, pytest.raises(sqlite3.DatabaseError, match="append-only"):
        there.execute(statement)


def test_a_ledger_of_an_earlier_release_learns_to_erase(tmp_path):
    store = BudgetLedger(tmp_path / "ledger.db")
    old = SCHEMA.replace("    leaf BLOB,", "    --")
    condition = " WHEN\n    NEW.release_id <> OLD.release_id OR NEW.leaf IS NULL OR NEW.leaf <> OLD.leaf"
    assert condition in old
    old = old.replace(condition, "")
    with closing(sqlite3.connect(store.path)) as there:
        there.executescript(old)
        there.execute("INSERT INTO releases VALUES (1, 'c', 0, 1, 'gradient', 20.0, 1.0, 1, 'r', x'01', '2026', NULL)")
        there.execute("INSERT INTO members VALUES ('ann', 1)")
        there.commit()
    assert len(store.spent(["ann"])["ann"]) == 1
    store.erase("ann")
    assert b"ann" not in content(store)
    assert len(store.spent(["ann"])["ann"]) == 1


# --- a whole house


def test_the_node_obeys_the_order_before_its_next_release(house):
    house.activate()
    house.open_gate(0)
    person, other, *_ = [p for p in house.consenting("aspen") if p.pseudonym in house.members(0)]
    node = house.node("aspen")
    house.borrower_client(person).forget_me()
    roots = [row.root for row in node.store.ledger()]
    house.open_gate(1)
    assert person.pseudonym not in house.members(1)
    assert other.pseudonym in house.members(1)
    assert [row.root for row in node.store.ledger()][:1] == roots
    files = [*node.home.glob("ledger.db*"), *(node.home / FOLDER).iterdir()]
    assert not [path.name for path in files if person.pseudonym.encode() in path.read_bytes()]
    assert house.client("aspen").revocations() == [], "acknowledged, on the record"
    assert len(node.store.spent([person.pseudonym])[person.pseudonym]) == 1


def test_a_copy_from_before_an_erasure_is_fetched_anew_and_no_tombstone_may_be_used(house):
    """Whoever syncs without having heard the order: numbers still mean whom they meant."""
    person, *_ = house.consenting("aspen")
    node, client = house.node("aspen"), house.client("aspen")
    purpose = house.notice.purpose
    before = node.consents.sync(client, purpose)
    forget_subject(house.registry, person.pseudonym)
    after = node.consents.sync(client, purpose)
    at = before.names.index(person.pseudonym)
    assert after.names[at] != person.pseudonym
    assert after.names[:at] + after.names[at + 1 :] == before.names[:at] + before.names[at + 1 :]
    assert all(codes[at] == 0 for codes in after.codes.values())


def test_an_order_that_the_ledger_cannot_follow_is_not_acknowledged(house, monkeypatch):
    house.activate()
    person, *_ = house.consenting("aspen")
    forget_subject(house.registry, person.pseudonym)

    def refuse(*_):
        raise StoreFailed("the disk is full")

    monkeypatch.setattr(BudgetLedger, "erase", refuse)
    with pytest.raises(NodeError):
        house.open_gate(0)
    assert len(house.client("aspen").revocations()) == 1
