"""A log that its machine, disk, clock or operator fails: nothing acknowledged is lost, nothing false is answered."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from support.effort import effort, part_of
from support.faults import (
    AtTheWitness,
    Clock,
    Life,
    another,
    append,
    before_transaction,
    counts,
    end_lease,
    fill,
    lives,
    location_of,
    numbered,
    numbers,
    small_filesystem,
)
from support.logs import ORIGIN, Logbook
from support.waiting import until

from auditlog.database import Database
from auditlog.entries import Sealer, leaf_time, public_time
from auditlog.fsck import check_log
from auditlog.group_commit import MAX_WAITING, GroupCommit, group_appends
from auditlog.lease import LEASE_S
from auditlog.log import CLOCK_TOLERANCE_US
from auditlog.sequencer import Sequencer
from auditlog.tables import LogCheckpointRow, LogPublishedRow
from auditlog.witnesses import Witnesses
from clients.witness import LenderWitness as WitnessService
from clients.witness import create_witness
from consent.home import open_registry
from consent.provisioning import REGISTRY_HOME, found_log
from consent.registry import Registry
from consent.storage.migrating import migrate
from crypto.errors import CryptoError
from crypto.keys import RecipientKey, SigningKey, save_signing_key
from crypto.merkle import HASH_SIZE, Frontier, leaf_hash, verify_consistency
from crypto.notes import Checkpoint, Verifier, open_checkpoint, sign_checkpoint
from crypto.policies import Log, Policy, Witness, witnessed_by
from crypto.tiles import TileId, extend_tiles, parse_entry_bundle
from protocol.errors import ClockWrong, ConsentError, LogDamaged, LogHeld, StorageFailed

FAR = 4_000_000_000


def roots(leaves: Sequence[bytes]) -> list[bytes]:
    """Root of the tree of every size, from nothing but the leaves."""
    tree = Frontier()
    found = [tree.root]
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
        found.append(tree.root)
    return found


def check_heads(book: Logbook) -> None:
    """Every head that was ever signed is one of this history, by its root and by a consistency proof to the last."""
    expected = roots(book.leaves())
    with book.database.read() as session:
        rows = session.execute(select(LogCheckpointRow.size, LogCheckpointRow.note)).all()
        final = open_checkpoint(book.log.signed_head(session), book.log.verifier)
        assert final == Checkpoint(ORIGIN, len(expected) - 1, expected[-1])
        for size, note in rows:
            head = open_checkpoint(note, book.log.verifier)
            assert (head.size, head.root) == (size, expected[size])
            proof = book.log.prove_consistency(session, size, final.size)
            verify_consistency(size, final.size, proof, head.root, final.root)


def check_whole(book: Logbook, expected: Sequence[int]) -> None:
    """These entries in this order, all integrated and published, and nothing that fsck objects to."""
    assert book.settle() == len(expected)
    assert numbers(book) == list(expected)
    found = check_log(book.database, book.log)
    assert (found.entries, found.integrated, found.published) == (len(expected),) * 3
    check_heads(book)


def one_sentence(error: BaseException, *words: str) -> None:
    said = str(error)
    assert said, "a refusal says why"
    assert "\n" not in said
    for word in words:
        assert word in said


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


# --- a full disk


@contextlib.contextmanager
def no_more_pages(database: Database) -> Iterator[None]:
    """An SQLite database that cannot grow."""
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # at least what there is already
    yield
    with database.engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {1 << 30}")


def append_until_refused(book: Logbook, numbers_from: int) -> tuple[list[int], StorageFailed]:
    """What was acknowledged, and the refusal."""
    acknowledged: list[int] = []
    for start in range(numbers_from, numbers_from + 100_000, 10):
        batch = list(range(start, start + 10))
        try:
            append(book, *batch)
        except StorageFailed as refusal:
            return acknowledged, refusal
        acknowledged += batch
    raise AssertionError("the disk was never full")


def test_a_database_that_cannot_grow_refuses_in_one_sentence_and_loses_nothing(tmp_path):
    database = Database(tmp_path / "log.db")
    migrate(database)
    book = Logbook.over(database)
    append(book, *range(50))
    book.settle()
    with no_more_pages(database):
        acknowledged, refusal = append_until_refused(book, 50)
        one_sentence(refusal, "full", "nothing was recorded")
        assert numbers(book) == [*range(50), *acknowledged]
    after = [*range(50), *acknowledged, FAR]
    append(book, FAR)
    check_whole(book, after)
    database.close()


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    tmp_path.chmod(0o711)
    try:
        with small_filesystem(tmp_path / "disk", "6m") as folder:
            yield folder
    except PermissionError as error:
        pytest.skip(f"no filesystem can be mounted here, so NO FULL DISK WAS TESTED: {error}")


def test_a_full_filesystem_refuses_in_one_sentence_and_loses_nothing(small_disk):
    database = Database(small_disk / "log.db")
    migrate(database)
    book = Logbook.over(database)
    append(book, *range(50))
    book.settle()
    ballast = fill(small_disk)
    acknowledged, refusal = append_until_refused(book, 50)
    one_sentence(refusal, "nothing was recorded")
    assert numbers(book) == [*range(50), *acknowledged]
    with book.database.read() as session:
        book.log.prove_inclusion(session, 49)
    ballast.unlink()
    append(book, FAR)
    check_whole(book, [*range(50), *acknowledged, FAR])
    database.close()


def test_the_sequencer_outlives_a_full_filesystem(small_disk):
    database = Database(small_disk / "log.db")
    migrate(database)
    book = Logbook.over(database)
    append(book, *range(3000))
    ballast = fill(small_disk)
    append_until_refused(book, 10_000)
    with pytest.raises(StorageFailed) as refused:
        while book.sequencer.integrate():
            append(book)
    one_sentence(refused.value, "nothing was recorded")
    book.sequencer.start()
    book.sequencer.notify()
    until(lambda: book.sequencer.reporter.failures.get("integrate"), "the disk was full for it too")
    ballast.unlink()
    book.sequencer.wait_for(2999)
    book.sequencer.stop()
    check_whole(book, numbers(book))
    database.close()


def test_a_full_disk_of_postgresql_refuses_in_one_sentence_and_loses_nothing(small_disk, postgresql):
    """The entries in a tablespace of their own, on a filesystem without space."""
    url = postgresql()
    with psycopg.connect(url, autocommit=True) as admin:
        data = Path(admin.execute("SHOW data_directory").fetchone()[0])
        space = small_disk / "space"
        space.mkdir()
        owner = data.stat()
        for folder in (small_disk, space):
            folder.chmod(0o755)
        os.chown(space, owner.st_uid, owner.st_gid)
        admin.execute(f"CREATE TABLESPACE small LOCATION '{space}'")
        database = Database(url)
        migrate(database)
        admin.execute("ALTER TABLE log_entries SET TABLESPACE small")
        try:
            book = Logbook.over(database)
            append(book, *range(50))
            book.settle()
            ballast = fill(small_disk)
            acknowledged, refusal = append_until_refused(book, 50)
            one_sentence(refusal, "nothing was recorded")
            assert numbers(book) == [*range(50), *acknowledged]
            ballast.unlink()
            append(book, FAR)
            check_whole(book, [*range(50), *acknowledged, FAR])
        finally:
            database.close()
            admin.execute("ALTER TABLE log_entries SET TABLESPACE pg_default")
            admin.execute("DROP TABLESPACE small")


# --- connections that are cut


def cut_connections(admin: psycopg.Connection) -> None:
    admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def test_an_append_over_a_cut_connection_is_refused_and_the_next_one_works(postgresql):
    url = postgresql()
    database = Database(url)
    migrate(database)
    book = Logbook.over(database)
    append(book, 1)
    book.settle()
    with psycopg.connect(url, autocommit=True) as admin:
        cut_connections(admin)
    with pytest.raises(StorageFailed) as refused:
        append(book, 2)
    one_sentence(refused.value, "nothing was recorded")
    append(book, 3)
    check_whole(book, [1, 3])
    database.close()


def test_a_connection_that_is_cut_in_the_middle_of_an_append_is_one_sentence(postgresql):
    url = postgresql()
    database = Database(url)
    migrate(database)
    book = Logbook.over(database)
    append(book, 1)
    refused: list[BaseException] = []

    def appending() -> None:
        try:
            append(book, 2)
        except BaseException as error:
            refused.append(error)

    with psycopg.connect(url) as admin:
        admin.execute("LOCK TABLE log_entries IN ACCESS EXCLUSIVE MODE")
        thread = threading.Thread(target=appending)
        thread.start()
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        while admin.execute(waiting).fetchone() == (0,):
            time.sleep(0.01)
            admin.execute("SELECT pg_stat_clear_snapshot()")
        cut_connections(admin)
        thread.join()
    assert [type(error) for error in refused] == [StorageFailed]
    one_sentence(refused[0], "nothing was recorded")
    append(book, 3)
    check_whole(book, [1, 3])
    database.close()


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
    path = tmp_path / "live.db"
    founding = Database(path)
    migrate(founding)
    founding.close()
    rng, key = random.Random(3), SigningKey.generate()
    book = Logbook.over(Database(path), key)
    commits = [0]
    for _ in range(60):
        size = rng.randint(1, 12)
        append(book, *range(commits[-1], commits[-1] + size))
        commits.append(commits[-1] + size)
        if rng.random() < 0.5:
            book.settle()
    live = LiveLog(key, path.read_bytes(), path.with_name("live.db-wal").read_bytes(), commits)
    book.database.close()
    return live


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
        for _ in range(4):
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


# --- clocks


def times(book: Logbook) -> list[str]:
    return [json.loads(leaf)["time"] for leaf in book.leaves()]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(st.floats(-1.9, 3), min_size=1, max_size=12))
def test_times_never_decrease_while_the_clock_wavers(make_database, steps):
    clock = Clock()
    book = Logbook.over(make_database(), clock=clock)
    base = clock.moment
    for position, step in enumerate(steps):
        clock.moment = max(clock.moment, base)
        base = clock.moment
        clock.move(step)
        append(book, position)
    assert times(book) == sorted(times(book))
    check_whole(book, range(len(steps)))


def test_a_clock_that_goes_back_by_more_than_two_seconds_stops_appends_until_it_is_right(make_database):
    clock = Clock()
    book = Logbook.over(make_database(), clock=clock)
    append(book, 0)
    right = clock.moment
    clock.move(-CLOCK_TOLERANCE_US / 1e6)
    append(book, 1)
    clock.move(-1e-6)
    for seconds in (0, -10, -86_400 * 365):
        clock.move(seconds)
        with pytest.raises(ClockWrong) as refused:
            append(book, 2)
        assert refused.value.status == 503
        one_sentence(refused.value, "nothing was recorded", leaf_time(round(right.timestamp() * 1e6)))
        assert numbers(book) == [0, 1]
    assert book.settle() == 2, "what is there is still signed, and proved"
    with book.database.read() as session:
        book.log.prove_inclusion(session, 1).verify(book.leaves()[1], book.log.policy)
    clock.moment = right
    append(book, 2)
    assert times(book) == [public_time(round(right.timestamp() * 1e6))] * 3
    check_whole(book, [0, 1, 2])


def test_a_clock_that_jumps_forward_and_comes_back_makes_no_time_run_backwards(make_database):
    clock = Clock()
    book = Logbook.over(make_database(), clock=clock)
    append(book, 0)
    right = clock.moment
    clock.move(3600)
    append(book, 1)
    clock.moment = right
    with pytest.raises(ClockWrong):
        append(book, 2)
    assert numbers(book) == [0, 1]
    clock.move(3600)
    append(book, 2)
    assert times(book) == sorted(times(book))
    check_whole(book, [0, 1, 2])


# --- two writers


@dataclass
class TwoWriters:
    first: Logbook
    second: Logbook


@pytest.fixture
def make_writers(make_database) -> Iterator[Callable[..., TwoWriters]]:
    """Two processes, started by mistake on one database."""
    with contextlib.ExitStack() as stack:

        def make(policy: Policy | None = None, key: SigningKey | None = None) -> TwoWriters:
            database, key_ = make_database(), key or SigningKey.generate()
            other = stack.enter_context(another(database))
            return TwoWriters(Logbook.over(database, key_, policy), Logbook.over(other, key_, policy))

        yield make


def test_a_second_writer_is_told_who_holds_the_log(make_writers):
    writers = make_writers()
    append(writers.first, 0)
    with pytest.raises(LogHeld) as refused:
        append(writers.second, 1)
    assert refused.value.status == 503
    one_sentence(refused.value, writers.first.log.lease.name)
    with pytest.raises(LogHeld):
        writers.second.sequencer.integrate()
    assert numbers(writers.second) == [0], "it can read"
    append(writers.first, 2)
    check_whole(writers.first, [0, 2])


def give_up(writer: Logbook) -> None:
    with writer.database.write() as session:
        writer.log.lease.release(session)


def run_out(writer: Logbook) -> None:
    end_lease(writer.database)


@pytest.mark.parametrize("leave", [give_up, run_out])
def test_who_was_deposed_can_neither_append_nor_integrate(make_writers, leave):
    writers = make_writers()
    append(writers.first, 0)
    writers.first.settle()
    append(writers.first, 1)
    leave(writers.first)
    assert append(writers.second, 2) == 2
    for _ in range(2):
        for refused in (lambda: append(writers.first, 3), writers.first.sequencer.integrate):
            with pytest.raises(LogHeld):
                refused()
    check_whole(writers.second, [0, 1, 2])


def test_who_is_deposed_in_the_middle_of_an_integration_signs_nothing(make_writers):
    """Between reading the entries and recording the head, the lease runs out and another writer goes on."""
    writers = make_writers()
    append(writers.first, 0, 1)

    def depose() -> None:
        run_out(writers.second)
        append(writers.second, 2)
        writers.second.settle()
        append(writers.second, 3)

    with before_transaction(writers.first.database, 2, depose), pytest.raises(LogHeld):
        writers.first.sequencer.integrate()
    with writers.first.database.read() as session:
        assert session.scalars(select(LogCheckpointRow.size)).all() == [3]
    check_whole(writers.second, [0, 1, 2, 3])


@pytest.mark.parametrize("theft", ["holder = 'somebody else'", "epoch = epoch + 1"])
def test_a_lease_that_is_lost_within_a_transaction_changes_nothing(make_writers, theft):
    """PostgreSQL reads what is committed: between the look at the lease and the change somebody may have taken it."""
    writer = make_writers().first
    append(writer, 0)
    with pytest.raises(LogHeld), writer.database.write() as session:
        state = writer.log.lease.hold(session)
        session.execute(text(f"UPDATE log_state SET {theft}"))
        writer.log.lease.advance(session, appended=state.appended + 5)
    with writer.database.read() as session:
        assert writer.log.lease.hold(session) == state


def test_who_is_deposed_just_before_an_append_records_nothing(make_writers):
    writers = make_writers()
    append(writers.first, 0)

    def depose() -> None:
        run_out(writers.second)
        append(writers.second, 1)

    with before_transaction(writers.first.database, 1, depose), pytest.raises(LogHeld):
        append(writers.first, 2)
    check_whole(writers.second, [0, 1])


@dataclass
class Witnessed:
    """Two writers whose heads a real witness must cosign; ``meanwhile`` happens once while it does."""

    writers: TwoWriters
    witness: WitnessService
    meanwhile: list[Callable[[], None]] = field(default_factory=list)


@pytest.fixture
def witnessed(make_writers, tmp_path) -> Iterator[Witnessed]:
    key = SigningKey.generate()
    cosigner = create_witness(tmp_path, "witness.test/one")
    log = Log(Verifier(ORIGIN, key.public))
    policy = witnessed_by(log, (Witness("one", cosigner, "http://witness.test"),), 1)
    meanwhile: list[Callable[[], None]] = []

    def clock() -> float:
        if meanwhile:
            meanwhile.pop()()
        return time.time()

    opened = WitnessService.open(tmp_path, log.verifier)
    service = WitnessService(opened.key, opened.logs, opened.folder, clock)
    writers = make_writers(policy, key)
    client = httpx.Client(transport=AtTheWitness(service))
    for writer in (writers.first, writers.second):
        writer.sequencer.publisher.witnesses = Witnesses.of(policy, client)
    yield Witnessed(writers, service, meanwhile)
    for writer in (writers.first, writers.second):
        writer.sequencer.witnesses.close()


def published(book: Logbook) -> list[int]:
    with book.database.read() as session:
        return list(session.scalars(select(LogPublishedRow.size).order_by(LogPublishedRow.size)))


def test_who_was_deposed_does_not_even_ask_the_witness(witnessed):
    writers = witnessed.writers
    append(writers.first, 0, 1)
    writers.first.sequencer.integrate()
    run_out(writers.first)
    append(writers.second, 2)
    with pytest.raises(LogHeld):
        writers.first.sequencer.publish()
    assert witnessed.witness.latest(ORIGIN) is None
    assert published(writers.first) == []
    check_whole(writers.second, [0, 1, 2])


def test_who_is_deposed_while_the_witness_answers_publishes_nothing(witnessed):
    writers = witnessed.writers
    append(writers.first, 0, 1)
    writers.first.sequencer.integrate()

    def depose() -> None:
        run_out(writers.second)
        append(writers.second, 2)

    witnessed.meanwhile.append(depose)
    with pytest.raises(LogHeld):
        writers.first.sequencer.publish()
    assert witnessed.meanwhile == []
    assert published(writers.first) == []
    check_whole(writers.second, [0, 1, 2])


def test_a_writer_that_was_deposed_can_come_back(make_writers):
    writers = make_writers()
    append(writers.first, 0)
    writers.first.settle()
    give_up(writers.first)
    append(writers.second, 1)
    writers.second.settle()
    give_up(writers.second)
    append(writers.first, 2)
    check_whole(writers.first, [0, 1, 2])


ACTIONS = st.tuples(
    st.sampled_from(["append", "settle", "integrate", "run out", "give up", "take over", "take over", "take over"]),
    st.sampled_from([0, 1]),
    st.sampled_from([1, 2, 7, 40, 260]),
)


@dataclass
class Expected:
    """What two writers must be able to do, and no more."""

    entries: list[int] = field(default_factory=list)
    integrated: int = 0
    holder: int | None = None
    ended: bool = False

    def may(self, who: int) -> bool:
        return self.ended or self.holder in (None, who)

    def did(self, who: int) -> None:
        self.holder, self.ended = who, False


@pytest.mark.parametrize("restarted", [True, False], ids=["who comes back is restarted", "who comes back goes on"])
@settings(
    max_examples=8,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(actions=st.lists(ACTIONS, min_size=4, max_size=25))
def test_any_interleaving_of_two_writers_yields_one_history(make_writers, restarted, actions):
    made = make_writers()
    writers, expected = [made.first, made.second], Expected()
    for what, who, size in actions:
        book = writers[who]
        if restarted and expected.holder != who:
            book.sequencer = Sequencer(book.database, book.log, book.sequencer.witnesses)
        if what in {"run out", "take over"}:
            run_out(book)
            expected.ended = True
        if what == "run out":
            continue
        if what == "give up":
            give_up(book)
            if expected.holder == who:
                expected.holder = None
        elif what in {"append", "take over"}:
            batch = list(range(len(expected.entries), len(expected.entries) + size))
            if not expected.may(who):
                with pytest.raises(LogHeld):
                    append(book, *batch)
                continue
            assert append(book, *batch) == len(expected.entries)
            expected.entries += batch
            expected.did(who)
            if what == "take over":
                assert book.settle() == len(expected.entries)
                expected.integrated = len(expected.entries)
        elif expected.integrated < len(expected.entries):
            step = book.settle if what == "settle" else book.sequencer.integrate
            if not expected.may(who):
                with pytest.raises(LogHeld):
                    step()
                continue
            step()
            expected.integrated = len(expected.entries)
            expected.did(who)
        else:
            assert book.sequencer.integrate() is None
    if not expected.entries:
        return
    run_out(made.first)
    check_whole(Logbook.over(made.first.database, made.first.log.key), expected.entries)


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


# --- damage

SIZE, HEADS, SECOND_ENVELOPE = 600, (100, 300, 512, 600), 300
TILES = {(0, 0): 256, (0, 1): 256, (0, 2): 88, (1, 0): 2}
"""Every tile of the log that is damaged, and how many hashes it holds."""


@cache
def _sealed() -> list[Any]:
    """Entries under two envelopes."""
    sealer = Sealer({name: RecipientKey.generate().public for name in ("aspen", "auditor")})
    parties = [("auditor",) if n < SECOND_ENVELOPE else ("aspen", "auditor") for n in range(SIZE)]
    return [sealer.entry("use.read", "aspen", {"counts": {"n": n}}, parties[n], b"body %d" % n) for n in range(SIZE)]


@dataclass
class Truth:
    """A log before it was damaged, and what it must have said."""

    book: Logbook
    leaves: list[bytes]
    roots: list[bytes]
    tiles: dict[TileId, bytes]

    def stored(self, table: str, column: str, where: str) -> Any:
        with self.book.database.read() as session:
            return session.execute(text(f"SELECT {column} FROM {table} WHERE {where}")).scalar_one()

    def literal(self, value: bytes | str) -> str:
        if isinstance(value, str):
            return f"'{value}'"
        return f"x'{value.hex()}'" if self.book.database.dialect == "sqlite" else f"decode('{value.hex()}', 'hex')"

    def restarted(self) -> Logbook:
        """The same writer, with nothing in memory."""
        book = self.book
        return Logbook(book.database, book.log, Sequencer(book.database, book.log, book.sequencer.witnesses))


@pytest.fixture
def truth(make_database) -> Truth:
    book, start = Logbook.over(make_database()), 0
    for size in HEADS:
        with book.database.write() as session:
            book.log.append(session, _sealed()[start:size])
        assert book.settle() == size
        start = size
    leaves = book.leaves()
    return Truth(book, leaves, roots(leaves), extend_tiles(0, [leaf_hash(leaf) for leaf in leaves], lambda *_: b""))


Query = tuple[Any, ...]
QUERIES: list[Query] = [
    *(("tile", level, index, width) for (level, index), width in TILES.items()),
    ("tile", 0, 2, 40),
    ("tile", 1, 0, 1),
    ("entries", 0, 256),
    ("entries", 1, 256),
    ("entries", 2, 88),
    *(("inclusion", index) for index in (0, 17, 255, 256, 300, 511, 512, 550, 599)),
    *(("consistency", old, new) for old in HEADS for new in HEADS if old <= new),
]


def ask(truth: Truth, query: Query) -> None:
    """Whatever is answered is the truth."""
    log, (what, *about) = truth.book.log, query
    with truth.book.database.read() as session:
        if what == "tile":
            level, index, width = about
            assert log.tile(session, level, index, width) == truth.tiles[TileId(level, index)][: width * HASH_SIZE]
        elif what == "entries":
            bundle, width = about
            served = parse_entry_bundle(log.entries(session, bundle, width))
            assert served == truth.leaves[bundle * 256 : bundle * 256 + width]
        elif what == "inclusion":
            head = log.prove_inclusion(session, about[0]).verify(truth.leaves[about[0]], log.policy)
            assert head.root == truth.roots[head.size]
        else:
            old, new = about
            proof = log.prove_consistency(session, old, new)
            verify_consistency(old, new, proof, truth.roots[old], truth.roots[new])


def test_a_sound_log_answers_every_question(truth):
    for query in QUERIES:
        ask(truth, query)
    check_log(truth.book.database, truth.book.log)


@dataclass(frozen=True)
class Damage:
    name: str
    statements: Callable[[Truth], list[str]]
    found: str
    """What fsck says of it."""
    refused: tuple[Query, ...] = ()
    """What must not be answered any more; of everything else, nothing false."""


def flipped(value: bytes, at: int = 37) -> bytes:
    at %= len(value)
    return value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]


def change(table: str, column: str, where: str, alter: Callable[[Any], Any]) -> Callable[[Truth], list[str]]:
    def statements(truth: Truth) -> list[str]:
        altered = truth.literal(alter(truth.stored(table, column, where)))
        return [f"UPDATE {table} SET {column} = {altered} WHERE {where}"]

    return statements


def just(*statements: str) -> Callable[[Truth], list[str]]:
    return lambda _truth: list(statements)


def _tile_damages() -> Iterator[Damage]:
    broken = {
        (0, 0): (("entries", 0, 256), ("inclusion", 17), ("consistency", 100, 600)),
        (0, 1): (("entries", 1, 256), ("inclusion", 300), ("consistency", 300, 600)),
        (0, 2): (("entries", 2, 88), ("inclusion", 550), ("consistency", 512, 600)),
        (1, 0): (("inclusion", 17), ("inclusion", 550), ("consistency", 100, 600)),
    }
    for (level, index), width in TILES.items():
        where, name = f"level = {level} AND idx = {index}", f"tile {level}/00{index}"
        served = ("tile", level, index, width)
        refused = (served, *broken[level, index])
        yield Damage(f"{name} deleted", just(f"DELETE FROM log_tiles WHERE {where}"), f"{name} is missing", refused)
        yield Damage(
            f"a bit of {name}", change("log_tiles", "hashes", where, flipped), f"{name}: hash 1 is not the one", refused
        )
        yield Damage(
            f"the checksum of {name}",
            change("log_tiles", "checksum", where, lambda check: flipped(check, 3)),
            f"{name}: its checksum is wrong",
            refused,
        )

        def cut(truth: Truth, where: str = where) -> list[str]:
            kept = truth.stored("log_tiles", "hashes", where)[:-HASH_SIZE]
            check = truth.literal(hashlib.sha256(kept).digest())
            return [f"UPDATE log_tiles SET hashes = {truth.literal(kept)}, checksum = {check} WHERE {where}"]

        yield Damage(f"{name} cut short", cut, f"{name} has {width - 1} hashes, not {width}", (served,))


def replaced_head(table: str, size: int, says: int) -> Callable[[Truth], list[str]]:
    """A note that the log's own key signed, over a root that never was."""

    def statements(truth: Truth) -> list[str]:
        note = sign_checkpoint(Checkpoint(ORIGIN, says, b"\7" * 32), truth.book.log.key)
        return [
            f"DELETE FROM {table} WHERE size = {size}",
            f"INSERT INTO {table} VALUES ({size}, {truth.literal(note)})",
        ]

    return statements


