"""Decisions over HTTP, each durable and logged with its consents before it is answered.

The demo is run first: a consortium of processes, a released model, a lender's desk. Then another
desk of the same lender, on PostgreSQL and on SQLite, decides applications of people who agreed to
be scored, over 32 connections, and beside it in the same run the plain FastAPI and SQLAlchemy
service of ``benchmarks.yardsticks`` inserts a row a request over the same database. Registry, log,
witnesses, desk, database and load share this machine.

``ratio_batch_to_plain`` counts decisions a second without HTTP and log (a lender's own batch,
``lending`` alone). What was stored is replayed, too: every decision comes out again.
"""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pandas as pd
import tomli_w
from sqlalchemy import select

from benchmarks import yardsticks
from benchmarks.load import Load, Spent, http_request, running
from benchmarks.postgresql import empty_database
from benchmarks.report import latency
from crypto.keys import write_secret
from demo.lending import AMOUNT, PRODUCT, TERM_DAYS, agree
from demo.loans import default_loans
from demo.result import Scenario, Settings
from demo.scenario import run
from desk.callers import CallerRole, DeskCaller, add_caller
from desk.commands.replay import replay
from desk.home import create_desk, open_database, opened_desk, read_settings
from desk.office import Desk, Transactions
from desk.records import StoredDecision
from desk.storage.tables import applications, decisions
from lending.cases import Case

BARS: dict[str, float] = {"ratio_p99_to_plain": 0.7, "receipt_p99_ms": 300.0}
LEAST: dict[str, float] = {"ratio_decisions_to_plain": 2.0, "ratio_batch_to_plain": 20.0}
PEOPLE, SECONDS, RECEIPTS = 2000, 30.0, 200
CONNECTIONS = 32
BATCH = 1000
KEPT = ("products", "policies", "reasons.toml", "families.toml", "reference.json")


class _Silent:
    """Nobody watches."""

    def begin(self, step: str) -> None: ...
    def advance(self, done: int, total: int) -> None: ...
    def end(self, result: str) -> None: ...
    def round(self, number: int, total: int, auc: float, epsilon: float) -> None: ...
    def lost(self, lenders: str, reason: str) -> None: ...


def measure(seed: int, scale: float) -> dict[str, Any]:
    """Every figure, by name."""
    found: dict[str, Any] = {}

    def beside(scenario: Scenario, url: str) -> None:
        people = _agreed(scenario, url, max(64, round(PEOPLE * min(scale, 1.0))))
        seconds = max(3.0, SECONDS * min(scale, 1.0))
        for name in ("postgresql", "sqlite"):
            figures = _desk(scenario, name, people, seconds)
            found.update({f"{name}_{key}": one for key, one in figures})

    with tempfile.TemporaryDirectory(prefix="tahini-lending-bench-") as folder:
        asked = Settings(default_loans(), Path(folder) / "run", 4, 1.0, 8, "scorecard", 1e-5)
        run(asked, _Silent(), beside)
    for key in ("ratio_decisions_to_plain", "ratio_batch_to_plain"):
        found[key] = min(found[f"{name}_{key}"] for name in ("postgresql", "sqlite"))
    for key in BARS:
        found[key] = max(found[f"{name}_{key}"] for name in ("postgresql", "sqlite"))
    return found


def _agreed(scenario: Scenario, url: str, count: int) -> list[str]:
    """The names of so many people of the lender who agree to be scored, and did not to training."""
    lender = scenario.campaign.lenders[0]
    asked = (one for one in scenario.borrowers if one.lender == lender and one.answer != "gives")
    mine = list(itertools.islice(asked, count))
    for first in range(0, len(mine), BATCH):
        agree(scenario.founded, lender, mine[first : first + BATCH], url)
    return [one.pseudonym for one in mine]


@contextmanager
def _home(scenario: Scenario, name: str, database: str | None) -> Iterator[tuple[Path, str]]:
    """A desk like the demo's on another database, and a token for it."""
    given = scenario.settings.workspace / "desk"
    home = scenario.settings.workspace / f"desk-{name}"
    create_desk(home, read_settings(given), database)
    for part in KEPT:
        if (given / part).is_dir():
            shutil.copytree(given / part, home / part, dirs_exist_ok=True)
        else:
            shutil.copy(given / part, home / part)
    _in_sql(given, home)
    opened = open_database(home)
    token = Transactions(opened).write(
        lambda hand: add_caller(hand, DeskCaller("load", CallerRole.ORIGINATION))
    )
    opened.close()
    yield home, token


def _in_sql(given: Path, home: Path) -> None:
    """The sources of the demo's desk over a table with an index instead of a file, which is read
    whole for each question."""
    table = pd.read_parquet(given / "customers.parquet")
    database = home.resolve() / "customers.db"
    with closing(sqlite3.connect(database)) as connection:
        dated = table.assign(late_ended=table["late_ended"].astype("string"))
        dated.to_sql("customers", connection, index=False)
        connection.execute("CREATE UNIQUE INDEX one ON customers (pseudonym)")
        connection.commit()
    write_secret(home / "customers.url", f"sqlite:///{database}".encode())
    said = tomllib.loads((given / "sources.toml").read_text(encoding="utf-8"))
    for one in said["sources"].values():
        del one["path"]
        truths = [name for name, at in one["columns"].items() if table[at].dtype == bool]
        one |= {"kind": "sql", "url_file": "customers.url", "table": "customers"}
        one["booleans"] = truths
    (home / "sources.toml").write_text(tomli_w.dumps(said), encoding="utf-8")


