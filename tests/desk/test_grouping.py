"""Jobs done together: nobody waits for ever, whenever it ends."""

from __future__ import annotations

from desk.grouping import Together


def test_who_comes_in_while_it_ends_is_answered():
    """A job that was put in behind the end had waited for a thread that was gone."""
    together = Together(lambda jobs: [job * 2 for job in jobs], "ending")
    together.start()
    (thread,) = together._running
    together._waiting.put(None)
    thread.join()
    late = together.submit(21)  # it still believes in the thread
    assert not late.done()
    together.stop()
    assert late.result(timeout=0) == 42
