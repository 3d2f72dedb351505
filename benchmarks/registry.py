"""How fast the consent registry records, decides and tells, with millions of consents in it.

Founds a registry on PostgreSQL (or SQLite), enrols borrowers, loads ``--records`` consents through
``tahini registry load``'s own code over HTTP, then measures against the real server process:
borrowers with access tokens who withdraw and give again one by one, imports by the thousand,
decisions about one and about everybody, a lender's state and its deltas, and how long a withdrawal
takes to be refused. Server, database and load share this machine.

The yardstick, ``plain``, is a bare CRUD service (``benchmarks.yardsticks``) over the same database
in the same run: ``ratio_changes_to_plain``, ``ratio_p99_to_plain``, ``ratio_read_to_plain``.

    python -m benchmarks.registry --json
    python -m benchmarks.registry --records 200000 --seconds 10 --only changes decisions
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from sqlalchemy import text

from benchmarks import population, yardsticks
from benchmarks.load import Load, Request, Served, Spent, http_request, running, served
from benchmarks.population import ChangesOfMind, Population
from benchmarks.postgresql import empty_database
from benchmarks.report import SERVICES, latency, parser, show, versions
from clients.consents import Consents, HeldSnapshot
from consent.registry import Registry
from protocol.client.lenders import LenderClient
from protocol.snapshots import unpacked
from protocol.terms import TRAINING_PURPOSE

PARTS = ("bulk", "states", "decisions", "revocation", "changes", "plain")
TUNING = {"max_wal_size": "8GB", "checkpoint_timeout": "15min"}
"""PostgreSQL settings of the benchmark's server that differ from its defaults."""
CHECKS = "/v1/checks"


def under_load(load: Load, seconds: float) -> dict[str, Any]:
    per_s = load.run(seconds)
    return {
        "requests": len(load.latencies),
        "per_s": round(per_s, 1),
        "connections": load.connections,
        **latency(load.latencies),
        "max_ms": round(max(load.latencies), 2),
    }


# --- the yardstick


def plain(people: Population, url: str | None, seconds: float) -> dict[str, Any]:
    """The plain service over the same database: a row per request over 32 connections, and one
    row read over one."""
    where = url or f"sqlite:///{people.home / 'plain.db'}"
    with running(("benchmarks.yardsticks", "--url", where), people.home / "plain.log") as server:
        body = json.dumps(yardsticks.EXAMPLE).encode()
        write = http_request("POST", "/rows", "Bearer x", body)
        read = http_request("GET", "/rows/1", "Bearer x")
        Load(server.port, lambda: (write, len), 8, 201).run(min(3.0, seconds))
        spent = Spent(server)
        written = under_load(Load(server.port, lambda: (write, len), 32, 201), seconds)
        written |= spent.ms_each(written["requests"])
        found = under_load(Load(server.port, lambda: (read, len), 1, 200), min(seconds, 15))
    return {"write": written, "read": found}


# --- many changes at a time, and one