def _garbled(note: str) -> str:
    return note.replace(note[-20], "A" if note[-20] != "A" else "B")


def _envelope(number: int) -> str:
    return f"sha256 = '{_sealed()[number].envelope.sha256}'"


def _entry_damages() -> Iterator[Damage]:
    at = SECOND_ENVELOPE
    lost = (("entries", 1, 256), ("inclusion", at))
    leaf = lambda alter: change("log_entries", "leaf", f"idx = {at}", alter)  # noqa: E731
    yield Damage(
        "a leaf, otherwise in order",
        leaf(lambda leaf: leaf.replace(b'"n":300', b'"n":301')),
        f"tile 0/001: hash {at - 256} is not the one",
        lost,
    )
    yield Damage("a leaf that is no JSON", leaf(lambda leaf: flipped(leaf, 0)), f"entry {at} is not a leaf", lost)
    yield Damage(
        "a leaf, as JSON with a space", leaf(lambda leaf: leaf + b" "), f"entry {at} is not canonical JSON", lost
    )
    yield Damage(
        "the time of a leaf",
        leaf(lambda leaf: leaf.replace(b'"time":"2', b'"time":"1')),
        f"entry {at}: its time 1",
        lost,
    )
    yield Damage("a body", change("log_entries", "body", f"idx = {at}", flipped), f"entry {at}: its body was altered")
    yield Damage("an entry deleted", just(f"DELETE FROM log_entries WHERE idx = {at}"), f"entry {at} is missing", lost)
    yield Damage(
        "the last entry deleted",
        just("DELETE FROM log_entries WHERE idx = 599"),
        "entry 599 is missing",
        (("entries", 2, 88), ("inclusion", 599)),
    )
    envelope = _envelope(at)
    yield Damage(
        "an envelope deleted",
        just(f"DELETE FROM log_envelopes WHERE {envelope}"),
        f"entry {at}: the envelope of its body is missing",
    )
    yield Damage(
        "an envelope",
        change("log_envelopes", "header", envelope, flipped),
        f"entry {at}: the envelope of its body was altered",
    )


