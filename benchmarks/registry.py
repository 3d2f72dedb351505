"""How fast the consent registry records, decides and tells, with millions of consents in it.

Founds a registry on PostgreSQL (or SQLite), enrols borrowers, loads ``--records`` consents through
``tahini registry load``'s own code over HTTP, then measures against the real server process:
borrowers with access tokens who withdraw and give again one by one, imports by the thousand,
decisions about one and about everybody, a lender's state and its deltas, and how long a withdrawal
takes to be refused. Server, database and load share this machine.

    python -m benchmarks.registry --json
    python -m benchmarks.registry --records 200000 --seconds 10 --only changes decisions
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import os
import platform
import random
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet
from sqlalchemy import text

from benchmarks.log import percentile, postgresql_server, resident_mib
from clients.consents import Consents
from consent.commands.enrol_subjects import enrol_subjects
from consent.commands.publish_notice import publish_notice
from consent.home import KEY_FILE, open_registry
from consent.identity.callers import Caller
from consent.identity.settings import ISSUERS_FILE
from consent.identity.tokens import AccessTokens
from consent.load import Answered, Loader, OverHttp, Progress
from consent.provisioning import REGISTRY_PUB, found_log
from consent.registry import Registry
from crypto.keys import PublicKey, SigningKey, load_signing_key
from demo.borrowers import GIVES, make_notice
from ops.processes import free_port
from protocol.client.base import load_consortium
from protocol.client.lenders import LenderClient
from protocol.consents import Notice
from protocol.enrolment import MAX_BATCH as ENROL_AT_ONCE
from protocol.enrolment import Enrolment
from protocol.parties import Consortium
from protocol.records import record_id
from protocol.schema import now
from protocol.snapshots import REASONS, Reason, unpacked
from protocol.terms import TRAINING_PURPOSE, Sensitivity

PACKAGES = (
    "cryptography",
    "fastapi",
    "orjson",
    "psycopg",
    "pydantic",
    "sqlalchemy",
    "uvicorn",
    "uvloop",
)
PARTS = ("bulk", "changes", "decisions", "states", "revocation")
ISSUER = "https://logins.bench.example"
SENSITIVITIES: tuple[Sensitivity, Sensitivity] = ("ordinary", "sensitive")
KEPT_BACK = 0.04
"""Share of a lender's people who are asked only later, for the bulk measurement."""
TUNING = ("max_wal_size=8GB", "checkpoint_timeout=15min")
"""PostgreSQL settings of the benchmark's server that differ from its defaults; all take effect
without a restart."""


# --- the registry


@dataclass
class Bench:
    """A founded registry and its people. ``names``: pseudonyms by lender, in the order of their
    numbers."""

    home: Path
    consortium: Consortium
    notice: Notice
    lenders: list[str]
    people: int
    seed: int
    names: dict[str, list[str]] = field(default_factory=dict)
    port: int = 0
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def asked(self) -> int:
        """How many of a lender's people answer in the load; the others are asked later."""
        return self.people - int(self.people * KEPT_BACK)

    def key(self, lender: str) -> SigningKey:
        return load_signing_key(self.home / lender / f"{lender}.key")

    def client(self, lender: str) -> LenderClient:
        client = LenderClient(self.url, self.consortium, lender, self.key(lender))
        client.begin_session()
        return client

    def registry(self) -> Registry:
        return open_registry(self.home / "registry")


def _pseudonyms(rng: np.random.Generator, count: int) -> list[str]:
    """As names look; that they are made by the naming service is another benchmark's matter."""
    drawn = rng.bytes(32 * count)
    return [
        f"v1.{urlsafe_b64encode(drawn[at : at + 32]).rstrip(b'=').decode()}"
        for at in range(0, 32 * count, 32)
    ]


