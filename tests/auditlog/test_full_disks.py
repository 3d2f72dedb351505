"""A log whose disk is full: it refuses in one sentence, loses nothing, and goes on when there is space."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from support.faults import append, fill, numbers, small_filesystem
from support.histories import FAR, check_whole, one_sentence
from support.logs import Logbook
from support.waiting import until

from auditlog.database import Database
from consent.storage.migrating import migrate
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
