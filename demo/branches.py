"""What a desk of the two years is made from: the demo's, for a calendar that runs into years of
which nobody has read the law yet."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from clients.home import Node
from demo.desk_homes import fill_home
from demo.result import Scenario
from desk.released import LAW

ASSUMED = """# The one-year loan prime rate of years to come: nobody knows it; here it stays.
[[row]]
key = "lpr-1y"
value = "0.030"
from = 2026-09-20
article = "assumed by the demo for the simulated years"
source = "nobody's word: the last publication that was read, carried on"
verified = false
"""
FOLLOWS = {"version": 2, "valid_from": date(2028, 1, 1), "valid_until": date(2031, 1, 1)}
"""The policy from the day on which the cap of loans of over a month is four times the LPR: the same
tables, for the price is lowered until the cost fits."""


def make_branch(home: Path, scenario: Scenario, node: Node) -> None:
    """A desk's home for the two years, with the model of the scenario's campaign."""
    fill_home(home, scenario, node, FOLLOWS)
    (home / LAW / "cn.toml").write_text(ASSUMED, encoding="utf-8")
