"""The registry, the naming service, the witnesses and the coordinator as real processes, and how they are watched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from clients.app import SIMULATED_HOMES
from demo.errors import DemoError
from demo.processes import DEVELOPMENT
from ops.processes import free_port as free_port

START_TIMEOUT_S = 300.0
"""A process that ended is noticed at once; one that still starts may be on a machine with much else to do."""


def _stop(process: subprocess.Popen[Any]) -> None:
    """Ask the whole process group to end; insist after ten seconds."""
    for signum, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        if process.poll() is not None:
            return
        os.killpg(process.pid, signum)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue


def _start(command: list[str], log: Path, environment: dict[str, str], **pipes: Any) -> subprocess.Popen[str]:
    quiet = {
        "OMP_NUM_THREADS": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONUNBUFFERED": "1",
    }
    with log.open("w", encoding="utf-8") as errors:
        return subprocess.Popen(
            [sys.executable, *command],
            stderr=errors,
            text=True,
            encoding="utf-8",
            start_new_session=True,
            env={**os.environ, **quiet, **environment},
            **pipes,
        )


def tail(log: Path, lines: int = 1) -> str:
    """The last lines of a log, for an error message."""
    text = log.read_text(errors="replace", encoding="utf-8").strip().splitlines() if log.exists() else []
    return " / ".join(text[-lines:]) or "nothing in its log"


@contextmanager
def _service(arguments: list[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """``tahini …`` as a process of its own; stopped on the way out."""
    process = _start(["-m", "tahini", *arguments], log, DEVELOPMENT, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        _stop(process)


def registry_process(home: Path, port: int, log: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    """The registry on loopback."""
    return _service(["registry", "serve", "--home", str(home), "--port", str(port)], log)


def witness_process(homes: list[Path], port: int, log: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    """The witnesses of all lenders on loopback."""
    named = [argument for home in homes for argument in ("--home", str(home))]
    return _service(["witness", "serve", *named, "--port", str(port)], log)


def naming_process(home: Path, port: int, log: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    """The naming service on loopback."""
    return _service(["names", "serve", "--home", str(home), "--port", str(port)], log)


def issuer_process(port: int, log: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    """The development issuer that borrowers log in at."""
    return _service(["issuer", "serve", "--port", str(port)], log)


def wait_for(what: str, url: str, process: subprocess.Popen[str], log: Path) -> None:
    """Returns once the service answers; raises DemoError when it ended or takes too long."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DemoError(f"{what} ended at its start ({tail(log)})")
        try:
            if httpx.get(f"{url}/healthz", timeout=2).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise DemoError(f"{what} did not answer within {START_TIMEOUT_S:.0f} s ({tail(log)})")


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
        """What the coordinator reports, until it ends; raises DemoError if it ends without a last word."""
        if self.process.stdout is None:
            raise DemoError("the coordinator was started without a way to report")
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            yield event
            if event["event"] in {"released", "stopped"}:
                return
        raise DemoError(f"the coordinator ended without a result ({tail(self.log)})")


@contextmanager
def coordinator_process(home: Path, node_homes: list[Path], log: Path) -> Iterator[CoordinatorProcess]:
    command = ["-m", "demo.simulation", str(home), str(len(node_homes))]
    environment = {SIMULATED_HOMES: json.dumps([str(home) for home in node_homes])}
    process = _start(command, log, environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield CoordinatorProcess(process, log)
    finally:
        _stop(process)
