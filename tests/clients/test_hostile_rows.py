"""One person's rows, as hostile as files and databases let them be: what they move of what leaves, by source.

At 0.5.0 one row could turn everybody else's dates into "missing" (14,142 times what was charged), and a row without an
outcome made a node refuse.
"""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Callable, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from support.effort import effort
from support.world import schema_of

from clients.admission import Admission, UseLimits
from clients.data.book import open_source
from clients.data.profiling import check
from credit.grid import Grid
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


def hostile(chance: random.Random) -> list[Any]:
    row: list[Any] = [chance.choice([ATTACKER, ATTACKER, "v1." + "z" * 43, "", " "])]
    return row + [chance.choice([None, chance.choice(HOSTILE_TEXT)]) for _ in COLUMNS[1:]]


def summed(home: Path) -> np.ndarray:
    """The exact histogram of what the gate's admission leaves of the rows, everybody consenting."""
    limits = UseLimits.of(PEOPLE, {})
    needs = needs_of(REGISTRY.model_dump(mode="json"), False, LegalBasis.PIPL_CONSENT)
    nothing = np.zeros(len(PEOPLE), dtype=np.int32)
    admission = Admission(REGISTRY, MOMENT, needs, nothing, (frozenset(),), dict.fromkeys(needs.consents, limits))
    grid = Grid(REGISTRY)
    total = np.zeros(grid.size, dtype=np.int64)
    for table in open_source(home).rows(PEOPLE, REGISTRY):
        used = admission.admitted(table)
        total += grid.histogram(used, used["bad"].to_numpy(dtype=np.int64))
    return total


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


@pytest.fixture(params=["csv", "unquoted", "parquet", "sqlite"])
def source(request, tmp_path, monkeypatch) -> tuple[Path, Any]:
    home = tmp_path / "home"
    makers: dict[str, Callable[[], Any]] = {
        "csv": lambda: Csv(home),
        "unquoted": lambda: Csv(home, 'quoting = "none"'),
        "parquet": lambda: Parquet(home),
        "sqlite": lambda: Sqlite(home, monkeypatch),
    }
    return home, makers[request.param]()


@pytest.mark.timeout(3600)  # ten thousand rows, at full effort
def test_no_hostile_row_moves_more_than_is_charged(source, record_property):
    home, place = source
    chance, rows = random.Random(6), honest()
    place.put(rows)
    before = summed(home)
    assert sum(Grid(REGISTRY).totals(before)) == len(rows), "everybody counts before the attack"
    largest = 0.0
    for _ in range(max(100, effort(effort(10_000)))):
        more = [hostile(chance) for _ in range(chance.choice([1, 1, 2]))]
        at = chance.randrange(len(rows) + 1)
        place.put([*rows[:at], *more, *rows[at:]])
        largest = max(largest, float(np.linalg.norm(summed(home) - before)))
    record_property("largest", f"{largest:.3f} of {Grid(REGISTRY).sensitivity:.3f}")
    assert largest <= Grid(REGISTRY).sensitivity + 1e-9


def quotes_typed_at(place: Csv, typed: Sequence[tuple[int, str]]) -> None:
    """An attacker's rows, at these places, with this text as their grade; the writer does not quote."""
    rows = honest()
    for at, grade in typed:
        rows.insert(at, [ATTACKER, "2026-01-31", 1, "2026-01-31", "3", "2026-01-31", "17.5", grade])
    place.put(rows)


@pytest.mark.parametrize("typed", [[(3, '"')], [(3, '"'), (20, '"')], [(0, '"x'), (39, 'y"')], [(3, '"1","')]])
def test_a_typed_quotation_mark_reaches_nobody_else_where_the_writer_is_said_not_to_quote(tmp_path, typed):
    place = Csv(tmp_path / "home", 'quoting = "none"')
    place.put(honest())
    before = summed(tmp_path / "home")
    quotes_typed_at(place, typed)
    moved = summed(tmp_path / "home") - before
    assert np.linalg.norm(moved) <= Grid(REGISTRY).sensitivity + 1e-9
    assert (moved >= 0).all(), "nobody else's row is gone"


