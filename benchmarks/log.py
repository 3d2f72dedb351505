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
import itertools
import json
import os
import random
import sqlite3
import sys
import tempfile
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from auditlog.entries import Entry, Sealer
from auditlog.ledger import Ledger
from benchmarks.load import Load, Request, http_request, resident_mib, served
from benchmarks.postgresql import empty_database
from benchmarks.report import SERVICES, latency, parser, show, versions
from consent.home import opened
from consent.provisioning import found_log
from crypto.keys import load_signing_key
from protocol.client.lenders import LenderClient
from protocol.sessions import ClientSession

BODY_BYTES = 200
TARGET = "/v1/log/entries"
SETS = ("http", "inprocess", "proofs")
CHUNK = 16_384
"""Entries of one transaction, in one process."""


# --- over HTTP


@dataclass
class Appends:
    """Requests of ``batch`` entries each; of every answer its moment and its last entry's index."""

    session: ClientSession
    batch: int
    answered: list[tuple[float, int]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def request(self) -> Request:
        entry = {
            "type": "use.scored",
            "counts": {"rows": next(self.numbers) % 1000},
            "to": ["auditor"],
            "body": urlsafe_b64encode(os.urandom(BODY_BYTES)).rstrip(b"=").decode(),
        }
        content = json.dumps({"entries": [entry] * self.batch}).encode()
        authorization = self.session.authorization("POST", TARGET, content)
        return http_request("POST", TARGET, authorization, content), self._note

    def _note(self, body: bytes) -> None:
        answer = json.loads(body)
        self.answered.append((time.perf_counter(), answer["first"] + answer["count"] - 1))


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

    @contextmanager
    def watching(self) -> Iterator[None]:
        """For as long as this lasts, and a second longer."""
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        yield
        time.sleep(1)
        self.stopping = True
        thread.join()

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


def _integrated(home: Path, url: str | None) -> Callable[[], int]:
    connection: Any = (
        psycopg.connect(url, autocommit=True)
        if url
        else sqlite3.connect(home / "registry" / "registry.db", check_same_thread=False)
    )
    return lambda: int(connection.execute("SELECT integrated FROM log_state").fetchone()[0])


def over_http(kind: str, url: str | None, folder: Path, seconds: float) -> dict[str, Any]:
    """Single and batched appends through HTTP, one after the other, on one log."""
    home = folder / kind
    found_log(home, f"bench.example/{kind}", ["aspen"], url)
    with opened(home / "registry") as registry:
        consortium = registry.consortium
    key = load_signing_key(home / "aspen" / "aspen.key")
    read = _integrated(home, url)
    found: dict[str, Any] = {}
    with served("log", home / "registry") as server:
        client = LenderClient(server.url, consortium, "aspen", key)
        Load(server.port, Appends(client.begin_session(), 1).request, 8, 201).run(2)
        for name, batch, connections in (("single", 1, 64), ("batched", 256, 6)):
            appends = Appends(client.begin_session(), batch)
            load = Load(server.port, appends.request, connections, 201)
            poller = Poller(read)
            before = server.resident_mib()
            with poller.watching():
                per_s = load.run(seconds)
            delays = poller.delays(appends.answered)
            found[name] = {
                "entries_per_s": round(per_s * batch, 1),
                "seconds": seconds,
                **latency(load.latencies, "latency_"),
                **latency(delays, "integration_"),
                "integration_measured": len(delays),
                "server_mib": [round(before), round(server.resident_mib())],
            }
    return found


# --- in one process


def _fill(ledger: Ledger, entries: Callable[[int], list[Entry]], count: int) -> float:
    """Append ``count`` entries in chunks, each its own durable transaction; returns seconds."""
    started = time.perf_counter()
    for at in range(0, count, CHUNK):
        with ledger.database.write() as session:
            ledger.log.append(session, entries(min(CHUNK, count - at)))
    return time.perf_counter() - started


def in_process(folder: Path, count: int) -> dict[str, Any]:
    """Appends without HTTP: sealed beforehand, and sealed on the way."""
    home = folder / "inprocess"
    found_log(home, "bench.example/inprocess", ["aspen"])
    body = os.urandom(BODY_BYTES)
    with opened(home / "registry") as registry:
        ledger = registry.ledger
        sealer = Sealer(ledger.sealer.recipients)

        def sealed(number: int) -> list[Entry]:
            return [
                sealer.entry("use.scored", "aspen", {"counts": {"rows": i}}, ("auditor",), body)
                for i in range(number)
            ]

        entries = sealed(CHUNK)
        _fill(ledger, lambda number: entries[:number], CHUNK)
        ledger.sequencer.settle()
        appending = _fill(ledger, lambda number: entries[:number], count)
        started = time.perf_counter()
        ledger.sequencer.settle()
        integrating = time.perf_counter() - started
        sealing = _fill(ledger, sealed, count // 4)
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
    rng = random.Random(seed)
    inclusion, consistency = [], []
    with opened(home / "registry") as registry:
        ledger = registry.ledger
        sealed = partial(Sealer(ledger.sealer.recipients).entry, "use.scored", "registry", {})
        entries = [sealed(("auditor",), b"x" * 32) for _ in range(CHUNK)]
        for at in range(0, leaves, 8 * CHUNK):
            _fill(ledger, lambda number: entries[:number], min(8 * CHUNK, leaves - at))
            ledger.sequencer.settle()
            if sys.stderr.isatty():
                print(f"\r{at:,} of {leaves:,} leaves", end="", file=sys.stderr)
        for _ in range(sample):
            index = rng.randrange(leaves)
            old = rng.randrange(1, leaves)
            started = time.perf_counter()
            with ledger.read() as session:
                ledger.log.prove_inclusion(session, index)
            between = time.perf_counter()
            with ledger.read() as session:
                ledger.log.prove_consistency(session, old, leaves)
            inclusion.append((between - started) * 1000)
            consistency.append((time.perf_counter() - between) * 1000)
        size = (home / "registry" / "registry.db").stat().st_size
    return {
        "leaves": leaves,
        **latency(inclusion, "inclusion_", 3),
        **latency(consistency, "consistency_", 3),
        "proofs": sample,
        "database_mib": round(size / 2**20),
        "resident_mib": round(resident_mib(os.getpid())),
    }


# --- all of it


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = {"machine": versions(SERVICES), "seed": options.seed}
    wanted = options.only or SETS
    if "http" in wanted:
        kinds = {"sqlite": over_http("sqlite", None, folder, options.seconds)}
        with empty_database(options.postgresql) as url:
            kinds["postgresql"] = over_http("postgresql", url, folder, options.seconds)
        report |= kinds
        for chief, name in (("http_appends_per_s", "single"), ("http_batched_per_s", "batched")):
            report[chief] = {kind: found[name]["entries_per_s"] for kind, found in kinds.items()}
        report["integration_p99_ms"] = max(
            figures["integration_p99_ms"] for found in kinds.values() for figures in found.values()
        )
    if "inprocess" in wanted:
        found = report["inprocess"] = in_process(folder, options.entries)
        report["batch_entries_per_s"] = found["batch_entries_per_s"]
    if "proofs" in wanted:
        found = report["proofs"] = proofs(folder, options.leaves, options.sample, options.seed)
        report["proof_p99_ms"] = max(found["inclusion_p99_ms"], found["consistency_p99_ms"])
    return report


def main() -> None:
    options = parser(__doc__)
    option = options.add_argument
    option("--seconds", type=float, default=60.0, help="how long each HTTP load lasts")
    option("--entries", type=int, default=500_000, help="entries of the in-process measurement")
    option("--leaves", type=int, default=1_000_000, help="size of the log that proofs come from")
    option("--sample", type=int, default=2_000, help="proofs of each kind")
    option("--postgresql", help="URL of an empty postgresql:// database; by default one is started")
    option("--only", nargs="+", choices=SETS, help="measure only these")
    option("--seed", type=int, default=0)
    option("--folder", type=Path, help="where to put the logs; a temporary folder by default")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="tahini-log-bench-") as folder:
        show(measure(chosen, Path(folder)), chosen.json)


if __name__ == "__main__":
    main()
