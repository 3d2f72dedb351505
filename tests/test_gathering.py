"""Questions that come together are answered together, and each caller hears its own answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
from support.waiting import PATIENCE_S

from ops.gathering import Gathered


class Slow:
    """Answers a number with its double; each round waits until it is let go. ``rounds``: what was asked in each."""

    def __init__(self) -> None:
        self.rounds: list[list[int]] = []
        self.go = threading.Semaphore(0)

    def __call__(self, numbers: Sequence[int]) -> dict[int, int]:
        self.rounds.append(sorted(numbers))
        assert self.go.acquire(timeout=PATIENCE_S)
        if 13 in numbers:
            raise ValueError("thirteen")
        return {number: 2 * number for number in numbers if number != 404}


async def until_round(slow: Slow, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while len(slow.rounds) < count:
            await asyncio.sleep(0.001)


def asking(gathered: Gathered[int, int], *numbers: int) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(gathered.ask(number)) for number in numbers]


def test_what_is_asked_during_a_round_shares_the_next_and_is_never_answered_by_the_one_under_way():
    async def callers() -> None:
        slow = Slow()
        gathered = Gathered(slow)
        first = asking(gathered, 1)
        await until_round(slow, 1)
        assert 1 not in gathered, "whoever asks again now hears of a round that begins now"
        later = asking(gathered, 1, 2, 2, 3)
        await asyncio.sleep(0)
        assert len(gathered) == 3
        assert 2 in gathered
        slow.go.release(2)
        assert await asyncio.gather(*first, *later) == [2, 2, 4, 4, 6]
        assert slow.rounds == [[1], [1, 2, 3]]

    asyncio.run(callers())


def test_everybody_hears_of_a_round_that_failed_and_the_next_is_answered():
    async def callers() -> None:
        slow = Slow()
        gathered = Gathered(slow)
        slow.go.release(3)
        failed = await asyncio.gather(*asking(gathered, 12, 13, 13), return_exceptions=True)
        assert [type(one) for one in failed] == [ValueError] * 3
        lost = await asyncio.gather(*asking(gathered, 1, 404), return_exceptions=True)
        assert [type(one) for one in lost] == [KeyError] * 2, "an answer that is missing is nobody's silence"
        assert await gathered.ask(5) == 10

    asyncio.run(callers())


def test_a_caller_who_hangs_up_takes_no_other_along():
    async def callers() -> None:
        slow = Slow()
        gathered = Gathered(slow)
        gone, there, other = asking(gathered, 7, 7, 8)
        await until_round(slow, 1)
        gone.cancel()
        slow.go.release(1)
        assert await asyncio.gather(there, other) == [14, 16]
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(callers())
