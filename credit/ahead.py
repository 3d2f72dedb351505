"""Work on some chunks while the next are read: results in the order of the chunks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AT_ONCE = 2
"""Worked on beside the one that is read: NumPy, Arrow and torch leave the interpreter to others."""


def ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
    """``work`` of each item, a bounded number of them in memory. Close it, and whatever the items
    are read from is closed too."""
    reading = iter(items)
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            waiting: deque[Future[Result]] = deque()
            for item in reading:
                waiting.append(pool.submit(work, item))
                del item  # the pool lets go of it when it is done
                if len(waiting) > AT_ONCE:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        if isinstance(reading, Generator):
            reading.close()  # and with it the file or the connection
