"""A lender's rows from where they are: the same people and the same sums from files, databases and books."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from support.house import House
from support.waiting import until
from support.world import features, loans

import clients.data.files
import clients.data.sql
import tahini
from clients.data.book import import_book, loan_book, open_source
from clients.data.columns import moments_of, nobody
from clients.data.description import Column
from clients.data.mapped import MappedSource
from clients.data.people import Part, Source
from clients.data.profiling import check
from clients.errors import SourceError
from clients.gate import Gate
from clients.renaming import rename_people
from credit.binning import Grid
from credit.features import schema_from
from credit.values import moment
from naming.client import Renaming
from protocol.campaigns import ReleaseRequest

PEOPLE = 5000
SECRET = "4111222233334444"
COLUMNS = """
[columns]
bad = { column = "dpd90", values = { Y = 1, N = 0 } }
late = { column = "times late", missing = [-999] }
income = { column = "income_k", scale = 1000, missing = ["n/a"] }
grade = { column = "risk", values = { "1" = "a", "2" = "b", "3" = "c" } }
"""
DATED = {
    "name": "dated",
    "target": "bad",
    "outcome_dated_by": "ended",
    "features": [
        {"name": "late", "kind": "integer", "category": "repayment", "dated_by": "seen", "low": 0, "high": 90},
        {"name": "grade", "kind": "category", "category": "bureau", "values": ["a", "b"]},
    ],
}


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


@pytest.fixture
def as_sql(postgresql, monkeypatch):
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


@pytest.fixture
def chunks_of(monkeypatch):
    def of(rows: int) -> None:
        for module in (clients.data.files, clients.data.sql):
            monkeypatch.setattr(module, "CHUNK_ROWS", rows)

    return of


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


# --- a person with several rows


class Listed(Source):
    """Rows in memory, cut where a test says."""

    def __init__(self, parts: list[list[tuple[str, int, int]]], dated: bool) -> None:
        self._parts, self._dated = parts, dated

    where, dated = "here", property(lambda self: self._dated)

    def parts(self, columns, schema, members=None, told=nobody):
        for whole in self._parts:
            part = [one for one in whole if members is None or one[0] in members]
            table = pd.DataFrame({"bad": [bad for _, _, bad in part], "late": float("nan"), "income": float("nan")})
            when = np.array([when for _, when, _ in part], dtype=np.int64) * self._dated
            yield Part([who for who, _, _ in part], when, table.assign(grade=None))


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
    monkeypatch.setattr(type(source.reader), "batches", lambda s, c, t: asked.append(set(c)) or batches(s, c, t))
    found = counted(source, list(table["customer"]))
    assert asked[0] == {"customer", "dpd90"}, "names and outcomes first"
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
    count, schema = 5000, schema_from(DATED, "here")
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
        tables = pd.concat(source.rows(list(table["customer"]), schema)).sort_index()
        found.append(tables)
    for other in found[1:]:
        pd.testing.assert_frame_equal(found[0], other, check_dtype=False)
    assert found[0]["seen"].isna().sum() == 1


# --- at the gate


def open_gate(house: House, release: int, lender: str):
    node, planned = house.node(lender), house.campaign.planned(release)
    campaign, approval = node.campaign(house.campaign.sha256)
    asked = ReleaseRequest(
        campaign_sha256=campaign.sha256, release=release, attempt=1, kind=planned.kind, parameters_sha256="0" * 64,
        mask_keys={},
    )  # fmt: skip
    return Gate(node, campaign, approval, house.client(lender)).open(asked, planned.charge)


def members(house: House, release: int, lender: str) -> set[str]:
    store = house.node(lender).store
    number = next(r.number for r in store.releases(house.campaign.sha256) if r.release == release)
    return set(store.members(number))


def moved(home: Path, more: str = "") -> None:
    """A node's book becomes a CSV file of its own system."""
    book = pd.read_parquet(home / "book.parquet").rename(columns={"pseudonym": "customer", "late": "n_late"})
    book.to_csv(home / "loans.csv", index=False)
    (home / "book.parquet").unlink()
    (home / "data.toml").write_text(
        f'kind = "csv"\npath = "loans.csv"\nperson = "customer"\n{more}\n[columns]\nlate = "n_late"\n',
        encoding="utf-8",
    )