def _head_damages() -> Iterator[Damage]:
    yield Damage(
        "a signed head",
        change("log_checkpoints", "note", "size = 300", _garbled),
        "the signed head of 300 entries",
    )
    yield Damage(
        "a published head",
        change("log_published", "note", "size = 600", _garbled),
        "the published head of 600 entries",
    )
    yield Damage(
        "a signed head of another tree",
        replaced_head("log_checkpoints", 300, 300),
        "the signed head of 300 entries has another root",
    )
    yield Damage(
        "a published head of another tree",
        replaced_head("log_published", 600, 600),
        "the published head of 600 entries has another root",
        (("inclusion", 17), ("inclusion", 599)),
    )
    yield Damage(
        "a signed head under another size",
        replaced_head("log_checkpoints", 300, 301),
        "the signed head of 300 entries speaks of 301",
    )
    yield Damage(
        "a published head that was never signed",
        replaced_head("log_published", 450, 450),
        "a head of 450 entries was published, but never signed",
    )
    yield Damage(
        "a published head of more entries than there are",
        replaced_head("log_published", 700, 700),
        "a head of 700 entries was published, but never signed",
        (("inclusion", 17), ("inclusion", 599)),
    )
    yield Damage(
        "a signed head of more entries than there are",
        replaced_head("log_checkpoints", 700, 700),
        "a head of 700 entries was signed, but there are fewer",
    )
    yield Damage(
        "a signed head deleted",
        just("DELETE FROM log_checkpoints WHERE size = 600"),
        "a head of 600 entries was published, but never signed",
    )


