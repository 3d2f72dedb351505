"""What a lender's copy of consents says, and who answered revocations when."""

from __future__ import annotations

from support.house import House

from clients.erasures import answered, obey
from clients.inbox import Inbox
from clients.syncing import acknowledge_all, counted, counts_of, revocations_seen, sync_copy
from protocol.schema import now


def test_counts_are_kept_each_time(house: House) -> None:
    node = house.node()
    first = counts_of(sync_copy(node).snapshot)
    person = house.consenting()[0]
    house.withdraw(person)
    second = counts_of(sync_copy(node).snapshot)
    assert second["ordinary"]["given"] == first["ordinary"]["given"] - 1
    assert second["ordinary"]["withdrawn"] == 1
    assert [one.counts for one in counted(node)] == [first, second]
    assert person.pseudonym not in (node.home / "consents" / "counts.jsonl").read_text(encoding="utf-8")


def test_who_answered_and_when_is_written_down_by_whatever_did_it(house: House) -> None:
    node = house.node()
    ways = []
    for at, way in enumerate(("node", "inbox", "hand:staff.7")):
        house.withdraw(house.consenting()[at])
        before = revocations_seen(node)
        assert [one.open for one in before][:1] == [True] and 0 < before[0].minutes_left(now()) <= 60
        with node.registry() as client:
            waiting = client.revocations()
            if way == "node":
                obey(node, client, waiting)
            elif way == "inbox":
                key = house.registry.signing_key
                client.acknowledge(waiting[-1].number, node.key)
                Inbox(node).receive([one.sign(key) for one in waiting])
        if way.startswith("hand"):
            assert acknowledge_all(node, "staff.7") == 0
        seen = revocations_seen(node)
        assert not [one for one in seen if one.open]
        assert seen[0].answered is not None and seen[0].answered.way == way
        ways.append(seen[0].answered.number)
    assert [one.number for one in answered(node)] == ways