def test_the_gate_lets_the_same_rows_through_from_a_file(active, chunks_of):
    book = open_gate(active, 0, "cedar").table
    chunks_of(7)
    again = open_gate(active, 1, "cedar").table
    pd.testing.assert_frame_equal(book, again, check_dtype=False)
    moved(active.founded.node_home("cedar"))
    batch = open_gate(active, 2, "cedar")
    from_file = batch.table
    order = ["late", "income", "grade", "bad"]
    assert members(active, 2, "cedar") == members(active, 0, "cedar")
    pd.testing.assert_frame_equal(
        book.sort_values(order, ignore_index=True), from_file.sort_values(order, ignore_index=True), check_dtype=False
    )
    assert from_file["income"].isna().sum() == sum(not p.sensitive for p in active.consenting("cedar"))
    assert list(from_file.columns) == ["bad", "late", "income", "grade"], "no name leaves the gate"


def test_somebody_twice_in_a_file_is_a_member_without_rows_at_the_gate(active):
    home = active.founded.node_home("cedar")
    moved(home)
    table = pd.read_csv(home / "loans.csv")
    first = open_gate(active, 0, "cedar").table
    consenting = next(iter(members(active, 0, "cedar")))
    twice = pd.concat([table, table[table["customer"] == consenting]])
    twice.to_csv(home / "loans.csv", index=False)
    second = open_gate(active, 1, "cedar").table
    assert members(active, 1, "cedar") == members(active, 0, "cedar")
    assert len(second) == len(first) - 1


def test_a_book_and_a_description_together_are_refused(tmp_path):
    as_csv(tmp_path / "home", lender_table(10))
    (tmp_path / "home" / "book.parquet").touch()
    with pytest.raises(SourceError, match="imported loan book"):
        open_source(tmp_path / "home")


def test_renaming_re_keys_the_ledger_and_leaves_the_lender_s_own_table_alone(house):
    node = house.node("cedar")
    moved(node.home)
    before = (node.home / "loans.csv").read_bytes()
    person = house.borrowers["cedar"][0].pseudonym
    done = rename_people(node, [Renaming(person, "v2." + "x" * 43, "v2." + "y" * 43)])
    assert (done.ledger, done.book) == (1, 0)
    assert (node.home / "loans.csv").read_bytes() == before


# --- databases


def test_a_session_cannot_write_whatever_the_role_may(tmp_path, as_sql, monkeypatch):
    table = lender_table(50)
    source = as_sql(tmp_path / "home", table)
    _, owner = as_sql.made[0]
    as_owner = replace(source.reader, url=owner)
    assert as_owner.may_write() and not source.reader.may_write()
    for statement in ("DELETE FROM risk.loans", "COMMIT; DELETE FROM risk.loans"):
        with pytest.raises(SourceError), as_owner._connected() as connection:
            connection.execute(sa.text(statement))
            connection.commit()
    with as_owner._connected() as connection:
        assert connection.execute(sa.text("SHOW transaction_read_only")).scalar() == "on"
        connection.commit()
        assert connection.execute(sa.text("SHOW transaction_read_only")).scalar() == "on"
    writing = 'query = "WITH gone AS (DELETE FROM risk.loans RETURNING *) SELECT * FROM gone"'
    monkeypatch.setenv("OWNER", owner.render_as_string(hide_password=False))
    evil = described(tmp_path / "evil", f'kind = "sql"\nurl_env = "OWNER"\n{writing}')
    with pytest.raises(SourceError):
        evil.people()
    assert len(source.people()) == 50


def test_rows_stay_on_the_server_until_they_are_asked_for(tmp_path, as_sql, chunks_of):
    """A cursor of the server: it is there while rows are read, and ends with them."""
    chunks_of(100)
    source = as_sql(tmp_path / "home", lender_table(1000))
    engine, _ = as_sql.made[0]
    fetching = sa.text("SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND query LIKE 'FETCH FORWARD%'")
    reading = source.parts(("late",), features())
    assert len(next(reading).names) == 100
    with engine.connect() as connection:
        assert connection.execute(fetching).scalar() == 1
    reading.close()
    with engine.connect() as connection:
        sessions = sa.text("SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader'")
        until(lambda: connection.execute(sessions).scalar() == 0, "the session ended")


