"""Applications that are decided side by side: what one waits for, or runs into, is none of the others' matter."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import func, select
from support.counter import Counter, apply_together, pseudonym
from support.waiting import until

from desk import accounts
from desk.commands.apply import Applying, DecidedApplication, LoanWanted
from desk.consents import ConsentsUnavailable
from desk.courses import SideBySide, StepQuestion
from desk.grouping import MOST_WAITING
from desk.own_tables import SqlSource
from desk.sources import About, Inquiry, Readable, Reading, Sources
from desk.storage import tables
from desk.storage.idempotency import ActsOnce
from law.categories import DataCategory
from protocol.errors import Conflict, Malformed, StorageFailed
from protocol.schema import now

ALLOWED = Readable({DataCategory.REPAYMENT})
BOOK = About("book", DataCategory.REPAYMENT, ("late",), 20.0)


def wants(**more: Any) -> LoanWanted:
    return LoanWanted(**{"pseudonym": pseudonym(), "product": "small", "amount": 500_000, "term_days": 30,
                         "purpose": "a fridge"} | more)  # fmt: skip


@pytest.fixture
def beside(either: Counter) -> Iterator[Beside]:
    found = Beside(either)
    found.threads.start()
    yield found
    found.threads.stop()


class Beside:
    """A desk that is applied at by many at once."""

    def __init__(self, desk: Counter) -> None:
        self.desk, self.applying = desk, Applying(desk.desk)
        self.threads = SideBySide[DecidedApplication]("test-applying", 1)

    def comes(self, wanted: LoanWanted, once: ActsOnce | None = None) -> Future[DecidedApplication]:
        return self.threads.submit(self.applying.course(wanted, once))

    def count(self, table: sa.Table) -> int:
        with self.desk.desk.reading() as hand:
            return int(hand.connection.scalar(select(func.count()).select_from(table)) or 0)


def slow_about(desk: Counter, *, who: str) -> threading.Event:
    """Its second source answers everybody but one, before whose answer somebody has to act; nobody is late."""
    answers = threading.Event()
    ask = desk.income.ask
    object.__setattr__(desk.income, "about", replace(desk.income.about, deadline_s=120.0))

    def asked(inquiry: Inquiry) -> Any:
        if inquiry.pseudonym == who:
            answers.wait(120)
        return ask(inquiry)

    desk.income.ask = asked  # type: ignore[method-assign]
    return answers


def test_only_who_waits_for_a_slow_source_waits(beside: Beside):
    """Its own group goes on, and so does everybody who comes later, however many it has."""
    slow = pseudonym()
    answers = slow_about(beside.desk, who=slow)
    waiting = [beside.comes(wants(pseudonym=slow)) for _ in range(5)]
    others = [beside.comes(wants()) for _ in range(5)]
    later = [beside.comes(wants()).result(60).made for _ in range(3)]
    assert all(one.result(60).made.decision.outcome == "approve" for one in others) and all(later)
    assert not any(one.done() for one in waiting)
    answers.set()
    assert {one.result(60).made.case.facts["income"].status for one in waiting} == {"present"}
    assert beside.count(tables.decisions) == 13


def test_one_whose_source_never_answers_is_late_at_its_deadline_and_not_before_the_others(beside: Beside):
    slow = pseudonym()
    answers = slow_about(beside.desk, who=slow)
    object.__setattr__(beside.desk.income, "about", replace(beside.desk.income.about, deadline_s=0.2))
    late = beside.comes(wants(pseudonym=slow)).result(60)
    answers.set()
    assert late.made is not None and late.made.case.facts["income"].status == "late"
    assert late.made.decision.outcome == "approve", "it costs neutral points"


def test_who_ends_early_hears_at_once(beside: Beside):
    """A retry, and whoever may not be read, wait for nobody's source."""
    key = ActsOnce("o", "k", "a" * 64)
    first = beside.comes(wants(), key).result(60)
    for_all = threading.Event()
    object.__setattr__(beside.desk.income, "about", replace(beside.desk.income.about, deadline_s=120.0))
    beside.desk.income.before = lambda: for_all.wait(120)  # type: ignore[assignment,return-value]
    waiting = beside.comes(wants())
    assert beside.comes(wants(), key).result(60).application == first.application and not waiting.done()
    with pytest.raises(Malformed):
        beside.comes(wants(), replace(key, request_sha256="b" * 64)).result(60)
    for_all.set()
    assert waiting.result(60).made is not None


