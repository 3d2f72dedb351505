"""The processes of a consortium on this machine: started, remembered, found again, stopped.

What runs stands in ``processes.json``: name, command and process number. Whoever dies can be
started again from there (:func:`start`), which is also how the chaos trials do it. Nothing heavy is
loaded here: to stop is quick.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from consent.identity.settings import ENVIRONMENT
from crypto.keys import replace_file
from demo.errors import DemoError
from demo.workspaces import PROCESSES_FILE, held
from fleet.tls import CA_CERT

QUIET = {"OMP_NUM_THREADS": "1", "FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}
DEVELOPMENT = {ENVIRONMENT: "development"}
"""The registry believes an issuer over http only so."""
STOP_S = 15.0
START_TIMEOUT_S = 300.0
"""A process that ended is noticed at once; one that still starts may be on a machine with much else
to do."""


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
    authority = root / "ca" / CA_CERT
    trust = {"SSL_CERT_FILE": str(authority)} if authority.exists() else {}
    environment = {**os.environ, **QUIET, **DEVELOPMENT, **trust}
    (root / "logs").mkdir(exist_ok=True)
    with (root / "logs" / f"{process.name}.log").open("a", encoding="utf-8") as log:
        running = subprocess.Popen(
            [*process.inside, sys.executable, "-m", "tahini", *process.arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment,
        )
    return replace(process, pid=running.pid)


@contextmanager
def running(root: Path, process: Process) -> Iterator[Process]:
    """A process that is stopped on the way out."""
    started = start(root, process)
    try:
        yield started
    finally:
        stop([started])


def wait_until_ready(root: Path, process: Process, what: str = "") -> None:
    """Return once it answers; raises DemoError, with ``what`` it is, when it ended or takes too
    long."""
    deadline = time.monotonic() + START_TIMEOUT_S
    authority = root / "ca" / CA_CERT
    verify = ssl.create_default_context(cafile=str(authority) if authority.exists() else None)
    log = root / "logs" / f"{process.name}.log"
    while process.ready and not _answers(process.ready, verify):
        if not is_running(process):
            raise DemoError(f"{what or process.name} ended at its start ({tail(log)})")
        if time.monotonic() > deadline:
            raise DemoError(
                f"{what or process.name} did not answer within {START_TIMEOUT_S:.0f} s "
                f"({tail(log)})"
            )
        time.sleep(0.1)


def _answers(ready: str, verify: ssl.SSLContext) -> bool:
    """Whether a service is well, or where it has no such page, whether it listens."""
    import httpx  # only who starts a process waits for one

    try:
        if "://" in ready:
            return httpx.get(ready, timeout=2, verify=verify).is_success
        socket.create_connection(address(ready), timeout=2).close()
    except (httpx.TransportError, OSError):
        return False
    return True


def address(ready: str) -> tuple[str, int]:
    """Host and port of a URL, or of what stands for one."""
    at = urlsplit(ready if "://" in ready else f"//{ready}")
    return at.hostname or "", at.port or 0


def tail(log: Path, lines: int = 1) -> str:
    """The last lines of a log, for an error message."""
    text = (
        log.read_text(errors="replace", encoding="utf-8").strip().splitlines()
        if log.exists()
        else []
    )
    return " / ".join(text[-lines:]) or "nothing in its log"


def keep(root: Path, processes: list[Process]) -> None:
    """Remember what runs, for :func:`down` and whoever starts a process again."""
    told = json.dumps([asdict(process) for process in processes], indent=2)
    replace_file(root / PROCESSES_FILE, told.encode())


def processes(root: Path) -> list[Process]:
    """What :func:`up` started; raises DemoError if ``root`` is no such workspace."""
    try:
        found = json.loads((root / PROCESSES_FILE).read_text(encoding="utf-8"))
        return [
            Process(p["name"], tuple(p["arguments"]), p["ready"], int(p["pid"]), tuple(p["inside"]))
            for p in found
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DemoError(
            f"{root} is not the workspace of a consortium that was started with tahini up"
        ) from error


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
    return stop(processes(root)[::-1])


def stop(started: Sequence[Process]) -> int:
    """Stop those that run, whole process groups: ask, and insist in the end; returns how many
    did."""
    found = [process for process in started if is_running(process)]
    for process in found:
        os.killpg(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    for process in found:
        while is_running(process) and time.monotonic() < deadline:
            _reap(process.pid)
            time.sleep(0.05)
        if is_running(process):
            os.killpg(process.pid, signal.SIGKILL)
            _reap(process.pid)
    return len(found)


def _reap(pid: int) -> None:
    """If it is this process's own child, it stays a zombie until it is waited for."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
