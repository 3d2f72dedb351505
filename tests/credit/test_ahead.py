"""Chunks that are worked on while the next are read: in their order, few at a time, and nothing stays open."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest
from support.waiting import PATIENCE_S, until

from credit.ahead import AT_ONCE, ahead


class Read:
    """Numbers that say how far they were read, and that they were closed."""

    def __init__(self, count: int, fails_at: int | None = None) -> None:
        self.read, self.closed, self._count, self._fails_at = 0, False, count, fails_at

    def items(self):
        try:
            for number in range(self._count):
                if number == self._fails_at:
                    raise OSError("the disk is gone")
                self.read += 1
                yield number
        finally:
            self.closed = True


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_results_come_in_order_whichever_is_done_first(count):
    done = threading.Event()

    def work(number: int) -> int:
        if number == 0 and count > 1:
            done.wait(PATIENCE_S)
        done.set()
        return number * number

    source = Read(count)
    assert list(ahead(work, source.items())) == [number * number for number in range(count)]
    assert source.closed


def test_no_more_is_read_than_can_be_worked_on():
    source = Read(50)
    with closing(ahead(lambda number: number, source.items())) as found:
        for taken, number in enumerate(found, start=1):
            assert number == taken - 1 and source.read <= taken + AT_ONCE


def test_whoever_stops_early_closes_what_is_read():
    source = Read(50)
    with closing(ahead(lambda number: number, source.items())) as found:
        assert next(found) == 0
    assert source.closed and source.read <= AT_ONCE + 1


def test_an_error_of_the_work_or_of_the_reading_is_raised_and_no_thread_stays():
    before = threading.active_count()
    source = Read(50)
    with pytest.raises(ZeroDivisionError):
        list(ahead(lambda number: 1 // (3 - number), source.items()))
    assert source.closed
    with pytest.raises(OSError, match="the disk is gone"):
        list(ahead(lambda number: number, Read(50, fails_at=7).items()))
    until(lambda: threading.active_count() <= before, "threads that have nothing to do end")
