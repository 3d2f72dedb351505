"""The writer of a service of several workers: who hands it what, and what happens when it is killed, hangs or ends."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import stat
import threading
import time
from copy import copy

import pytest
from support.changes import WRITERS, Ledger, Place, check, over
from support.effort import effort, slow
from support.services import Load, Served, Site

from auditlog.entries import Entry
from consent.commands.record_decisions import AnswerForm, Done, Recorded, Request
from consent.commands.state_decisions import Answering, MyChoice, Statement
from consent.commands.withdraw_consents import Withdrawal, WithdrawalOfAll
from consent.groups import _APPENDS, _DECISIONS
from consent.home import open_database
from consent.storage.idempotency import Answered, Once
from protocol.schema import now

# --- what is handed over

STATEMENT = Statement(
    notice_id="a", notice_version=1, notice_language="zh", notice_sha256="0" * 64, expiry_time=now(),
    choices=(MyChoice(recipient="aspen", action="give"),),
)  # fmt: skip
INTENTS = [
    None,
    Answering(STATEMENT, "login"),
    Withdrawal("record", ["zh", "en"], "login", '"3"', of_all_too=True),
    WithdrawalOfAll(["zh"], ""),
]


@pytest.mark.parametrize("intent", INTENTS)
def test_a_request_is_the_same_at_the_writer(intent):
    request = Request(["token"], ["name"], intent, '"3"', Once("caller", "key", "0" * 64), AnswerForm.EACH)
    there = _DECISIONS.jobs.validate_json(_DECISIONS.jobs.dump_json(request))
    assert there == request
    assert type(there.intent) is type(intent)


def test_and_what_came_of_it_at_the_worker():
    done = Done(Answered(201, {"recorded": [{"entry_index": 3}]}, again=True), [Recorded("a", "b", 3, {"c": "d"}, "e")])
    assert _DECISIONS.results.validate_json(_DECISIONS.results.dump_json(done)) == done


def test_an_entry_is_the_same_at_the_writer_byte_for_byte():
    every = bytes(range(256))
    entries = [Entry(every, every[::-1], b"header"), Entry(every, b"", subject_id=2**40)]
    assert _APPENDS.jobs.validate_json(_APPENDS.jobs.dump_json(entries)) == entries


# --- real processes


@pytest.fixture
def site(tmp_path, postgresql) -> Site:
    return Site.founded(tmp_path / "site", postgresql())


def wait_for_another(served: Served, old: int) -> int:
    served.until(lambda: served.writer() not in {0, old}, "another writer was there")
    return served.writer()


def test_the_writer_commits_and_nobody_else_comes_near_it(site):
    with site.serve("--workers", 2) as served:
        served.ready().begun(2)
        writer, workers = served.writer(), served.workers()
        assert len(workers) == 2
        assert writer not in workers
        [folder] = served.scratch.glob("tahini-workers-*")
        served.until(lambda: sorted(path.suffix for path in folder.glob("*.sock")) == [".sock"] * 2, "its doors stood")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.stat().st_uid == os.getuid()
        with Load(site, served.url) as load:
            served.until(lambda: len(load.acknowledged) > 60, "the load went on")
        assert served.end() == 0
        assert not folder.exists()
    site.check(load.acknowledged)
    assert not load.refused


def test_one_process_by_itself_has_no_door(tmp_path):
    site = Site.founded(tmp_path / "site", None)
    with site.serve("--workers", 1) as served:
        served.ready()
        assert served.children() == []
        assert not list(served.scratch.glob("tahini-workers-*"))
        assert not list(served.scratch.rglob("*.sock"))
        assert served.end() == 0


def test_changes_go_on_while_writers_are_killed_and_nothing_is_lost_or_done_twice(tmp_path, postgresql):
    kills = effort(20, 2)
    place, ledger, rng = Place.founded(tmp_path / "place", postgresql(), imports=2000), Ledger(), random.Random(43)
    with Site(place.home).serve("--workers", 2) as served:
        served.ready().begun(2)
        enough = threading.Event()
        writing = threading.Thread(target=lambda: asyncio.run(over(served.url, place, ledger, enough.is_set)))
        writing.start()
        writer = served.writer()
        for _ in range(kills):
            before = len(ledger.done)
            served.until(lambda before=before: len(ledger.done) > before + 10 or ledger.errors, "changes were made")
            time.sleep(rng.uniform(0, 0.2))
            workers = served.workers()
            os.kill(writer, signal.SIGKILL)
            before = len(ledger.done)
            served.until(lambda before=before: len(ledger.done) > before + 10 or ledger.errors, "they went on at once")
            writer = wait_for_another(served, writer)
            assert served.workers() == workers, "nobody else ended"
        enough.set()
        writing.join()
        assert not ledger.errors, ledger.errors[:3]
        assert served.end() == 0
    assert set(ledger.retries) <= {"urn:tahini:problem:storage-failed"}
    figures = check(place, ledger)
    assert figures["acknowledged"] > 20 * kills
    assert {WRITERS[op.writer] for op, _ in ledger.done} == set(WRITERS)


def test_a_writer_killed_in_the_middle_of_a_group_tells_every_caller_and_leaves_nothing(site):
    database = open_database(site.registry)
    with site.serve("--workers", 2) as served:
        served.ready().begun(2)
        with Load(site, served.url, 6) as load:
            served.until(lambda: len(load.acknowledged) > 10, "the load went on")
            with database.write():  # no group commits while this transaction is open
                served.until(lambda: site.state().appended == len(load.acknowledged), "all were told")
                writer, before = served.writer(), set(load.acknowledged)
                served.until(lambda: next(copy(load._numbers)) > len(before) + 5, "all wait for the writer")
                os.kill(writer, signal.SIGKILL)
                # whoever had not been handed over yet waits for the next writer, and that one for this transaction
                served.until(lambda: load.refused, "whoever waited for the writer heard of it")
            served.until(lambda: len(load.acknowledged) > len(before) + 20, "the load went on")
        assert all(said.startswith("503 ") for said in load.refused), load.refused[:3]
        assert served.end() == 0
    database.close()
    assert site.check(load.acknowledged) == len(load.acknowledged), "what was under way is not there"


def test_a_writer_that_ends_in_order_refuses_nobody(site):
    with site.serve("--workers", 2) as served:
        served.ready().begun(2)
        with Load(site, served.url) as load:
            for _ in range(effort(2, 1)):
                before, writer = len(load.acknowledged), served.writer()
                served.until(lambda before=before: len(load.acknowledged) > before + 20, "the load went on")
                os.kill(writer, signal.SIGTERM)
                wait_for_another(served, writer)
        assert load.refused == []
        assert served.end() == 0
    site.check(load.acknowledged)


@slow
def test_a_writer_that_hangs_is_replaced_and_nobody_waits_for_ever(site):
    with site.serve("--workers", 2) as served:
        served.ready().begun(2)
        with Load(site, served.url) as load:
            served.until(lambda: len(load.acknowledged) > 20, "the load went on")
            hung = served.writer()
            os.kill(hung, signal.SIGSTOP)
            wait_for_another(served, hung)
            before = len(load.acknowledged)
            served.until(lambda: len(load.acknowledged) > before + 20, "the load went on")
        assert all(said.startswith("503 ") for said in load.refused), load.refused[:3]
        assert len(load.refused) <= load.clients
        assert served.end() == 0
    site.check(load.acknowledged)