def test_a_url_is_kept_out_of_the_description_and_out_of_every_message(tmp_path, monkeypatch):
    with pytest.raises(SourceError, match="url_env or url_file") as refused:
        described(tmp_path, f'kind = "sql"\nurl = "postgresql://me:{SECRET}@db/loans"\ntable = "loans"')
    assert SECRET not in str(refused.value)
    described_by_file = 'kind = "sql"\nurl_file = "url"\ntable = "loans"'
    (tmp_path / "url").write_text(f"postgresql://me:{SECRET}@127.0.0.1:9/loans", encoding="utf-8")
    with pytest.raises(SourceError, match="can be read by others"):
        described(tmp_path, described_by_file)
    (tmp_path / "url").chmod(0o600)
    with pytest.raises(SourceError, match="did not answer") as refused:
        described(tmp_path, described_by_file).people()
    assert SECRET not in str(refused.value) and refused.value.__suppress_context__
    for url in ("", SECRET, f"duck+db://me:{SECRET}@db/loans", f"mssql+pyodbc://me:{SECRET}@db/loans"):
        monkeypatch.setenv("WHERE", url)
        with pytest.raises(SourceError) as refused:
            described(tmp_path, 'kind = "sql"\nurl_env = "WHERE"\ntable = "loans"')
        assert SECRET not in str(refused.value)


# --- descriptions


@pytest.mark.parametrize(
    ("first", "columns", "said"),
    [
        ('kind = "excel"', "", "'parquet'"),
        ('kind = "csv"', "", "path is missing"),
        ('kind = "csv"\npath = "s3://bucket/loans.csv"', "", "this machine"),
        ('kind = "sql"\nurl_env = "U"', "", "either table or query"),
        ('kind = "sql"\ntable = "t"', "", "either url_env or url_file"),
        (
            'kind = "csv"\npath = "loans.csv"\n',
            "[columns]\nlate = { column = 'x', scale = 0 }",
            "columns.late: a scale",
        ),
        ('kind = "csv"\npath = "loans.csv"\n', "[columns]\nlate = { colum = 'x' }", "columns.late"),
        ('kind = "csv"\npath = "loans.csv"\n', "[columns\n", "is not TOML"),
        ('kind = "csv"\npath = "loans.csv"\nquoting = "excel"', "", "'rfc4180' or 'none'"),
        ('kind = "csv"\npath = "loans.csv"\ndelimiter = \'"\'', "", "neither a quotation mark"),
    ],
)
def test_a_description_that_is_not_sound_is_refused_in_one_sentence(tmp_path, first, columns, said):
    with pytest.raises(SourceError) as refused:
        described(tmp_path, first, columns)
    assert said in str(refused.value) and "\n" not in str(refused.value) and "data.toml" in str(refused.value)


@pytest.mark.parametrize(
    "form",
    ["%d/%m/%Y", "%Y年%m月%d日", "%y%m%d", "%Y-%j", "%d %b %Y", "%Y-%m-%d %I:%M %p", "%Y%m%d%H", "%m/%Y", "%Y-%m",
     "%Y-%m-%dT%H:%M:%S%z", "%G-W%V-%u", "%Y-%m-%d %H:%M:%S.%f", "unix", "unix_ms"],
)  # fmt: skip
def test_a_format_that_can_be_read_back_is_one(form):
    assert Column(column="c", format=form).format == form


@pytest.mark.parametrize(
    "form",
    ["%F", "%D", "%s", "%d", "%Y", "%d/%m", "%H:%M", "%Y-%m-%d %I:%M", "%Y-%m-%d %S", "%Y-%m-%d %Z", "%d/%m/%d",
     "%-d/%m/%Y", "%%Y-%m-%d", "hello", "% ", "\x00%Y-%m-%d", "unix_us"],
)  # fmt: skip
def test_a_format_that_cannot_be_read_back_is_refused_where_it_is_described(form):
    with pytest.raises(ValueError, match="cannot be read back"):
        Column(column="c", format=form)


def test_a_month_alone_is_its_first_day():
    assert moments_of(Column(column="c", format="%m/%Y"), pd.Series(["06/2026"]))[0] == moment("2026-06-01")


