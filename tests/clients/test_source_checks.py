"""What describes a lender's rows, what may read them, and what its operator is told before a campaign."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
import tomli_w
from click.testing import CliRunner
from support.lender_tables import (
    COLUMNS,
    SECRET,
    as_csv,
    as_parquet,
    described,
    lender_table,
    name,
)
from support.waiting import until
from support.world import REGISTRY, features, schema_of

import tahini
from clients.data.book import open_source
from clients.data.columns import moments_of
from clients.data.description import Column
from clients.data.profiling import check
from clients.errors import SourceError
from credit.values import moment

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
    late, *others = REGISTRY["features"]
    features = [late | {"low": 0, "high": 30}, *others]
    schema.write_text(tomli_w.dumps(REGISTRY | {"features": features}), encoding="utf-8")
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


def test_of_several_dated_rows_the_check_counts_the_latest_as_a_release_does(tmp_path):
    table = lender_table(300).assign(opened="2024-03-01")
    older = table.head(20).assign(opened="2023-12-31", dpd90="Y")
    twice = table.tail(5)
    undated = table.iloc[50:60].assign(opened=None)
    rows = pd.concat([older, table, twice, undated], ignore_index=True)
    as_csv(tmp_path / "home", rows, 'latest_by = "opened"')
    found = check(tmp_path / "home", features())
    once = table.head(295)
    assert (found.good, found.bad) == ((once["dpd90"] == "N").sum(), (once["dpd90"] == "Y").sum())
    assert found.errors == ("5 people have several rows at their latest date",)


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
    schema = schema_of(
        *({"name": one, "kind": "number", "category": "bureau", **kinds.get(one, {})} for one in table.columns[2:])
    )
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