def bulk(people: Population, connections: int, most: int = 200_000) -> dict[str, Any]:
    """Answers of people who were not asked before, into the full tables; then the same people
    withdraw."""
    found: dict[str, Any] = {}
    per_lender = min(people.people - people.asked, most // 2)
    numbers = np.arange(people.asked, people.asked + per_lender)
    for name, action, day in (("gives", "give", 9), ("withdrawals", "withdraw", 8)):
        count, seconds = 0, 0.0
        for at, lender in enumerate(people.lenders[:2]):
            given = population.answers(numbers, [people.seed + at, day], action, day)
            count += len(given)
            seconds += population.hand_in(people, lender, given, connections)
        found[name] = {"records": count, "records_per_s": round(count / seconds)}
    return found


def _logged(registry: Registry) -> int:
    with registry.ledger.read() as session:
        return registry.ledger.log.size(session)


def changes(people: Population, server: Served, seconds: float, borrowers: int) -> dict[str, Any]:
    minds = ChangesOfMind.of(people, borrowers)
    with people.registry() as registry:
        Load(server.port, minds.request, 8, 201).run(min(3.0, seconds))
        made = minds.made
        logged = _logged(registry)
        spent = Spent(server)
        found = under_load(Load(server.port, minds.request, 32, 201), seconds)
        found |= spent.ms_each(found["requests"])
        entries = _logged(registry) - logged
    if entries != minds.made - made:
        raise RuntimeError("not every change has its log entry")
    return {
        **found,
        "log_entries": entries,
        "borrowers": borrowers,
        "server_mib": round(server.resident_mib()),
    }


# --- decisions


def decisions(people: Population, server: Served, seconds: float) -> dict[str, Any]:
    """Single decisions over one connection and over four, then everybody of one lender."""
    lender = people.lenders[0]
    rng = random.Random(people.seed)
    client = LenderClient(*people.as_lender(lender))
    session = client.begin_session()

    def one() -> Request:
        name = people.names[lender][rng.randrange(people.people)]
        content = json.dumps({"purpose": TRAINING_PURPOSE, "subjects": [name]}).encode()

        def check(body: bytes) -> None:
            if json.loads(body)["decisions"][0]["subject"] != name:
                raise RuntimeError("a decision about somebody else")

        authorization = session.authorization("POST", CHECKS, content)
        return http_request("POST", CHECKS, authorization, content), check

    Load(server.port, one, 1, 200).run(1)
    single = under_load(Load(server.port, one, 1, 200), seconds)
    concurrent = under_load(Load(server.port, one, 4, 200), seconds)
    content = json.dumps({"purpose": TRAINING_PURPOSE}).encode()
    times = []
    with httpx.Client(base_url=people.url, timeout=120) as http:
        for _ in range(5):
            authorization = session.authorization("POST", CHECKS, content)
            headers = {"Authorization": authorization, "Content-Type": "application/json"}
            started = time.perf_counter()
            answer = http.post(CHECKS, content=content, headers=headers).raise_for_status()
            subjects = len(unpacked(answer.json()["rules"], "uint8"))
            times.append(time.perf_counter() - started)
    client.close()
    everybody = {
        "subjects": subjects,
        "seconds": [round(seconds, 3) for seconds in times],
        "subjects_per_s": round(subjects / statistics.median(times)),
    }
    return {"single": single, "single_concurrent": concurrent, "bulk": everybody}


# --- states and deltas


class TimedClient(LenderClient):
    """Adds up how long its requests took, and how much came."""

    seconds = 0.0
    size = 0

    def _send(self, method: str, target: str, body: Any = None) -> httpx.Response:
        started = time.perf_counter()
        answer = super()._send(method, target, body)
        self.seconds += time.perf_counter() - started
        self.size += len(answer.content)
        return answer


@dataclass(frozen=True)
class Sync:
    """A node was brought up to date: seconds and bytes of the registry's answers, and the node's
    own seconds."""

    snapshot: HeldSnapshot
    answer_s: float
    size: int
    apply_s: float

    @classmethod
    def timed(cls, node: Consents, client: TimedClient) -> Sync:
        client.seconds, client.size = 0.0, 0
        started = time.perf_counter()
        snapshot = node.sync(client, TRAINING_PURPOSE)
        took = time.perf_counter() - started
        return cls(snapshot, client.seconds, client.size, took - client.seconds)


def states(people: Population) -> dict[str, Any]:
    """A whole state of one lender, at a node that knows its roll; then deltas of 1,000 people."""
    lender = people.lenders[0]
    home = people.home / "node"
    home.mkdir()
    node = Consents(home, lender)
    client = TimedClient(*people.as_lender(lender))
    client.begin_session()
    first = Sync.timed(node, client)
    whole, delta = [], []
    for _ in range(3):
        for path in (home / "consents").glob("*.state"):
            path.unlink()
        whole.append(Sync.timed(node, client))
    codes = whole[-1].snapshot.codes["ordinary"]
    moved = min(1000, people.asked // 4)
    for turn in range(3):
        numbers = np.arange(turn * moved, (turn + 1) * moved)
        given = numbers[codes[numbers] & 0xFF == 1]
        seed = [people.seed + turn, 4]
        withdrawn = population.answers(given, seed, "withdraw", 0, ["ordinary"])
        population.hand_in(people, lender, withdrawn, 1)
        delta.append(Sync.timed(node, client))
    client.close()
    return {
        "subjects": len(first.snapshot.names),
        "first_with_names": {"seconds": round(first.answer_s, 2), "mb": round(first.size / 1e6, 2)},
        "build_s": round(statistics.median(sync.answer_s for sync in whole), 3),
        "transfer_mb": round(whole[-1].size / 1e6, 3),
        "apply_s": round(statistics.median(sync.apply_s for sync in whole), 3),
        "delta_changes": moved,
        "delta_ms": round(1000 * statistics.median(sync.answer_s for sync in delta), 1),
        "delta_kb": round(delta[-1].size / 1e3, 1),
        "delta_apply_s": round(statistics.median(sync.apply_s for sync in delta), 3),
    }


# --- from click to refusal


def revocation(people: Population, times: int = 20) -> dict[str, Any]:
    """From the borrower's click until the lender's next check, and its next synced state, refuse
    the person."""
    lender = people.lenders[0]
    borrowers = population.logged_in(people, times * 40)
    mine = [one for one in borrowers if one.lender == lender and one.given][:times]
    numbers = {name: at for at, name in enumerate(people.names[lender])}
    home = people.home / "watching"
    home.mkdir()
    node = Consents(home, lender)
    client = LenderClient(*people.as_lender(lender))
    client.begin_session()
    node.sync(client, TRAINING_PURPOSE)
    found: dict[str, list[float]] = {"answer": [], "check": [], "state": []}
    with httpx.Client(base_url=people.url) as http:
        for person in mine:
            target = f"/v1/me/consents/{people.record(lender, person.name)}/withdrawal"
            headers = {"Authorization": f"Bearer {person.token}"}
            started = time.perf_counter()
            http.post(target, headers=headers).raise_for_status()
            found["answer"].append(time.perf_counter() - started)
            asked = {"purpose": TRAINING_PURPOSE, "subjects": [person.name]}
            decided = client._send("POST", CHECKS, asked).json()["decisions"][0]
            found["check"].append(time.perf_counter() - started)
            snapshot = node.sync(client, TRAINING_PURPOSE)
            found["state"].append(time.perf_counter() - started)
            still_given = snapshot.codes["ordinary"][numbers[person.name]] & 0xFF == 1
            if still_given or decided["rule"] != "withdrawn":
                raise RuntimeError("a withdrawn consent was used again")
    client.close()
    longest = {f"{name}_max_s": round(max(values), 3) for name, values in found.items()}
    medians = {f"{name}_median_s": round(statistics.median(v), 3) for name, v in found.items()}
    return {"times": len(mine), **longest, **medians}


# --- all of it


def measure(options: argparse.Namespace, folder: Path, url: str | None) -> dict[str, Any]:
    def told(what: str) -> None:
        if sys.stderr.isatty() or options.verbose:
            print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)

    each = max(1000, round(options.records / (2 * options.lenders) / (1 - population.KEPT_BACK)))
    report: dict[str, Any] = {
        "machine": versions(SERVICES, "orjson", "pydantic"),
        "database": options.database,
        "lenders": options.lenders,
        "people_per_lender": each,
        "workers": options.workers,
        "seconds": options.seconds,
        "seed": options.seed,
        "load_average": [os.getloadavg()],
    }
    people = Population.founded(folder / "home", options.lenders, each, url, options.seed)
    report["enrolment"] = population.enrol(people, told)
    wanted = options.only or PARTS
    workers = ("--workers", str(options.workers))
    with served("registry", people.home / "registry", *workers) as server:
        people.url = server.url
        report["load"] = population.load(people, options.connections, told)
        with people.registry() as registry, registry.ledger.database.write() as session:
            session.execute(text("ANALYZE"))  # as autovacuum does within a minute of a load
        if "bulk" in wanted:
            found = report["bulk"] = bulk(people, options.connections)
            report["bulk_changes_per_s"] = found["gives"]["records_per_s"]
            told(f"bulk {found}")
        if "states" in wanted:
            found = report["states"] = states(people)
            report["snapshot_build_s"] = found["build_s"]
            report["delta_ms"] = found["delta_ms"]
            told(f"states {found}")
        if "decisions" in wanted:
            found = report["decisions"] = decisions(people, server, min(options.seconds, 15))
            report["decision_p99_ms"] = found["single"]["p99_ms"]
            report["bulk_decisions_per_s"] = found["bulk"]["subjects_per_s"]
            told(f"decisions {found}")
        if "revocation" in wanted:
            found = report["revocation"] = revocation(people)
            report["revocation_to_refusal_s"] = found["state_max_s"]
            told(f"revocation {found}")
        if "changes" in wanted:
            runs = report["changes"] = [
                changes(people, server, options.seconds, options.borrowers)
                for _ in range(options.repeat)
            ]
            report["changes_per_s"] = statistics.median(run["per_s"] for run in runs)
            report["change_p99_ms"] = statistics.median(run["p99_ms"] for run in runs)
            told(f"changes {runs}")
    if "plain" in wanted:
        found = report["plain"] = plain(people, url, options.seconds)
        told(f"plain {found}")
    if "plain" in wanted and "changes" in wanted:
        report["ratio_changes_to_plain"] = report["changes_per_s"] / found["write"]["per_s"]
        report["ratio_p99_to_plain"] = report["change_p99_ms"] / found["write"]["p99_ms"]
    if "plain" in wanted and "decisions" in wanted:
        decided = report["decisions"]["single"]["p50_ms"]
        report["ratio_read_to_plain"] = decided / found["read"]["p50_ms"]
    report["load_average"].append(os.getloadavg())
    return report


def main() -> None:
    options = parser(__doc__)
    option = options.add_argument
    option("--records", type=int, default=10_000_000, help="consents to load, two for each person")
    option("--lenders", type=int, default=5, help="among how many lenders")
    option("--seconds", type=float, default=30.0, help="how long each HTTP load lasts")
    option("--repeat", type=int, default=3, help="how often changes are measured; takes medians")
    option("--borrowers", type=int, default=5000, help="who change their minds, with access tokens")
    option("--connections", type=int, default=2, help="imports under way at a time")
    option("--workers", type=int, default=1, help="processes of the registry (PostgreSQL)")
    option("--database", choices=("postgresql", "sqlite"), default="postgresql")
    option("--url", help="postgresql:// URL of an empty database; by default one is started")
    option("--only", nargs="+", choices=PARTS, help="after loading, measure only these")
    option("--seed", type=int, default=0)
    option("--folder", type=Path, help="where to put the registry; a temporary folder by default")
    option("--verbose", action="store_true", help="say on standard error how far it is")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="tahini-registry-bench-") as name:
        folder = Path(name)
        sqlite = chosen.database == "sqlite"
        database = nullcontext(chosen.url) if sqlite else empty_database(chosen.url, TUNING)
        with database as url:
            show(measure(chosen, folder, url), chosen.json)


if __name__ == "__main__":
    main()
