"""The scorecard for engineers: as CSV, and as one SQL expression with the same score for everybody.

The expression is standard enough for DuckDB and PostgreSQL alike. Log-odds are added as whole
numbers (a GAM's pairs as doubles, in the model's order) and the score is read off the bounds, so
nothing is left to a database's rounding. Columns have the features' names and the types of their
values: numbers as numbers, categories as text, whole numbers or truth values. A database's own
doubles and decimals are not codes; keep codes as text.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from lending.score.compiled import UNIT_BITS, FeatureTable, LookUp, PairTable, ScoreError

BLANKS = "".join(chr(one) for one in range(0x3001) if chr(one).isspace())
"""What a text may consist of and still say nothing, as Python sees it."""
PARTS = ("part", "feature", "bin", "from", "below", "codes", "frequency", "units", "log_odds")


def scorecard_csv(look_up: LookUp) -> str:
    """Every part of a scorecard, a line each: the constant, bins, bounds of scores.

    The score is ``highest`` less the number of bounds that the sum of ``log_odds`` reaches
    (``units`` are the same in whole 2^-40). Raises ScoreError for a GAM, whose pairs are no lines
    of it.
    """
    if look_up.pairs:
        raise ScoreError("a gam has pairwise terms, which are no scorecard; export it as sql")
    out = io.StringIO()
    write = csv.DictWriter(out, PARTS, restval="", lineterminator="\n").writerow
    write({name: name for name in PARTS})
    write({"part": "constant", **_log_odds(look_up.constant)})
    for table in look_up.tables:
        for at in range(table.missing + 1):
            write({"part": "bin", "feature": table.name, "bin": at, **_bin(table, at)})
    write({"part": "highest", "bin": look_up.highest})
    for below, bound in enumerate(look_up.bounds, 1):
        write({"part": "score", "bin": look_up.highest - below, "from": repr(bound)})
    return out.getvalue()


def _log_odds(units: int) -> dict[str, object]:
    return {"units": units, "log_odds": repr(units * 2.0**-UNIT_BITS)}


def _bin(table: FeatureTable, at: int) -> dict[str, object]:
    found: dict[str, object] = {"frequency": repr(table.frequency[at])}
    if at == table.missing:
        found["codes"] = "(missing)"
    elif table.is_code:
        held = [known for known, one in table.bin_of_code.items() if one == at and known]
        found["codes"] = "|".join([*held, *(["(other)"] if at == table.other else [])])
    else:
        found["from"] = repr(table.edges[at - 1]) if at else ""
        found["below"] = repr(table.edges[at]) if at < len(table.edges) else ""
    return {**found, **_log_odds(table.units[at])}


def score_sql(look_up: LookUp) -> str:
    """One expression over a row of a table whose columns are the features: the shown score.

    Raises ScoreError: a listed code has a character that text in SQL cannot hold.
    """
    units = " + ".join(
        [
            f"CAST({look_up.constant} AS BIGINT)",
            *(_case(table, [str(one) for one in table.units]) for table in look_up.tables),
        ]
    )
    raw = f"CAST({units} AS DOUBLE PRECISION) * {_double(2.0**-UNIT_BITS)}"
    if look_up.pairs:
        together = " + ".join(_pair(look_up, pair) for pair in look_up.pairs)
        raw = f"{raw} + ({_double(0.0)} + {together})"
    steps = _steps(look_up.bounds, look_up.highest)
    once = "OFFSET 0"  # so that PostgreSQL adds up once, not at every step
    return f"(SELECT {steps}\n FROM (SELECT {raw} AS raw {once}) AS log_odds)"  # noqa: S608


def _steps(bounds: Sequence[float], highest: int) -> str:
    """The score of ``raw``: a tree of comparisons, ten deep for all of them."""
    if not bounds:
        return str(highest)
    middle = len(bounds) // 2
    low = _steps(bounds[:middle], highest)
    high = _steps(bounds[middle + 1 :], highest - middle - 1)
    return f"CASE WHEN raw < {_double(bounds[middle])} THEN {low} ELSE {high} END"


def _case(table: FeatureTable, worth: Sequence[str]) -> str:
    """What a feature's bin is worth: the last but one of ``worth`` where it is missing."""
    column = '"' + table.name.replace('"', '""') + '"'
    if table.is_code:
        return _codes(table, column, worth)
    number = f"CAST({column} AS DOUBLE PRECISION)"
    steps = [
        f"WHEN {number} < {_double(edge)} THEN {worth[at]}" for at, edge in enumerate(table.edges)
    ]
    missing = f"WHEN {number} IS NULL OR {number} = {_double(math.nan)} THEN {worth[table.missing]}"
    return f"CASE {missing} {' '.join(steps)} ELSE {worth[len(table.edges)]} END"


def _codes(table: FeatureTable, column: str, worth: Sequence[str]) -> str:
    """As :func:`credit.values.code` has it: 'TRUE' is 'true', '1.0' is '1', blanks are nothing."""
    text = f"CAST({column} AS VARCHAR)"
    bare = f"lower(trim({text}, {_text(BLANKS)}))"
    missing = f"WHEN {text} IS NULL OR {bare} IN ('', 'nan') THEN {worth[table.missing]}"
    plain = (
        f"CASE WHEN lower({text}) IN ('true', 'false') THEN lower({text}) "
        f"ELSE regexp_replace({text}, '^([+-]?[0-9]+)[.]0+$', '\\1') END"
    )
    steps = [
        f"WHEN {_text(known)} THEN {worth[at]}"
        for known, at in table.bin_of_code.items()
        if known is not None
    ]
    return f"CASE {missing} ELSE CASE {plain} {' '.join(steps)} ELSE {worth[table.other]} END END"


def _pair(look_up: LookUp, pair: PairTable) -> str:
    """Its effect: for each level of the first, the one that the second's gives."""
    second = look_up.tables[pair.second]
    rows = [
        _case(second, [_double(effects[level]) for level in pair.second_levels])
        for effects in pair.effects[:-1]
    ]
    return _case(look_up.tables[pair.first], [rows[level] for level in pair.first_levels[:-1]])


def _double(value: float) -> str:
    """As text: databases read a decimal literal as a decimal, and may turn that otherwise."""
    return f"CAST('{value!r}' AS DOUBLE PRECISION)"


def _text(value: str) -> str:
    if "\0" in value:
        raise ScoreError("a code of the model has a character that text in SQL cannot hold")
    return "'" + value.replace("'", "''") + "'"
