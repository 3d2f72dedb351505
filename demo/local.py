"""A whole consortium as processes of this machine, with TLS, that stay until they are stopped.

What runs stands in ``processes.json``: name, command and process number. Whoever dies can be started again from there
(:func:`start`), which is also how the chaos trials do it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import httpx

from consent.documents import Notice
from demo.borrowers import Borrower
from demo.consortium import Founded, found
from demo.errors import DemoError
from demo.loans import Loans, split
from demo.outcome import View
from demo.people import ask_everybody, import_books
from demo.services import DEVELOPMENT, START_TIMEOUT_S, tail
from fleet.processes import free_port
from fleet.tls import CA_CERT, create_authority, issue

DELTA, EPSILON = 1e-5, 8.0
PROCESSES_FILE = "processes.json"
QUIET = {"OMP_NUM_THREADS": "1", "FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}
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


@dataclass(frozen=True)
class Local:
    """A consortium that runs on this machine, and the borrowers' own keys, which nobody else holds."""

    founded: Founded
    processes: tuple[Process, ...]
    notice: Notice
    borrowers: tuple[Borrower, ...]


@dataclass(frozen=True)
class Place:
    """Where a consortium runs, if not all of it on loopback and in files."""

    host: str = "127.0.0.1"
    """Address of the services."""
    database: str | None = None
    """The registry's, a postgresql:// URL; SQLite without one."""
    inside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Commands that lenders' nodes run inside, by lender."""


def up(root: Path, loans: Loans, lenders: int, seed: int, view: View, place: Place | None = None) -> Local:
    """Found a consortium under ``root``, start everybody, name and ask its borrowers.

    Raises:
        DemoError: a process did not start; what had started is stopped.
    """
    place = place or Place()
    view.begin("Found the consortium")
    parts = split(loans, lenders, seed)
    ports = {name: free_port() for name in ("registry", "naming", "witnesses", "superlink")}
    url, naming, witnesses = (f"https://{place.host}:{ports[name]}" for name in ("registry", "naming", "witnesses"))
    founded = found(
        root, list(parts.lenders), EPSILON, DELTA, {name: f"{witnesses}/{name}" for name in parts.lenders},
        database=place.database,
    )  # fmt: skip
    founded.connect(url, naming, f"{place.host}:{ports['superlink']}")
    authority = _certificates(founded, place.host)
    os.environ["SSL_CERT_FILE"] = str(authority)
    view.end(f"{len(founded.consortium.parties)} parties with keys, one certificate authority")

    view.begin("Start registry, naming service and witnesses")
    (root / "logs").mkdir()
    started: list[Process] = []
    try:
        for process in _services(founded, ports, place.host):
            started.append(start(root, process))
            keep(root, started)
        for process in started:
            _wait(root, process, authority)
        view.end(url)
        view.begin("Name the borrowers and import the loan books")
        people = import_books(founded, parts, loans.registry, view)
        view.end("no identity number left its lender")
        asked = bool(loans.registry.sensitive())
        notice, borrowers = ask_everybody(founded, url, people, EPSILON, seed, asked, view)
        view.begin("Start the coordinator and the nodes")
        for process in _fleet(founded, place.inside):
            started.append(start(root, process))
            keep(root, started)
        _wait_for_nodes(root, founded)
        view.end(f"the SuperLink listens at 127.0.0.1:{ports['superlink']}; {len(parts.lenders)} nodes serve")
    except BaseException:
        down(root)
        raise
    return Local(founded, tuple(started), notice, tuple(borrowers))


def _certificates(founded: Founded, host: str) -> Path:
    authority = create_authority(founded.root / "ca", founded.consortium.name)
    tls = founded.root / "tls"
    for name in ("registry", "naming", "witnesses", "coordinator"):
        issue(founded.root / "ca", tls, name, [host, "localhost"])
    shutil.copyfile(tls / "coordinator.crt", founded.coordinator_home / "coordinator.crt")
    shutil.copyfile(tls / "coordinator.key", founded.coordinator_home / "coordinator.tls.key")
    homes = [founded.coordinator_home, *(founded.node_home(lender.id) for lender in founded.consortium.lenders)]
    for home in homes:
        shutil.copyfile(authority, home / CA_CERT)
    return authority


def _services(founded: Founded, ports: dict[str, int], host: str) -> Iterator[Process]:
    def shown(name: str) -> tuple[str, ...]:
        tls = founded.root / "tls"
        return (
            "--host",
            host,
            "--port",
            str(ports[name]),
            "--certificate",
            str(tls / f"{name}.crt"),
            "--key",
            str(tls / f"{name}.key"),
        )

    homes = [str(founded.node_home(lender.id)) for lender in founded.consortium.lenders]
    named = tuple(argument for home in homes for argument in ("--home", home))
    yield Process("witnesses", ("witness", "serve", *named, *shown("witnesses")))
    registry, naming = str(founded.registry_home), str(founded.naming_home)
    for name, room, home in (("registry", "registry", registry), ("naming", "names", naming)):
        ready = f"https://{host}:{ports[name]}/healthz"
        yield Process(name, (room, "serve", "--home", home, *shown(name)), ready)


def _fleet(founded: Founded, inside: Mapping[str, tuple[str, ...]]) -> Iterator[Process]:
    yield Process("coordinator", ("coordinator", "serve", "--home", str(founded.coordinator_home)))
    for lender in founded.consortium.lenders:
        home = str(founded.node_home(lender.id))
        yield Process(lender.id, ("node", "serve", "--home", home), inside=inside.get(lender.id, ()))


def start(root: Path, process: Process) -> Process:
    """Start a process in a session of its own; returns it with its number."""
    environment = {**os.environ, **QUIET, **DEVELOPMENT, "SSL_CERT_FILE": str(root / "ca" / CA_CERT)}
    with (root / "logs" / f"{process.name}.log").open("a", encoding="utf-8") as log:
        running = subprocess.Popen(
            [*process.inside, sys.executable, "-m", "tahini", *process.arguments],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment,
        )  # fmt: skip
    return replace(process, pid=running.pid)


def keep(root: Path, processes: list[Process]) -> None:
    """Remember what runs, for :func:`down` and whoever starts a process again."""
    (root / PROCESSES_FILE).write_text(
        json.dumps([asdict(process) for process in processes], indent=2), encoding="utf-8"
    )


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


def _wait(root: Path, process: Process, authority: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    verify = ssl.create_default_context(cafile=str(authority))
    log = root / "logs" / f"{process.name}.log"
    while process.ready:
        if not is_running(process):
            raise DemoError(f"{process.name} ended at its start ({tail(log)})")
        try:
            if httpx.get(process.ready, timeout=2, verify=verify).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
        if time.monotonic() > deadline:
            raise DemoError(f"{process.name} did not answer within {START_TIMEOUT_S:.0f} s ({tail(log)})")


def _wait_for_nodes(root: Path, founded: Founded) -> None:
    from clients.service import running

    deadline = time.monotonic() + START_TIMEOUT_S
    for lender in founded.consortium.lenders:
        while not running(founded.node_home(lender.id)):
            if time.monotonic() > deadline:
                raise DemoError(f"{lender.id}'s node does not serve ({tail(root / 'logs' / f'{lender.id}.log')})")
            time.sleep(0.1)


def down(root: Path) -> int:
    """Stop what runs, the last started first; returns how many did."""
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
