"""The law of features at the lender's: in its own columns, its dates, and what its operator is told."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.lender_tables import as_csv, as_parquet, lender_table, name
from support.world import schema_of

from clients.data.profiling import check
from clients.errors import SourceError
from credit.schema_inference import GUESSED
from protocol.schema import now

COLUMNS = """
[columns]
bad = { column = "dpd90", values = { Y = 1, N = 0 } }
late = "times late"
late_on = "paid_up"
bad_on = "settled"
"""
LATE = {"name": "late", "kind": "integer", "category": "repayment", "adverse": True, "ended_by": "late_on", "clean": 0}
DATES = {"paid_up": "2026-01-01", "settled": "2026-01-01"}


def days_ago(days: int) -> str:
    return (now().date() - timedelta(days=days)).isoformat()


def columns_for(column: str) -> str:
    return COLUMNS.replace('"times late"', f'"{column}"')


@pytest.mark.parametrize("column", ["hospital_visits", "体检结果", "halal_purchases", "face_embedding"])
def test_a_lenders_own_column_cannot_bring_in_what_the_law_forbids_under_another_name(tmp_path, column):
    """``data.toml`` renames columns: what was declared is not what is read."""
    table = lender_table(20).rename(columns={"times late": column}).assign(**DATES)
    source = as_csv(tmp_path / "home", table, columns=columns_for(column))
    schema = schema_of(LATE, outcome_ended_by="bad_on")
    for read in (lambda: list(source.rows([name(1)], schema)), lambda: check(tmp_path / "home", schema)):
        with pytest.raises(
            SourceError, match=rf"'late' is read from a column '{column}', which is about .* law forbids"
        ):
            read()


def test_a_lenders_own_column_cannot_bring_in_income_as_something_else(tmp_path):
    table = lender_table(20).rename(columns={"times late": "payment_to_income"}).assign(**DATES)
    source = as_csv(tmp_path / "home", table, columns=columns_for("payment_to_income"))
    with pytest.raises(SourceError, match="which speaks of income, which is neither its category nor in derived_from"):
        source.rows([name(1)], schema_of(LATE, outcome_ended_by="bad_on"))
    list(source.rows([name(1)], schema_of(LATE | {"derived_from": ["income"]}, outcome_ended_by="bad_on")))


@pytest.mark.parametrize("kept", [as_csv, as_parquet])
def test_the_check_says_what_retention_takes_away_today(tmp_path, kept):
    """Bad outcomes that ended too long ago, or nobody knows when, and adverse values alike; a clean one has no end."""
    table = lender_table(200).assign(dpd90="N", **{"times late": 1})
    table["paid_up"] = table["settled"] = days_ago(30)
    table.loc[:9, "dpd90"] = "Y"
    table.loc[:2, "settled"] = days_ago(5 * 365 + 30)
    table.loc[3, "settled"] = None
    table.loc[10:14, "paid_up"] = days_ago(5 * 365 + 30)
    table.loc[15:16, "paid_up"] = None
    table.loc[17:19, ["paid_up", "times late"]] = [None, 0]
    kept(tmp_path / "home", table, columns=COLUMNS)
    found = check(tmp_path / "home", schema_of(LATE, outcome_ended_by="bad_on"))
    said = [warning for warning in found.warnings if "law lets" in warning or "stale" in warning]
    assert said[0].startswith("4 bad outcomes ended longer ago than the law lets them be used, or do not say when")
    assert said[1] == "late: 7 values are stale or have no date and are not used"


def test_the_check_names_features_whose_reason_was_guessed(tmp_path):
    as_csv(tmp_path / "home", lender_table(200).assign(**DATES), columns=COLUMNS)
    guessed = schema_of(LATE | {"relevance": GUESSED + "repayment"}, outcome_ended_by="bad_on")
    (said,) = (one for one in check(tmp_path / "home", guessed).warnings if "guessed" in one)
    assert said.startswith("reasons were guessed, of late: write what each has to do with repaying credit")
    stated = schema_of(LATE, outcome_ended_by="bad_on")
    assert not [one for one in check(tmp_path / "home", stated).warnings if "guessed" in one]