def _state_damages() -> Iterator[Damage]:
    yield Damage("one entry too many", just("UPDATE log_state SET appended = 601"), "entry 600 is missing")
    yield Damage("fewer integrated than signed", just("UPDATE log_state SET integrated = 599"), "88 hashes, not 87|599")
    yield Damage(
        "more integrated than signed",
        just("UPDATE log_state SET integrated = 601"),
        "601 entries are integrated, but the newest signed head has another size",
    )
    yield Damage("an extra tile", just("INSERT INTO log_tiles VALUES (0, 3, '', '')"), "tile")
    yield Damage("an extra tile on top", just("INSERT INTO log_tiles VALUES (2, 0, '', '')"), "tile")


DAMAGES = [*_tile_damages(), *_entry_damages(), *_head_damages(), *_state_damages()]


@pytest.mark.parametrize("damage", part_of(DAMAGES), ids=lambda damage: damage.name)
def test_fsck_names_what_is_damaged_and_nothing_false_is_answered(truth, damage):
    truth.book.tamper(*damage.statements(truth))
    with pytest.raises(LogDamaged, match=damage.found):
        check_log(truth.book.database, truth.book.log)
    refused = set()
    for query in QUERIES:
        try:
            ask(truth, query)
        except LogDamaged:
            refused.add(query)
        except (ConsentError, CryptoError):
            pass  # refused in other words
    assert set(damage.refused) <= refused


