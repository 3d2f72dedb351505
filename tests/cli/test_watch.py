"""What watching costs and what the economy would do, as a person asks for it."""

from __future__ import annotations

import math

from support.commands import done, tahini, told

from privacy.accounting import epsilon_of
from watching.economy.series import month_name, month_number, packaged
from watching.plan import WatchYear


def vintages(path, count=36, slope=0.6):
    series, first = packaged("unemployment"), month_number("2022-01")
    lines = ["month,borrowers,bad"]
    for month in range(first, first + count):
        rate = 1 / (1 + math.exp(3.2 - slope * (series.mean(month + 1, month + 6) - 5.2)))
        lines.append(f"{month_name(month)},30000,{round(30_000 * rate)}")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_plan_says_what_watching_costs_and_what_it_leaves():
    found = told("watch", "plan")
    assert found["epsilon_watching"] == epsilon_of(WatchYear().charges(), 1e-5)
    assert found["epsilon_watching"] < found["epsilon_training"] < found["epsilon_together"] == 1.0
    assert "watching alone: epsilon" in done("watch", "plan")
    refused = tahini("watch", "plan", "--epsilon", "0.2")
    assert refused.exit_code == 1 and "nothing of 0.2 for training" in refused.output


def test_a_scenario_is_told_with_its_coefficients_and_their_errors(tmp_path):
    file = vintages(tmp_path / "vintages.csv")
    found = told("watch", "stress", "--vintages", file, "--age", "6", "--unemployment", "+0.2")
    (slope,) = found["slopes_of_the_logit_per_point"]
    assert slope["per_point"]["low"] < 0.6 < slope["per_point"]["high"]
    assert found["beyond_chance"] == found["not_verified"] == ["unemployment"]
    assert found["says"]["usual"]["value"] < found["says"]["stressed"]["value"] and not found["says"]["beyond"]
    said = done("watch", "stress", "--vintages", file, "--age", "6", "--unemployment", "+2")
    assert "beyond what was ever seen: unemployment" in said and "nobody verified" in said


def test_what_cannot_be_said_is_said_in_words(tmp_path):
    file = vintages(tmp_path / "vintages.csv", count=10)
    asked = ("watch", "stress", "--vintages", file, "--age", "6", "--cpi", "-1")
    assert done(*asked).startswith("nothing to say: 10 of 10 vintages")
    assert told(*asked) == {"says": None, "why": told(*asked)["why"]}
    refused = tahini("watch", "stress", "--vintages", file)
    assert refused.exit_code == 1 and "say what moves" in refused.output


def test_a_publishers_table_becomes_a_series_that_scenarios_use(tmp_path):
    table, folder = tmp_path / "nbs.csv", tmp_path / "series"
    folder.mkdir()
    table.write_text("month,value\n2025-11,5.1\n2022-01,5.4\n", encoding="utf-8-sig")
    out = folder / "unemployment.toml"
    said = done("watch", "import-series", table, "--key", "unemployment", "--out", out, "--verified")
    assert "2022-01 to 2025-11" in said and "not verified" in said  # what it was added to is not
    listed = {one["key"]: one for one in told("watch", "series", "--series", folder)}
    assert listed["unemployment"]["values"]["2022-01"] == "5.4"
    assert set(listed) == {"unemployment", "cpi", "lpr-1y"}
    alone = done("watch", "import-series", table, "--key", "unemployment", "--out", out, "--verified", "--alone")
    assert "2 values" in alone and "not verified" not in alone
    found = told(
        "watch", "stress", "--vintages", vintages(tmp_path / "v.csv"), "--unemployment", "1", "--series", folder
    )
    assert found["says"] is None
    unknown = tahini("watch", "import-series", table, "--key", "gdp", "--out", out)
    assert unknown.exit_code == 1 and "is missing" in unknown.output
