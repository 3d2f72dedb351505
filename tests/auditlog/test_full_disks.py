"""A log whose disk is full: it refuses in one sentence, loses nothing, and goes on when there is space."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from support.faults import append, fill, numbers, small_filesystem
from support.histories import FAR, check_whole, one_sentence
from support.logs import Logbook, new_book
from support.waiting import until

from auditlog.database import Database
from auditlog.leadership import Reporter, SharedTurn
from protocol.errors import StorageFailed


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


def check_full(book: Logbook, full: contextlib.AbstractContextManager[object], *words: str) -> None:
    """While it is full it refuses in one sentence; nothing of before or meanwhile is lost; then it goes on."""
    append(book, *range(50))
    book.settle()
    with full:
        acknowledged, refusal = append_until_refused(book, 50)
        one_sentence(refusal, "nothing was recorded", *words)
        assert numbers(book) == [*range(50), *acknowledged]
        with book.database.read() as session:
            book.log.prove_inclusion(session, 49)
    append(book, FAR)
    check_whole(book, [*range(50), *acknowledged, FAR])


def test_a_database_that_cannot_grow_refuses_in_one_sentence_and_loses_nothing(tmp_path):
    with new_book(tmp_path / "log.db") as book:
        check_full(book, no_more_pages(book.database), "full")


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """Outside pytest's folders, which the user of a PostgreSQL server may not enter."""
    try:
        with tempfile.TemporaryDirectory() as own, small_filesystem(Path(own) / "disk", "6m") as folder:
            Path(own).chmod(0o711)
            yield folder
    except PermissionError as error:
        pytest.skip(f"no filesystem can be mounted here, so NO FULL DISK WAS TESTED: {error}")


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    ballast = fill(folder)
    yield
    ballast.unlink()


def test_a_full_filesystem_refuses_in_one_sentence_and_loses_nothing(small_disk):
    with new_book(small_disk / "log.db") as book:
        check_full(book, filled(small_disk))


def test_the_sequencer_outlives_a_full_filesystem(small_disk):
    with new_book(small_disk / "log.db") as book:
        append(book, *range(3000))
        with filled(small_disk):
            append_until_refused(book, 10_000)
            with pytest.raises(StorageFailed) as refused:
                while book.sequencer.integrate():
                    append(book)
            one_sentence(refused.value, "nothing was recorded")
            book.sequencer.start()
            book.sequencer.notify()
            until(lambda: book.sequencer.reporter.failures.get("integrate"), "the disk was full for it too")
        book.sequencer.wait_for(2999)
        book.sequencer.stop()
        check_whole(book, numbers(book))


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
        try:
            with new_book(url) as book:
                admin.execute("ALTER TABLE log_entries SET TABLESPACE small")
                check_full(book, filled(small_disk))
        finally:
            admin.execute("ALTER TABLE log_entries SET TABLESPACE pg_default")
            admin.execute("DROP TABLESPACE small")


def no_space(*_: object) -> int:
    raise OSError(errno.ENOSPC, "no space left on the device")


def test_who_signs_goes_on_where_the_others_cannot_be_told_how_it_fares(tmp_path, monkeypatch):
    """The only thread that signs must not die of a file that is there to tell others about it."""
    with new_book(tmp_path / "log.db") as book:
        sequencer = book.sequencer
        monkeypatch.setattr("auditlog.leadership.os.pwrite", no_space)
        sequencer.turn = SharedTurn(tmp_path / "turn")
        sequencer.start()
        try:
            append(book, 0)
            until(lambda: sequencer.published == 1, "it was signed and published")
            failing = sequencer.integrator.integrate
            sequencer.integrator.integrate = lambda: (_ for _ in ()).throw(StorageFailed("the disk is full"))
            append(book, 1)
            until(lambda: sequencer.failing == "the disk is full", "a step failed")
            sequencer.integrator.integrate = failing
            until(lambda: sequencer.published == 2, "it went on")
            assert sequencer.works
        finally:
            sequencer.stop()


def test_what_could_not_be_told_is_told_as_soon_as_there_is_space(tmp_path, monkeypatch):
    turn, other = SharedTurn(tmp_path / "turn"), SharedTurn(tmp_path / "turn")
    with monkeypatch.context() as patch:
        patch.setattr("auditlog.leadership.os.pwrite", no_space)
        assert turn.is_leader()
        reporter = Reporter(turn)
        reporter.step_ended("integrate", "the disk is full 😀" * 100)
        assert not other.is_leader()
    reporter.step_ended("integrate", "the disk is full 😀" * 100)
    told = other.reported().failing
    assert len(told) == 300 and turn.reported().failing.startswith(told), "cut, and read by whoever asks"