def _desk(
    scenario: Scenario, name: str, people: list[str], seconds: float
) -> Iterator[tuple[str, float]]:
    folder = scenario.settings.workspace / f"database-{name}"
    folder.mkdir()
    where = nullcontext(None) if name == "sqlite" else empty_database(None)
    with where as url, _home(scenario, name, url) as (home, token):
        decided = _decisions(home, token, people, seconds)
        plain = _plain(folder, url, seconds)
        batch = _pure(home)
    yield from {f"decisions_{key}": one for key, one in decided.items()}.items()
    yield from {f"plain_{key}": one for key, one in plain.items()}.items()
    for key in ("receipt_p99_ms", "receipt_idle_p99_ms"):
        yield key, decided[key]
    yield "ratio_decisions_to_plain", decided["per_s"] / plain["per_s"]
    yield "ratio_p99_to_plain", decided["p99_ms"] / plain["p99_ms"]
    yield "ratio_batch_to_plain", batch / plain["per_s"]
    yield "batch_per_s", batch


def _decisions(home: Path, token: str, people: list[str], seconds: float) -> dict[str, float]:
    turn = itertools.cycle(people)
    answered: list[str] = []

    def request() -> tuple[bytes, Any]:
        wanted = {
            "pseudonym": next(turn),
            "product": PRODUCT,
            "amount": AMOUNT,
            "term_days": TERM_DAYS,
            "purpose": "home",
        }
        content = json.dumps(wanted).encode()
        return http_request("POST", "/v1/applications", f"Bearer {token}", content), keep

    def keep(body: bytes) -> None:
        answered.append(json.loads(body)["decision"]["id"])

    command = ("tahini", "desk", "serve", "--home", str(home))
    with running(command, home.with_name(f"{home.name}.log"), "/healthz") as server:
        Load(server.port, request, 8, 201).run(min(3.0, seconds))
        spent = Spent(server)
        load = Load(server.port, request, CONNECTIONS, 201)
        with ThreadPoolExecutor(1) as beside:
            asked = beside.submit(_receipts, server.url, token, _newest(answered, ended := Event()))
            try:
                per_s = load.run(seconds)
            finally:
                ended.set()
        found = {"per_s": per_s, **latency(load.latencies), **spent.ms_each(len(load.latencies))}
        found["receipt_p99_ms"] = asked.result()
        found["receipt_idle_p99_ms"] = _receipts(server.url, token, answered[-RECEIPTS:])
    return found


def _newest(answered: list[str], ended: Event) -> Iterator[str]:
    """The newest decision, again and again while the load runs."""
    while not ended.is_set():
        if answered:
            yield answered[-1]
        else:
            ended.wait(0.01)


def _receipts(url: str, token: str, decided: Iterable[str]) -> float:
    """From asking for a receipt until it is there, signed by the log's witnesses: p99, ms."""
    taken = []
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as http:
        for one in decided:
            began = time.perf_counter()
            while not http.get(f"/v1/decisions/{one}/receipt").is_success:
                time.sleep(0.01)
            taken.append((time.perf_counter() - began) * 1000)
    return float(latency(taken)["p99_ms"])


def _plain(folder: Path, url: str | None, seconds: float) -> dict[str, float]:
    where = url or f"sqlite:///{folder / 'plain.db'}?timeout=60"
    body = json.dumps(yardsticks.EXAMPLE).encode()
    write = http_request("POST", "/rows", "Bearer x", body)
    with running(("benchmarks.yardsticks", "--url", where), folder / "plain.log") as server:
        Load(server.port, lambda: (write, len), 8, 201).run(min(3.0, seconds))
        load = Load(server.port, lambda: (write, len), CONNECTIONS, 201)
        per_s = load.run(seconds)
    return {"per_s": per_s, **latency(load.latencies)}


def _cases(desk: Desk) -> Iterator[Case]:
    """Of the newest decisions."""
    statement = (
        select(decisions, applications.c.wrapped_key)
        .join(applications, applications.c.id == decisions.c.application)
        .order_by(decisions.c.number.desc())
        .limit(BATCH)
    )
    with desk.reading() as hand:
        rows = hand.connection.execute(statement).all()
    for row in rows:
        yield StoredDecision.opened(row, desk.at_rest.of(row.application, row.wrapped_key)).case


def _pure(home: Path) -> float:
    """Decisions a second in one process from what is stored, score included."""
    found = replay(home)
    if not found.sound or not found.same:
        raise RuntimeError(f"decisions do not come out again: {found}")
    with opened_desk(home) as desk:
        cases = list(_cases(desk))
        began = time.perf_counter()
        for case in cases:
            desk.lending.score(case.facts)
            desk.lending.decide(case)
        return len(cases) / (time.perf_counter() - began)
