"""A log whose clock is wrong: no time ever runs backwards."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.faults import Clock, append, numbers
from support.histories import check_whole, one_sentence
from support.logs import Logbook

from auditlog.entries import leaf_time, public_time
from auditlog.log import CLOCK_TOLERANCE_US
from protocol.errors import ClockWrong


def times(book: Logbook) -> list[str]:
    return [json.loads(leaf)["time"] for leaf in book.leaves()]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(st.floats(-1.9, 3), min_size=1, max_size=12))
def test_times_never_decrease_while_the_clock_wavers(make_database, steps):
    clock = Clock()
    book = Logbook.over(make_database(), clock=clock)
    base = clock.moment
    for position, step in enumerate(steps):
        clock.moment = max(clock.moment, base)
        base = clock.moment
        clock.move(step)
        append(book, position)
    assert times(book) == sorted(times(book))
    check_whole(book, range(len(steps)))


def test_a_clock_that_goes_back_by_more_than_two_seconds_stops_appends_until_it_is_right(make_database):
    clock = Clock()
    book = Logbook.over(make_database(), clock=clock)
    append(book, 0)
    right = clock.moment
    clock.move(-CLOCK_TOLERANCE_US / 1e6)
    append(book, 1)
    clock.move(-1e-6)
    for seconds in (0, -10, -86_400 * 365):
        clock.move(seconds)
        with pytest.raises(ClockWrong) as refused:
            append(book, 2)
        assert refused.value.status == 503
        one_sentence(refused.value, "nothing was recorded", leaf_time(round(right.timestamp() * 1e6)))
        assert numbers(book) == [0, 1]
    assert book.settle() == 2, "what is there is still signed, and proved"
    with book.database.read() as session:
        book.log.prove_inclusion(session, 1).verify(book.leaves()[1], book.log.policy)
    clock.moment = right
    append(book, 2)
    assert times(book) == [public_time(round(right.timestamp() * 1e6))] * 3
    check_whole(book, [0, 1, 2])


def test_a_clock_that_jumps_forward_and_comes_back_makes_no_time_run_backwards(make_database):
    clock = Clock()
    book = Logbook.over(make_database(), clock=clock)
    append(book, 0)
    right = clock.moment
    clock.move(3600)
    append(book, 1)
    clock.moment = right
    with pytest.raises(ClockWrong):
        append(book, 2)
    assert numbers(book) == [0, 1]
    clock.move(3600)
    append(book, 2)
    assert times(book) == sorted(times(book))
    check_whole(book, [0, 1, 2])