def found(home: Path, lenders: int, people: int, url: str | None, seed: int) -> Bench:
    names = [f"lender-{number}" for number in range(1, lenders + 1)]
    found_log(home, "bench.example/registry", names, url)
    settings = {
        "issuer": ISSUER,
        "audience": "portal",
        "jwks": {"keys": [SigningKey.generate().public.jwk.as_dict(private=False)]},
        "algorithms": ["Ed25519"],
        "subject_is_pseudonym": True,
        "lenders": names,
    }
    (home / "registry" / ISSUERS_FILE).write_text(
        json.dumps({"issuers": [settings]}), encoding="utf-8"
    )
    consortium = load_consortium(
        home / "consortium.jws",
        PublicKey.from_text((home / REGISTRY_PUB).read_text(encoding="utf-8").strip()),
    )
    bench = Bench(home, consortium, make_notice(names, 1.0), names, people, seed)
    registry = bench.registry()
    publish_notice(registry, bench.notice.sign(load_signing_key(home / "registry" / KEY_FILE)))
    registry.ledger.sequencer.settle()
    registry.close()
    return bench


def enrol(bench: Bench, told: Callable[[str], None]) -> dict[str, Any]:
    """Everybody at every lender; names beforehand, so that what is timed is the registry's part."""
    registry = bench.registry()
    seconds = 0.0
    for at, lender in enumerate(bench.lenders):
        rng = np.random.default_rng([bench.seed, at])
        bench.names[lender] = _pseudonyms(rng, bench.people)
        ledger = _pseudonyms(rng, bench.people)
        party = registry.consortium.party(lender)
        for start in range(0, bench.people, ENROL_AT_ONCE):
            part = slice(start, start + ENROL_AT_ONCE)
            enrolments = [
                Enrolment(pseudonym=name, ledger_pseudonym=other)
                for name, other in zip(bench.names[lender][part], ledger[part], strict=True)
            ]
            started = time.perf_counter()
            enrol_subjects(registry, party, enrolments)
            seconds += time.perf_counter() - started
        told(f"enrolled {(at + 1) * bench.people:,} people")
    registry.ledger.sequencer.settle()
    registry.close()
    total = bench.people * len(bench.lenders)
    return {"people": total, "seconds": round(seconds, 1), "people_per_s": round(total / seconds)}


@contextmanager
def served(bench: Bench, workers: int) -> Iterator[subprocess.Popen[bytes]]:
    bench.port = free_port()
    command = [
        sys.executable,
        "-m",
        "tahini",
        "registry",
        "serve",
        "--home",
        str(bench.home / "registry"),
    ]
    command += ["--port", str(bench.port), "--workers", str(workers)]
    with (bench.home / "server.log").open("ab") as journal:
        process = subprocess.Popen(command, stderr=journal, stdout=subprocess.DEVNULL)
        try:
            for _ in range(600):
                if process.poll() is not None:
                    raise RuntimeError((bench.home / "server.log").read_text(encoding="utf-8"))
                try:
                    if httpx.get(f"{bench.url}/readyz").is_success:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.05)
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


# --- loading


def write_answers(
    path: Path, numbers: np.ndarray, seed: int, action: str | None = None, day: int = 10
) -> int:
    """A file of one answer for each person and sensitivity: ``action``, or some give and some
    refuse."""
    rng = np.random.default_rng([seed, day])
    count = len(numbers) * len(SENSITIVITIES)
    evidence = rng.bytes(32 * count).hex()
    actions = (
        np.where(rng.random(count) < GIVES, "give", "refuse")
        if action is None
        else np.full(count, action)
    )
    moment = (now() - timedelta(days=day)).isoformat()
    table = {
        "number": np.repeat(numbers, len(SENSITIVITIES)),
        "sensitivity": list(SENSITIVITIES) * len(numbers),
        "action": actions,
        "event_time": [moment] * count,
        "evidence_sha256": [evidence[at : at + 64] for at in range(0, 64 * count, 64)],
    }
    pa.parquet.write_table(pa.table(table), path)
    return count


