"""Killed with signal 9 at a random instant, again and again: no decision without its entry, none without an answer, no
payout twice, no repayment lost."""

from __future__ import annotations

import os
import random
from collections import Counter as Tally
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select
from support.counter import Counter, StandInLog, counter
from support.effort import EFFORT, effort
from support.killing import Killer, Tell
from support.world import pseudonym

from crypto.keys import SigningKey
from desk.storage import tables
from desk.storage.database import DeskDatabase
from protocol.client.desks import UseAnswer

KEY = SigningKey(b"s" * 32)


@dataclass
class LogInAFile(StandInLog):
    """A log that outlives who writes to it."""

    path: Path = Path()

    def __post_init__(self) -> None:
        self.entries = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []

    def _logged(self, token: str) -> UseAnswer:
        before = len(self.entries)
        answer = super()._logged(token)
        if len(self.entries) > before:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{token}\n")
        return answer


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_killed_at_any_instant_nothing_is_lost_and_nothing_is_done_twice(kind, tmp_path, request):
    location = tmp_path / "desk.db" if kind == "sqlite" else request.getfixturevalue("postgresql")(empty=True)
    database = DeskDatabase(location)
    database.create()
    database.close()
    killer = Killer(random.Random(os.urandom(8)), most=12)
    told: list[tuple[str, object]] = []
    many = effort(200) if kind == "sqlite" or EFFORT >= 1 else 6
    for life in range(many):

        def live(tell: Tell, life: int = life) -> None:
            with counter(location, make=False, log=LogInAFile(KEY, path=tmp_path / "log")) as desk:
                # names of callers are not used twice
                for role in ("origination", "servicing"):
                    desk.token_of(f"{role}.{life}")
                tell("opened", life)
                with ThreadPoolExecutor(4) as threads:
                    for number in range(10_000):
                        some_at_once(desk, f"{life}-{number}", threads, tell)
                        one_loan(desk, f"{life}-{number}", tell)

        heard = killer.life(live)
        assert "error" not in dict(heard), heard
        told += heard
    check(told, location, tmp_path / "log")


def one_loan(desk: Counter, name: str, tell: Tell) -> None:
    """From application to repayment; each acknowledgement is told when it came."""
    life = name.partition("-")[0]
    who = {"who": f"origination.{life}"}
    said = desk.asks(headers={"Idempotency_Key": name}, pseudonym=pseudonym(), **who).json()
    tell("decided", [name, said["id"]])
    desk.accepts(said, **who)
    paid = desk.pays(said["id"], f"pay-{name}", who=f"servicing.{life}").json()
    tell("paid", [f"pay-{name}", paid["id"]])
    assert desk.repays(paid["id"], f"in-{name}", 1_000, who=f"servicing.{life}").status_code == 201
    tell("repaid", [f"in-{name}", paid["id"]])


def some_at_once(desk: Counter, name: str, threads: ThreadPoolExecutor, tell: Tell) -> None:
    """Applications that are decided side by side, a retry of one of them among them."""
    people = {each: pseudonym() for each in "abc"}

    def asks(each: str) -> tuple[str, str]:
        key, who = f"{name}-{each}", f"origination.{name.partition('-')[0]}"
        said = desk.asks(headers={"Idempotency_Key": key}, pseudonym=people[each], who=who)
        return key, said.json()["id"]

    for key, application in threads.map(asks, "abca"):
        tell("decided", [key, application])


def check(told: list, location, log: Path) -> None:
    with counter(location, make=False, log=LogInAFile(KEY, path=log)) as desk:
        with desk.desk.reading() as hand:
            names = [row.id for row in hand.connection.execute(select(tables.decisions.c.id))]
        for name in names:  # what was left is told now
            desk.desk.sender.wait(name, "use.scored", 30)
        with desk.desk.reading() as hand:
            rows = {name: list(hand.connection.execute(select(table))) for name, table in TABLES.items()}
        entries = log.read_text(encoding="utf-8").splitlines()
        stated = {row.application: row for row in rows["outbox"] if row.step == "use.scored"}
        assert set(names) == set(stated), "no decision without its statement"
        assert all(entries[row.entry_index] == row.token for row in stated.values())
        assert max(Tally(entries).values()) == 1, "no statement twice"
        read = {row.application: row.entry_index for row in rows["outbox"] if row.step == "use.read"}
        assert all(read[name] < stated[name].entry_index for name in names), "read, then scored"
        for column in ("application", "payment"):
            assert max(Tally(getattr(row, column) for row in rows["loans"]).values(), default=1) == 1
        decided: dict[str, str] = {}
        events = {row.event_id: row.loan for row in rows["events"]}
        for kind, what in told:
            if kind == "decided":
                name, application = what
                assert application in names
                assert decided.setdefault(name, application) == application, "one request, one application"
            elif kind in {"paid", "repaid"}:
                event, loan = what
                assert events[event] == loan, f"{event} was acknowledged"
        assert told and rows["events"]


TABLES = {"outbox": tables.outbox, "loans": tables.loans, "events": tables.account_events}