def test_a_retry_that_comes_while_its_first_is_under_way_reads_nobody_again(beside: Beside):
    """A consent to one use would be used up by the second reading, and the retry be refused."""
    slow = pseudonym()
    answers = slow_about(beside.desk, who=slow)
    key, wanted = ActsOnce("o", "k", "a" * 64), wants(pseudonym=slow)
    requests = [beside.comes(wanted, key) for _ in range(4)]
    other = beside.comes(wanted, replace(key, request_sha256="b" * 64))
    beside.comes(wants()).result(60)
    answers.set()
    (application,) = {one.result(60).application for one in requests}
    assert [one.result().made is not None for one in requests].count(True) == 1
    assert isinstance(other.exception(60), Malformed)
    assert beside.desk.log.steps().count("use.read") == 2 and beside.count(tables.applications) == 2
    assert not beside.applying._under_way, "nothing is kept of what is over"
    # what failed lets the next one try
    beside.desk.log.away = True
    failed = beside.comes(wants(), ActsOnce("o", "away", "c" * 64)).exception(60)
    beside.desk.log.away = False
    assert failed is not None and beside.comes(wants(), ActsOnce("o", "away", "c" * 64)).result(60).made
    assert application


def test_who_gave_up_before_it_began_is_not_read_and_takes_nobody_along(beside: Beside):
    held, go_on = threading.Event(), threading.Event()

    def hold(about: Any) -> Any:
        held.set()
        go_on.wait(60)
        return about

    def holding() -> Any:
        yield StepQuestion(hold, None)

    blocking = beside.threads.submit(holding())
    held.wait(60)
    gave_up, stays = beside.comes(wants()), beside.comes(wants())
    assert gave_up.cancel()
    go_on.set()
    assert blocking.result(60) is None and stays.result(60).made is not None
    assert beside.comes(wants()).result(60).made is not None, "the thread lives on"
    assert beside.count(tables.applications) == 2


def test_more_than_may_be_under_way_are_refused_and_room_is_made_again(either: Counter, monkeypatch):
    monkeypatch.setattr("desk.courses.MOST_UNDER_WAY", 2)
    beside = Beside(either)
    beside.threads.start()
    slow = pseudonym()
    answers = slow_about(either, who=slow)
    waiting = [beside.comes(wants(pseudonym=slow)) for _ in range(2)]
    with pytest.raises(StorageFailed, match="busy"):
        beside.comes(wants())
    answers.set()
    assert all(one.result(60).made for one in waiting)
    assert beside.comes(wants()).result(60).made
    beside.threads.stop()


# --- bad data


def told(source: Any, *names: str) -> list[tuple[str, Any]]:
    sources = Sources([source])
    try:
        asked = [(Inquiry(f"{at}", name, now()), ALLOWED) for at, name in enumerate(names)]
        found = [one.result(60) if isinstance(one, Future) else one for one in sources.gather_together(asked)]
        return [(one["late"].status, one["late"].value) for one in found]
    finally:
        sources.close()


def test_a_row_that_nobody_can_read_is_one_persons(tmp_path):
    engine = sa.create_engine(url := f"sqlite:///{tmp_path / 'own.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE people (name TEXT, late INTEGER, day TEXT)")
        connection.exec_driver_sql("INSERT INTO people VALUES ('a', 1, '2026-01-01'), ('b', 2, 'the first')")
    book = SqlSource(BOOK, sa.make_url(url), "people", "name", {"late": "late"}, "day")
    assert told(book, "a", "b", "c") == [told(book, name)[0] for name in ("a", "b", "c")]
    assert told(book, "a", "b") == [("present", 1), ("late", None)]


class View:
    """Answers about several at once; it divides by what is nothing for one of them."""

    about = BOOK

    def ask(self, inquiry: Inquiry) -> dict[str, Reading]:
        if inquiry.pseudonym == "b":
            raise ZeroDivisionError
        return {"late": Reading(1)}

    def ask_together(self, inquiries: list[Inquiry]) -> dict[str, dict[str, Reading]]:
        return {one.application: self.ask(one) for one in inquiries}


def test_a_question_that_fails_for_one_is_asked_of_each():
    assert told(View(), "a", "b", "c") == [("present", 1), ("late", None), ("present", 1)]


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**53 + 1, -(2**70), "\ud800", "x" * 5_000, None, object()]
)
def test_what_no_record_can_say_exactly_is_an_answer_of_no_form(desk: Counter, value):
    desk.book.ask = lambda _: {"late": Reading(value)}  # type: ignore
    said = desk.asks()
    assert said.status_code == 201 and said.json()["status"] == "in-review", said.text