def test_the_check_says_what_one_row_can_do_to_a_query_and_to_a_view_and_nothing_of_a_table(tmp_path, monkeypatch):
    table = lender_table(60)
    monkeypatch.setenv("WHERE", f"sqlite:///{tmp_path}/loans.db")
    engine = sa.create_engine(f"sqlite:///{tmp_path}/loans.db")
    with engine.begin() as connection:
        table.to_sql("loans", connection, index=False)
        connection.execute(sa.text("CREATE VIEW seen AS SELECT * FROM loans"))
    engine.dispose()
    for what, made in (('table = "loans"', ""), ('table = "seen"', "view"), ('query = "SELECT * FROM loans"', "query")):
        described(tmp_path / "home", f'kind = "sql"\nurl_env = "WHERE"\n{what}')
        said = [one for one in check(tmp_path / "home", features()).warnings if "fails on one person's row" in one]
        assert [f"made by a {made}:" in one for one in said] == ([True] if made else [])


def test_a_mapping_that_does_not_fit_is_refused_in_one_sentence(tmp_path):
    table = lender_table(20)
    for columns, said in (
        (COLUMNS + 'age = "years"\n', "columns.age is neither a feature, the outcome nor a date"),
        (COLUMNS.replace('"times late"', '"lates"'), "'late' is to be read from a column 'lates', which is not there"),
        (COLUMNS.replace("grade =", "# grade ="), "'grade' is to be read from a column 'grade'"),
    ):
        source = as_csv(tmp_path / "home", table, columns=columns)
        with pytest.raises(SourceError) as refused:
            source.rows([name(1)], features())
        assert said in str(refused.value) and "\n" not in str(refused.value)
    source = as_csv(tmp_path / "home", table.drop(columns="customer"))
    with pytest.raises(SourceError, match="'person' is to be read from a column 'customer', which is not there"):
        source.people()


def test_nothing_of_a_row_is_in_any_message(tmp_path):
    home = tmp_path / "home"
    as_csv(home, lender_table(20))
    whole = (home / "loans.csv").read_text(encoding="utf-8")
    broken = f'{whole}{SECRET},"{SECRET}\n{SECRET},{SECRET},{SECRET},{SECRET},1,2,3\n'
    (home / "loans.csv").write_text(broken, encoding="utf-8")
    assert len(open_source(home).people()) == 20
    assert SECRET not in run(home).output
    (home / "loans.csv").unlink()
    with pytest.raises(SourceError, match="cannot read"):
        open_source(home).people()


# --- the operator's check


def run(home: Path, *options: str):
    schema = home / "registry.toml"
    schema.write_text(
        'name = "test-loans"\ntarget = "bad"\n'
        '[[features]]\nname = "late"\nkind = "integer"\ncategory = "repayment"\nlow = 0\nhigh = 30\n'
        '[[features]]\nname = "income"\nkind = "number"\ncategory = "income"\nsensitivity = "sensitive"\n'
        '[[features]]\nname = "grade"\nkind = "category"\ncategory = "bureau"\nvalues = ["a", "b", "c"]\n',
        encoding="utf-8",
    )
    return CliRunner().invoke(
        tahini.main, ["node", "check-data", "--home", str(home), "--features", str(schema), *options]
    )


