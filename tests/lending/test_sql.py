"""The scorecard as SQL and as CSV gives everybody the score that the look-ups give, in both databases (trap 8)."""

from __future__ import annotations

import csv
import io
from bisect import bisect_right
from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import psycopg
import pytest
from support import scorecards
from support.effort import effort

from lending import Scorer
from lending.score.compiled import ScoreError
from lending.score.sql import score_sql, scorecard_csv

KINDS = ("scorecard", "gam")
NUMBERS = [one["name"] for one in scorecards.FEATURES if one["kind"] != "category"]
TEXTS = [one["name"] for one in scorecards.FEATURES if one["kind"] == "category"]
AS_TEXT = (
    *(
        None,
        "",
        "  ",
        "\u3000",
        "\t \n",
        "NaN",
        " nan ",
        "1",
        "1.0",
        "1.00",
        "+1",
        "01",
        " 1",
        "2.0",
        "TRUE",
        "True",
        "false",
    ),
    *(scorecards.LONG_CODE, scorecards.LONG_CODE + ".0", "2026-01-01", "own's", "自有", "自有 ", "x", "1.0\n", "Nan1"),
)
"""What a database's text may be."""


def scorer_of(kind):
    return Scorer.of(scorecards.model(kind, seed=11), "0" * 64, scorecards.UNDER)


def typed(rows):
    """Numbers as doubles, codes as text: what a database holds."""
    table = scorecards.as_a_node_reads(rows)
    for at, name in enumerate(TEXTS):
        table[name] = pd.Series([AS_TEXT[(row + at) % len(AS_TEXT)] for row in range(len(rows))], dtype=object)
    return table


def in_duckdb(expression, table):
    with duckdb.connect() as connection:
        connection.register("people", table.assign(id=range(len(table))))
        found = connection.execute(f"SELECT {expression} AS score FROM people ORDER BY id").fetchall()
    return [one for (one,) in found]


def in_postgresql(url, expression, table):
    columns = ", ".join(f'"{n}" {"double precision" if n in NUMBERS else "text"}' for n in table.columns)
    with psycopg.connect(url) as connection:
        connection.execute(f"CREATE TABLE people (id serial, {columns})")
        names = ", ".join(f'"{name}"' for name in table.columns)
        with connection.cursor().copy(f"COPY people ({names}) FROM STDIN") as copy:
            for row in table.itertuples(index=False):
                copy.write_row([None if one is None else one for one in row])
        found = connection.execute(f"SELECT {expression} AS score FROM people ORDER BY id").fetchall()
    return [one for (one,) in found]


@pytest.mark.parametrize("kind", KINDS)
def test_one_expression_scores_as_the_look_ups_in_both_databases(kind, postgresql):
    """Every edge and the doubles beside it, infinities, nothing; text in every dress."""
    scorer = scorer_of(kind)
    table = pd.concat([typed(scorecards.people(600, 4)), scorecards.many(effort(40_000), 4)], ignore_index=True)
    expected = scorer.scores(table).tolist()
    assert len(set(expected)) > 100
    expression = score_sql(scorer.look_up)
    assert in_duckdb(expression, table) == expected
    assert in_postgresql(postgresql(), expression, table) == expected


def test_whole_numbers_decimals_and_truth_values_are_read_as_they_are(postgresql):
    scorer = scorer_of("scorecard")
    expression = score_sql(scorer.look_up)
    cases = [
        ((3, Decimal("0.1"), 0.5, True), ("3", "CAST(0.1 AS DECIMAL(18, 3))", "CAST(0.5 AS REAL)", "true")),
        ((60, 2**53 + 1, 1, 1), ("CAST(60 AS SMALLINT)", f"CAST({2**53 + 1} AS BIGINT)", "1", "CAST(1 AS BIGINT)")),
        ((0, 0, 0.25, int(scorecards.LONG_CODE)), ("0", "0", "CAST(0.25 AS DECIMAL(4, 2))", scorecards.LONG_CODE)),
        ((0, 0, 0.75, False), ("0", "CAST('-0.0' AS DOUBLE PRECISION)", "0.75", "false")),
    ]
    for values, (late, balance, used, housing) in cases:
        row = f"{late} AS late, {balance} AS balance, {used} AS used, CAST(NULL AS REAL) AS fine, {housing} AS housing"
        query = f"SELECT {expression} FROM (SELECT {row}, 'x' AS mono) AS one"
        asked = dict(zip(("late", "balance", "used", "housing"), values, strict=True)) | {"fine": None, "mono": "x"}
        expected = scorer.score(asked).score
        with duckdb.connect() as connection:
            assert connection.execute(query).fetchall() == [(expected,)]
        with psycopg.connect(postgresql()) as connection:
            assert connection.execute(query).fetchall() == [(expected,)]


def test_a_quotation_mark_in_a_name_or_code_stays_where_it_is():
    scorer = scorer_of("scorecard")
    expression = score_sql(scorer.look_up).replace('"late"', '"la""te"')
    table = typed(scorecards.people(30, 1))
    query = f"SELECT {expression} AS score FROM people ORDER BY id"
    with duckdb.connect() as connection:
        connection.register("people", table.rename(columns={"late": 'la"te'}).assign(id=range(len(table))))
        assert [one for (one,) in connection.execute(query).fetchall()] == scorer.scores(table).tolist()


def test_a_scorecard_can_be_computed_again_from_its_csv_alone():
    scorer = scorer_of("scorecard")
    lines = list(csv.DictReader(io.StringIO(scorecard_csv(scorer.look_up))))
    units = {(one["feature"], int(one["bin"])): int(one["units"]) for one in lines if one["part"] == "bin"}
    (constant,) = (int(one["units"]) for one in lines if one["part"] == "constant")
    (highest,) = (int(one["bin"]) for one in lines if one["part"] == "highest")
    bounds = [float(one["from"]) for one in lines if one["part"] == "score"]
    for row in scorecards.people(200, 6):
        bins = scorer.look_up.bins(row, frozenset())
        raw = constant + sum(units[name, at] for name, at in zip(scorer.features, bins, strict=True))
        assert highest - bisect_right(bounds, raw * 2.0**-40) == scorer.score(row).score
    for one in lines:
        if one["part"] == "bin" and one["from"]:
            at = next(table for table in scorer.look_up.tables if table.name == one["feature"])
            assert at.bin(float(one["from"])) == int(one["bin"])
            assert at.bin(np.nextafter(float(one["from"]), -np.inf)) == int(one["bin"]) - 1
    assert {one["codes"] for one in lines if one["feature"] == "mono"} == {"x", "(other)", "(missing)"}


def test_a_gam_is_no_scorecard():
    with pytest.raises(ScoreError, match="export it as sql"):
        scorecard_csv(scorer_of("gam").look_up)