EDGE = [
    damage for damage in DAMAGES if damage.name.endswith(("tile 0/002", "tile 1/000", "0/002 deleted", "1/000 deleted"))
]


@pytest.mark.parametrize("damage", EDGE, ids=lambda damage: damage.name)
def test_nothing_is_signed_on_top_of_a_damaged_edge(truth, damage):
    truth.book.tamper(*damage.statements(truth))
    check_signs_nothing(truth)


def check_signs_nothing(truth: Truth) -> None:
    book = truth.restarted()
    with book.database.read() as session:
        before = session.scalars(select(LogCheckpointRow.note)).all()
    append(book, SIZE)
    for _ in range(2):
        with pytest.raises(LogDamaged):
            book.sequencer.integrate()
    with book.database.read() as session:
        assert session.scalars(select(LogCheckpointRow.note)).all() == before
        assert book.log.state(session).integrated == SIZE


@pytest.mark.parametrize(("level", "index"), [(0, 2), (1, 0)])
def test_a_tile_altered_together_with_its_checksum_proves_nothing(truth, level, index):
    """Not decay but an operator's hand: what is proved is compared with what was signed."""
    alter_consistently(truth, level, index)
    with pytest.raises(LogDamaged, match=f"tile {level}/00{index}: hash 1 is not the one"):
        check_log(truth.book.database, truth.book.log)
    for query in QUERIES:
        if query[0] in {"inclusion", "entries"}:
            with contextlib.suppress(LogDamaged):
                ask(truth, query)
    check_signs_nothing(truth)


