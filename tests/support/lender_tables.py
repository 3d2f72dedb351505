"""A lender's own table, with its own names, codes and units, and ways to put it where rows come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from support.world import loans

import clients.data.files
import clients.data.sql
from clients.data.book import open_source
from clients.data.mapped import MappedSource

PEOPLE = 5000
SECRET = "4111222233334444"
COLUMNS = """
[columns]
bad = { column = "dpd90", values = { Y = 1, N = 0 } }
late = { column = "times late", missing = [-999] }
income = { column = "income_k", scale = 1000, missing = ["n/a"] }
grade = { column = "risk", values = { "1" = "a", "2" = "b", "3" = "c" } }
"""


def name(number: int) -> str:
    return f"v1.{number:043d}"


def lender_table(count: int = PEOPLE) -> pd.DataFrame:
    """What a lender's own system holds: other names, other codes, other units."""
    ours = loans(count, 3)
    rng = np.random.default_rng(4)
    income = (ours["income"].round(0) / 1000).map(str)
    return pd.DataFrame(
        {
            "customer": [name(i) for i in range(count)],
            "dpd90": np.where(ours["bad"] == 1, "Y", "N"),
            "times late": np.where(rng.random(count) < 0.1, -999, ours["late"]),
            "income_k": np.where(rng.random(count) < 0.1, "n/a", income),
            "risk": ours["grade"].map({"a": 1, "b": 2, "c": 3}),
        }
    )


def described(home: Path, first: str, columns: str = COLUMNS) -> MappedSource:
    home.mkdir(exist_ok=True)
    (home / "data.toml").write_text(f'person = "customer"\n{first}\n{columns}', encoding="utf-8")
    source = open_source(home)
    assert isinstance(source, MappedSource)
    return source


def as_csv(home: Path, table: pd.DataFrame, more: str = "", columns: str = COLUMNS) -> MappedSource:
    home.mkdir(exist_ok=True)
    table.to_csv(home / "loans.csv", index=False)
    return described(home, f'kind = "csv"\npath = "loans.csv"\n{more}', columns)


def as_parquet(home: Path, table: pd.DataFrame, more: str = "", columns: str = COLUMNS) -> MappedSource:
    home.mkdir(exist_ok=True)
    table.to_parquet(home / "loans.parquet", row_group_size=700)
    return described(home, f'kind = "parquet"\npath = "*.parquet"\n{more}', columns)


@contextmanager
def sql_tables(postgresql: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Puts a table into a fresh PostgreSQL database and describes it, for a role that can only read it."""

    def put(home: Path, table: pd.DataFrame, more: str = 'table = "risk.loans"', columns: str = COLUMNS):
        url = sa.make_url(postgresql(empty=True)).set(drivername="postgresql+psycopg")
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE SCHEMA risk"))
            table.to_sql("loans", connection, schema="risk", index=False)
            connection.execute(sa.text("DROP ROLE IF EXISTS reader"))
            connection.execute(sa.text("CREATE ROLE reader LOGIN"))
            connection.execute(sa.text("GRANT USAGE ON SCHEMA risk TO reader"))
            connection.execute(sa.text("GRANT SELECT ON risk.loans TO reader"))
        made.append((engine, url))
        reader = url.set(username="reader").render_as_string(hide_password=False)
        monkeypatch.setenv("LOANS_URL", reader)
        return described(home, f'kind = "sql"\nurl_env = "LOANS_URL"\n{more}', columns)

    made: list[tuple[sa.Engine, sa.URL]] = []
    put.made = made
    yield put
    for engine, _ in made:
        with engine.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA risk CASCADE"))
            connection.execute(sa.text("DROP ROLE reader"))
        engine.dispose()


def chunks_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def of(rows: int) -> None:
        for module in (clients.data.files, clients.data.sql):
            monkeypatch.setattr(module, "CHUNK_ROWS", rows)

    return of