def hand_in(bench: Bench, lender: str, path: Path, connections: int) -> float:
    """Load a file as the lender, over HTTP; returns seconds."""
    clients = [
        OverHttp(bench.url, bench.consortium, lender, bench.key(lender)) for _ in range(connections)
    ]
    for client in clients:
        client.begin_session()
    answered = Answered(bench.notice, "en", "paper")
    started = time.perf_counter()
    Loader(clients, answered).load(path, Progress.of(path, lender, answered, connections))
    seconds = time.perf_counter() - started
    for client in clients:
        client.close()
    path.unlink()
    path.with_name(f"{path.name}.progress").unlink()
    return seconds


def load(bench: Bench, connections: int, told: Callable[[str], None]) -> dict[str, Any]:
    total, seconds = 0, 0.0
    for at, lender in enumerate(bench.lenders):
        path = bench.home / f"{lender}.parquet"
        total += write_answers(path, np.arange(bench.asked), bench.seed + at)
        seconds += hand_in(bench, lender, path, connections)
        told(f"loaded {total:,} records, {total / seconds:,.0f}/s")
    return {
        "records": total,
        "connections": connections,
        "records_per_s": round(total / seconds),
        "minutes": round(seconds / 60, 2),
    }


def bulk(bench: Bench, connections: int, most: int = 200_000) -> dict[str, Any]:
    """Answers of people who were not asked before, into the full tables; then the same people
    withdraw."""
    found: dict[str, Any] = {}
    per_lender = min(bench.people - bench.asked, most // 2)
    numbers = np.arange(bench.asked, bench.asked + per_lender)
    for name, action, day in (("gives", "give", 9), ("withdrawals", "withdraw", 8)):
        count, seconds = 0, 0.0
        for at, lender in enumerate(bench.lenders[:2]):
            path = bench.home / f"{lender}-{name}.parquet"
            count += write_answers(path, numbers, bench.seed + at, action, day)
            seconds += hand_in(bench, lender, path, connections)
        found[name] = {"records": count, "records_per_s": round(count / seconds)}
    return found


# --- HTTP load


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(x.split(b":")[1])
        for x in head.lower().split(b"\r\n")
        if x.startswith(b"content-length")
    )
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


def _http(method: str, target: str, authorization: str, content: bytes = b"") -> bytes:
    head = (
        f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


@dataclass
class Load:
    """Connections that each send the next request as soon as the last was answered, or ``rate`` of
    them a second."""

    port: int
    request: Callable[[], tuple[bytes, Callable[[bytes], None]]]
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
                raise RuntimeError(f"the registry answered {status}: {body[:300]!r}")
            check(body)
        writer.close()

    async def _run(self, seconds: float) -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(self._connection(until) for _ in range(self.connections)))

    def run(self, seconds: float) -> dict[str, Any]:
        started = time.perf_counter()
        asyncio.run(self._run(seconds))
        spent = time.perf_counter() - started
        return {
            "requests": len(self.latencies),
            "per_s": round(len(self.latencies) / spent, 1),
            "connections": self.connections,
            "p50_ms": round(statistics.median(self.latencies), 2),
            "p99_ms": round(percentile(self.latencies, 0.99), 2),
            "max_ms": round(max(self.latencies), 2),
        }


def _processor_seconds(pid: int) -> float:
    """Of a process and its children, so far."""
    total = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            except OSError:
                continue
            if int(entry.name) == pid or int(fields[1]) == pid:
                total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


# --- one change at a time


