"""One person's rows, as hostile as files and databases let them be: what they move of what leaves, by source.

At 0.5.0 one row could turn everybody else's dates into "missing" (14,142 times what was charged), and a row without an
outcome made a node refuse.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from support.effort import effort
from support.hostile_rows import (
    ATTACKER,
    COLUMNS,
    PEOPLE,
    REGISTRY,
    Csv,
    describe,
    honest,
    largest_move,
    place_of,
    summed_by,
)

from clients.data.people import Period
from clients.data.profiling import check
from credit.cutting import make_binning
from credit.embedding import Embedding
from credit.grid import Grid
from credit.models import CreditModel
from credit.values import moment
from credit.watched import IntakeTask
from privacy.mechanism import Mechanism, PlannedRelease, ReleaseKind

SOURCES = ["csv", "unquoted", "parquet", "sqlite"]


def summed(home: Path) -> np.ndarray:
    """The exact histogram."""
    grid = Grid(REGISTRY)
    return summed_by(lambda table: grid.histogram(table, table["bad"].to_numpy(dtype=np.int64)), home)


@pytest.mark.timeout(3600)  # ten thousand rows, at full effort
@pytest.mark.parametrize("kind", SOURCES)
def test_no_hostile_row_moves_more_than_is_charged(kind, tmp_path, monkeypatch, record_property):
    home = tmp_path / "home"
    place = place_of(kind, home, monkeypatch)
    place.put(honest())
    assert sum(Grid(REGISTRY).totals(summed(home))) == len(honest()), "everybody counts before the attack"
    largest = largest_move(place, lambda: summed(home), max(100, effort(effort(10_000))))
    record_property("largest", f"{largest:.3f} of {Grid(REGISTRY).sensitivity:.3f}")
    assert largest <= Grid(REGISTRY).sensitivity + 1e-9


JANUARY = Period(moment(dt.date(2026, 1, 1)), moment(dt.date(2026, 2, 1)))


def intake() -> IntakeTask:
    """Of a made-up model on these features."""
    grid = Grid(REGISTRY)
    counted = np.random.default_rng(0).poisson(50.0, grid.size).astype(np.float64)
    binning = make_binning(grid, counted, 1.0, 8)
    embedding = Embedding(grid, binning)
    weights = np.random.default_rng(1).normal(0, 1, embedding.width)
    model = CreditModel("scorecard", embedding, weights)
    planned = PlannedRelease(kind=ReleaseKind.INTAKE, noise_multiplier=20.0)
    mechanism = Mechanism(
        epsilon=1.0, delta=1e-5, releases=(planned,), clip_norm=1.0, bins=8, collusion_bound=0, threshold=2
    )
    return IntakeTask(planned, mechanism, REGISTRY, model, np.array([-1.0, 0.0, 1.0]))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", SOURCES)
def test_no_hostile_row_moves_an_intake_more_than_is_charged(kind, tmp_path, monkeypatch, record_property):
    home, task = tmp_path / "home", intake()
    place = place_of(kind, home, monkeypatch)
    place.put(honest())
    first = summed_by(task.count, home, JANUARY)
    decided, by_segment, features = task.layout.split(first.astype(np.float64))
    january = sum(row[1] == "2026-01-31" for row in honest())
    assert decided.sum() == january == features[0].sum(), "rows of other days are no rows"
    assert summed_by(task.count, home).sum() > first.sum()
    _, sensitivity, _ = task.shape
    largest = largest_move(
        place, lambda: summed_by(task.count, home, JANUARY), max(40, effort(effort(10_000)) // 2), counts=True
    )
    record_property("largest", f"{largest:.3f} of {sensitivity:.3f}")
    assert 0 < largest <= sensitivity + 1e-9
    assert len(by_segment) == len(task.segments.names)


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
