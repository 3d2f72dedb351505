"""A loan repaid whole before its end: what it takes on a day, and the money that did it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from support.counter import Counter
from support.loans import fee, once
from support.world import pseudonym

from desk.customers import CustomerTokens

CHARGED = fee("early", when="early", method="of-balance", value=2_000, payee="lender")


def kinds(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def later(desk: Counter, days: int) -> str:
    return (desk.desk.day(desk.clock()) + timedelta(days)).isoformat()


def asks(desk: Counter, loan: str, on: str | None = None) -> Any:
    return desk.call("reader", "GET", f"/v1/loans/{loan}/settlement" + (f"?on={on}" if on else ""))


def settles(desk: Counter, loan: str, event: str, amount: int, who: str = "servicing", **more: Any) -> Any:
    headers = more.pop("headers", {})
    body = {"event": event, "amount": amount, "on": desk.today()} | more
    return desk.call(who, "POST", f"/v1/loans/{loan}/settlement", body, **headers)


@pytest.fixture
def charged(either: Counter) -> Counter:
    either.rules.lent_as = once(fees=[CHARGED])
    return either


def test_what_it_takes_is_told_part_by_part_and_then_settles_the_loan(charged: Counter):
    loan = charged.lent()["id"]
    charged.clock.move(days=20)
    asked = asks(charged, loan)
    assert asked.status_code == 200, asked.text
    told = asked.json()
    assert (told["on"], told["owed"]["principal"], told["owed"]["interest"]) == (charged.today(), 500_000, 4_500)
    assert told["charges"] == [{"code": "early", "payee": "lender", "agreed": 1_000, "amount": 1_000}]
    assert (told["held"], told["rebate"], told["to_pay"]) == (0, 0, 505_500)
    assert told["saved"] == 2_250 - 1_000
    assert "民法典 677" in told["sources"] and told["cost"]["total"] == 5_500
    etag = asked.headers["etag"]
    done = settles(charged, loan, "in-1", told["to_pay"], headers={"If_Match": etag})
    assert done.status_code == 201, done.text
    shown = done.json()
    assert (shown["status"], shown["settled_on"], shown["owed"]["total"]) == ("settled", charged.today(), 0)
    assert (shown["paid"]["fees"], shown["paid"]["interest"], shown["received"]) == (1_000, 4_500, 505_500)
    events = charged.call("reader", "GET", f"/v1/loans/{loan}/events").json()["items"]
    assert [one["kind"] for one in events] == ["disbursed", "settled-early"]
    assert kinds(asks(charged, loan)) == (409, "conflict")


def test_a_retry_settles_nothing_twice(charged: Counter):
    loan = charged.lent()["id"]
    charged.clock.move(days=20)
    first = settles(charged, loan, "in-1", 505_500, headers={"Idempotency_Key": "k-1"})
    day = charged.today()
    charged.clock.move(days=3)
    for headers in ({"Idempotency_Key": "k-1"}, {}):
        again = settles(charged, loan, "in-1", 505_500, on=day, headers=headers)
        assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
        assert again.json()["received"] == first.json()["received"] == 505_500
    assert kinds(settles(charged, loan, "in-1", 505_501, on=day)) == (409, "conflict")
    assert kinds(settles(charged, loan, "in-2", 505_500)) == (409, "conflict")
    assert kinds(charged.repays(loan, "in-1", 505_500)) == (409, "conflict")


def test_less_than_it_takes_is_not_booked_and_more_is_held(charged: Counter):
    loan = charged.lent()["id"]
    charged.clock.move(days=20)
    short = settles(charged, loan, "in-1", 505_499)
    assert kinds(short) == (409, "conflict") and "505500 settle loan" in short.json()["detail"]
    assert charged.call("reader", "GET", f"/v1/loans/{loan}").json()["received"] == 0
    more = settles(charged, loan, "in-1", 505_600)
    assert (more.json()["status"], more.json()["held"]) == ("settled", 100)
    assert settles(charged, loan, "in-2", -1).status_code == 422


def test_it_is_told_for_a_day_to_come_and_of_none_before_the_loan(charged: Counter):
    loan = charged.lent()["id"]
    ahead = later(charged, 25)
    assert asks(charged, loan, ahead).json()["to_pay"] == 500_000 + 25 * 225 + 1_000
    assert kinds(asks(charged, loan, later(charged, -1))) == (422, "malformed")
    assert kinds(asks(charged, loan, later(charged, 30))) == (409, "conflict"), "at its end it is simply due"
    assert kinds(settles(charged, loan, "in-1", 600_000, on=ahead)) == (422, "malformed")
    assert asks(charged, "x" * 22).status_code == 404


def test_money_that_came_days_ago_settles_it_on_its_day(charged: Counter):
    loan = charged.lent()["id"]
    charged.clock.move(days=20)
    came = charged.today()
    charged.clock.move(days=4)
    charged.repays(loan, "penny", 1)  # what was booked since is put in order
    for _ in range(2):
        done = settles(charged, loan, "in-1", 505_500, on=came)
        assert done.status_code == 201, done.text
        assert (done.json()["settled_on"], done.json()["held"]) == (came, 1)


def test_whoever_serves_loans_books_it_and_their_borrower_may_ask(charged: Counter):
    who = pseudonym()
    loan = charged.lent(pseudonym=who)["id"]
    charged.clock.move(days=20)
    assert settles(charged, loan, "in-1", 505_500, who="reader").status_code == 403
    mine = {"Authorization": f"Bearer {CustomerTokens(charged.desk.at_rest).give(who, charged.clock())}"}
    path = f"/v1/me/loans/{loan}/settlement"
    assert charged.http.get(path, headers=mine).json() == asks(charged, loan).json()
    other = {"Authorization": f"Bearer {CustomerTokens(charged.desk.at_rest).give(pseudonym(), charged.clock())}"}
    assert charged.http.get(path, headers=other).status_code == 404


def test_a_transfer_that_bounced_leaves_the_loan_as_it_was(charged: Counter):
    loan = charged.lent()["id"]
    charged.clock.move(days=20)
    settles(charged, loan, "in-1", 505_500)
    body = {"event": "c-1", "corrects": "in-1"}
    back = charged.call("servicing", "POST", f"/v1/loans/{loan}/corrections", body)
    assert (back.json()["status"], back.json()["owed"]["fees"]) == ("active", 0)
    assert asks(charged, loan).json()["to_pay"] == 505_500
    settles(charged, loan, "in-2", 505_500)
    body = {"event": "c-2", "corrects": "in-2", "instead": {"amount": 400_000, "on": charged.today()}}
    less = charged.call("servicing", "POST", f"/v1/loans/{loan}/corrections", body)
    assert (less.json()["status"], less.json()["paid"]["fees"]) == ("active", 0)
    assert less.json()["received"] == 400_000


def test_a_month_that_is_closed_has_its_money(charged: Counter):
    from desk.commands.close import close_month

    loan = charged.lent()["id"]
    charged.clock.move(days=20)
    month = date.fromisoformat(charged.today())
    settles(charged, loan, "in-1", 505_500)
    charged.clock.move(days=45)
    figures = close_month(charged.desk, month).figures
    assert (figures["received"], figures["outstanding"]) == (505_500, 0)