@dataclass
class People:
    """Borrowers with access tokens. Each withdraws one consent and gives it again, in turn, never
    two at a time."""

    bench: Bench
    tokens: list[tuple[str, str, str]]
    """Lender, pseudonym, access token."""
    rng: random.Random
    given: list[bool] = field(default_factory=list)
    free: list[int] = field(default_factory=list)
    changed: int = 0

    @classmethod
    def logged_in(cls, bench: Bench, count: int) -> People:
        """Tokens as the token endpoint mints them; they are in force for ten minutes."""
        registry = bench.registry()
        rng = random.Random(bench.seed)
        minted = AccessTokens(registry)
        tokens = []
        people = list(itertools.islice(_drawn(bench, rng), count))
        for lender, name in people:
            login = hashlib.sha256(name.encode()).hexdigest()
            token = minted.mint(
                login,
                "portal",
                Caller.SUBJECT,
                login_issuer=ISSUER,
                pseudonym=name,
                evidence=secrets.token_hex(32),
            )
            tokens.append((lender, name, token))
        states = _given(registry, people)
        registry.ledger.database.close()
        order = list(range(count))
        rng.shuffle(order)
        return cls(bench, tokens, rng, states, order)

    def request(self) -> tuple[bytes, Callable[[bytes], None]]:
        """The next person's change of mind about ordinary data."""
        person = self.free.pop(0)
        lender, name, token = self.tokens[person]
        notice = self.bench.notice
        if self.given[person]:
            record = record_id(
                self.bench.consortium.log_origin, name, notice.purpose, lender, "ordinary"
            )
            request = _http("POST", f"/v1/me/consents/{record}/withdrawal", f"Bearer {token}")
        else:
            stated = {
                "notice_id": notice.id,
                "notice_version": notice.version,
                "notice_language": "en",
                "notice_sha256": notice.text_sha256("en"),
                "choices": [{"recipient": lender, "action": "give"}],
            }
            request = _http(
                "POST", "/v1/me/consents", f"Bearer {token}", json.dumps(stated).encode()
            )

        def done(body: bytes) -> None:
            states = json.loads(body)["recorded"][0]["states"]
            self.given[person] = not self.given[person]
            if states != {f"{lender}/ordinary": "given" if self.given[person] else "withdrawn"}:
                raise RuntimeError(f"the registry recorded {states}")
            self.changed += 1
            self.free.append(person)

        return request, done


