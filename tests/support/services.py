"""Real services in processes of their own, under load, and what is left when they end."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from support.observed import entries
from support.waiting import PATIENCE_S, until

from auditlog.fsck import check_log
from auditlog.lease import LogPosition, read_state
from consent.home import open_database, open_registry
from consent.provisioning import REGISTRY_HOME, found_log
from crypto.keys import load_signing_key
from ops.processes import free_port
from protocol.client.lenders import LenderClient
from protocol.errors import ConsentError
from protocol.log_client import trusted_authorities

ORIGIN = "audit.example.com/workers"


@dataclass
class Served:
    """A process that serves a log's home; ``written`` is the file of its journal."""

    process: subprocess.Popen[bytes]
    url: str
    metrics_url: str
    written: Path
    scratch: Path
    """Where its temporary files are: a short path, as sockets need it."""

    def until(self, holds, what: str) -> None:
        try:
            until(holds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.written.read_text(encoding='utf-8')[-2000:]}") from None

    def answers(self, path: str) -> int:
        """Status of the answer; 0 where there is none."""
        try:
            return httpx.get(self.url + path, timeout=5, verify=trusted_authorities()).status_code
        except httpx.TransportError:
            return 0

    def ready(self) -> Served:
        self.until(lambda: self.process.poll() is not None or self.answers("/readyz") == 200, "it was ready")
        assert self.process.poll() is None, self.written.read_text(encoding="utf-8")
        return self

    def begun(self, workers: int) -> Served:
        """All of them have begun, not only the first."""
        self.until(lambda: len(list(self.scratch.glob("*/beat.*"))) == workers + 1, "all had begun, and the writer")
        return self

    def children(self) -> list[int]:
        """Process ids of the workers and of the writer, if there is one: children of the server of forks."""
        return [child for server in self.forking() for child in _children(server)]

    def forking(self) -> list[int]:
        """Process id of the server of forks, if there is one."""
        return [child for child in _children(self.process.pid) if "forkserver" in _command(child)]

    def workers(self) -> list[int]:
        """Process ids of those that listen."""
        writer = self.writer()
        return [child for child in self.children() if child != writer]

    def writer(self) -> int:
        """Process id of the writer: who holds the turn's lock; 0 where there is none."""
        found = [str(path.stat().st_ino) for path in self.scratch.glob("tahini-workers-*/turn")]
        locks = [line.split() for line in Path("/proc/locks").read_text(encoding="ascii").splitlines()]
        held = {lock[5].rpartition(":")[2]: int(lock[4]) for lock in locks if lock[1] == "FLOCK"}
        mine = [held[inode] for inode in found if held.get(inode) in self.children()]
        return mine[0] if mine else 0

    def end(self) -> int:
        """The exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def lines(self) -> list[dict]:
        return [
            json.loads(line) for line in self.written.read_text(encoding="utf-8").splitlines() if line.startswith("{")
        ]


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]
    except OSError:
        return []


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
    except OSError:
        return ""


@dataclass
class Site:
    """A founded log's folders."""

    home: Path

    @classmethod
    def founded(cls, home: Path, database: str | None) -> Site:
        found_log(home, ORIGIN, ["aspen"], database)
        return cls(home)

    @property
    def registry(self) -> Path:
        return self.home / REGISTRY_HOME

    @contextmanager
    def serve(self, *options: object, room: str = "registry", where: Path | None = None) -> Iterator[Served]:
        """``where``: the folder in which it is started, by the command that is installed."""
        port, metrics_port = free_port(), free_port()
        written = self.home / f"{port}.log"
        begun = [sys.executable, "-m", "tahini"] if where is None else [Path(sys.executable).with_name("tahini")]
        command = [*begun, room, "serve", "--home", self.registry, "--port", port]
        command += ["--metrics-port", metrics_port, *options]
        scratch = Path(tempfile.mkdtemp(prefix="tahini-"))
        with written.open("wb") as errors:
            process = subprocess.Popen(
                [str(part) for part in command],
                stderr=errors,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "TMPDIR": str(scratch)},
                cwd=where,
            )
        served = Served(
            process, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics_port}/metrics", written, scratch
        )
        try:
            yield served
        finally:
            orphans = served.children() if process.poll() is None else []
            process.kill()
            process.wait()
            served.until(lambda: not any("forkserver" in _command(pid) for pid in orphans), "all workers ended")
            shutil.rmtree(scratch, ignore_errors=True)

    def client(self, url: str) -> LenderClient:
        registry = open_registry(self.registry)
        consortium = registry.consortium
        registry.close()
        return LenderClient(url, consortium, "aspen", load_signing_key(self.home / "aspen" / "aspen.key"))

    def state(self) -> LogPosition:
        database = open_database(self.registry)
        try:
            with database.read() as session:
                return read_state(session)
        finally:
            database.close()

    def check(self, acknowledged: dict[int, int]) -> int:
        """Every acknowledged entry is at its index, no entry is there twice, the log is whole; returns its size."""
        registry = open_registry(self.registry)
        try:
            registry.ledger.sequencer.settle()
            found = check_log(registry.ledger.database, registry.ledger.log)
            numbers = [entry["counts"]["attempts"] for entry in entries(registry)]
        finally:
            registry.close()
        assert all(numbers[index] == number for number, index in acknowledged.items())
        assert max(Counter(numbers).values(), default=0) <= 1
        assert (found.entries, found.integrated) == (len(numbers),) * 2
        return found.entries


@dataclass
class Load:
    """Clients that append numbered entries until they are told to stop; each number is sent once."""

    site: Site
    url: str
    clients: int = 4
    first: int = 0
    acknowledged: dict[int, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _numbers: Iterator[int] = field(init=False)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(self.first)

    def __enter__(self) -> Load:
        template = self.site.client(self.url)
        self._threads = [threading.Thread(target=self._run, args=(template,)) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, template: LenderClient) -> None:
        client = LenderClient(self.url, template.consortium, template._caller, template._key)
        while not self._stop.is_set():
            number = next(self._numbers)
            try:
                [index] = client.append([{"type": "use.read", "to": ["auditor"], "counts": {"attempts": number}}])
                self.acknowledged[number] = index
            except ConsentError as error:
                assert error.status >= 500 or "make it again" in str(error), error
                self.refused.append(f"{error.status} {error.code} {error}")
                client.close()  # another connection, so perhaps another worker
                client = LenderClient(self.url, template.consortium, template._caller, template._key)
                time.sleep(0.02)
        client.close()