def alter_consistently(truth: Truth, level: int, index: int) -> None:
    where = f"level = {level} AND idx = {index}"
    altered = flipped(truth.stored("log_tiles", "hashes", where))
    check = truth.literal(hashlib.sha256(altered).digest())
    truth.book.tamper(f"UPDATE log_tiles SET hashes = {truth.literal(altered)}, checksum = {check} WHERE {where}")


def test_a_consistency_proof_is_between_heads_that_were_signed(truth):
    """A tile altered together with its checksum gives roots that nobody signed."""
    alter_consistently(truth, 1, 0)
    with pytest.raises(LogDamaged), truth.book.database.read() as session:
        truth.book.log.prove_consistency(session, 512, 600)


def test_a_repaired_edge_is_signed_on_again(truth):
    where = "level = 0 AND idx = 2"
    sound = truth.literal(truth.stored("log_tiles", "hashes", where))
    truth.book.tamper(*change("log_tiles", "hashes", where, flipped)(truth))
    check_signs_nothing(truth)
    truth.book.tamper(f"UPDATE log_tiles SET hashes = {sound} WHERE {where}")
    check_whole(truth.restarted(), [*range(SIZE), SIZE])


def test_nothing_is_signed_on_top_of_a_head_that_does_not_verify(truth):
    truth.book.tamper(*change("log_checkpoints", "note", "size = 600", _garbled)(truth))
    check_signs_nothing(truth)