def _drawn(bench: Bench, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Different people who were asked in the load."""
    seen: set[tuple[str, int]] = set()
    while True:
        chosen = (rng.choice(bench.lenders), rng.randrange(bench.asked))
        if chosen not in seen:
            seen.add(chosen)
            yield chosen[0], bench.names[chosen[0]][chosen[1]]


def _given(registry: Registry, people: Sequence[tuple[str, str]]) -> list[bool]:
    """Whose consent to the use of ordinary data is in force."""
    from consent.commands.check_consents import MAX_NAMED, decide

    found: dict[str, bool] = {}
    for lender in {lender for lender, _ in people}:
        names = [name for mine, name in people if mine == lender]
        for start in range(0, len(names), MAX_NAMED):
            part = names[start : start + MAX_NAMED]
            party = registry.consortium.party(lender)
            rules = decide(registry, party, TRAINING_PURPOSE, "ordinary", names=part).rules
            found.update(zip(part, (REASONS[rule] is Reason.GIVEN for rule in rules), strict=True))
    return [found[name] for _, name in people]


def _logged(registry: Registry) -> int:
    with registry.ledger.read() as session:
        return registry.ledger.log.size(session)


def changes(
    bench: Bench, process: subprocess.Popen[bytes], seconds: float, borrowers: int
) -> dict[str, Any]:
    people = People.logged_in(bench, borrowers)
    reader = bench.registry()
    Load(bench.port, people.request, 8, 201).run(min(3.0, seconds))
    before = people.changed
    logged = _logged(reader)
    spent = _processor_seconds(process.pid)
    load = Load(bench.port, people.request, 32, 201)
    found = load.run(seconds)
    found["server_cpu_ms_each"] = round(
        1000 * (_processor_seconds(process.pid) - spent) / found["requests"], 3
    )
    found["log_entries"] = _logged(reader) - logged
    if found["log_entries"] != people.changed - before:
        raise RuntimeError("not every change has its log entry")
    reader.ledger.database.close()
    return {**found, "borrowers": borrowers, "server_mib": round(resident_mib(process.pid))}


# --- decisions


def decisions(bench: Bench, seconds: float) -> dict[str, Any]:
    """Single decisions over one connection and over four, then everybody of one lender."""
    lender = bench.lenders[0]
    rng = random.Random(bench.seed)
    client = bench.client(lender)
    session = client.begin_session()

    def one() -> tuple[bytes, Callable[[bytes], None]]:
        name = bench.names[lender][rng.randrange(bench.people)]
        content = json.dumps({"purpose": TRAINING_PURPOSE, "subjects": [name]}).encode()

        def check(body: bytes) -> None:
            if json.loads(body)["decisions"][0]["subject"] != name:
                raise RuntimeError("a decision about somebody else")

        return _http(
            "POST", "/v1/checks", session.authorization("POST", "/v1/checks", content), content
        ), check

    Load(bench.port, one, 1, 200).run(1)
    found: dict[str, Any] = {"single": Load(bench.port, one, 1, 200).run(seconds)}
    found["single_concurrent"] = Load(bench.port, one, 4, 200).run(seconds)
    content = json.dumps({"purpose": TRAINING_PURPOSE}).encode()
    times, counts = [], []
    with httpx.Client(base_url=bench.url, timeout=120) as http:
        for _ in range(5):
            authorization = session.authorization("POST", "/v1/checks", content)
            headers = {"Authorization": authorization, "Content-Type": "application/json"}
            started = time.perf_counter()
            answer = http.post("/v1/checks", content=content, headers=headers).raise_for_status()
            rules = unpacked(answer.json()["rules"], "uint8")
            times.append(time.perf_counter() - started)
            counts.append(len(rules))
    client.close()
    found["bulk"] = {
        "subjects": counts[0],
        "seconds": [round(t, 3) for t in times],
        "subjects_per_s": round(counts[0] / statistics.median(times)),
    }
    return found


# --- states and deltas


class TimedClient(LenderClient):
    """Remembers how long its last requests took, and how much came."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seconds, self.sizes = 0.0, 0

    def _send(self, method: str, target: str, body: Any = None) -> httpx.Response:
        started = time.perf_counter()
        answer = super()._send(method, target, body)
        self.seconds += time.perf_counter() - started
        self.sizes += len(answer.content)
        return answer

    def taken(self) -> tuple[float, int]:
        found = (self.seconds, self.sizes)
        self.seconds = 0.0
        self.sizes = 0
        return found


def states(bench: Bench, connections: int) -> dict[str, Any]:
    """A whole state of one lender, at a node that knows its roll; then deltas of 1,000 changes."""
    lender = bench.lenders[0]
    home = bench.home / "node"
    home.mkdir()
    client = TimedClient(bench.url, bench.consortium, lender, bench.key(lender))
    client.begin_session()
    node = Consents(home, lender)
    node.sync(client, TRAINING_PURPOSE)
    first_s, first_bytes = client.taken()
    whole, delta = [], []
    for _ in range(3):
        for path in (home / "consents").glob("*.state"):
            path.unlink()
        started = time.perf_counter()
        standing = node.sync(client, TRAINING_PURPOSE)
        took = time.perf_counter() - started
        answered, size = client.taken()
        whole.append((answered, size, took - answered))
    moved = min(1000, bench.asked // 4)
    for turn in range(3):
        numbers = np.arange(turn * moved, (turn + 1) * moved)
        path = bench.home / "delta.parquet"
        _toggled(path, numbers, standing.codes["ordinary"], bench.seed + turn)
        hand_in(bench, lender, path, 1)
        started = time.perf_counter()
        standing = node.sync(client, TRAINING_PURPOSE)
        took = time.perf_counter() - started
        answered, size = client.taken()
        delta.append((answered, size, took - answered))
    client.close()
    return {
        "subjects": len(standing.names),
        "first_with_names": {"seconds": round(first_s, 2), "mb": round(first_bytes / 1e6, 2)},
        "build_s": round(statistics.median(w[0] for w in whole), 3),
        "transfer_mb": round(whole[-1][1] / 1e6, 3),
        "apply_s": round(statistics.median(w[2] for w in whole), 3),
        "delta_changes": moved,
        "delta_ms": round(1000 * statistics.median(d[0] for d in delta), 1),
        "delta_kb": round(delta[-1][1] / 1e3, 1),
        "delta_apply_s": round(statistics.median(d[2] for d in delta), 3),
    }


def _toggled(path: Path, numbers: np.ndarray, codes: np.ndarray, seed: int) -> None:
    """A withdrawal of the consent to the use of ordinary data, by everybody of these who had given
    it."""
    given = numbers[codes[numbers] & 0xFF == 1]
    evidence = np.random.default_rng([seed, 4]).bytes(32 * len(given)).hex()
    table = {
        "number": given,
        "sensitivity": ["ordinary"] * len(given),
        "action": ["withdraw"] * len(given),
        "event_time": [now().isoformat()] * len(given),
        "evidence_sha256": [evidence[at : at + 64] for at in range(0, 64 * len(given), 64)],
    }
    pa.parquet.write_table(pa.table(table), path)


# --- from click to refusal


def revocation(bench: Bench, times: int = 20) -> dict[str, Any]:
    """From the borrower's click until the lender's next check, and its next synced state, refuse
    the person."""
    people = People.logged_in(bench, times * 40)
    lender = bench.lenders[0]
    client = bench.client(lender)
    home = bench.home / "watching"
    home.mkdir()
    node = Consents(home, lender)
    numbers = {name: at for at, name in enumerate(bench.names[lender])}
    node.sync(client, TRAINING_PURPOSE)
    found: dict[str, list[float]] = {"answer": [], "check": [], "state": []}
    mine = [at for at, (of, _, _) in enumerate(people.tokens) if of == lender and people.given[at]][
        :times
    ]
    with httpx.Client(base_url=bench.url) as http:
        for person in mine:
            _, name, token = people.tokens[person]
            record = record_id(
                bench.consortium.log_origin, name, bench.notice.purpose, lender, "ordinary"
            )
            started = time.perf_counter()
            http.post(
                f"/v1/me/consents/{record}/withdrawal", headers={"Authorization": f"Bearer {token}"}
            ).raise_for_status()
            found["answer"].append(time.perf_counter() - started)
            asked = {"purpose": TRAINING_PURPOSE, "subjects": [name]}
            decided = client._send("POST", "/v1/checks", asked).json()["decisions"][0]
            found["check"].append(time.perf_counter() - started)
            standing = node.sync(client, TRAINING_PURPOSE)
            found["state"].append(time.perf_counter() - started)
            if (
                decided["rule"] != "withdrawn"
                or standing.codes["ordinary"][numbers[name]] & 0xFF == 1
            ):
                raise RuntimeError("a withdrawn consent was used again")
    client.close()
    return {
        "times": len(mine),
        **{f"{name}_max_s": round(max(values), 3) for name, values in found.items()},
        **{
            f"{name}_median_s": round(statistics.median(values), 3)
            for name, values in found.items()
        },
    }


# --- all of it


def measure(options: argparse.Namespace, folder: Path, url: str | None) -> dict[str, Any]:
    def told(what: str) -> None:
        if sys.stderr.isatty() or options.verbose:
            print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)

    people = max(1000, round(options.records / (2 * options.lenders) / (1 - KEPT_BACK)))
    report: dict[str, Any] = {
        "machine": {
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
        "database": options.database,
        "lenders": options.lenders,
        "people_per_lender": people,
        "workers": options.workers,
        "seconds": options.seconds,
        "seed": options.seed,
        "load_average": [os.getloadavg()],
    }
    bench = found(folder / "home", options.lenders, people, url, options.seed)
    report["enrolment"] = enrol(bench, told)
    wanted = options.only or PARTS
    with served(bench, options.workers) as process:
        report["load"] = load(bench, options.connections, told)
        _analyse(bench)
        if "bulk" in wanted:
            report["bulk"] = bulk(bench, options.connections)
            report["bulk_changes_per_s"] = report["bulk"]["gives"]["records_per_s"]
            told(f"bulk {report['bulk']}")
        if "states" in wanted:
            report["states"] = states(bench, options.connections)
            report["snapshot_build_s"] = report["states"]["build_s"]
            report["delta_ms"] = report["states"]["delta_ms"]
            told(f"states {report['states']}")
        if "decisions" in wanted:
            report["decisions"] = decisions(bench, min(options.seconds, 15))
            report["decision_p99_ms"] = report["decisions"]["single"]["p99_ms"]
            report["bulk_decisions_per_s"] = report["decisions"]["bulk"]["subjects_per_s"]
            told(f"decisions {report['decisions']}")
        if "revocation" in wanted:
            report["revocation"] = revocation(bench)
            report["revocation_to_refusal_s"] = report["revocation"]["state_max_s"]
            told(f"revocation {report['revocation']}")
        if "changes" in wanted:
            runs = [
                changes(bench, process, options.seconds, options.borrowers)
                for _ in range(options.repeat)
            ]
            report["changes"] = runs
            report["changes_per_s"] = statistics.median(run["per_s"] for run in runs)
            report["change_p99_ms"] = statistics.median(run["p99_ms"] for run in runs)
            told(f"changes {runs}")
    report["load_average"].append(os.getloadavg())
    return report


def _analyse(bench: Bench) -> None:
    """What autovacuum does within the minute after a load."""
    registry = bench.registry()
    with registry.ledger.database.write() as session:
        session.execute(text("ANALYZE"))
    registry.ledger.database.close()


@contextmanager
def database(kind: str, folder: Path, given: str | None) -> Iterator[str | None]:
    """A PostgreSQL URL; none for SQLite."""
    with ExitStack() as stack:
        if kind == "sqlite" or given is not None:
            yield given
            return
        url = stack.enter_context(postgresql_server(folder / "pgdata"))
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            for setting in TUNING:
                name, _, value = setting.partition("=")
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
            connection.execute("SELECT pg_reload_conf()")
        yield url


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--records",
        type=int,
        default=10_000_000,
        help="consent records to load, two for each person",
    )
    parser.add_argument("--lenders", type=int, default=5, help="among how many lenders")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each HTTP load lasts")
    parser.add_argument(
        "--repeat", type=int, default=3, help="how often changes are measured; medians are reported"
    )
    parser.add_argument(
        "--borrowers",
        type=int,
        default=5000,
        help="who change their minds, each with an access token",
    )
    parser.add_argument("--connections", type=int, default=2, help="imports under way at a time")
    parser.add_argument(
        "--workers", type=int, default=1, help="processes of the registry (PostgreSQL)"
    )
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument(
        "--url", help="a postgresql:// URL of an empty database; by default one is started"
    )
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, help="after loading, measure only these"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--folder", type=Path, help="where to put the registry; a temporary folder by default"
    )
    parser.add_argument(
        "--verbose", action="store_true", help="say on standard error how far it is"
    )
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=options.folder, prefix="tahini-registry-bench-") as folder,
        database(options.database, Path(folder), options.url) as url,
    ):
        report = measure(options, Path(folder), url)
    if options.json:
        print(json.dumps(report, indent=2))
        return
    for name, value in report.items():
        print(f"{name}: {json.dumps(value)}")


if __name__ == "__main__":
    main()
