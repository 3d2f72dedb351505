"""Names, queries and types that real databases have: whatever is valid there is read, or refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from support.world import schema_of

from clients.data.findings import Found
from clients.data.profiling import check
from clients.errors import SourceError

PEOPLE, BAD = 60, 14
REGISTRY = schema_of(
    {"name": "income", "kind": "number", "category": "income", "sensitivity": "sensitive", "low": 0},
    {"name": "grade", "kind": "category", "category": "bureau", "values": ["A", "B", "C"]},
)
MAPPED = '[columns]\nincome = "rate%"\ngrade = "risk:class"\nbad = "order"\n'


@pytest.fixture(scope="module")
def server(request) -> sa.Engine:
    url = sa.make_url(request.getfixturevalue("postgresql")(empty=True)).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in (
            'CREATE SCHEMA "Risk"',
            (
                'CREATE TABLE "Risk"."Loans" (pairwise text, "rate%" float8, "risk:class" text, "order" int, '
                '"group" text, j jsonb, arr int[])'
            ),
            'CREATE TABLE "loans.2026" (pairwise text, income numeric(12,2), grade char(4), bad boolean)',
            "CREATE TABLE coins (pairwise text, income money, grade text, bad int)",
        ):
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        for n in range(PEOPLE):
            who, grade, bad = f"v1.{n:043d}", "ABC"[n % 3], int(n < BAD)
            connection.exec_driver_sql(
                'INSERT INTO "Risk"."Loans" VALUES (%s, %s, %s, %s, %s, %s, %s)',
                (who, 1000.5 + n, grade, bad, "g%x", '{"a": 1}', [1, 2]),
            )
            connection.exec_driver_sql(
                'INSERT INTO "loans.2026" VALUES (%s, %s, %s, %s)', (who, 1 + n, grade, bool(bad))
            )
            connection.exec_driver_sql("INSERT INTO coins VALUES (%s, %s, %s, %s)", (who, f"{1000 + n}.50", grade, bad))
    yield engine
    engine.dispose()


def checked(home: Path, url: sa.URL, more: str, monkeypatch: pytest.MonkeyPatch) -> Found:
    monkeypatch.setenv("LOANS_URL", url.render_as_string(hide_password=False))
    description = f'kind = "sql"\nurl_env = "LOANS_URL"\nperson = "pairwise"\n{more}'
    (home / "data.toml").write_text(description, encoding="utf-8")
    return check(home, REGISTRY)


def usable(found: Found) -> bool:
    return not found.errors and (found.rows, found.good, found.bad) == (PEOPLE, PEOPLE - BAD, BAD)


@pytest.mark.parametrize(
    "more",
    [
        f'table = "Risk.Loans"\n{MAPPED}',
        f'schema = "Risk"\ntable = "Loans"\n{MAPPED}',
        (
            'query = \'\'\'SELECT pairwise, "rate%"::float8 AS income, "risk:class" AS grade, "order" AS bad FROM '
            '"Risk"."Loans" WHERE "group" LIKE \'g%\' AND 5 % 3 = 2\'\'\''
        ),
        (
            'query = \'\'\'SELECT pairwise, "rate%" AS income, "risk:class" AS grade, "order" AS bad FROM '
            "\"Risk\".\"Loans\" WHERE j ? 'a' AND (j->>'a')::int = 1 AND arr[1:1] = ARRAY[1]'''"
        ),
        (
            'query = \'\'\'WITH lent AS (SELECT * FROM "Risk"."Loans") SELECT pairwise, "rate%" AS income, '
            '"risk:class" AS grade, "order" AS bad FROM lent ORDER BY 1; \'\'\''
        ),
    ],
)
def test_whatever_a_name_or_a_query_holds_is_sent_as_it_is(tmp_path, server, monkeypatch, more):
    assert usable(checked(tmp_path, server.url, more, monkeypatch))


def test_a_name_with_a_dot_a_boolean_outcome_and_padded_text_are_read(tmp_path, server, monkeypatch):
    found = checked(tmp_path, server.url, 'table = "loans.2026"\n', monkeypatch)
    assert (found.good, found.bad) == (PEOPLE - BAD, BAD)
    grade = next(one for one in found.features if one.name == "grade")
    assert grade.unknown in (0, PEOPLE), "blanks are known, or all of them counted"


def test_money_is_read_or_refused(tmp_path, server, monkeypatch):
    found = checked(tmp_path, server.url, 'table = "coins"\n', monkeypatch)
    assert any(error.startswith("income: 60 values are not") for error in found.errors)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('table = "lones"\n', "lones"),
        ("query = 'SELECT pairwise, incme FROM coins'\n", "incme"),
        ("query = 'SELEC 1'\n", "SELEC"),
        ('table = "coins"\n[columns]\nincome = "Income"\n', "pairwise, income, grade"),
    ],
)
def test_what_is_misspelt_is_named(tmp_path, server, monkeypatch, more, said):
    with pytest.raises(SourceError) as refused:
        checked(tmp_path, server.url, more, monkeypatch)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_sqlite_keeps_each_value_as_it_likes(tmp_path, monkeypatch):
    engine = sa.create_engine(f"sqlite:///{tmp_path}/loans.db")
    with engine.begin() as connection:
        connection.exec_driver_sql('CREATE TABLE "select" (pairwise, "in%come", "a""b", bad)')
        for n in range(PEOPLE):
            income = [n, str(n), float(n), f"{n}.0"][n % 4]
            row = (f"v1.{n:043d}", income, "ABC"[n % 3], [int(n < BAD), str(int(n < BAD))][n % 2])
            connection.exec_driver_sql('INSERT INTO "select" VALUES (?, ?, ?, ?)', row)
    engine.dispose()
    columns = "table = 'select'\n[columns]\nincome = 'in%come'\ngrade = 'a\"b'\n"
    assert usable(checked(tmp_path, sa.make_url(f"sqlite:///{tmp_path}/loans.db"), columns, monkeypatch))
