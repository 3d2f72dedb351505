"""A month that was closed keeps its figures; what changes it stands beside them, with its reason."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from sqlalchemy import delete, update
from sqlalchemy.exc import DBAPIError
from support.counter import Counter

from desk.commands.close import close_month, closed_months, in_force
from desk.storage.tables import closings
from protocol.errors import Conflict, Malformed


@pytest.fixture
def lent(either: Counter) -> tuple[Counter, str, date]:
    """A loan of the last day but one of a month, and two days later."""
    start = either.desk.day(either.clock())
    following = (start.replace(day=28) + timedelta(days=4)).replace(day=1)
    following = (following.replace(day=28) + timedelta(days=4)).replace(day=1)
    either.clock.move(days=(following - timedelta(days=2) - start).days)
    month = either.desk.day(either.clock())
    loan = str(either.lent()["id"])
    either.clock.move(days=4)
    return either, loan, month


def test_what_was_closed_is_kept_and_a_correction_stands_beside_it(lent):
    desk, loan, month = lent
    first = close_month(desk.desk, month)
    assert (first.version, first.reason, first.figures["outstanding"]) == (1, None, 500_000)
    with pytest.raises(Conflict, match="nothing of it has changed"):
        close_month(desk.desk, month, "again")
    on = month.isoformat()
    body = {"event": "in-1", "amount": 100_000, "on": on, "prepays": True}
    assert desk.call("servicing", "POST", f"/v1/loans/{loan}/repayments", body).status_code == 201
    with pytest.raises(Conflict, match="say why"):
        close_month(desk.desk, month)
    second = close_month(desk.desk, month, "the bank told of a payment four days late")
    assert (second.version, second.figures["outstanding"]) == (2, 400_000)
    found = closed_months(desk.desk)
    assert [one.figures["outstanding"] for one in found] == [500_000, 400_000]
    assert [one.version for one in in_force(found)] == [2]
    assert found[1].reason == "the bank told of a payment four days late"


def test_a_month_is_closed_when_it_is_over_and_corrected_when_it_was_closed(lent):
    desk, _, month = lent
    with pytest.raises(Malformed, match="not over"):
        close_month(desk.desk, desk.desk.day(desk.clock()))
    with pytest.raises(Malformed, match="never closed"):
        close_month(desk.desk, month, "why not")
    with pytest.raises(Malformed, match="characters"):
        close_month(desk.desk, month, " ")
    assert closed_months(desk.desk) == []


def test_nobody_overwrites_a_closing(lent):
    desk, _, month = lent
    close_month(desk.desk, month)
    for statement in (delete(closings), update(closings).values(figures="{}")):
        with (
            pytest.raises(DBAPIError, match="append-only"),
            desk.desk.transactions.database.engine.begin() as connection,
        ):
            connection.execute(statement)
