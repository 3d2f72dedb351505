"""A log whose process is killed, whose connection is cut or whose files are torn: nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import select
from support.effort import effort
from support.faults import Life, append, counts, end_lease, lives, numbers
from support.histories import FAR, check_heads, check_whole, one_sentence
from support.logs import Logbook, new_book

from auditlog.database import Database
from auditlog.entries import Sealer
from auditlog.fsck import check_log
from auditlog.tables import LogCheckpointRow
from crypto.keys import RecipientKey, SigningKey, save_signing_key
from protocol.errors import ConsentError, LogDamaged, StorageFailed

# --- kill -9


def test_kill_9_loses_nothing_that_was_acknowledged(make_database, tmp_path):
    database = make_database()
    kills = effort(200, 20) if database.dialect == "sqlite" else effort(12, 4)
    database.close()
    key = SigningKey.generate()
    save_signing_key(tmp_path / "log.key", key)
    told = lives(database, tmp_path / "log.key", kills, most=20, seed=11)
    assert len(told) == kills
    assert [error for life in told for error in life.error] == [], "a dead holder's lease is free at once"
    assert sum(bool(life.acknowledged) for life in told) > kills / 3, "most lives are long enough to tell something"

    book = Logbook.over(database, key)
    check_survivors(book, told)
    survivors = numbers(book)
    assert append(book, 999_999_999) == len(survivors)
    check_whole(book, [*survivors, 999_999_999])


def check_survivors(book: Logbook, told: Sequence[Life]) -> None:
    book.settle()
    leaves = [counts(leaf) for leaf in book.leaves()]
    for life in told:
        for first, batch in life.acknowledged:
            assert [leaf["n"] for leaf in leaves[first : first + len(batch)]] == batch
    seen = [leaf["n"] for leaf in leaves]
    assert len(seen) == len(set(seen)), "nothing is recorded twice"
    at = 0
    while at < len(leaves):
        batch, size = leaves[at]["batch"], leaves[at]["of"]
        assert seen[at : at + size] == list(range(batch, batch + size)), "a batch is there whole or not at all"
        at += size
    check_log(book.database, book.log)
    check_heads(book)
    with book.database.read() as session:
        kept = dict(session.execute(select(LogCheckpointRow.size, LogCheckpointRow.note)).tuples().all())
    for life in told:
        for size, note in life.heads:
            assert kept[size] == note, "a head that somebody read was taken back"


# --- connections that are cut


def cut_connections(admin: psycopg.Connection) -> None:
    admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def test_an_append_over_a_cut_connection_is_refused_and_the_next_one_works(postgresql):
    with new_book(url := postgresql()) as book:
        append(book, 1)
        book.settle()
        with psycopg.connect(url, autocommit=True) as admin:
            cut_connections(admin)
        with pytest.raises(StorageFailed) as refused:
            append(book, 2)
        one_sentence(refused.value, "nothing was recorded")
        append(book, 3)
        check_whole(book, [1, 3])


def test_a_connection_that_is_cut_in_the_middle_of_an_append_is_one_sentence(postgresql):
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with new_book(url := postgresql()) as book, ThreadPoolExecutor(1) as pool:
        append(book, 1)
        with psycopg.connect(url) as admin:
            admin.execute("LOCK TABLE log_entries IN ACCESS EXCLUSIVE MODE")
            appending = pool.submit(append, book, 2)
            while admin.execute(waiting).fetchone() == (0,):
                time.sleep(0.01)
                admin.execute("SELECT pg_stat_clear_snapshot()")
            cut_connections(admin)
            with pytest.raises(StorageFailed) as refused:
                appending.result()
        one_sentence(refused.value, "nothing was recorded")
        append(book, 3)
        check_whole(book, [1, 3])


# --- torn writes


@dataclass
class LiveLog:
    """The files of a log that was being written to, and what had been committed, transaction by transaction."""

    key: SigningKey
    database: bytes
    journal: bytes
    commits: list[int]
    """How many entries there were after each append."""

    def reopened(self, folder: Path, journal: bytes) -> Logbook:
        folder.mkdir()
        (folder / "log.db").write_bytes(self.database)
        (folder / "log.db-wal").write_bytes(journal)
        return Logbook.over(Database(folder / "log.db"), self.key)


@pytest.fixture
def live_log(tmp_path) -> LiveLog:
    path, rng, commits = tmp_path / "live.db", random.Random(3), [0]
    with new_book(path):
        pass
    with contextlib.closing(Database(path)) as database:
        book = Logbook.over(database)
        for _ in range(60):
            size = rng.randint(1, 12)
            append(book, *range(commits[-1], commits[-1] + size))
            commits.append(commits[-1] + size)
            if rng.random() < 0.5:
                book.settle()
        return LiveLog(book.log.key, path.read_bytes(), path.with_name("live.db-wal").read_bytes(), commits)


def check_prefix(book: Logbook, live: LiveLog) -> int:
    """A whole history that the log once had, and that can go on; returns how many entries."""
    survivors = numbers(book)
    assert survivors == list(range(len(survivors)))
    assert len(survivors) in live.commits, "a transaction is there whole or not at all"
    check_log(book.database, book.log)
    end_lease(book.database)
    append(book, FAR)
    check_whole(book, [*survivors, FAR])
    return len(survivors)


def test_a_journal_that_is_cut_anywhere_leaves_a_whole_prefix(live_log, tmp_path):
    rng = random.Random(4)
    many = effort(30, 10)
    cuts = [*sorted(rng.sample(range(len(live_log.journal)), many - 1)), len(live_log.journal)]
    found = []
    for cut in cuts:
        book = live_log.reopened(tmp_path / f"{cut}", live_log.journal[:cut])
        found.append(check_prefix(book, live_log))
        book.database.close()
    assert found == sorted(found), "more of the journal is never less of the history"
    assert found[-1] == live_log.commits[-1]
    assert len(set(found)) > many / 3


def test_a_journal_with_flipped_bits_leaves_a_whole_prefix_or_is_refused(live_log, tmp_path):
    rng, many = random.Random(5), effort(30, 10)
    found = []
    for _ in range(many):
        journal = bytearray(live_log.journal)
        at = rng.randrange(len(journal))
        for place in range(at, min(at + rng.choice([1, 1, 64]), len(journal))):
            journal[place] ^= 1 << rng.randrange(8)
        book = live_log.reopened(tmp_path / f"{len(found)}", bytes(journal))
        try:
            found.append(check_prefix(book, live_log))
        except (LogDamaged, StorageFailed):
            found.append(-1)
        book.database.close()
    assert len(set(found)) > many / 3


def test_flipped_bits_in_the_database_itself_are_harmless_or_refused(live_log, tmp_path):
    """fsck either refuses or the whole history is there: no third outcome, and no traceback."""
    whole = live_log.reopened(tmp_path / "whole", live_log.journal)
    whole.database.truncate_journal()
    whole.database.close()
    sound = (tmp_path / "whole" / "log.db").read_bytes()
    rng, many = random.Random(6), effort(60, 20)
    refused = 0
    for attempt in range(many):
        damaged = bytearray(sound)
        for _ in range(16):
            damaged[rng.randrange(100, len(damaged))] ^= 1 << rng.randrange(8)
        path = tmp_path / f"{attempt}.db"
        path.write_bytes(damaged)
        book = Logbook.over(Database(path), live_log.key)
        try:
            check_log(book.database, book.log)
            assert numbers(book) == list(range(live_log.commits[-1]))
        except ConsentError:
            refused += 1
        book.database.close()
    assert refused > many / 6


# --- envelopes


def test_an_envelope_of_a_transaction_that_failed_is_stored_with_the_next_entry(make_database):
    book = Logbook.over(make_database())
    sealer = Sealer({"auditor": RecipientKey.generate().public})
    entries = [sealer.entry("use.read", "aspen", {"counts": {"n": n}}, ("auditor",), b"x") for n in range(3)]
    with pytest.raises(ZeroDivisionError), book.database.write() as session:
        book.log.append(session, entries[:1])
        book.log.append(session, entries[1:2])
        raise ZeroDivisionError
    with book.database.write() as session:
        book.log.append(session, entries[2:])
    check_whole(book, [2])
