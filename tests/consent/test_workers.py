"""Several workers on PostgreSQL: one lease, one history, whoever of them dies; an orderly end on both databases."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import text
from support.effort import slow
from support.faults import another, append, end_lease, numbers
from support.logs import Logbook
from support.services import Load, Served, Site

from auditlog.database import Database
from auditlog.fsck import check_log
from auditlog.leadership import SequencerStatus, SharedTurn
from auditlog.lease import Lease, holder_name, let_go, read_state
from auditlog.sequencer import Sequencer
from consent.identity.replays import KEPT, SharedReplayGuard
from consent.storage.migrating import migrate
from crypto.keys import load_signing_key
from ops.processes import free_port
from protocol.client.lenders import LenderClient
from protocol.errors import LogHeld, NotAuthenticated, NotWitnessed, StorageFailed
from protocol.requests import sign_request
from protocol.schema import now

Service = Callable[..., list[Logbook]]


@pytest.fixture
def make_service(make_database, tmp_path) -> Iterator[Service]:
    """Workers of a service, each with connections, a lease and a turn of its own, as in processes of their own."""
    database, made = make_database(), list[Logbook]()
    key = Logbook.over(database).log.key
    with ExitStack() as stack:

        def make(workers: int = 2) -> list[Logbook]:
            name, turn = holder_name(), tmp_path / f"turn-{len(made)}"
            service = []
            for _ in range(workers):
                book = Logbook.over(stack.enter_context(another(database)), key)
                log = replace(book.log, lease=Lease(name, shared=True))
                sequencer = Sequencer(book.database, log, book.sequencer.witnesses, SharedTurn(turn))
                service.append(Logbook(book.database, log, sequencer))
            made.extend(service)
            return service

        yield make
        for book in made:
            book.sequencer.stop()


def state(book: Logbook):
    with book.database.read() as session:
        return read_state(session)


def test_workers_append_side_by_side_under_one_epoch_and_every_index_is_given_once(make_service):
    service, given = make_service(3), dict[int, int]()

    def work(book: Logbook, first: int) -> None:
        for number in range(first, first + 40):
            given[number] = append(book, number)

    with ThreadPoolExecutor(3) as crowd:
        list(crowd.map(work, service, (0, 1000, 2000)))
    there = numbers(service[0])
    assert sorted(given.values()) == list(range(120))
    assert all(there[index] == number for number, index in given.items())
    assert state(service[0]).epoch == 1
    assert {book.log.lease.epoch for book in service} == {1}
    for book in service:  # any of them may sign, at any time: what it finds is what the others wrote
        append(book, 5000 + service.index(book))
        book.settle()
    assert check_log(service[0].database, service[0].log).integrated == 123


def test_no_worker_of_a_deposed_service_can_change_anything(make_service):
    first, second = make_service(), make_service()
    append(first[0], 0)
    append(first[1], 1)
    end_lease(first[0].database)
    append(second[0], 2)
    for _ in range(2):
        for book in first:
            for refused in (lambda book=book: append(book, 3), book.sequencer.integrate):
                with pytest.raises(LogHeld):
                    refused()
    append(second[1], 3)
    second[1].settle()
    assert numbers(first[0]) == [0, 1, 2, 3]
    end_lease(first[0].database)
    append(first[1], 4)
    append(first[0], 5)
    assert state(first[0]).epoch == 3
    assert {book.log.lease.epoch for book in first} == {3}
    with pytest.raises(LogHeld):
        append(second[1], 6)


def test_a_worker_that_ends_does_not_let_go_for_the_others_and_the_parent_does(make_service):
    first, second = make_service(), make_service()
    append(first[0], 0)
    append(first[1], 1)
    with first[0].database.write() as session:
        first[0].log.lease.release(session)
    with pytest.raises(LogHeld):
        append(second[0], 2)
    with first[0].database.write() as session:
        let_go(session, second[0].log.lease.name)  # not the holder's: nothing happens
    with pytest.raises(LogHeld):
        append(second[0], 2)
    with first[0].database.write() as session:
        let_go(session, first[0].log.lease.name)
    assert append(second[0], 2) == 2


def test_every_worker_waits_for_publication_whoever_signs(make_service):
    service = make_service(3)
    for book in service:
        book.sequencer.start()
    for number in range(12):
        book, other = service[number % 3], service[(number + 1) % 3]
        index = append(book, number)
        other.sequencer.wait_for(index)  # it has not even been told that there is something
        assert other.sequencer.published > index
    assert [book.sequencer.turn.is_leader() for book in service].count(True) == 1


def test_another_worker_signs_once_the_one_whose_turn_it_was_is_gone(make_service):
    service = make_service()
    for book in service:
        book.sequencer.start()
    service[0].sequencer.wait_for(append(service[0], 0))
    [signing] = [book for book in service if book.sequencer.turn.is_leader()]
    [other] = [book for book in service if book is not signing]
    signing.sequencer.stop()
    os.close(signing.sequencer.turn._file)  # what the kernel does for a process that is dead
    other.sequencer.wait_for(append(other, 1))
    assert other.sequencer.turn.is_leader()
    signing.sequencer.turn = SharedTurn(signing.sequencer.turn.path)


def test_all_workers_know_that_the_log_has_halted(make_service):
    service = make_service()
    signing, other = service
    other.sequencer.start()
    for _ in range(2):
        other.sequencer.turn.is_leader()
    signing, other = other, signing
    signing.sequencer.turn.report(SequencerStatus(halted="a witness saw more"))
    assert other.sequencer.halted == "a witness saw more"
    other.sequencer.turn.report(SequencerStatus())
    assert other.sequencer.halted, "only who has the turn speaks"
    other.sequencer.start()
    with pytest.raises(NotWitnessed, match="a witness saw more"):
        other.sequencer.wait_for(10_000)


# --- signed requests act once


@pytest.fixture
def shared(postgresql) -> Iterator[Database]:
    database = Database(postgresql())
    migrate(database)
    yield database
    database.close()


async def admitted(guards: list[SharedReplayGuard], names: list[str]) -> list[bool]:
    """Whether each (guard, name) was let in, all asked at once, in the order of guards, then names."""

    async def one(guard: SharedReplayGuard, name: str) -> bool:
        try:
            await guard.admit(name, now())
        except NotAuthenticated as error:
            assert "acts once" in str(error)
            return False
        return True

    return await asyncio.gather(*(one(guard, name) for guard in guards for name in names))


def test_a_request_acts_once_however_many_workers_are_asked_at_once(shared):
    guards = [SharedReplayGuard(shared, now()) for _ in range(3)]
    names = [f"request-{number:04d}" for number in range(40)]
    let_in = asyncio.run(admitted(guards, names + names[:5]))
    per_guard = [let_in[at : at + 45] for at in range(0, 135, 45)]
    for number in range(40):
        asked = [guard[number] for guard in per_guard] + [guard[40 + number] for guard in per_guard if number < 5]
        assert asked.count(True) == 1, number
    assert asyncio.run(admitted(guards[:1], names)) == [False] * 40, "nor later"
    assert asyncio.run(admitted([SharedReplayGuard(shared, now())], [*names, "new"])) == [False] * 40 + [True]


def test_what_was_seen_is_forgotten_only_when_its_token_has_long_ended(shared):
    guard = SharedReplayGuard(shared, now())

    def ask(name: str, after: timedelta = timedelta()) -> int:
        asyncio.run(guard.admit(name, now() + after))
        with shared.read() as session:
            return session.scalar(text("SELECT count(*) FROM used_once"))

    assert ask("first") == 1
    assert ask("second", KEPT - timedelta(seconds=2)) == 2
    with pytest.raises(NotAuthenticated):
        ask("first", KEPT - timedelta(seconds=1))
    assert ask("third", KEPT + timedelta(minutes=2)) == 2, "the first is gone, the second is not"


def test_where_the_database_does_not_say_nobody_is_let_in_and_all_are_told(shared, monkeypatch):
    guard = SharedReplayGuard(shared, now())

    def away():
        raise StorageFailed("away")

    async def ask() -> list[object]:
        return await asyncio.gather(*(guard.admit(f"r{n}", now()) for n in range(5)), return_exceptions=True)

    with monkeypatch.context() as patch:
        patch.setattr(shared, "aside", away)
        assert {type(answer) for answer in asyncio.run(ask())} == {StorageFailed}
    assert asyncio.run(ask()) == [None] * 5, "they were not marked as seen"


# --- real processes


@pytest.fixture
def site(tmp_path, postgresql) -> Site:
    return Site.founded(tmp_path / "site", postgresql())


@pytest.fixture(params=[1, 2], ids=["one process on SQLite", "two workers on PostgreSQL"])
def any_service(request, tmp_path) -> tuple[Site, int]:
    database = request.getfixturevalue("postgresql")() if request.param > 1 else None
    return Site.founded(tmp_path / "site", database), request.param


def published(url: str) -> int:
    return httpx.get(f"{url}/healthz").json()["published"]


@slow
def test_workers_that_are_killed_are_replaced_and_nothing_acknowledged_is_lost(site):
    with site.serve("--workers", 3) as served:
        served.ready().begun(3)
        epoch = site.state().epoch
        with Load(site, served.url) as load:
            for _ in range(4):
                before = len(load.acknowledged)
                served.until(lambda before=before: len(load.acknowledged) > before + 30, "the load went on")
                workers = served.workers()
                os.kill(workers[0], signal.SIGKILL)  # the oldest: whoever has the turn goes, sooner or later
                served.until(
                    lambda old=workers: len(served.workers()) == 3 and old[0] not in served.workers(), "it was replaced"
                )
            size = len(load.acknowledged)
            served.until(lambda: published(served.url) >= size, "what was acknowledged was published")
        assert (site.state().epoch, site.state().holder != "") == (epoch, True), "the service never lost its lease"
        shown = httpx.get(served.metrics_url).text
        assert "tahini_worker_ends_total 4.0" in shown
        assert served.end() == 0
    assert site.state().holder == ""
    assert site.check(load.acknowledged) >= len(load.acknowledged)
    assert len(load.refused) <= 4 * load.clients + 40, load.refused[:5]


def test_sigterm_under_load_loses_nothing_and_lets_go_of_the_log(any_service):
    site, workers = any_service
    with site.serve("--workers", workers) as served:
        served.ready()
        with Load(site, served.url) as load:
            served.until(lambda: len(load.acknowledged) > 60, "the load had begun")
            assert served.end() == 0, served.written.read_text(encoding="utf-8")
            answered = len(load.acknowledged)
        assert len(load.acknowledged) == answered, "nobody answers any more"
    assert site.state().holder == "", "whoever writes next need not wait"
    assert not [said for said in load.refused if not said.startswith("503 registry-unavailable")], load.refused
    site.check(load.acknowledged)
    assert not [line for line in served.lines() if line["level"] in {"error", "critical"}]


def test_whoever_tells_every_process_to_end_at_once_loses_nothing(site):
    """As a service manager does that signals a whole control group."""
    with site.serve("--workers", 2) as served:
        served.ready().begun(2)
        [server] = served.forking()
        with Load(site, served.url) as load:
            served.until(lambda: len(load.acknowledged) > 20, "the load had begun")
            for pid in [server, *served.children()]:
                os.kill(pid, signal.SIGTERM)
            assert served.end() == 0, served.written.read_text(encoding="utf-8")
    assert site.state().holder == ""
    site.check(load.acknowledged)
    assert not [line for line in served.lines() if line["level"] in {"error", "critical"}]


def test_what_is_forked_is_what_the_parent_runs_wherever_it_was_started(site, tmp_path):
    """A folder of the same name, where the operator happens to be, is not the product."""
    trap = tmp_path / "there" / "consent"
    trap.mkdir(parents=True)
    (trap / "__init__.py").write_text("raise SystemExit('another product')\n", encoding="utf-8")
    with site.serve("--workers", 2, where=trap.parent) as served:
        served.ready().begun(2)
        assert len(served.forking()) == 1 and served.end() == 0
    assert not [line for line in served.lines() if line["level"] in {"error", "critical"}]


def test_a_server_of_forks_that_is_killed_takes_its_workers_along_and_others_come(site):
    with site.serve("--workers", 2) as served:
        served.ready().begun(2)
        [server], old = served.forking(), served.children()
        os.kill(server, signal.SIGKILL)
        served.until(lambda: served.writer() not in {0, *old}, "another writer came")
        served.until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in old), "the old ones ended")  # noqa: PTH110
        with Load(site, served.url, 2) as load:
            served.until(lambda: len(load.acknowledged) > 5, "the service wrote")
        assert served.end() == 0
    site.check(load.acknowledged)


@slow
def test_orphans_end_and_a_standby_takes_over(site):
    with ExitStack() as stack:
        served = stack.enter_context(site.serve("--workers", 2)).ready()  # whoever is first holds the log
        standby = stack.enter_context(site.serve("--workers", 2, room="log"))
        standby.until(lambda: standby.answers("/readyz") == 503, "the standby answered")
        assert httpx.get(f"{standby.url}/readyz").json()["detail"] == "lease"
        with Load(site, served.url, 2) as load:
            served.until(lambda: len(load.acknowledged) > 20, "the load had begun")
            orphans = served.workers()
            served.process.kill()
            served.process.wait()
            standby.until(lambda: standby.answers("/readyz") == 200, f"it took over: {site.state()}")
        with Load(site, standby.url, 2, first=10**6) as after:
            standby.until(lambda: len(after.acknowledged) > 20, "the standby wrote")
        served.until(lambda: served.answers("/healthz") == 0, "nobody listened any more")
        served.until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in orphans), "the orphans ended")  # noqa: PTH110
        assert standby.end() == 0
    site.check({**load.acknowledged, **after.acknowledged})


@slow
def test_a_worker_that_hangs_is_killed_and_replaced(site):
    with site.serve("--workers", 2) as served:
        served.ready().begun(2)
        hung = served.workers()
        os.kill(hung[0], signal.SIGSTOP)
        served.until(lambda: hung[0] not in served.workers(), "the parent noticed")
        served.until(lambda: len(served.workers()) == 2, "it was replaced")
        with Load(site, served.url, 2) as load:
            served.until(lambda: len(load.acknowledged) > 5, "the service wrote")
        served.until(lambda: published(served.url) >= 5, "somebody signed")
        assert served.end() == 0


def refusal(site: Site, *options: object, **variables: str) -> str:
    """What a service that does not start says."""
    command = [sys.executable, "-m", "tahini", "registry", "serve", "--home", site.registry, *options]
    done = subprocess.run([str(part) for part in command], check=False, capture_output=True, env=os.environ | variables)
    said = done.stderr.decode()
    assert done.returncode == 1, said
    assert "Traceback" not in said
    return said


def test_several_workers_are_refused_on_sqlite(tmp_path):
    said = refusal(Site.founded(tmp_path / "site", None), "--workers", 2)
    [line] = [line for line in said.splitlines() if line.startswith("tahini: ")]
    assert "PostgreSQL" in line


def test_a_folder_whose_path_is_too_long_for_sockets_is_one_sentence(site, tmp_path):
    deep = tmp_path / ("数" * 20)
    deep.mkdir()
    assert "tahini: processes of a service talk through sockets" in refusal(
        site, "--workers", 2, "--port", free_port(), TMPDIR=str(deep)
    )


@slow
def test_a_port_that_is_taken_is_one_sentence(any_service):
    site, workers = any_service
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"tahini: cannot listen at 127.0.0.1:{port}" in refusal(site, "--port", port, "--workers", workers)
        metrics = refusal(site, "--port", free_port(), "--metrics-port", port)
        assert "tahini: cannot serve metrics at" in metrics


# --- one caller, several workers


@contextmanager
def one_line_to_each(served: Served) -> Iterator[list[httpx.Client]]:
    """A connection to each of two workers, made while the other one stands still. It stays with its worker."""
    limits = httpx.Limits(max_connections=1, keepalive_expiry=60)
    with ExitStack() as stack:
        lines = []
        for other in reversed(served.workers()):
            line = stack.enter_context(httpx.Client(base_url=served.url, limits=limits, timeout=300))
            os.kill(other, signal.SIGSTOP)
            try:
                line.get("/v1/consortium").raise_for_status()
            finally:
                os.kill(other, signal.SIGCONT)
            lines.append(line)
        yield lines


BODY = json.dumps({"entries": [{"type": "use.read", "to": ["auditor"], "counts": {"rows": 1}}]}).encode()


def post(line: httpx.Client, authorization: str) -> httpx.Response:
    headers = {"Authorization": authorization, "Content-Type": "application/json"}
    return line.post("/v1/log/entries", content=BODY, headers=headers)


def signed(site: Site) -> str:
    key = load_signing_key(site.home / "aspen" / "aspen.key")
    return "Bearer " + sign_request(key, "aspen", "registry", "POST", "/v1/log/entries", BODY)


@slow
def test_a_signed_request_acts_once_across_workers_and_outlives_their_replacement(site):
    with site.serve("--workers", 2) as served:
        served.ready().begun(2)
        token, many = signed(site), signed(site)
        with one_line_to_each(served) as [first, second]:
            assert post(first, token).status_code == 201
            for line in (second, first, second):
                again = post(line, token)
                assert (again.status_code, "acts once" in again.json()["detail"]) == (401, True), again.text

        def on_a_line_of_its_own(_: int) -> int:
            with httpx.Client(base_url=served.url, timeout=300) as line:
                return post(line, many).status_code

        with ThreadPoolExecutor(24) as crowd:
            answers = sorted(crowd.map(on_a_line_of_its_own, range(24)))
        assert answers == [201] + [401] * 23
        waiting, old = signed(site), served.workers()
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        served.until(lambda: len(served.workers()) == 2 and not set(old) & set(served.workers()), "both were replaced")
        served.ready()
        with httpx.Client(base_url=served.url, timeout=300) as line:
            assert post(line, waiting).status_code == 201, "it was made after the service began"
            for replayed in (waiting, many, token):
                assert post(line, replayed).status_code == 401
            assert line.get("/healthz").json()["entries"] == 3
        assert served.end() == 0


@slow
def test_a_session_is_its_workers_own_and_the_client_signs_elsewhere(site):
    with site.serve("--workers", 2) as served:
        served.ready().begun(2)
        with one_line_to_each(served) as [first, second], closing(site.client(served.url)) as known:
            here = LenderClient(served.url, known.consortium, "aspen", known._key, http=first)
            session = here.begin_session()
            header = session.authorization("POST", "/v1/log/entries", BODY)
            assert post(first, header).status_code == 201
            for refused in (header, session.authorization("POST", "/v1/log/entries", BODY)):
                answer = post(second, refused)
                assert (answer.status_code, answer.json()["title"]) == (401, "not authenticated")
                assert "sign the request, or begin a new one" in answer.json()["detail"]
            assert post(first, header).status_code == 401, "nor twice where it is known"
            elsewhere = LenderClient(served.url, known.consortium, "aspen", known._key, http=second)
            elsewhere._session = session
            [index] = elsewhere.append([{"type": "use.read", "to": ["auditor"], "counts": {"rows": 2}}])
            assert (index, elsewhere._session) == (1, None), "it signed instead, and goes on so"
            here.append([{"type": "use.read", "to": ["auditor"], "counts": {"rows": 3}}])
            assert here._session is session, "where it was begun it goes on"
        assert served.end() == 0
