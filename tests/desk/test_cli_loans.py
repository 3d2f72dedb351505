"""``tahini desk close``, ``settlement`` and ``settle``: a month's end and a loan's, as an operator does them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.counter import Counter
from support.loans import fee, once

from tahini import main


@pytest.fixture
def run(desk: Counter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command, over a desk whose clock a test moves."""

    @contextmanager
    def opened(_: Path) -> Iterator[Any]:
        yield desk.desk

    monkeypatch.setattr("desk.home.opened_desk", opened)
    runner = CliRunner()
    return lambda *words: runner.invoke(main, ["desk", *words, "--home", str(tmp_path)])


def refused(found: Any, words: str) -> None:
    assert found.exit_code == 1 and words in found.stderr, found.output
    assert len(found.stderr.strip().splitlines()) == 1


def test_a_month_is_closed_once_and_again_with_a_reason(desk: Counter, run):
    start = desk.desk.day(desk.clock())
    following = (start.replace(day=28) + timedelta(days=4)).replace(day=1)
    last = (following.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    desk.clock.move(days=(last - start).days)
    month = desk.today()[:7]
    refused(run("close", "--month", month), "not over yet")
    loan = desk.lent()["id"]
    desk.clock.move(days=4)
    first = run("close", "--month", month)
    assert first.exit_code == 0 and f"closed {month}, version 1" in first.stdout
    assert "1 loans, 5,000.00 owed" in first.stdout
    refused(run("close", "--month", month), "nothing of it has changed since")
    refused(run("close", "--month", month, "--reason", " "), "a reason has 1 to 400 characters")
    body = {"event": "in-1", "amount": 100_000, "on": last.isoformat(), "prepays": True}
    assert desk.call("servicing", "POST", f"/v1/loans/{loan}/repayments", body).status_code == 201
    refused(run("close", "--month", month), "say why")
    again = run("close", "--month", month, "--reason", "the bank told of it late", "--json")
    found = json.loads(again.stdout)
    assert (found["version"], found["reason"], found["figures"]["received"]) == (2, "the bank told of it late", 100_000)
    assert set(found["figures"]) == {"as_of", "loans", "lent", "outstanding", "received", "arrears"}


def test_a_month_that_is_none_and_one_before_there_was_a_desk(desk: Counter, run):
    assert run("close", "--month", "2026-13").exit_code == 2
    assert run("close", "--month", "october").exit_code == 2
    found = json.loads(run("close", "--month", "2020-02", "--json").stdout)
    assert (found["figures"]["as_of"], found["figures"]["loans"], found["figures"]["received"]) == ("2020-02-29", 0, 0)


def test_what_repays_a_loan_is_told_and_booked(desk: Counter, run):
    desk.rules.lent_as = once(fees=[fee("early", when="early", method="of-balance", value=2_000, payee="lender")])
    loan = desk.lent()["id"]
    desk.clock.move(days=20)
    told = run("settlement", "--loan", loan)
    assert told.exit_code == 0, told.output
    assert f"on {desk.today()}: 5,055.00 repay the loan" in told.stdout
    assert "charged for it, early: 10.00" in told.stdout and "民法典 677" in told.stdout
    ahead = (desk.desk.day(desk.clock()) + timedelta(2)).isoformat()
    assert json.loads(run("settlement", "--loan", loan, "--on", ahead, "--json").stdout)["to_pay"] == 505_950
    refused(run("settle", "--loan", loan, "--event", "b-1", "--amount", "505499"), "505500 settle loan")
    refused(run("settle", "--loan", loan, "--event", "b-1", "--amount", "505500", "--on", ahead), "still to come")
    assert "is settled" in run("settle", "--loan", loan, "--event", "b-1", "--amount", "505500").stdout
    again = run("settle", "--loan", loan, "--event", "b-1", "--amount", "505500", "--json")
    assert json.loads(again.stdout) == {"loan": loan, "event": "b-1", "new": False}
    refused(run("settlement", "--loan", loan), "nothing of loan")
    refused(run("settlement", "--loan", "x" * 22), "no such loan")
    events = desk.call("reader", "GET", f"/v1/loans/{loan}/events").json()["items"]
    assert [(one["kind"], one["by"]) for one in events] == [("disbursed", "servicing"), ("settled-early", "operator")]
