"""Who waits for another process is woken by it, loses no ring, and never waits for ever."""

import threading
import time

from support.waiting import until

from fleet.bell import Bell
from fleet.supernode import LOOKING_S, WAITING_S, pauses


def test_a_ring_wakes_whoever_waits_at_the_other_end():
    here, there = Bell.pair()
    waiting = threading.Thread(target=here.wait, args=(600.0,), daemon=True)
    waiting.start()
    there.ring()
    until(lambda: not waiting.is_alive(), "the one end was woken")


def test_a_ring_before_anybody_waits_is_not_lost_and_a_thousand_are_one():
    here, there = Bell.pair()
    for _ in range(1000):
        there.ring()
    here.wait(600.0)
    here.wait(0.0)


def test_nobody_is_held_up_by_ringing_at_a_door_where_nobody_listens():
    here, there = Bell.pair()
    for _ in range(100_000):
        there.ring()
    here.end.close()
    there.ring()


def test_whose_other_end_is_gone_waits_as_long_as_it_was_told(monkeypatch):
    """Otherwise it would look again and again without a pause."""
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    here, there = Bell.pair()
    there.end.close()
    here.wait(0.5)
    assert slept == [0.5]


def test_a_supernode_with_a_task_rings_for_it_and_is_woken_by_its_answer():
    executor, node = Bell.pair()
    pause = pauses(node)
    waiting = threading.Thread(target=pause, args=(WAITING_S,), daemon=True)
    waiting.start()
    executor.wait(600.0)
    executor.ring()
    until(lambda: not waiting.is_alive(), "the SuperNode looked for the answer")


def test_a_supernode_looks_again_at_once_where_the_superlink_kept_its_look_open(monkeypatch):
    now, slept = [100.0], []
    monkeypatch.setattr(time, "sleep", slept.append)
    pause = pauses(Bell.pair()[1], clock=lambda: now[0])
    now[0] += 2.0
    pause(LOOKING_S)
    pause(LOOKING_S)
    pause(7.0)
    assert slept == [0.0, 1.0, 7.0], "and not at once where it did not"
