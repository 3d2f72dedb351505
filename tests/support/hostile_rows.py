"""Rows as hostile as files and databases let them be, of one person, among the rows of honest ones."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from support.world import schema_of

from clients.admission import Admission, UseLimits
from clients.data.book import open_source
from clients.data.people import Period
from law.bases import LegalBasis
from protocol.coverage import needs_of

MOMENT = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)
REGISTRY = schema_of(
    {"name": "late", "kind": "integer", "category": "repayment", "adverse": True, "ended_by": "seen", "clean": 0},
    {"name": "balance", "kind": "number", "category": "bureau", "low": 0, "high": 1e6},
    {"name": "grade", "kind": "category", "category": "bureau", "values": ["1", "2", "12345678901234567"]},
    outcome_dated_by="seen",
    outcome_ended_by="ended",
)
COLUMNS = ("customer", "as_of", "bad", "ended", "late", "seen", "balance", "grade")
PEOPLE = [f"v1.{number:043d}" for number in range(40)]
ATTACKER = PEOPLE[-1]


def honest() -> list[list[Any]]:
    """Rows that are easily moved: far dates, long codes, whole numbers as text. None is the attacker's."""
    return [
        [who, "9999-12-31" if n % 2 else "2026-01-31", n % 2, "2026-01-31", str(n % 30), "9999-12-31", f"{n * 17}.5",
         ["1", "2", "12345678901234567", None][n % 4]]
        for n, who in enumerate(PEOPLE[:-1])
    ]  # fmt: skip


HOSTILE_TEXT = [
    "", " ", "nan", "inf", "-inf", "1e400", "-1e400", "1.0", "1", "2.0", "true", "FALSE", "maybe", "1,234", "0x10",
    "2026-01-01T00:00:00.0000001", "2026-01-01T00:00:00.0000001+08:00", "0001-01-01", "99999-12-31", "30/06/2026",
    "20260630", "1700000000", "infinity", "-infinity", "0044-03-15 BC", '"', '""', 'a"b', '"a', "a\nb", "a,b", "\x00",
    "中文", "1" * 400, "-0", "1_000", "9" * 25, "12345678901234568",
]  # fmt: skip


def hostile(chance: random.Random, counts: bool = False) -> list[Any]:
    """A row; ``counts``: that is the attacker's, of a day and with an outcome, whatever else it says."""
    said: list[Any] = [chance.choice([None, chance.choice(HOSTILE_TEXT)]) for _ in COLUMNS[1:]]
    if counts:
        return [ATTACKER, "2026-01-31", "1", "2026-01-31", *said[3:]]
    return [chance.choice([ATTACKER, ATTACKER, "v1." + "z" * 43, "", " "]), *said]


def summed_by(count: Callable[[pd.DataFrame], np.ndarray], home: Path, period: Period | None = None) -> np.ndarray:
    """What ``count`` makes of the rows that the gate's admission leaves, added up; everybody consents."""
    limits = UseLimits.of(PEOPLE, {})
    needs = needs_of(REGISTRY.model_dump(mode="json"), False, LegalBasis.PIPL_CONSENT)
    nothing = np.zeros(len(PEOPLE), dtype=np.int32)
    admission = Admission(REGISTRY, MOMENT, needs, nothing, (frozenset(),), dict.fromkeys(needs.consents, limits))
    tables = open_source(home).rows(PEOPLE, REGISTRY, period)
    nobody = count(pd.DataFrame(columns=[REGISTRY.target, *REGISTRY.names]).astype(float))
    return sum((count(admission.admitted(table)) for table in tables), start=0 * nobody)


def describe(home: Path, first: str) -> None:
    home.mkdir(exist_ok=True)
    (home / "data.toml").write_text(f'{first}\nperson = "customer"\nlatest_by = "as_of"\n', encoding="utf-8")


class Csv:
    """Written without any care: a hostile value may be a piece of the file."""

    def __init__(self, home: Path, more: str = "") -> None:
        describe(home, f'kind = "csv"\npath = "loans.csv"\n{more}')
        self._path = home / "loans.csv"

    def put(self, rows: Sequence[Sequence[Any]]) -> None:
        lines = [",".join("" if value is None else str(value) for value in row) for row in (COLUMNS, *rows)]
        self._path.write_text("\n".join(lines) + "\n", encoding="utf-8")


class Parquet:
    """As text, whatever it is."""

    def __init__(self, home: Path) -> None:
        describe(home, 'kind = "parquet"\npath = "loans.parquet"')
        self._path = home / "loans.parquet"

    def put(self, rows: Sequence[Sequence[Any]]) -> None:
        columns = {
            name: pa.array([None if row[at] is None else str(row[at]) for row in rows])
            for at, name in enumerate(COLUMNS)
        }
        pq.write_table(pa.table(columns), self._path)


class Sqlite:
    """Where each value has a type of its own."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        describe(home, 'kind = "sql"\nurl_env = "HOSTILE_URL"\ntable = "loans"')
        monkeypatch.setenv("HOSTILE_URL", f"sqlite:///{home}/loans.db")
        self._engine = sa.create_engine(f"sqlite:///{home}/loans.db")

    def put(self, rows: Sequence[Sequence[Any]]) -> None:
        with closing(self._engine.raw_connection()) as connection:
            connection.cursor().execute("PRAGMA synchronous = OFF")
            connection.cursor().execute("DROP TABLE IF EXISTS loans")
            connection.cursor().execute(f"CREATE TABLE loans ({', '.join(COLUMNS)})")
            marks = ", ".join("?" for _ in COLUMNS)
            connection.cursor().executemany(f"INSERT INTO loans VALUES ({marks})", rows)
            connection.commit()


def place_of(kind: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Where rows are put: ``csv``, ``unquoted``, ``parquet`` or ``sqlite``."""
    makers: dict[str, Callable[[], Any]] = {
        "csv": lambda: Csv(home),
        "unquoted": lambda: Csv(home, 'quoting = "none"'),
        "parquet": lambda: Parquet(home),
        "sqlite": lambda: Sqlite(home, monkeypatch),
    }
    return makers[kind]()


def largest_move(place: Any, summed: Callable[[], np.ndarray], times: int, counts: bool = False) -> float:
    """The most that rows of one person moved a sum, in L2 norm; ``counts``: every other time the rows are sure to
    count."""
    chance, rows = random.Random(6), honest()
    place.put(rows)
    before = summed()
    largest = 0.0
    for time in range(times):
        more = [hostile(chance, counts and time % 2 == 0) for _ in range(chance.choice([1, 1, 2]))]
        at = chance.randrange(len(rows) + 1)
        place.put([*rows[:at], *more, *rows[at:]])
        largest = max(largest, float(np.linalg.norm(summed() - before)))
    return largest