def test_nothing_is_signed_on_top_of_a_head_of_another_tree(truth):
    truth.book.tamper(*replaced_head("log_checkpoints", 600, 600)(truth))
    check_signs_nothing(truth)


def test_nothing_is_signed_where_every_head_is_lost(truth):
    truth.book.tamper("DELETE FROM log_checkpoints", "DELETE FROM log_published")
    check_signs_nothing(truth)


def test_fsck_says_so_where_every_head_is_lost(truth):
    truth.book.tamper("DELETE FROM log_checkpoints", "DELETE FROM log_published")
    with pytest.raises(LogDamaged, match="600 entries are integrated"):
        check_log(truth.book.database, truth.book.log)


@pytest.mark.parametrize(
    ("entry", "statement"),
    [
        (599, "UPDATE log_state SET appended = 599"),
        (600, "INSERT INTO log_entries SELECT 600, leaf, body FROM log_entries WHERE idx = 599"),
    ],
)
def test_fsck_names_an_entry_that_the_state_does_not_count(truth, entry, statement):
    truth.book.tamper(statement)
    with pytest.raises(LogDamaged, match=f"entry {entry} is there"):
        check_log(truth.book.database, truth.book.log)


@pytest.mark.parametrize("newest", [0, FAR * 1_000_000])
def test_fsck_finds_a_newest_time_that_is_not_the_newest_entrys(truth, newest):
    truth.book.tamper(f"UPDATE log_state SET newest = {newest}")
    with pytest.raises(LogDamaged):
        check_log(truth.book.database, truth.book.log)


def test_a_lost_state_row_is_damage(truth):
    truth.book.tamper("DELETE FROM log_state")
    with pytest.raises(LogDamaged):
        check_log(truth.book.database, truth.book.log)


def test_a_damaged_published_head_is_the_logs_fault_not_the_callers(truth):
    truth.book.tamper(*change("log_published", "note", "size = 600", _garbled)(truth))
    with pytest.raises(LogDamaged), truth.book.database.read() as session:
        truth.book.log.prove_inclusion(session, 0)


def test_the_sequencer_outlives_a_damaged_head_and_goes_on_when_it_is_repaired(truth):
    sound = truth.literal(truth.stored("log_checkpoints", "note", "size = 600"))
    truth.book.tamper(*change("log_checkpoints", "note", "size = 600", _garbled)(truth))
    book = truth.restarted()
    append(book, SIZE)
    book.sequencer.start()
    book.sequencer.notify()
    try:
        until(lambda: book.sequencer.reporter.failures.get("integrate"), "the damage was met")
        truth.book.tamper(f"UPDATE log_checkpoints SET note = {sound} WHERE size = 600")
        book.sequencer.notify()
        until(lambda: published(book)[-1] == SIZE + 1, "it went on")
    finally:
        book.sequencer.stop()


# --- group commit


@pytest.fixture
def registry(make_database, tmp_path) -> Iterator[Registry]:
    location = location_of(make_database())
    found_log(tmp_path / "home", ORIGIN, ["aspen"], location if isinstance(location, str) else None)
    opened = open_registry(tmp_path / "home" / REGISTRY_HOME)
    yield opened
    opened.close()


@pytest.fixture
def group(registry) -> Iterator[GroupCommit]:
    made = group_appends(registry.ledger.log, registry.ledger.write)
    made.start()
    yield made
    made.stop()


