"""Processes that are killed with signal 9 at a random instant of what they do, however fast or slow the machine is.

When to kill is counted in what a process has said, and then in the time that one message took it so far: an instant
between two messages, somewhere in the middle of the work. Nothing here is a number of milliseconds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Tell = Callable[[str, Any], None]
WHILE_OPENING = 0.2
"""Share of the lives that end while the process is still opening what it works on."""


@dataclass
class Killer:
    """Lives of processes, one after the other. ``most`` is how many messages after the first one is heard at most."""

    rng: random.Random
    most: int
    opening_s: float = field(default=0.0, init=False)
    """How long the slowest process needed until its first message."""

    def life(self, live: Callable[[Tell], None]) -> list[tuple[str, Any]]:
        """Fork a process that does ``live``, kill it, and return all that it said.

        ``live`` says something first when it has opened what it works on, and never returns. What it raises is its
        last message, an "error".
        """
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _speak(live, writing)
        os.close(writing)
        try:
            with os.fdopen(reading, "rb") as pipe:
                told = self._listen(pipe)
                os.kill(child, signal.SIGKILL)
                told += pipe.read()
        finally:
            os.waitpid(child, 0)
        lines = [line for line in told.splitlines(keepends=True) if line.endswith(b"\n")]  # the last may be cut off
        return [tuple(json.loads(line)) for line in lines]

    def _listen(self, pipe: Any) -> bytes:
        """What was heard when it is time to kill."""
        began = time.monotonic()
        if self.opening_s and self.rng.random() < WHILE_OPENING:
            time.sleep(self.rng.uniform(0, self.opening_s))
            return b""
        told = [pipe.readline()]
        opened = time.monotonic()
        self.opening_s = max(self.opening_s, opened - began)
        heard = self.rng.randint(0, self.most)
        told += [pipe.readline() for _ in range(heard)]
        each = (time.monotonic() - opened) / heard if heard else opened - began
        time.sleep(self.rng.uniform(0, each))
        return b"".join(told)


def kill_soon(process: subprocess.Popen[Any], work: Callable[[], object], rng: random.Random) -> None:
    """Do ``work``, then kill the process in a random instant of the next two times that it would take."""
    began = time.monotonic()
    work()
    threading.Timer(rng.uniform(0, 2 * (time.monotonic() - began)), process.kill).start()


def _speak(live: Callable[[Tell], None], pipe: int) -> None:
    def tell(kind: str, what: Any) -> None:
        os.write(pipe, json.dumps([kind, what]).encode() + b"\n")

    try:
        live(tell)
    except BaseException:
        tell("error", traceback.format_exc())
    finally:
        os._exit(1)
