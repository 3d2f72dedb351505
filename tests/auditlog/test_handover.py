"""Jobs handed over to another process: refusals stay what they are, nothing is done twice, nobody waits for ever."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from support.histories import one_sentence
from support.waiting import PATIENCE_S

from auditlog.group_commit import MAX_WAITING, GroupCommit
from auditlog.handover import MAX_FRAME_BYTES, HandedOver, Intake, Schema, _address, _connected
from auditlog.refusals import Refusal, refused
from crypto.errors import ProofError, SignatureError
from protocol import errors
from protocol.errors import Conflict, ConsentError, LogHeld, Malformed, NotAuthenticated, NotFound, StorageFailed

SCHEMA = Schema[str, str](TypeAdapter(str), TypeAdapter(str))


@dataclass
class Place:
    """Where jobs are committed; each is answered with where and what, refused if it says so."""

    name: str
    groups: list[list[str]] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.go.set()

    @property
    def done(self) -> list[str]:
        return [job for group in self.groups for job in group]

    def commit(self, jobs: Sequence[str]) -> list[str | Exception]:
        self.begun.set()
        assert self.go.wait(PATIENCE_S)
        self.groups.append(list(jobs))
        return [Conflict("not now").at("tokens", 2) if job == "refused" else f"{self.name} {job}" for job in jobs]

    def group(self) -> GroupCommit[str, str]:
        return GroupCommit(self.commit, self.name)


@dataclass
class Writer:
    """The process that commits; its end can be as orderly or as sudden as that of a process."""

    place: Place
    intake: Intake[str, str]
    group: GroupCommit[str, str]

    @classmethod
    async def at(cls, path: Path, place: Place | None = None) -> Writer:
        place = place or Place("there")
        group = place.group()
        group.start()
        intake = Intake(group, SCHEMA, path)
        await intake.open()
        return cls(place, intake, group)

    def die(self) -> None:
        """As the kernel ends a process: its connections are closed, and nobody listens."""
        self.intake._server.close()
        for line in self.intake._lines.copy():
            line.abort()

    async def end(self) -> None:
        self.place.go.set()
        await self.intake.close()
        await asyncio.to_thread(self.group.stop)


@asynccontextmanager
async def worker(path: Path) -> AsyncIterator[tuple[HandedOver[str, str], Place]]:
    here = Place("here")
    handed = HandedOver(here.group(), SCHEMA, path)
    handed.start()
    try:
        yield handed, here
    finally:
        here.go.set()
        await asyncio.to_thread(handed.stop)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.001)


async def connected(*workers: HandedOver[str, str]) -> None:
    await until(lambda: all(one._line is not None and one._line.open for one in workers))


def submit(group: HandedOver[str, str], *jobs: str) -> list[asyncio.Task[str]]:
    return [asyncio.create_task(group.submit(job)) for job in jobs]


async def answers(tasks: Sequence[asyncio.Task[str]]) -> list[object]:
    async with asyncio.timeout(PATIENCE_S):
        return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def path(tmp_path) -> Path:
    deep = tmp_path / ("deep" * 30)  # a socket's address has 108 bytes
    deep.mkdir()
    return deep / "jobs.sock"


# --- what crosses


def test_jobs_of_all_workers_are_one_group(path):
    async def run() -> None:
        writer = await Writer.at(path)
        async with worker(path) as (one, one_here), worker(path) as (other, other_here):
            await connected(one, other)
            writer.place.go.clear()
            first = submit(one, "first")
            await asyncio.to_thread(writer.place.begun.wait, PATIENCE_S)
            rest = submit(one, "a", "b") + submit(other, "c", "d")
            await until(lambda: writer.group._queue.qsize() == 4)
            writer.place.go.set()
            assert await answers(first + rest) == [f"there {job}" for job in ("first", "a", "b", "c", "d")]
            assert sorted(map(sorted, writer.place.groups)) == [["a", "b", "c", "d"], ["first"]]
            assert one_here.done == other_here.done == []
            await writer.end()

    asyncio.run(run())


def test_a_refusal_is_its_caller_s_alone_and_stays_what_it_was(path):
    async def run() -> None:
        writer = await Writer.at(path)
        async with worker(path) as (handed, _):
            await connected(handed)
            well, refused = await answers(submit(handed, "well", "refused"))
            assert well == "there well"
            assert (type(refused), str(refused), refused.place) == (Conflict, "not now", ("tokens", 2))
            await writer.end()

    asyncio.run(run())


KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ConsentError)]


@pytest.mark.parametrize("kind", [*KINDS, SignatureError, ProofError])
def test_every_refusal_crosses_as_what_it_is(kind):
    error = kind("one sentence")
    back = Refusal.model_validate_json(Refusal.of(error).model_dump_json()).error()
    assert (type(back), str(back)) == (kind, "one sentence")
    for name in ("status", "code", "place"):
        assert getattr(back, name, None) == getattr(error, name, None)


def test_a_refusal_of_a_room_above_keeps_its_status_and_its_code():
    class Rare(NotAuthenticated):
        status, code = 418, "rare"

    back = Refusal.model_validate_json(Refusal.of(Rare("why")).model_dump_json()).error()
    assert (type(back), back.status, back.code) == (NotAuthenticated, 418, "rare")


def test_the_database_s_own_words_do_not_cross():
    try:
        raise StorageFailed("postgresql://secret@10.0.0.1") from OSError("10.0.0.1")
    except StorageFailed as error:
        crossing = Refusal.of(error).model_dump_json()
    assert "10.0.0.1" not in crossing
    assert Refusal.model_validate_json(crossing).error().status == 503


# --- nothing is done twice, nobody waits for ever


def test_what_was_sent_to_a_writer_that_died_is_not_done_by_another(path):
    async def run() -> None:
        writer = await Writer.at(path)
        async with worker(path) as (handed, here):
            await connected(handed)
            writer.place.go.clear()
            tasks = submit(handed, "a", "b", "c")
            await asyncio.to_thread(writer.place.begun.wait, PATIENCE_S)
            writer.die()
            for refused in await answers(tasks):
                assert isinstance(refused, StorageFailed)
                one_sentence(refused, "not known", "ask again")
            assert here.done == []
            assert await answers(submit(handed, "later")) == ["here later"]
            writer.place.go.set()
            await asyncio.to_thread(writer.group.stop)
            successor = await Writer.at(path)
            await connected(handed)
            assert await answers(submit(handed, "last")) == ["there last"]
            assert (here.done, successor.place.done) == (["later"], ["last"])
            await successor.end()

    asyncio.run(run())


def test_without_a_writer_a_worker_commits_by_itself(path):
    async def run() -> None:
        async with worker(path) as (handed, here):
            assert await answers(submit(handed, "a", "b")) == ["here a", "here b"]
            assert here.done == ["a", "b"]

    asyncio.run(run())


def test_a_writer_that_ends_answers_what_it_took_and_no_job_is_refused(path):
    async def run() -> None:
        writer = await Writer.at(path)
        async with worker(path) as (handed, here):
            await connected(handed)
            writer.place.go.clear()
            tasks = submit(handed, "a", "b")
            await asyncio.to_thread(writer.place.begun.wait, PATIENCE_S)
            ending = asyncio.create_task(writer.intake.close())
            await until(lambda: not handed._line.open)
            assert await answers(submit(handed, "c")) == ["here c"]
            assert not ending.done(), "it waits for those whom it owes an answer"
            writer.place.go.set()
            assert await answers(tasks) == ["there a", "there b"]
            async with asyncio.timeout(PATIENCE_S):
                await ending
            assert here.done == ["c"]
            assert not path.exists()
            await asyncio.to_thread(writer.group.stop)

    asyncio.run(run())


def test_a_caller_that_hangs_up_takes_nobody_with_it(path):
    async def run() -> None:
        writer = await Writer.at(path)
        async with worker(path) as (handed, _):
            await connected(handed)
            writer.place.go.clear()
            gone, stays = submit(handed, "gone", "stays")
            await asyncio.to_thread(writer.place.begun.wait, PATIENCE_S)
            gone.cancel()
            writer.place.go.set()
            told = await answers([gone, stays])
            assert isinstance(told[0], asyncio.CancelledError)
            assert told[1] == "there stays"
            assert handed._line.waiting == {}
            await writer.end()

    asyncio.run(run())


def test_too_many_are_refused_at_once_by_the_worker_and_by_the_writer(path):
    async def run() -> None:
        writer = await Writer.at(path)
        async with worker(path) as (one, here), worker(path) as (other, _):
            await connected(one, other)
            writer.place.go.clear()
            tasks = submit(one, "first")
            await asyncio.to_thread(writer.place.begun.wait, PATIENCE_S)
            tasks += submit(one, *map(str, range(1, MAX_WAITING)))
            await until(lambda: len(one._line.waiting) == MAX_WAITING)
            [late] = await answers(submit(one, "late"))
            one_sentence(late, "busy", "nothing was recorded")
            more = submit(other, *map(str, range(MAX_WAITING, 2 * MAX_WAITING)))
            await until(lambda: any(task.done() for task in more))
            writer.place.go.set()
            done = [told for told in await answers(tasks + more) if isinstance(told, str)]
            refused = [told for told in await answers(more) if not isinstance(told, str)]
            assert refused
            assert {type(told) for told in refused} == {StorageFailed}
            assert sorted(done) == sorted(f"there {job}" for job in writer.place.done), "what was refused is not done"
            assert here.done == []
            await writer.end()

    asyncio.run(run())


# --- frames


def test_a_job_that_is_too_large_is_refused_before_it_is_sent(path, monkeypatch):
    monkeypatch.setattr("auditlog.handover.MAX_FRAME_BYTES", 1000)

    async def run() -> None:
        writer = await Writer.at(path)
        async with worker(path) as (handed, here):
            await connected(handed)
            [refused, well] = await answers(submit(handed, "x" * 1000, "x" * 900))
            assert isinstance(refused, Malformed)
            assert well == "there " + "x" * 900
            assert here.done == []
            await writer.end()

    asyncio.run(run())


def test_who_announces_too_much_is_cut_off_and_nobody_else(path):
    async def run() -> None:
        writer = await Writer.at(path)
        async with worker(path) as (handed, _):
            await connected(handed)
            reader, line = await asyncio.open_unix_connection(sock=_connected(path))
            line.write(struct.pack(">III", MAX_FRAME_BYTES + 1, 1, 1))
            async with asyncio.timeout(PATIENCE_S):
                assert await reader.read() == b""
            line.close()
            assert await answers(submit(handed, "a")) == ["there a"]
            await writer.end()

    asyncio.run(run())


def test_what_is_no_job_is_refused_and_the_line_stays(path):
    async def run() -> None:
        writer = await Writer.at(path)
        reader, line = await asyncio.open_unix_connection(sock=_connected(path))
        for number, content in ((7, b"[]"), (8, b"{"), (9, b'"well"')):
            line.write(struct.pack(">III", len(content), number, 1) + content)
            async with asyncio.timeout(PATIENCE_S):
                length, answered, refused = struct.unpack(">III", await reader.readexactly(12))
                told = await reader.readexactly(length)
            assert (answered, refused) == (number, number != 9)
            if refused:
                assert Refusal.model_validate_json(told).error().status == 503
        assert writer.place.done == ["well"]
        line.close()
        await writer.end()

    asyncio.run(run())


def test_frames_that_come_in_pieces_are_whole_jobs(path):
    async def run() -> None:
        writer = await Writer.at(path)
        _, line = await asyncio.open_unix_connection(sock=_connected(path))
        sent = b"".join(struct.pack(">III", 3, number, 1) + f'"{number}"'.encode() for number in range(1, 6))
        for at in range(0, len(sent), 7):
            line.write(sent[at : at + 7])
            await asyncio.sleep(0.001)
        await until(lambda: len(writer.place.done) == 5)
        assert sorted(writer.place.done) == ["1", "2", "3", "4", "5"]
        line.close()
        await writer.end()

    asyncio.run(run())


def test_a_refusal_of_the_lease_reaches_the_caller(path):
    def held(_: Sequence[str]) -> list[str]:
        raise LogHeld("another process writes to this log")

    async def run() -> None:
        group = GroupCommit(held, "held")
        group.start()
        intake = Intake(group, SCHEMA, path)
        await intake.open()
        async with worker(path) as (handed, here):
            await connected(handed)
            refused = await answers(submit(handed, "a", "b"))
            assert [type(one) for one in refused] == [LogHeld] * 2
            assert here.done == []
            await intake.close()
            await asyncio.to_thread(group.stop)

    asyncio.run(run())


def test_a_refusal_that_no_utf8_can_hold_crosses_all_the_same():
    error = NotFound("no notice '\ud800'").at("tokens", "\ud800", 3)
    back = refused(Refusal.of(error).model_dump_json().encode())
    assert (type(back), back.status, str(back).isascii()) == (NotFound, 404, True)


def test_a_refusal_of_another_version_is_one():
    assert isinstance(refused(b'{"kind": "Rare", "new": 1}'), StorageFailed)


def test_a_caller_does_not_wait_for_ever_for_a_writer_that_says_nothing(path, monkeypatch):
    monkeypatch.setattr("auditlog.handover.ANSWER_S", 0.2)

    async def story():
        taken = []
        with _address(path) as address:
            silent = await asyncio.start_unix_server(lambda reader, writer: taken.append(writer), path=address)
        async with worker(path) as (group, _):
            await connected(group)
            [told] = await answers(submit(group, "one"))
            assert isinstance(told, StorageFailed)
            assert "not known" in str(told)
        silent.close()
        for writer in taken:
            writer.close()

    asyncio.run(story())
