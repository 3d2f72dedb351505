"""The processes of a consortium on this machine: started, remembered, found again, stopped.

What runs stands in ``processes.json``: name, command and process number. Whoever dies can be started again from there
(:func:`start`), which is also how the chaos trials do it. Nothing heavy is loaded here: to stop is quick.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from consent.identity.settings import ENVIRONMENT
from crypto.keys import replace_file
from demo.errors import DemoError
from demo.workspaces import PROCESSES_FILE, held
from fleet.tls import CA_CERT

QUIET = {"OMP_NUM_THREADS": "1", "FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}
DEVELOPMENT = {ENVIRONMENT: "development"}
"""The registry believes an issuer over http only so."""
STOP_S = 15.0


@dataclass(frozen=True)
class Process:
    """One process of the consortium."""

    name: str
    arguments: tuple[str, ...]
    """After ``tahini``."""
    ready: str = ""
    """URL that answers when it is ready; a node has none."""
    pid: int = 0
    inside: tuple[str, ...] = ()
    """A command that runs it elsewhere, for instance in a network namespace, and becomes it."""


def start(root: Path, process: Process) -> Process:
    """Start a process in a session of its own; returns it with its number."""
    environment = {**os.environ, **QUIET, **DEVELOPMENT, "SSL_CERT_FILE": str(root / "ca" / CA_CERT)}
    with (root / "logs" / f"{process.name}.log").open("a") as log:
        running = subprocess.Popen(
            [*process.inside, sys.executable, "-m", "tahini", *process.arguments],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment,
        )  # fmt: skip
    return replace(process, pid=running.pid)


def keep(root: Path, processes: list[Process]) -> None:
    """Remember what runs, for :func:`down` and whoever starts a process again."""
    told = json.dumps([asdict(process) for process in processes], indent=2)
    replace_file(root / PROCESSES_FILE, told.encode())


def processes(root: Path) -> list[Process]:
    """What :func:`up` started; raises DemoError if ``root`` is no such workspace."""
    try:
        found = json.loads((root / PROCESSES_FILE).read_text(encoding="utf-8"))
        return [Process(p["name"], tuple(p["arguments"]), p["ready"], int(p["pid"]), tuple(p["inside"])) for p in found]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DemoError(f"{root} is not the workspace of a consortium that was started with tahini up") from error


def is_running(process: Process) -> bool:
    """Whether this very command runs under this number: numbers are used again."""
    try:
        said = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return [a.encode() for a in process.arguments] == said[-1 - len(process.arguments) : -1]


def down(root: Path) -> int:
    """Stop what runs, the last started first; returns how many did. Raises DemoError."""
    root = root.resolve()
    processes(root)
    with held(root):
        return stop_all(root)


def stop_all(root: Path) -> int:
    """Stop what runs, by whoever holds the workspace."""
    if not (root / PROCESSES_FILE).exists():
        return 0
    running = [process for process in reversed(processes(root)) if is_running(process)]
    for process in running:
        os.killpg(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    for process in running:
        while is_running(process) and time.monotonic() < deadline:
            _reap(process.pid)
            time.sleep(0.05)
        if is_running(process):
            os.killpg(process.pid, signal.SIGKILL)
            _reap(process.pid)
    return len(running)


def _reap(pid: int) -> None:
    """If it is this process's own child, it stays a zombie until it is waited for."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
