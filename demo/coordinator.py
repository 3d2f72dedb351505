"""The coordinator's process in a run of the demo: Flower's simulation engine, and the JSON lines it
speaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients.app import SIMULATED_HOMES
from demo.errors import DemoError
from demo.processes import QUIET, Process, stop, tail


@dataclass
class CoordinatorProcess:
    """The coordinator with Flower's simulation engine; talks in JSON lines."""

    process: subprocess.Popen[str]
    log: Path

    def send(self, command: dict[str, Any]) -> None:
        if self.process.stdin is None or self.process.poll() is not None:
            raise DemoError(f"the coordinator is gone ({tail(self.log)})")
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def events(self) -> Iterator[dict[str, Any]]:
        """What the coordinator reports, until it ends; raises DemoError if it ends without a last
        word."""
        if self.process.stdout is None:
            raise DemoError("the coordinator was started without a way to report")
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            yield event
            if event["event"] in {"released", "stopped"}:
                return
        raise DemoError(f"the coordinator ended without a result ({tail(self.log)})")


@contextmanager
def coordinator_process(
    home: Path, node_homes: list[Path], log: Path
) -> Iterator[CoordinatorProcess]:
    """The coordinator in ``home`` with a node for each of ``node_homes``; stopped on the way
    out."""
    arguments = ("demo.simulation", str(home), str(len(node_homes)))
    homes = {SIMULATED_HOMES: json.dumps([str(home) for home in node_homes])}
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            start_new_session=True,
            env={**os.environ, **QUIET, "PYTHONUNBUFFERED": "1", **homes},
        )
    try:
        yield CoordinatorProcess(process, log)
    finally:
        stop([Process("coordinator", arguments, pid=process.pid)])
