"""Load on a service: the service as a process of its own on this machine, and connections that ask
it as fast as it answers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from ops.processes import free_port

Request = tuple[bytes, Callable[[bytes], object]]
"""What is sent, and what looks at the body of the answer."""


# --- the service


@dataclass(frozen=True)
class Served:
    """A service that answers."""

    port: int
    pid: int
    page: str = "/readyz"
    """Which answers when it is ready."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ready(self) -> bool:
        try:
            return httpx.get(self.url + self.page).is_success
        except httpx.TransportError:
            return False

    def resident_mib(self) -> float:
        return resident_mib(self.pid)

    def processor_seconds(self) -> float:
        """Of the process and all that it started, so far."""
        ticks, family = 0, [self.pid]
        for pid in family:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
            family += [int(child) for child in children.split()]
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
            fields = stat.rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def processor_seconds(command: str) -> float:
    """Of every process of this name, with its ended children, so far."""
    total = 0.0
    for entry in Path("/proc").iterdir():
        try:
            name, _, rest = (entry / "stat").read_text(encoding="utf-8").rpartition(")")
        except OSError:  # no process, or one that has just ended
            continue
        if name.partition("(")[2] == command:
            total += sum(map(int, rest.split()[11:15]))
    return total / os.sysconf("SC_CLK_TCK")


@dataclass
class Spent:
    """Processor time since it was made, by who spent it."""

    server: Served
    _before: tuple[float, float, float] = field(init=False)

    def __post_init__(self) -> None:
        self._before = self._now()

    def _now(self) -> tuple[float, float, float]:
        here = time.process_time()
        return self.server.processor_seconds(), processor_seconds("postgres"), here

    def ms_each(self, requests: int) -> dict[str, float]:
        """Milliseconds for each of so many requests: what the service took, the database beside it,
        and the load itself."""
        names = ("server_cpu_ms_each", "database_cpu_ms_each", "load_cpu_ms_each")
        spent = (now - before for now, before in zip(self._now(), self._before, strict=True))
        return {
            name: round(1000 * one / requests, 3) for name, one in zip(names, spent, strict=True)
        }


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def served(noun: str, home: Path, *options: str) -> Iterator[Served]:
    """``tahini NOUN serve`` of a home, once it is ready; what it writes is beside the home."""
    command = ("tahini", noun, "serve", "--home", str(home), *options)
    with running(command, home.with_name(f"{noun}.log")) as server:
        yield server


@contextmanager
def running(
    command: Sequence[str], journal: Path, page: str = "/readyz", port: int | None = None
) -> Iterator[Served]:
    """``python -m`` a command that takes a ``--port``, once it is ready; the port is a free one if
    none is said.

    In the load's own session: kernels that share processors out by session would tell them apart.
    """
    port = port or free_port()
    with journal.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "--port", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    server = Served(port, process.pid, page)
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise RuntimeError(journal.read_text(encoding="utf-8"))
            if server.ready():
                break
            time.sleep(0.05)
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


# --- the load


def http_request(method: str, target: str, authorization: str, content: bytes = b"") -> bytes:
    head = (
        f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    )
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


@dataclass
class Load:
    """Connections that each send the next request as soon as the last was answered.

    What ``request`` takes, and what it does with the answer, is not in the latencies (in
    milliseconds). Every answer must have the status ``expected``.
    """

    port: int
    request: Callable[[], Request]
    connections: int
    expected: int
    latencies: list[float] = field(default_factory=list)

    async def _connection(self, until: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        while time.perf_counter() < until:
            request, check = self.request()
            started = time.perf_counter()
            writer.write(request)
            status, body = await _answer(reader)
            self.latencies.append((time.perf_counter() - started) * 1000)
            if status != self.expected:
                raise RuntimeError(f"the service answered {status}: {body[:300]!r}")
            check(body)
        writer.close()

    async def _run(self, seconds: float) -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(self._connection(until) for _ in range(self.connections)))

    def run(self, seconds: float) -> float:
        """Answers per second, over the whole time."""
        started = time.perf_counter()
        asyncio.run(self._run(seconds))
        return len(self.latencies) / (time.perf_counter() - started)
