"""Pictures say what their numbers say."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screens.house.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    ChartAxis,
    ChartBar,
    ChartLine,
    bar_chart,
    line_chart,
    ticks,
)
from screens.house.shell import HOUSE, Look

NUMBERS = st.floats(-1e9, 1e9, allow_nan=False)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_round_values_enclose_what_is_shown(low: float, width: float) -> None:
    found = ticks(low, low + width)
    slack = 1e-6 * max(abs(low), width)
    assert found[0] <= low + slack and found[-1] >= low + width - slack
    assert 2 <= len(found) <= 8


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=30))
def test_every_point_is_within_the_picture_and_in_the_table(points: list[tuple[float, float]]) -> None:
    chart = line_chart("A", ChartAxis("x"), ChartAxis("y"), [ChartLine("one", points)])
    for mark in chart.marks:
        if mark.kind == "line":
            for x, y in re.findall(r"[ML](\S+) (\S+?)(?=L|$)", mark.path):
                assert LEFT - 0.1 <= float(x) <= WIDTH - RIGHT + 0.1
                assert TOP - 0.1 <= float(y) <= HEIGHT - BOTTOM + 0.1
    assert len(chart.rows) == len({x for x, _ in points})


def test_what_is_higher_stands_higher_and_what_is_missing_is_said() -> None:
    chart = line_chart("A", ChartAxis("x"), ChartAxis("y"), [ChartLine("one", [(0, 1), (1, 3), (2, math.nan)])])
    (line,) = [one for one in chart.marks if one.kind == "line"]
    heights = [float(y) for y in re.findall(r" ([0-9.]+)", line.path)]
    assert len(heights) == 2 and heights[1] < heights[0]
    assert chart.rows == (("0", "1"), ("1", "3"), ("2", "–"))


def test_bars_stand_on_zero() -> None:
    chart = bar_chart("A", "band", ChartAxis("share"), [ChartBar("low", 0.5, (0.25, 0.75)), ChartBar("high", 1.0)])
    assert [one.kind for one in chart.marks] == ["bar", "whisker", "bar"]
    assert all(f" {HEIGHT - BOTTOM:.1f}V" in one.path for one in chart.marks if one.kind == "bar")
    assert chart.rows == (("low", "0.5"), ("high", "1"))


def test_more_lines_than_colours_are_refused() -> None:
    with pytest.raises(ValueError, match="7 lines"):
        line_chart("A", ChartAxis("x"), ChartAxis("y"), [ChartLine(str(one), [(0, 1)]) for one in range(7)])


def test_a_drawn_chart_has_no_style_and_a_table_and_takes_no_markup(tmp_path: Path) -> None:
    look = Look.of("portal", HOUSE.parent / "portal" / "views", "UTC", {})
    template = look.environments["en"].from_string(
        '{% from "charts.html" import picture with context %}{{ picture(chart) }}'
    )
    chart = line_chart(
        "<b>A</b>", ChartAxis("x"), ChartAxis("y"), [ChartLine("<i>", [(0, 1)]), ChartLine("two", [(0, 2)])]
    )
    drawn = template.render(chart=chart)
    assert "style=" not in drawn and "<i>" not in drawn and "<b>" not in drawn
    assert "<table>" in drawn and "&lt;i&gt;" in drawn
