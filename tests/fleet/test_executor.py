"""Tasks in forked children: whoever ends without finishing is given up at once."""

import os
import signal
from contextlib import contextmanager

import pytest
from support.waiting import until
from support.wire import plain_server

from fleet.executor import Executor
from fleet.tasks import give_up


def given_up(work) -> list[str]:
    """The tokens that an executor gives up when one task does this."""
    told: list[str] = []
    executor = Executor(
        "127.0.0.1:1", b"secret", ("flwr-clientapp",), work, failed=lambda token, _since: told.append(token)
    )

    def ended() -> bool:
        executor._reap()
        return not executor._children

    executor._start("token")
    until(ended, "the task's process was gone")
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


@contextmanager
def runtime(status: int):
    """A runtime that answers everything so; yields its address and the paths that it was asked."""
    asked: list[str] = []

    def answer(path: str, _: bytes) -> tuple[int, bytes]:
        asked.append(path)
        return status, b""

    with plain_server(answer) as url:
        yield url.removeprefix("http://"), asked


@pytest.mark.parametrize("status", [401, 403, 500])
def test_giving_up_a_task_that_is_over_already_ends_nobody(status):
    """Flower's own client would end this process at 401, and with it every other campaign's run."""
    interrupted = []
    before = signal.signal(signal.SIGINT, lambda *_: interrupted.append(1))
    try:
        with runtime(status) as (address, asked):
            give_up(address, "token")
        assert len(asked) == 1, "it says so once and does not wait"
    finally:
        signal.signal(signal.SIGINT, before)
    assert interrupted == []


def test_giving_up_does_not_wait_for_a_runtime_that_is_gone():
    give_up("127.0.0.1:1", "token")
