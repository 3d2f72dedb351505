"""A lender's node erases whom the registry orders to erase, in ledger and roll, and keeps what proves the past."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

import pytest

from clients.budget_ledger import Attempt, BudgetLedger, PersonCaps
from clients.consents import FOLDER
from clients.erasures import ORDERS, obey
from clients.errors import NodeError, StoreFailed
from clients.inbox import Inbox
from clients.ledger_tables import SCHEMA
from consent.commands.forget_subject import forget_subject
from consent.commands.revocations import read_revocations
from crypto.rosters import Roster
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
    reserve(store, 0, "v1.ann___", "v1.bob___")
    reserve(store, 1, "v1.ann___", "v1.bob___")
    before = store.spent(["v1.ann___", "v1.bob___"])
    assert len(before["v1.ann___"]) == 2
    store.erase("v1.ann___")
    assert b"v1.ann___" not in content(store)
    assert store.spent(["v1.ann___", "v1.bob___"]) == before, "known if they come back"
    reserve(store, 2, "v1.ann___", "v1.bob___")
    assert len(store.spent(["v1.ann___"])["v1.ann___"]) == 3
    store.erase("v1.ann___")
    store.erase("v1.ann___")
    assert b"v1.ann___" not in content(store)
    assert len(store.spent(["v1.ann___"])["v1.ann___"]) == 3
    assert len(store.spent(["v1.bob___"])["v1.bob___"]) == 3


def test_all_names_of_an_erased_person_go_and_a_later_name_finds_what_they_spent(store):
    reserve(store, 0, "v1.ann___", "v1.bob___")
    store.rename({"v1.ann___": "v1.anna__", "v1.bob___": "v1.bobby_"}, now())
    reserve(store, 1, "v1.anna__")
    store.erase("v1.anna__")
    assert b"v1.ann___" not in content(store)
    assert len(store.spent(["v1.anna__"])["v1.anna__"]) == 2
    assert store.rename({"v1.anna__": "v1.zoe___"}, now()) == 1
    assert store.rename({"v1.anna__": "v1.zoe___"}, now()) == 0
    assert len(store.spent(["v1.zoe___"])["v1.zoe___"]) == 2
    reserve(store, 2, "v1.zoe___")
    store.erase("v1.zoe___")
    assert b"v1.zoe___" not in content(store)
    assert b"v1.ann___" not in content(store)
    assert len(store.spent(["v1.zoe___"])["v1.zoe___"]) == 3
    assert store.spent(["v1.bob___"]) == {"v1.bob___": store.spent(["v1.bobby_"])["v1.bobby_"]}


def test_the_roster_stays(store):
    reserved = reserve(store, 0, "v1.ann___", "v1.bob___", "v1.cyd___")
    store.erase("v1.bob___")
    (row,) = store.ledger()
    with closing(sqlite3.connect(store.path)) as there:
        names = [name for (name,) in there.execute("SELECT pseudonym FROM members")]
    assert Roster.of(names, row.salt).root == reserved.roster.root


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE members SET pseudonym = 'v1.x_____' WHERE pseudonym = 'v1.bob___'",
        "UPDATE members SET pseudonym = 'erased.' || pseudonym, release_id = 2 WHERE pseudonym = 'v1.bob___'",
        "UPDATE members SET pseudonym = 'v1.ann___' WHERE pseudonym LIKE 'erased.%'",
        "DELETE FROM members WHERE pseudonym LIKE 'erased.%'",
        "UPDATE renamings SET new = 'v1.bob___' WHERE old = 'v1.bobby_'",
        "UPDATE renamings SET renamed_at = '1970'",
        "DELETE FROM renamings WHERE old = 'v1.bob___'",
        "DELETE FROM renamings WHERE old = 'v1.bobby_'",
    ],
)
def test_nothing_else_of_the_ledger_can_change(store, statement):
    reserve(store, 0, "v1.ann___", "v1.bob___")
    reserve(store, 1, "v1.ann___")
    store.rename({"v1.bob___": "v1.bobby_"}, now())
    store.rename({"v1.bobby_": "v1.robert"}, now())
    store.erase("v1.ann___")
    with closing(sqlite3.connect(store.path)) as there, pytest.raises(sqlite3.DatabaseError, match="append-only"):
        there.execute(statement)


def test_a_ledger_of_an_earlier_release_learns_to_erase(tmp_path):
    store = BudgetLedger(tmp_path / "ledger.db")
    old = re.sub(r"members_stand (.*?) WHEN.*?BEGIN", r"members_fixed \1 BEGIN", SCHEMA, flags=re.DOTALL)
    old = re.sub(r"renamings_stand (.*?) WHEN.*?BEGIN", r"renamings_fixed \1 BEGIN", old, flags=re.DOTALL)
    assert "_stand" not in old
    with closing(sqlite3.connect(store.path)) as there:
        there.executescript(old)
        there.execute("INSERT INTO releases VALUES (1, 'c', 0, 1, 'gradient', 20.0, 1.0, 1, 'r', x'01', '2026', NULL)")
        there.execute("INSERT INTO members VALUES ('v1.ann___', 1)")
        there.commit()
    assert len(store.spent(["v1.ann___"])["v1.ann___"]) == 1
    store.erase("v1.ann___")
    assert b"v1.ann___" not in content(store)
    assert len(store.spent(["v1.ann___"])["v1.ann___"]) == 1


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


def test_nothing_is_acknowledged_before_each_desk_has_erased_too(house):
    """A desk says so by emptying its order; what came before is acknowledged all the same."""
    house.activate()
    first, person, later = house.consenting("aspen")[:3]
    node, client = house.node("aspen"), house.client("aspen")
    desks = [node.home / ORDERS / name for name in ("one", "two")]
    for desk in desks:
        desk.mkdir(parents=True)
    house.withdraw(first)
    house.borrower_client(person).forget_me()
    house.withdraw(later)
    numbers = [one.number for one in client.revocations()]
    assert not obey(node, client, client.revocations())
    waiting = client.revocations()
    assert waiting[0].event_type == "erase" and [one.number for one in waiting] == numbers[1:]
    for desk in desks:
        (order,) = desk.iterdir()
        assert person.pseudonym in order.read_text(encoding="utf-8") and order.stat().st_mode & 0o077 == 0
        assert not obey(node, client, client.revocations())
        order.write_bytes(b"")
    assert obey(node, client, client.revocations())
    assert client.revocations() == []
    assert person.pseudonym not in "".join(path.name for desk in desks for path in desk.iterdir())


def test_an_inbox_acknowledges_no_more_than_the_desk_has_done(house):
    house.activate()
    person, *_ = house.consenting("aspen")
    node = house.node("aspen")
    (node.home / ORDERS / "desk").mkdir(parents=True)
    house.borrower_client(person).forget_me()
    tokens = read_revocations(house.registry, house.registry.consortium.party("aspen"), 0)
    with pytest.raises(NodeError, match="tahini desk erase"):
        Inbox(node).receive(tokens)
    (order,) = (node.home / ORDERS / "desk").iterdir()
    order.write_bytes(b"")
    assert Inbox(node).receive(tokens)


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
