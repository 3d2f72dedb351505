"""Looking often while there is work."""

from fleet.pace import LASTING_S, Pace


def test_looks_are_quick_for_a_while_after_work_and_rare_otherwise():
    now = [100.0]
    pace = Pace(0.1, 2.0, clock=lambda: now[0])
    assert pace.pause == 2.0
    pace.worked()
    assert pace.pause == 0.1
    now[0] += LASTING_S - 0.01
    assert pace.pause == 0.1
    now[0] += 0.02
    assert pace.pause == 2.0
