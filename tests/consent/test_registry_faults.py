"""Consent changes under kill -9, a restarted PostgreSQL and a full disk: what was acknowledged is there, once, with its
log entry; nothing is there without one; and asking again is answered as the first time, or done once."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from support.asgi import Answered, Sent, call
from support.changes import WRITERS, Ledger, Place, check, lives, over, write
from support.effort import effort, slow
from support.faults import fill, small_filesystem
from support.services import Site
from support.waiting import until

from benchmarks.postgresql import PostgresqlServer, postgresql_server
from consent.api.app import create_app
from consent.home import open_registry

Founded = Callable[..., Place]


@pytest.fixture(params=["sqlite", "postgresql"])
def make_place(request, tmp_path) -> Founded:
    def make(imports: int) -> Place:
        database = request.getfixturevalue("postgresql")() if request.param == "postgresql" else None
        return Place.founded(tmp_path / "place", database, imports)

    return make


# --- kill -9


def test_kill_9_under_load_loses_no_change_of_consent_and_does_none_twice(make_place, record_property):
    kills = effort(200) if effort(200) == 200 else effort(50)
    place = make_place(imports=kills * 40)
    killed = lives(place, kills, most=60, seed=29)
    ledger = killed.ledger
    assert not ledger.errors, ledger.errors[:3]
    assert killed.busy > kills / 3, "most lives are long enough to tell something"
    figures = check(place, ledger)
    record_property("kills", f"{kills}, {killed.busy} while changes were being acknowledged; {figures}")
    assert figures["acknowledged"] > 2 * kills
    assert figures["in_doubt_done"] + figures["in_doubt_anew"] > 0
    assert {WRITERS[op.writer] for op, _ in ledger.done} == set(WRITERS)


@slow
@pytest.mark.parametrize("workers", [1, 2], ids=["one process on SQLite", "two workers on PostgreSQL"])
def test_kill_9_of_the_real_service_loses_nothing_either(workers, tmp_path, request):
    database = request.getfixturevalue("postgresql")() if workers > 1 else None
    kills = effort(5, 2)
    place = Place.founded(tmp_path / "place", database, imports=kills * 100)
    ledger, rng = Ledger(), random.Random(31)
    for _ in range(kills):
        with Site(place.home).serve("--workers", workers) as served:
            served.ready()
            before = len(ledger.done)
            writing = threading.Thread(target=lambda: asyncio.run(over(served.url, place, ledger, lambda: False)))
            writing.start()
            served.until(lambda before=before: len(ledger.done) > before + 10 or ledger.errors, "changes were made")
            time.sleep(rng.uniform(0, 0.4))
            for pid in served.children():
                os.kill(pid, 9)
            served.process.kill()
            served.process.wait()
            writing.join()
    figures = check(place, ledger)
    assert figures["acknowledged"] > 10 * kills


# --- the database goes away


@pytest.fixture
def own_server() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server of the test's own, to be stopped at will."""
    with postgresql_server() as server:
        yield server


async def in_this_process(
    place: Place, ledger: Ledger, enough: Callable[[], bool], meanwhile: Callable[[], None]
) -> None:
    """Write to a registry in this process while ``meanwhile`` runs in a thread, and until it is ``enough``."""
    registry = open_registry(place.registry)
    app = create_app(registry)
    over_with, failed = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            meanwhile()
        except BaseException as error:
            failed.append(error)
        over_with.set()

    async def send(sent: Sent, authorization: str) -> Answered:
        if failed:
            raise ConnectionError
        return await call(app, sent, authorization)

    thread = threading.Thread(target=run)
    try:
        async with app.router.lifespan_context(app):
            thread.start()
            await write(place, ledger, send, ledger.heard, lambda: over_with.is_set() and enough())
    finally:
        thread.join()
        registry.close()
    assert not failed, (failed, ledger.errors[:3], ledger.retries)


@slow
def test_postgresql_restarted_under_load_means_retries_and_no_losses(own_server, tmp_path):
    place, ledger = Place.founded(tmp_path / "place", own_server.fresh(empty=True), imports=3000), Ledger()
    rng = random.Random(37)

    def restart() -> None:
        for _ in range(effort(5)):
            before = len(ledger.done)
            until(lambda before=before: len(ledger.done) > before + 20 or ledger.errors, "changes were made")
            own_server.crash()
            time.sleep(rng.uniform(0.2, 0.6))
            own_server.start()

    def recovered() -> bool:
        return len(ledger.done) > seen[0] + 50 or bool(ledger.errors)

    seen = [0]

    def meanwhile() -> None:
        restart()
        seen[0] = len(ledger.done)

    asyncio.run(in_this_process(place, ledger, recovered, meanwhile))
    assert sum(ledger.retries.values()) > 0, "the server was away, and callers were told to ask again"
    assert set(ledger.retries) <= {f"urn:tahini:problem:{code}" for code in ("storage-failed", "log-held")}
    assert check(place, ledger)["acknowledged"] > 50


# --- a full disk


def test_a_full_disk_refuses_changes_and_loses_none(tmp_path):
    try:
        with small_filesystem(tmp_path / "disk", "48m") as folder:
            place, ledger = Place.founded(folder / "place", None, imports=1500), Ledger()

            def meanwhile() -> None:
                for _ in range(effort(5)):
                    before = len(ledger.done)
                    until(lambda before=before: len(ledger.done) > before + 20 or ledger.errors, "changes were made")
                    ballast = fill(folder)
                    refused = sum(ledger.retries.values())
                    until(
                        lambda refused=refused: sum(ledger.retries.values()) > refused + 10 or ledger.errors,
                        "the disk was full",
                    )
                    ballast.unlink()

            asyncio.run(in_this_process(place, ledger, lambda: True, meanwhile))
            assert set(ledger.retries) == {"urn:tahini:problem:storage-failed"}
            check(place, ledger)
    except PermissionError as error:
        pytest.skip(f"no filesystem can be mounted here, so NO FULL DISK WAS TESTED: {error}")
