"""Two writers, started by mistake on one log: whoever was deposed writes, signs and publishes nothing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from support.faults import another, append, before_transaction, end_lease, numbers
from support.histories import check_whole, one_sentence, published
from support.logs import ORIGIN, Logbook
from support.wire import within

from auditlog.sequencer import Sequencer
from auditlog.tables import LogCheckpointRow
from clients.witness import LenderWitness as WitnessService
from clients.witness import create_witness, witness_app
from crypto.keys import SigningKey
from crypto.notes import Verifier
from crypto.policies import Log, Policy, Witness, witnessed_by
from protocol.errors import LogHeld


@dataclass
class TwoWriters:
    first: Logbook
    second: Logbook

    def depose(self, *entries: int) -> None:
        """The first one's lease runs out, and the second one writes."""
        run_out(self.second)
        append(self.second, *entries)


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
        writers.depose(2)
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
    with before_transaction(writers.first.database, 1, lambda: writers.depose(1)), pytest.raises(LogHeld):
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
    with within(witness_app({"one": service}), "witness.test"):
        yield Witnessed(writers, service, meanwhile)
    for writer in (writers.first, writers.second):
        writer.sequencer.witnesses.close()


def test_who_was_deposed_does_not_even_ask_the_witness(witnessed):
    writers = witnessed.writers
    append(writers.first, 0, 1)
    writers.first.sequencer.integrate()
    writers.depose(2)
    with pytest.raises(LogHeld):
        writers.first.sequencer.publish()
    assert witnessed.witness.latest(ORIGIN) is None
    assert published(writers.first) == []
    check_whole(writers.second, [0, 1, 2])


def test_who_is_deposed_while_the_witness_answers_publishes_nothing(witnessed):
    writers = witnessed.writers
    append(writers.first, 0, 1)
    writers.first.sequencer.integrate()
    witnessed.meanwhile.append(lambda: writers.depose(2))
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