def test_data_that_can_be_used_is_counted(tmp_path):
    table = lender_table(2000)
    table.loc[3, "times late"] = 31
    as_csv(tmp_path / "home", table)
    done = run(tmp_path / "home", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    late, income, grade = found["features"]
    assert (found["usable"], found["rows"], found["people"], found["repeated"]) == (True, 2000, 2000, 0)
    assert found["good"] + found["bad"] == 2000
    assert late["missing"] == (table["times late"] == -999).sum() and late["out_of_range"] == 1
    assert income["missing"] == (table["income_k"] == "n/a").sum() and income["unreadable"] == 0
    assert (grade["missing"], grade["unknown"], grade["suspect"]) == (0, 0, "")
    assert any("out of range" in warning for warning in found["warnings"])
    shown = run(tmp_path / "home")
    assert shown.exit_code == 0 and "2,000 rows of 2,000 people" in shown.stdout and "look at: late" in shown.stdout


def test_data_that_cannot_be_used_is_refused_with_every_reason_and_no_value(tmp_path, as_sql):
    table = lender_table(400).astype({"times late": object, "risk": object})
    table.loc[1, "customer"] = None
    table.loc[2, "customer"] = SECRET
    table.loc[3, "customer"] = name(4)
    table.loc[5, "dpd90"] = None
    table.loc[6, "times late"] = SECRET + "x"
    table.loc[7, "risk"] = SECRET
    table.loc[8, "income_k"] = SECRET + "x"
    texts = table.assign(**{column: table[column].map(str, na_action="ignore") for column in ("times late", "risk")})
    for source in (as_csv(tmp_path / "csv", table), as_sql(tmp_path / "sql", texts)):
        home = Path(source.where).parent
        done = run(home, "--json")
        assert done.exit_code == 1
        found = json.loads(done.stdout)
        said = "\n".join(found["errors"])
        assert "1 rows do not say whose" in said and "1 people do not have a pairwise name" in said
        assert "1 people have several rows; say latest_by" in said and "1 rows have an outcome" in said
        assert "late: 1 values are not" in said and "income: 1 values are not" in said and "grade: 1 values" in said
        assert "values = {" in said, "how to map them"
        assert SECRET not in done.output + run(home).output
        assert not found["usable"]


def test_features_that_know_the_outcome_are_suspects(tmp_path):
    count = 2000
    bad = np.arange(count) % 4 == 0
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {
            "customer": [name(i) for i in range(count)],
            "bad": bad.astype(int),
            "balance": np.where(bad, 100, 0) + rng.random(count),
            "visits": np.where(bad & (rng.random(count) < 0.6), np.nan, rng.random(count)),
            "chargeoff_date": rng.random(count),
            "age": rng.random(count),
            "same": 1,
            "region": np.where(bad, "n", "s"),
        }
    )
    kinds = {"region": {"kind": "category", "values": ["n", "s"]}}
    schema = schema_from(
        {"name": "r", "target": "bad", "features": [
            {"name": one, "kind": "number", "category": "bureau", **kinds.get(one, {})} for one in table.columns[2:]
        ]}, "here",
    )  # fmt: skip
    as_parquet(tmp_path / "home", table, columns="")
    found = check(tmp_path / "home", schema)
    suspects = {one.name for one in found.features if one.suspect}
    assert suspects == {"balance", "visits", "chargeoff_date", "region"}
    assert not found.errors
    assert "same: every value is the same" in found.warnings
    assert next(one for one in found.features if one.name == "balance").auc == pytest.approx(1, abs=0.01)
    assert next(one for one in found.features if one.name == "age").auc < 0.6


def test_a_book_can_be_checked_and_the_check_says_how_far_it_is(active, chunks_of):
    chunks_of(20)
    told = []
    home = active.founded.node_home("cedar")
    found = check(home, features(), lambda what, rows: told.append((what, rows)))
    assert not found.errors and found.rows == found.people == 60
    assert told == [(what, rows) for what in ("people", "outcomes", "features") for rows in (20, 40, 60)]
    assert run(home).exit_code == 0


def test_a_missing_source_is_one_sentence(tmp_path):
    done = run(tmp_path)
    assert done.exit_code == 1 and done.output.startswith("tahini: cannot read") and "book.parquet" in done.output


@pytest.mark.parametrize("written", ["1", " 1", "01", "1.", "+1", "1e0", "1.0"])
def test_a_mapped_outcome_never_turns_round_by_the_way_it_is_written(tmp_path, written):
    table = lender_table(50).assign(dpd90=["2"] * 49 + [written])
    columns = COLUMNS.replace("{ Y = 1, N = 0 }", '{ "1" = 0, "2" = 1 }')
    source = as_csv(tmp_path / "home", table, columns=columns)
    outcomes = pd.concat(source.rows(list(table["customer"]), features())).sort_index()["bad"]
    assert outcomes.tolist() == [1.0] * 49 + [0.0]


def test_what_is_not_in_the_map_of_an_outcome_is_none(tmp_path):
    table = lender_table(50).assign(dpd90=["2"] * 49 + ["0"])
    source = as_csv(tmp_path / "home", table, columns=COLUMNS.replace("{ Y = 1, N = 0 }", '{ "1" = 0, "2" = 1 }'))
    assert len(pd.concat(source.rows(list(table["customer"]), features()))) == 49