def test_of_the_file_alone_nobody_can_tell_that_its_writer_does_not_quote_and_the_check_says_so(tmp_path):
    place = Csv(tmp_path / "home")
    quotes_typed_at(place, [(3, '"'), (20, '"')])
    found = check(tmp_path / "home", REGISTRY)
    assert found.people < len(PEOPLE), "rows between two marks are gone"
    said = [one for one in found.warnings if 'quoting = "none"' in one]
    assert len(said) == 1 and said[0].startswith("1 records of") and "line 5" in said[0]
    describe(tmp_path / "home", 'kind = "csv"\npath = "loans.csv"\nquoting = "none"')
    found = check(tmp_path / "home", REGISTRY)
    assert found.people == len(PEOPLE) and not any("quot" in one for one in found.warnings)


def test_a_typed_file_is_as_sound(tmp_path):
    """Types that a Parquet schema declares, with the values that Python or pandas cannot hold."""
    home = tmp_path / "home"
    describe(home, 'kind = "parquet"\npath = "loans.parquet"')
    count = len(PEOPLE)
    hostile_values = {
        "as_of": (pa.timestamp("us"), [2**62, -(2**62), 1, None]),
        "ended": (pa.date32(), [2**31 - 1, -(2**31), None, 20000]),
        "late": (pa.uint64(), [2**64 - 1, None, 0, 1]), "seen": (pa.timestamp("ms"), [2**62, -(2**62), 1, None]),
        "balance": (pa.decimal128(38, 2), [Decimal("1e35"), Decimal("-1e35"), None, Decimal("0.01")]),
        "grade": (pa.float64(), [math.nan, math.inf, None, 1.2345678901234568e16]), "bad": (pa.int8(), [2, None, 1, 0]),
    }  # fmt: skip
    plain = {"as_of": 1_780_000_000_000_000, "ended": 20_000, "late": 3, "seen": 1_780_000_000_000,
             "balance": Decimal("17.50"), "grade": 1.0, "bad": 1}  # fmt: skip
    totals = []
    for number in range(-1, 4):
        columns: dict[str, pa.Array] = {"customer": pa.array(PEOPLE)}
        for name, (kind, values) in hostile_values.items():
            last = [plain[name] if number < 0 else values[number]]
            listed = [plain[name]] * (count - 1) + last
            held = pa.int64() if pa.types.is_timestamp(kind) else pa.int32() if pa.types.is_date(kind) else kind
            columns[name] = pa.array(listed, type=held).cast(kind) if held != kind else pa.array(listed, type=kind)
        pq.write_table(pa.table(columns), home / "loans.parquet")
        totals.append(summed(home))
    for total in totals[1:]:
        own = 2 * Grid(REGISTRY).sensitivity  # the last person's, before and after
        assert np.linalg.norm(total - totals[0]) <= own + 1e-9


def test_postgresql_answers_with_dates_that_python_has_not(tmp_path, postgresql, monkeypatch):
    home = tmp_path / "home"
    describe(home, 'kind = "sql"\nurl_env = "HOSTILE_URL"\ntable = "loans"')
    url = sa.make_url(postgresql(empty=True)).set(drivername="postgresql+psycopg")
    monkeypatch.setenv("HOSTILE_URL", url.render_as_string(hide_password=False))
    engine = sa.create_engine(url)
    types = ("text", "timestamptz", "boolean", "date", "int", "timestamp", "numeric", "text")
    loans = sa.table("loans", *map(sa.column, COLUMNS))
    with engine.begin() as connection:
        declared = ", ".join(f"{name} {kind}" for name, kind in zip(COLUMNS, types, strict=True))
        connection.execute(sa.text(f"CREATE TABLE loans ({declared})"))
        for row in honest():
            row[2] = bool(row[2])
            connection.execute(sa.insert(loans).values(dict(zip(COLUMNS, row, strict=True))))
    before = summed(home)
    assert sum(Grid(REGISTRY).totals(before)) == len(PEOPLE) - 1
    for day in ("infinity", "-infinity", "0044-03-15 BC", "294276-12-31"):
        with engine.begin() as connection:
            connection.execute(sa.text(f"DELETE FROM loans WHERE customer = '{ATTACKER}'"))
            row = f"'{ATTACKER}', '{day}', true, '{day}', 1, '{day}', 'NaN', 'x'"
            connection.execute(sa.text(f"INSERT INTO loans VALUES ({row})"))
        assert np.linalg.norm(summed(home) - before) <= Grid(REGISTRY).sensitivity + 1e-9
    engine.dispose()
