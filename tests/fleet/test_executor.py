"""Tasks in forked children: whoever ends without finishing is given up at once."""

import os
import signal
import time

import pytest

from fleet.executor import Executor


def given_up(work, seconds: float = 5.0) -> list[str]:
    """The tokens that an executor gives up when one task does this."""
    told: list[str] = []
    executor = Executor("127.0.0.1:1", b"secret", ("flwr-clientapp",), work, failed=told.append)
    executor._start("token")
    deadline = time.monotonic() + seconds
    while executor._children and time.monotonic() < deadline:
        executor._reap()
        time.sleep(0.01)
    assert not executor._children
    return told


def killed(_: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def failing(_: str) -> None:
    raise RuntimeError("no")


@pytest.mark.parametrize("work", [killed, failing])
def test_a_task_whose_process_is_gone_is_given_up(work):
    assert given_up(work) == ["token"]


def test_a_task_that_finished_is_not():
    assert given_up(lambda token: None) == []
