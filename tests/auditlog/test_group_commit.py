"""Appends that are committed together: every caller hears what became of its own entries."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from support.faults import end_lease, location_of, numbered, numbers
from support.histories import FAR, check_whole, one_sentence
from support.logs import ORIGIN, Logbook
from support.waiting import PATIENCE_S

from auditlog.group_commit import MAX_WAITING, GroupCommit, group_appends
from auditlog.lease import LEASE_S
from consent.home import open_registry
from consent.provisioning import REGISTRY_HOME, found_log
from consent.registry import Registry
from protocol.errors import ConsentError, LogHeld, StorageFailed


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


def test_who_comes_while_it_ends_is_told_to_come_again():
    """A job behind the end mark must not wait for ever."""
    begun, finish = threading.Event(), threading.Event()

    def commit(jobs):
        begun.set()
        assert finish.wait(PATIENCE_S)
        return list(jobs)

    async def ending():
        group = GroupCommit(commit, "ending")
        group.start()
        first = asyncio.create_task(group.submit(1))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        stopping = asyncio.create_task(asyncio.to_thread(group.stop))
        while group._thread is not None:
            await asyncio.sleep(0)
        with pytest.raises(StorageFailed, match="starting or ending"):
            await group.submit(2)
        finish.set()
        await stopping
        assert await first == 1

    asyncio.run(ending())


def test_a_group_waits_for_the_callers_that_were_just_answered_and_a_lone_one_for_nobody(monkeypatch):
    monkeypatch.setattr("auditlog.group_commit.REST_SHARE", 1e9)  # as long as it takes
    monkeypatch.setattr("auditlog.group_commit.MAX_REST_S", PATIENCE_S)
    sizes: list[int] = []
    begun, finish = threading.Event(), threading.Semaphore(0)

    def commit(jobs):
        sizes.append(len(jobs))
        begun.set()
        assert finish.acquire(timeout=PATIENCE_S)
        return list(jobs)

    async def callers() -> None:
        group = GroupCommit(commit, "waiting")
        group.start()
        alone = asyncio.create_task(group.submit(0))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        together = [asyncio.create_task(group.submit(number)) for number in range(3)]
        await asyncio.sleep(0)
        finish.release(2)
        await asyncio.gather(alone, *together)
        again = [asyncio.create_task(group.submit(number)) for number in range(2)]
        await asyncio.sleep(0.05)
        assert sizes == [1, 3], "two of three are back: the third is waited for"
        again.append(asyncio.create_task(group.submit(2)))
        finish.release(1)
        assert await asyncio.gather(*again) == [0, 1, 2]
        assert sizes == [1, 3, 3]
        await asyncio.to_thread(group.stop)

    asyncio.run(callers())
