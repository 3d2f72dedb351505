"""Questions that arrive while others are being answered share the next answer: a busy service asks
its database once for many callers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool

Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")


class Gathered(Generic[Question, Answer]):
    """One round of questions at a time, in a thread of the pool. For one event loop.

    Args:
        answer: answers different questions together; called in a thread. What it raises, whatever
            it is, each of them is told.
    """

    def __init__(self, answer: Callable[[Sequence[Question]], Mapping[Question, Answer]]) -> None:
        self._answer = answer
        self._waiting: dict[Question, list[asyncio.Future[Answer]]] = {}
        self._rounds: asyncio.Task[None] | None = None

    def __contains__(self, question: Question) -> bool:
        """Whether somebody waits for the next round with this question."""
        return question in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)

    async def ask(self, question: Question) -> Answer:
        """The answer, from a round that begins after this was asked."""
        told: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(question, []).append(told)
        if self._rounds is None or self._rounds.done():
            self._rounds = asyncio.create_task(self._run())
        return await told

    async def _run(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting, {}
            try:
                found = await run_in_threadpool(self._answer, list(asked))
                answers = [(waiting, found[question]) for question, waiting in asked.items()]
            except Exception as error:
                for waiting in asked.values():
                    for told in _still_there(waiting):
                        told.set_exception(error)
                continue
            for waiting, answer in answers:
                for told in _still_there(waiting):
                    told.set_result(answer)


def _still_there(
    waiting: Sequence[asyncio.Future[Answer]],
) -> list[asyncio.Future[Answer]]:
    """Of callers who hung up nobody waits."""
    return [told for told in waiting if not told.done()]