@pytest.mark.parametrize("answer", [None, 3, ["late"], {"late": None}, {"late": 3}])
def test_an_adapter_that_answers_in_another_form_is_late_and_stops_nobody(desk: Counter, answer):
    ask, odd = desk.book.ask, pseudonym()
    desk.book.ask = lambda one: answer if one.pseudonym == odd else ask(one)  # type: ignore
    first, second = apply_together(desk.desk, [(wants(pseudonym=odd), None), (wants(), None)])
    assert first.made.case.facts["late"].status in {"late", "absent"}
    assert second.made.decision.outcome == "approve"


def test_whose_account_cannot_be_read_is_refused_alone(desk: Counter, monkeypatch):
    broken, read = pseudonym(), accounts.account_of
    desk.lent(pseudonym=broken)

    def unreadable(connection, loan, day):
        if loan.pseudonym == broken:
            raise KeyError("dues")
        return read(connection, loan, day)

    monkeypatch.setattr(accounts, "account_of", unreadable)
    first, second = apply_together(desk.desk, [(wants(pseudonym=broken), None), (wants(), None)])
    assert isinstance(first, KeyError) and second.made.decision.outcome == "approve"


def test_what_no_statement_can_say_of_one_is_not_said_of_the_others(desk: Counter):
    first, second = apply_together(desk.desk, [(wants(pseudonym="no name"), None), (wants(), None)])
    assert isinstance(first, Exception) and second.made.decision.outcome == "approve"
    assert desk.log.steps().count("use.read") == 1


# --- what all of them need


def test_a_registry_that_does_not_answer_is_waited_for_once(desk: Counter):
    asked: list[int] = []

    def away(people, categories):
        asked.append(len(people))
        return [ConsentsUnavailable("it does not answer")] * len(people)

    desk.consents.check_together = away  # type: ignore[method-assign]
    found = apply_together(desk.desk, [(wants(), None) for _ in range(50)])
    assert all(isinstance(one, ConsentsUnavailable) for one in found) and asked == [50]


# --- the database


def test_one_that_is_refused_as_it_is_recorded_lets_the_others_be_recorded_at_once(either: Counter, monkeypatch):
    """Each transaction waits for the disk: a group that is written one by one waits as often as it has members."""
    either.asks()  # what is decided by is kept
    monkeypatch.setattr("desk.gathering.MOMENT_S", 60)
    monkeypatch.setattr(either.desk, "sources", Sources([View()]))
    either.rules.explored = 500_001
    commits: list[int] = []
    commit = either.desk.transactions._writer.do
    either.desk.transactions._writer.do = lambda jobs: commits.append(len(jobs)) or commit(jobs)
    together = [(wants(), None) for _ in range(8)]
    held, go_on = threading.Event(), threading.Event()
    blocking = either.desk.transactions._writer.submit(lambda _: held.set() or go_on.wait(60))
    held.wait(60)
    commits.clear()
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(apply_together, either.desk, together)
        until(lambda: either.desk.transactions._writer._waiting.qsize() == 8, "all of them wait to be written")
        go_on.set()
        found = asked.result(60)
    blocking.result(60)
    assert [isinstance(one, Conflict) for one in found] == [False] + [True] * 7
    assert commits == [8]


def test_who_is_told_that_nothing_was_recorded_has_nothing_recorded(either: Counter):
    """The commit is durable, and its answer is lost."""
    writer = either.desk.transactions._writer
    commit, lost = writer.do, []

    def losing(jobs):
        found = commit(jobs)
        if either.log.entries and not lost:
            lost.append(len(jobs))
            raise StorageFailed("the desk's database does not answer; nothing was recorded")
        return found

    either.asks()  # what is decided by is kept
    writer.do = losing
    found = apply_together(either.desk, [(wants(), None)])
    assert lost and isinstance(found[0], DecidedApplication) and found[0].made is not None
    lost.clear()
    found = apply_together(either.desk, [(wants(), None), (wants(), None), (wants(), None)])
    assert lost and all(isinstance(one, DecidedApplication) for one in found)
    with either.desk.reading() as hand:
        assert hand.connection.scalar(select(func.count()).select_from(tables.applications)) == 5


def test_too_many_that_wait_to_be_written_are_refused_and_those_before_are_told(either: Counter, monkeypatch):
    writer = either.desk.transactions._writer
    submit, come = writer.submit, iter(range(MOST_WAITING))

    def full(job):
        if next(come) == 1:
            raise StorageFailed("the desk is busy")
        return submit(job)

    either.asks()
    monkeypatch.setattr(writer, "submit", full)
    first, second, third = apply_together(either.desk, [(wants(), None), (wants(), None), (wants(), None)])
    assert isinstance(second, StorageFailed)
    assert first.made is not None and third.made is not None
