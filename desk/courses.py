"""One command for many callers: each course is written as if it were alone, and what several ask
next is asked once.

A course is a generator that yields a :class:`StepQuestion` wherever it needs something from
without: the log, a source, the database. All courses go on side by side, one step each; where they
ask the same thing, one answer is fetched for all of them. What one course runs into is told to it
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

Found = TypeVar("Found")


@dataclass(frozen=True)
class StepQuestion:
    """``ask`` answers all that is asked of it at one step, in order: each answer, or the error that
    its course alone is told. What it raises, all of them are told."""

    ask: Callable[[Sequence[Any]], Sequence[Any]]
    about: Any


Course = Generator[StepQuestion, Any, Found]


def side_by_side(courses: Sequence[Course[Found]]) -> list[Found | Exception]:
    """What each came to, or what it raised."""
    found: dict[int, Found | Exception] = {}
    answers: dict[int, Any] = dict.fromkeys(range(len(courses)))
    while answers:
        asked: dict[Callable[[Sequence[Any]], Sequence[Any]], dict[int, Any]] = {}
        for place, answer in answers.items():
            course = courses[place]
            try:
                failed = isinstance(answer, Exception)
                question = course.throw(answer) if failed else course.send(answer)
            except StopIteration as end:
                found[place] = end.value
            except Exception as error:
                found[place] = error
            else:
                asked.setdefault(question.ask, {})[place] = question.about
        answers = {}
        for ask, about in asked.items():
            answers |= zip(about, _told(ask, list(about.values())), strict=True)
    return [found[place] for place in range(len(courses))]


def alone(course: Course[Found]) -> Found:
    """What one course comes to; raises what it does."""
    (found,) = side_by_side([course])
    if isinstance(found, Exception):
        raise found
    return found


def _told(ask: Callable[[Sequence[Any]], Sequence[Any]], about: Sequence[Any]) -> Sequence[Any]:
    try:
        return ask(about)
    except Exception as error:
        return [error] * len(about)
