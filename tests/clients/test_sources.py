"""A lender's rows from where they are: the same people and the same numbers, whatever kind of source they come from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from support.lender_tables import PEOPLE, as_csv, as_parquet, described, lender_table, name
from support.world import features, loans, schema_of

from clients.data.book import loan_book, open_source
from clients.data.columns import nobody
from clients.data.files import FileReader
from clients.data.importing import import_book
from clients.data.mapped import MappedSource
from clients.data.members import STRANGER
from clients.data.people import Part, Source
from clients.errors import SourceError
from credit.grid import Grid

DATED = schema_of(
    {
        "name": "late",
        "kind": "integer",
        "category": "repayment",
        "adverse": True,
        "ended_by": "seen",
        "low": 0,
        "high": 90,
    },
    {"name": "grade", "kind": "category", "category": "bureau", "values": ["a", "b"]},
    outcome_ended_by="ended",
)


def counted(source: Source, people: list[str], schema=None) -> np.ndarray:
    """The exact histogram over the people, chunk by chunk."""
    schema = schema or features()
    grid = Grid(schema)
    total = np.zeros(grid.size, dtype=np.int64)
    for table in source.rows(people, schema):
        total += grid.histogram(table, table[schema.target].to_numpy(dtype=np.int64))
    return total


def test_csv_parquet_postgresql_and_a_book_give_the_same_contribution(tmp_path, as_sql, chunks_of):
    table = lender_table()
    ours = loans(PEOPLE, 3).assign(income=lambda t: t["income"].round(0) / 1000 * 1000)
    ours = ours.assign(
        late=ours["late"].where(table["times late"] != -999), income=ours["income"].where(table["income_k"] != "n/a")
    )
    import_book(tmp_path / "book.parquet", ours, list(table["customer"]), features(), "here")
    sources = [
        loan_book(tmp_path / "book.parquet"),
        as_csv(tmp_path / "csv", table),
        as_parquet(tmp_path / "parquet", table),
        as_sql(tmp_path / "sql", table),
        as_parquet(tmp_path / "again", table.sample(frac=1, random_state=1)),
    ]
    people = [name(i) for i in range(0, PEOPLE, 2)] + ["v1." + "s" * 43]
    first = counted(sources[0], people)
    assert sum(Grid(features()).totals(first)) == len(people[:-1])
    for rows in (2048, 100_000):
        chunks_of(rows)
        for source in sources:
            assert sorted(source.people()) == sorted(table["customer"])
            assert (counted(source, people) == first).all()


def test_what_was_read_of_a_file_does_not_stay_in_memory(tmp_path):
    rows = 20 * 65_536
    drawn = pa.array(np.random.default_rng(1).random(rows))
    pq.write_table(pa.table({"a": drawn}), tmp_path / "a.parquet", row_group_size=65_536, use_dictionary=False)
    del drawn
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in FileReader(tmp_path, "a.parquet", "parquet").batches(["a"])]
    assert len(held) == 20 and max(held) < (tmp_path / "a.parquet").stat().st_size / 4


def test_a_query_is_read_like_a_table_and_an_sqlite_file_like_a_server(tmp_path, as_sql, monkeypatch):
    table = lender_table(300)
    people = list(table["customer"])
    first = counted(as_csv(tmp_path / "csv", table), people)
    query = "query = \"SELECT * FROM risk.loans WHERE 'a:b'::text <> ':x';\""
    assert (counted(as_sql(tmp_path / "query", table, query), people) == first).all()
    with sa.create_engine(f"sqlite:///{tmp_path}/loans.db").begin() as connection:
        table.to_sql("loans", connection, index=False)
    monkeypatch.setenv("HERE", f"sqlite:///{tmp_path}/loans.db")
    assert (
        counted(described(tmp_path / "lite", 'kind = "sql"\nurl_env = "HERE"\ntable = "loans"'), people) == first
    ).all()
    monkeypatch.setenv("HERE", f"sqlite:///{tmp_path}/nowhere.db")
    with pytest.raises(SourceError, match="not there"):
        open_source(tmp_path / "lite")
    assert not (tmp_path / "nowhere.db").exists()


def test_chunks_are_bounded_and_each_person_is_in_one(tmp_path, as_sql, chunks_of):
    chunks_of(2048)
    table = lender_table()
    people = list(table["customer"])
    for source in (as_csv(tmp_path / "c", table), as_parquet(tmp_path / "p", table), as_sql(tmp_path / "s", table)):
        found = list(source.rows(people, features()))
        assert len(found) > 2 and max(len(part) for part in found) <= 2048
        places = np.concatenate([part.index for part in found])
        assert sorted(places) == list(range(PEOPLE))


class Listed(Source):
    """Rows in memory, cut where a test says."""

    def __init__(self, parts: list[list[tuple[str, int, int]]], dated: bool) -> None:
        self._parts, self._dated = parts, dated

    where, dated = "here", property(lambda self: self._dated)

    def parts(self, columns, schema, members=None, told=nobody):
        for whole in self._parts:
            places = members.places(pd.Series([who for who, _, _ in whole], dtype=object)) if members else []
            part = [one for at, one in enumerate(whole) if not members or places[at] != STRANGER]
            table = pd.DataFrame({"bad": [bad for _, _, bad in part], "late": float("nan"), "income": float("nan")})
            when = np.array([when for _, when, _ in part], dtype=np.int64) * self._dated
            whose = np.array([place for place in places if place != STRANGER], dtype=np.int64)
            yield Part([who for who, _, _ in part], whose, when, table.assign(grade=None))


row = st.tuples(st.sampled_from("abcd"), st.integers(0, 3), st.integers(0, 1))


@given(parts=st.lists(st.lists(row, max_size=6), max_size=4))
def test_the_latest_row_counts_once_wherever_the_chunks_are_cut(parts):
    rows = [one for part in parts for one in part]
    latest = {who: max(when for w, when, _ in rows if w == who) for who, _, _ in rows if who != "d"}
    counting = [(who, bad) for who, when, bad in rows if latest.get(who) == when and who != "d"]
    once = [(who, bad) for who, bad in counting if [other for other, _ in counting].count(who) == 1]
    source = Listed(parts, dated=True)
    found = [("abc"[place], bad) for t in source.rows(["a", "b", "c"], features()) for place, bad in t["bad"].items()]
    assert sorted(found) == sorted(once)


@pytest.mark.parametrize("put", [as_csv, as_parquet])
def test_a_person_twice_across_chunks_is_left_out_and_nobody_else(tmp_path, chunks_of, put, monkeypatch):
    chunks_of(2048)
    table = lender_table()
    twice = pd.concat([table, table.head(1)], ignore_index=True)
    source = put(tmp_path / "home", twice)
    asked = []
    batches = type(source.reader).batches
    monkeypatch.setattr(type(source.reader), "batches", lambda s, c, *t: asked.append(set(c)) or batches(s, c, *t))
    found = counted(source, list(table["customer"]))
    *names, first, whole = asked
    assert names in ([], [{"customer"}]) and first == {"customer", "dpd90"} < whole, "names and outcomes first"
    assert (found == counted(put(tmp_path / "alone", table), list(table["customer"].drop(0)))).all()


def test_the_latest_loan_counts_from_every_kind_of_source(tmp_path, as_sql, chunks_of):
    chunks_of(2048)
    table = lender_table().assign(opened="2024-03-01")
    older = table.head(3000).assign(opened="2023-12-31", dpd90="Y", risk=3)
    undated = table.tail(100).assign(opened=None, dpd90="N")
    both = pd.concat([older.head(1000), table, older.tail(2000), undated], ignore_index=True)
    people = list(table["customer"])
    first = counted(as_csv(tmp_path / "once", table), people)
    stamped = both.assign(opened=pd.to_datetime(both["opened"]))
    latest = 'latest_by = "opened"'
    for source in (
        as_csv(tmp_path / "csv", both, latest),
        as_parquet(tmp_path / "text", both, latest),
        as_parquet(tmp_path / "parquet", stamped, latest),
        as_sql(tmp_path / "sql", stamped, f'{latest}\ntable = "risk.loans"'),
    ):
        assert (counted(source, people) == first).all()


def test_rows_that_appear_while_they_are_read_count_nobody_twice(tmp_path):
    table = lender_table(100)
    source = as_csv(tmp_path / "home", table)
    rows = source.rows(list(table["customer"]), features())
    with (tmp_path / "home" / "loans.csv").open("a", encoding="utf-8") as file:
        table.to_csv(file, index=False, header=False)
    assert sorted(np.concatenate([part.index for part in rows])) == list(range(100))


def test_dates_mean_the_same_in_every_source_and_chunk(tmp_path, as_sql, chunks_of):
    chunks_of(2048)
    count = 5000
    day = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.arange(count) % 400, unit="h")
    text = [moment.isoformat() if i % 2 else str(moment.date()) for i, moment in enumerate(day)]
    text[5] = None
    table = pd.DataFrame(
        {"customer": [name(i) for i in range(count)], "bad": np.arange(count) % 2, "late": np.arange(count) % 95,
         "grade": np.where(np.arange(count) % 3, "a", "b"), "seen": text, "ended": text}
    )  # fmt: skip
    stamped = table.assign(seen=pd.to_datetime(table["seen"], utc=True, format="ISO8601"))
    found = []
    for source in (
        as_csv(tmp_path / "csv", table, columns=""),
        as_parquet(tmp_path / "parquet", table, columns=""),
        as_parquet(tmp_path / "stamped", stamped, columns=""),
        as_sql(tmp_path / "sql", stamped, columns=""),
    ):
        tables = pd.concat(source.rows(list(table["customer"]), DATED)).sort_index()
        found.append(tables)
    for other in found[1:]:
        pd.testing.assert_frame_equal(found[0], other, check_dtype=False)
    assert found[0]["seen"].isna().sum() == 1


def views(values) -> pa.Array:
    """Text as a view, its bytes unchecked."""
    raw = pa.array(values, pa.binary()).cast(pa.binary_view())
    return pa.Array.from_buffers(pa.string_view(), len(values), raw.buffers())


def json_text(values) -> pa.Array:
    raw = pa.array(values, pa.binary()).buffers()
    return pa.ExtensionArray.from_storage(pa.json_(), pa.Array.from_buffers(pa.string(), len(values), raw))


@pytest.mark.parametrize("hold", [views, json_text])
@pytest.mark.parametrize("odd", [b"c", b"c\xff"])
def test_text_that_a_file_declares_otherwise_is_read_as_text_whatever_one_row_holds(tmp_path, hold, odd):
    """Nobody's bytes, and nobody's being a stranger, may decide whether the others are read."""
    home = tmp_path / "home"
    home.mkdir()
    said = {"customer": hold([b"a", b"b", odd]), "grade": hold([b"a", odd, b"b"])}
    pq.write_table(pa.table({**said, "bad": [0, 1, 0], "late": [1, 2, 3], "income": [1.0, 2.0, 3.0]}), home / "rows")
    description = 'kind = "parquet"\npath = "rows"\nperson = "customer"\n'
    (home / "data.toml").write_text(description, encoding="utf-8")
    [found] = MappedSource.load(home).rows(["a", "b"], features())
    assert sorted(found.index) == [0, 1]
