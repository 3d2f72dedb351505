"""One command for many callers: each course is written as if it were alone, and what several ask
next is asked once.

A course is a generator that yields a :class:`StepQuestion` wherever it needs something from
without: the log, a source, the database. Courses of a group go on side by side, one step each;
where they ask the same thing, one answer is fetched for all of them. What one course runs into is
told to it alone. One whose answer is still to come leaves its group, which does not wait for it,
and goes on with whoever else has got theirs by then; each is answered as soon as it has ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from desk.grouping import Together
from protocol.errors import StorageFailed

MOST_UNDER_WAY = 1536
"""Courses at a time; more are refused at once rather than kept in memory."""
Found = TypeVar("Found")


@dataclass(frozen=True)
class StepQuestion:
    """``ask`` answers all that is asked of it at one step, in order: each answer, or the error that
    its course alone is told, or a ``Future`` of either, for which only its own course waits. What
    it raises, all of them are told."""

    ask: Callable[[Sequence[Any]], Sequence[Any]]
    about: Any


Course = Generator[StepQuestion, Any, Found]
_Ask = Callable[[Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True, eq=False)
class _Step(Generic[Found]):
    """A course that can go on: with what it is told, and who hears what it came to."""

    course: Course[Found]
    found: Future[Found]
    told: Any = None

    def with_told(self, answer: Any) -> _Step[Found]:
        """The same one, with its answer; of one that was still to come, with what came."""
        told = _came_to(answer) if isinstance(answer, Future) else answer
        return _Step(self.course, self.found, told)


class SideBySide(Generic[Found]):
    """Threads that go on with whatever courses can. Until they are started, each caller goes on
    with its own.

    Args:
        name: of the threads. threads: groups at a time that begin, and as many that go on after
            they waited, so that nobody who was told waits for whoever begins.
    """

    def __init__(self, name: str, threads: int = 1) -> None:
        self._beginning = Together(self._begin, name, threads, most_waiting=0)
        self._going_on = Together(self._go_on, f"{name}-on", threads, most_waiting=0)
        self._room = threading.Semaphore(MOST_UNDER_WAY)

    def start(self) -> None:
        self._going_on.start()
        self._beginning.start()

    def stop(self) -> None:
        """End after what waits already; a course whose answer is still to come is gone on with by
        whoever gives it."""
        self._beginning.stop()
        self._going_on.stop()

    @property
    def ended(self) -> bool:
        """One of its threads is gone, though nobody stopped it."""
        return self._beginning.ended or self._going_on.ended

    def submit(self, course: Course[Found]) -> Future[Found]:
        """What the course will have come to. Raises StorageFailed where too many are under way."""
        if not self._room.acquire(blocking=False):
            raise StorageFailed("the desk is busy; nothing was recorded, try again in a second")
        found: Future[Found] = Future()
        found.add_done_callback(lambda _: self._room.release())
        self._beginning.submit(_Step(course, found))
        return found

    def _begin(self, steps: Sequence[_Step[Found]]) -> list[None]:
        """Of those who still want to hear of it."""
        self._go_on([one for one in steps if one.found.set_running_or_notify_cancel()])
        return [None] * len(steps)

    def _go_on(self, steps: Sequence[_Step[Found]]) -> list[None]:
        _advance(steps, self._going_on.submit)
        return [None] * len(steps)


def side_by_side(courses: Iterable[Course[Found]]) -> list[Found | Exception]:
    """What each came to, or what it raised; waits for all of them."""
    ready: SimpleQueue[_Step[Found]] = SimpleQueue()
    steps: list[_Step[Found]] = [_Step(course, Future()) for course in courses]
    _advance(steps, ready.put)
    while not all(one.found.done() for one in steps):
        going = [ready.get()]
        while not ready.empty():
            going.append(ready.get())
        _advance(going, ready.put)
    return [_came_to(one.found) for one in steps]


def alone(course: Course[Found]) -> Found:
    """What one course comes to; raises what it does."""
    (found,) = side_by_side([course])
    if isinstance(found, Exception):
        raise found
    return found


def _came_to(found: Future[Any]) -> Any:
    error = found.exception()
    return error if isinstance(error, Exception) else found.result()


def _advance(steps: Sequence[_Step[Found]], later: Callable[[_Step[Found]], object]) -> None:
    """Go on with these until each has ended or waits; ``later`` takes those that waited, each when
    it can go on, in whichever thread answers it."""
    while steps:
        asked: dict[_Ask, list[tuple[_Step[Found], Any]]] = {}
        for step in steps:
            question = _question(step)
            if question is not None:
                asked.setdefault(question.ask, []).append((step, question.about))
        steps = []
        for ask, those in asked.items():
            answers = _told(ask, [about for _, about in those])
            for (step, _), answer in zip(those, answers, strict=True):
                if isinstance(answer, Future) and not answer.done():
                    answer.add_done_callback(partial(_resume, step, later))
                else:
                    steps.append(step.with_told(answer))


def _resume(step: _Step[Found], later: Callable[[_Step[Found]], object], told: Future[Any]) -> None:
    later(step.with_told(told))


def _question(step: _Step[Found]) -> StepQuestion | None:
    """What a course asks next; None where it has ended, and its caller has heard."""
    try:
        failed = isinstance(step.told, Exception)
        return step.course.throw(step.told) if failed else step.course.send(step.told)
    except StopIteration as end:
        step.found.set_result(end.value)
    except Exception as error:
        step.found.set_exception(error)
    return None


def _told(ask: _Ask, about: Sequence[Any]) -> Sequence[Any]:
    try:
        answers = ask(about)
        if len(answers) != len(about):
            raise ValueError(f"{len(about)} asked, and {len(answers)} answers came")
    except Exception as error:
        return [error] * len(about)
    return answers