def book_of(registry: Registry) -> Logbook:
    return Logbook(registry.ledger.database, registry.ledger.log, registry.ledger.sequencer)


async def begin(group: GroupCommit, *batches: list[int]) -> list[asyncio.Task[int]]:
    """Callers whose entries wait to be committed."""
    jobs = [[numbered(n) for n in batch] for batch in batches]
    tasks = [asyncio.create_task(group.submit(job, len(job))) for job in jobs]
    await asyncio.sleep(0)
    return tasks


async def answers(tasks: Sequence[asyncio.Task[int]]) -> list[int | BaseException]:
    async with asyncio.timeout(30):
        return await asyncio.gather(*tasks, return_exceptions=True)


async def taken(group: GroupCommit) -> None:
    """The thread has taken everything that waits, and is in the middle of committing it."""
    async with asyncio.timeout(30):
        while not group._queue.empty():
            await asyncio.sleep(0.001)


def depose(session: Session) -> None:
    """Another machine takes the log."""
    taken = "UPDATE log_state SET holder = 'elsewhere/0/1/1/0', epoch = epoch + 1, held_until = :until"
    session.execute(text(taken), {"until": time.time() + LEASE_S - 0.5})


def test_every_caller_of_a_group_hears_that_its_commit_failed_and_the_thread_lives_on(registry, group):
    async def callers() -> None:
        with registry.ledger.database.write() as session:  # nothing is committed before this transaction is over
            tasks = await begin(group, [-1])
            await taken(group)
            tasks += await begin(group, *([n] for n in range(20)))
            depose(session)
        refused = await answers(tasks)
        assert [type(refusal) for refusal in refused] == [LogHeld] * 21
        assert numbers(book_of(registry)) == []
        end_lease(registry.ledger.database)
        again = await answers(await begin(group, *([n, n + 1] for n in range(100, 140, 2))))
        assert again == list(range(0, 40, 2)), "in order of arrival, each with its own index"

    asyncio.run(callers())
    check_whole(book_of(registry), range(100, 140))


def test_what_nobody_foresaw_in_a_commit_is_told_to_every_caller_too(registry, group):
    """The place of the next entry is taken: the database's own rules refuse."""
    book = book_of(registry)

    async def callers() -> None:
        assert await answers(await begin(group, [0])) == [0]
        book.tamper("INSERT INTO log_entries SELECT 1, leaf, body FROM log_entries")
        with registry.ledger.database.write():
            tasks = await begin(group, *([n] for n in range(1, 9)))
        refused = await answers(tasks)
        assert [type(refusal) for refusal in refused] == [StorageFailed] * 8
        book.tamper("DELETE FROM log_entries WHERE idx = 1")
        assert await answers(await begin(group, [1])) == [1]

    asyncio.run(callers())
    check_whole(book, [0, 1])


def test_a_full_queue_refuses_at_once_and_keeps_what_it_took(registry, group):
    async def callers() -> list[int]:
        with registry.ledger.database.write():
            tasks = await begin(group, [0])
            await taken(group)
            tasks += await begin(group, *([n] for n in range(1, MAX_WAITING + 1)))
            late = await begin(group, [FAR], [FAR + 1])
            async with asyncio.timeout(30):
                refused = await asyncio.gather(*late, return_exceptions=True)  # while nothing is committed at all
            assert [type(refusal) for refusal in refused] == [StorageFailed] * 2
            one_sentence(refused[0], "busy", "nothing was recorded")
            assert not any(task.done() for task in tasks)
        return await answers(tasks)

    assert asyncio.run(callers()) == list(range(MAX_WAITING + 1))
    check_whole(book_of(registry), range(MAX_WAITING + 1))


def test_a_caller_that_went_away_takes_nobody_with_it(registry, group):
    async def callers() -> None:
        with registry.ledger.database.write():
            tasks = await begin(group, [0], [1], [2])
            tasks[0].cancel()
            tasks[1].cancel()
        told = await answers(tasks)
        assert isinstance(told[0], asyncio.CancelledError)
        assert numbers(book_of(registry))[told[2]] == 2
        assert isinstance((await answers(await begin(group, [3])))[0], int)

    asyncio.run(callers())


def test_nothing_acknowledged_is_lost_and_nothing_refused_recorded_while_the_lease_comes_and_goes(registry, group):
    """Many callers; the lease is taken away and given back under them."""
    acknowledged: dict[int, int] = {}
    refused: list[int] = []

    async def caller(who: int) -> None:
        for turn in itertools.count():
            if len(acknowledged) >= 100 and len(refused) >= 100:
                return
            entry = who * 100_000 + turn
            try:
                acknowledged[entry] = await group.submit([numbered(entry)])
            except ConsentError:
                refused.append(entry)
                await asyncio.sleep(0.005)

    async def everybody() -> None:
        callers = [asyncio.create_task(caller(who)) for who in range(20)]
        deposed = False
        while not all(task.done() for task in callers):
            await asyncio.sleep(0.02)
            if deposed:
                end_lease(registry.ledger.database)
            else:
                with registry.ledger.database.write() as session:
                    depose(session)
            deposed = not deposed
        await asyncio.gather(*callers)

    asyncio.run(everybody())
    end_lease(registry.ledger.database)
    recorded = numbers(book_of(registry))
    assert acknowledged
    assert refused
    assert {entry: recorded[index] for entry, index in acknowledged.items()} == {entry: entry for entry in acknowledged}
    assert sorted(recorded) == sorted(acknowledged)
    check_whole(book_of(registry), recorded)
