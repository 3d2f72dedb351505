"""Another plan, money given back, a wrong entry taken back, and how far back anything may be dated."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.counter import Counter
from support.effort import effort

from desk.commands.repay import BACK_DAYS

NAMES = count()


def kinds(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def posts(desk: Counter, loan: str, what: str, event: str, who: str = "servicing", **body: Any):
    headers = body.pop("headers", {})
    return desk.call(who, "POST", f"/v1/loans/{loan}/{what}", {"event": event, **body}, **headers)


def on(desk: Counter, days: int = 0) -> str:
    return (desk.desk.day(desk.clock()) + timedelta(days=days)).isoformat()


def plan(desk: Counter, *dues: tuple[int, int, int]) -> dict[str, Any]:
    """Of (days from today, principal, interest)."""
    schedule = [{"due": on(desk, days), "principal": part, "interest": more} for days, part, more in dues]
    return {"on": on(desk), "schedule": schedule}


def days_past_due(desk: Counter, loan: str, day: str | None = None) -> dict[str, int]:
    asked = "" if day is None else f"?as_of={day}"
    return desk.call("reader", "GET", f"/v1/loans/{loan}{asked}").json()["days_past_due"]


# --- another plan


def test_another_plan_is_kept_and_the_contractual_clock_runs_on(either: Counter):
    loan = either.lent()["id"]
    either.clock.move(days=40)
    body = plan(either, (30, 250_000, 3_000), (60, 250_000, 1_500))
    made = posts(either, loan, "restructurings", "r-1", **body)
    assert (made.status_code, made.json()["status"], made.json()["watched"]) == (201, "restructured", True)
    assert made.json()["days_past_due"] == {"contractual": 10, "after_grace": 0, "worst": 10}
    again = posts(either, loan, "restructurings", "r-1", **body)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
    other = plan(either, (30, 250_000, 3_000), (60, 250_000, 1_501))
    assert kinds(posts(either, loan, "restructurings", "r-1", **other)) == (409, "conflict")
    either.clock.move(days=70)
    assert days_past_due(either, loan) == {"contractual": 80, "after_grace": 40, "worst": 80}
    again = posts(either, loan, "restructurings", "r-1", **body)
    assert again.headers["idempotent-replayed"] == "true", "a retry, long after"


def test_a_plan_above_the_cap_over_the_whole_life_is_refused(desk: Counter):
    loan = desk.lent()["id"]
    desk.clock.move(days=20)
    dear = posts(desk, loan, "restructurings", "r-1", **plan(desk, (60, 500_000, 20_000)))
    assert kinds(dear) == (409, "above-cap") and "% a year, above 24" in dear.json()["detail"]
    assert posts(desk, loan, "restructurings", "r-1", **plan(desk, (60, 500_000, 10_000))).status_code == 201


@pytest.mark.parametrize(
    ("dues", "kind"),
    [([(30, 499_999, 0)], "conflict"), ([(0, 500_000, 0)], "conflict"), ([(60, 1, 0), (30, 499_999, 0)], "conflict"),
     ([(30, 500_000, 0), (60, 0, 9)], "conflict"), ([], "malformed"), ([(30, -1, 0), (60, 500_001, 0)], "malformed")],
)  # fmt: skip
def test_a_plan_adds_up(desk: Counter, dues, kind):
    loan = desk.lent()["id"]
    refused = posts(desk, loan, "restructurings", "r-1", **plan(desk, *dues))
    assert kinds(refused)[1] == kind, refused.text
    assert desk.call("reader", "GET", f"/v1/loans/{loan}").json()["status"] == "active"


def test_a_plan_is_granted_on_the_day_on_which_it_is_booked(desk: Counter):
    loan = desk.lent()["id"]
    desk.clock.move(days=20)
    body = plan(desk, (60, 500_000, 0))
    for days in (-1, -15, 1):
        assert kinds(posts(desk, loan, "restructurings", "r", **body | {"on": on(desk, days)})) == (422, "malformed")


# --- money given back


def test_what_is_held_is_given_back_and_no_more(either: Counter):
    loan = either.lent()["id"]
    owed = either.call("reader", "GET", f"/v1/loans/{loan}").json()["owed"]["total"]
    either.repays(loan, "in-1", owed + 700)
    assert kinds(posts(either, loan, "refunds", "b-1", amount=701 + owed, on=on(either))) == (409, "conflict")
    back = posts(either, loan, "refunds", "b-1", amount=700, on=on(either))
    assert (back.status_code, back.json()["held"]) == (201, owed), "what is not due yet is held for the due"
    again = posts(either, loan, "refunds", "b-1", amount=700, on=on(either))
    assert (again.headers["idempotent-replayed"], again.json()["held"]) == ("true", owed)
    assert kinds(posts(either, loan, "refunds", "b-1", amount=1, on=on(either))) == (409, "conflict")


# --- a wrong entry taken back


def test_a_repayment_that_never_was_is_taken_back_and_the_clock_is_as_if(either: Counter):
    loan = either.lent()
    due = loan["schedule"][0]
    total, loan = due["principal"] + due["interest"], loan["id"]
    either.clock.move(days=30)
    paid_on = on(either)
    assert either.repays(loan, "in-1", total).json()["status"] == "settled"
    either.clock.move(days=8)
    back = posts(either, loan, "corrections", "c-1", corrects="in-1")
    assert (back.status_code, back.json()["status"], back.json()["received"]) == (201, "active", 0)
    assert back.json()["days_past_due"]["contractual"] == 8
    assert days_past_due(either, loan, paid_on)["contractual"] == 0, "what was known then stays known"
    either.clock.move(days=1)
    again = posts(either, loan, "corrections", "c-1", corrects="in-1")
    assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
    assert kinds(posts(either, loan, "corrections", "c-2", corrects="in-1")) == (409, "conflict"), "it is gone already"
    assert either.repays(loan, "in-1", total, on=paid_on).json()["received"] == 0, "the bank's file, again"
    events = either.call("reader", "GET", f"/v1/loans/{loan}/events").json()["items"]
    assert [one["kind"] for one in events] == ["disbursed", "repaid", "corrected"]


def test_another_amount_and_day_are_put_in_place(desk: Counter):
    loan = desk.lent()["id"]
    desk.clock.move(days=30)
    wrong = on(desk)
    desk.repays(loan, "in-1", 500_000)
    desk.clock.move(days=40)
    right = {"amount": 5_000, "on": wrong}
    booked = posts(desk, loan, "corrections", "c-1", corrects="in-1", instead=right)
    assert (booked.status_code, booked.json()["received"]) == (201, 5_000), "of its own day, however long ago"
    again = posts(desk, loan, "corrections", "c-2", corrects="c-1/instead", instead=right | {"amount": 6_000})
    assert (again.status_code, again.json()["received"]) == (201, 6_000)
    early = (date.fromisoformat(wrong) - timedelta(days=1)).isoformat()
    body = {"corrects": "c-2/instead", "instead": right | {"on": early}}
    assert kinds(posts(desk, loan, "corrections", "c-3", **body)) == (422, "malformed")
    assert posts(desk, loan, "corrections", "c-3", **body, reason="court-order").status_code == 201
    assert kinds(posts(desk, loan, "corrections", "c-3", corrects="c-2/instead")) == (409, "conflict"), "another one"


def test_whose_money_it_was_is_not_changed(desk: Counter):
    """An insurer's money, booked anew as the borrower's, would make a bad loan a good one."""
    loan = desk.lent()["id"]
    desk.clock.move(days=60)
    body = {"event": "in-1", "amount": 100_000, "on": on(desk), "payer": "insurer"}
    assert desk.call("servicing", "POST", f"/v1/loans/{loan}/repayments", body).status_code == 201
    right = {"amount": 400_000, "on": on(desk)}
    booked = posts(desk, loan, "corrections", "c-1", corrects="in-1", instead=right)
    assert (booked.json()["received"], booked.json()["days_past_due"]["contractual"]) == (400_000, 30)
    assert posts(desk, loan, "corrections", "c-2", corrects="in-1", payer="borrower").status_code == 422


@pytest.mark.parametrize("corrects", ["pay-1", "w-1", "nothing", "c-0"])
def test_only_money_is_taken_back(desk: Counter, corrects: str):
    loan = desk.lent()["id"]
    desk.repays(loan, "in-0", 1)
    assert posts(desk, loan, "corrections", "c-0", corrects="in-0").status_code == 201
    waived = posts(desk, loan, "waivers", "w-1", on=on(desk), amount=1, component="principal")
    assert waived.status_code == 201
    assert kinds(posts(desk, loan, "corrections", "c-1", corrects=corrects)) == (409, "conflict")


def test_another_loans_entry_is_not_taken_back(desk: Counter):
    one, other = desk.lent("pay-1")["id"], desk.lent("pay-2")["id"]
    desk.repays(one, "in-1", 7)
    assert kinds(posts(desk, other, "corrections", "c-1", corrects="in-1")) == (409, "conflict")
    assert posts(desk, one, "corrections", "c-1", corrects="in-1").status_code == 201


def test_what_rested_on_it_comes_back_first(desk: Counter):
    loan = desk.lent()["id"]
    desk.repays(loan, "in-1", 900)
    assert posts(desk, loan, "refunds", "b-1", amount=900, on=on(desk)).status_code == 201
    refused = posts(desk, loan, "corrections", "c-1", corrects="in-1")
    assert kinds(refused) == (409, "conflict") and "b-1 refunds 900" in refused.json()["detail"]
    assert posts(desk, loan, "corrections", "c-1", corrects="b-1").json()["held"] == 900
    assert posts(desk, loan, "corrections", "c-2", corrects="in-1").json()["received"] == 0


AMENDMENTS = {
    "restructurings": lambda desk: plan(desk, (60, 500_000, 100)),
    "refunds": lambda desk: {"amount": 5, "on": on(desk)},
    "corrections": lambda desk: {"corrects": "in-0"},
}


@pytest.mark.parametrize("what", AMENDMENTS)
def test_who_may_once_and_on_what_they_read(desk: Counter, what: str):
    loan = desk.lent()["id"]
    desk.repays(loan, "in-0", 10)
    body, path = AMENDMENTS[what](desk), f"/v1/loans/{loan}"
    for who in ("origination", "reviewer.li", "reader"):
        assert kinds(posts(desk, loan, what, "e-1", who, **body)) == (403, "not-allowed")
    stale = desk.call("reader", "GET", path).headers["etag"]
    desk.repays(loan, "in-2", 1)
    assert kinds(posts(desk, loan, what, "e-1", headers={"If_Match": stale}, **body))[0] == 412
    assert kinds(posts(desk, "x" * 22, what, "e-1", **body)) == (404, "not-found")
    key = {"Idempotency_Key": "k-1", "If_Match": desk.call("reader", "GET", path).headers["etag"]}
    first = posts(desk, loan, what, "e-1", headers=key, **body)
    again = posts(desk, loan, what, "e-1", headers=key, **body)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["etag"] == first.headers["etag"] != key["If_Match"]
    assert kinds(posts(desk, loan, what, "e-2", headers=key, **body)) == (422, "malformed")


# --- how far back


MONEY = ("repayments", "recoveries", "refunds", "write-off")


def dated(desk: Counter, loan: str, what: str, days: int, **more: Any):
    amount = {} if what == "write-off" else {"amount": 5}
    return posts(desk, loan, what, f"e-{next(NAMES)}", on=on(desk, days), **amount, **more)


def stands_for(desk: Counter, what: str) -> str:
    """A loan to which it can happen."""
    loan = desk.lent()["id"]
    if what == "recoveries":
        assert dated(desk, loan, "write-off", 0).status_code == 201
    if what == "refunds":
        desk.repays(loan, "in-0", 10)
    desk.clock.move(days=20)
    return loan


@pytest.mark.parametrize("what", MONEY)
def test_a_value_date_is_a_day_on_which_it_can_have_happened(desk: Counter, what: str):
    loan = stands_for(desk, what)
    for days, says in ((1, "to come"), (-21, "no loan yet"), (-BACK_DAYS - 1, "needs a reason")):
        refused = dated(desk, loan, what, days)
        assert kinds(refused) == (422, "malformed") and says in refused.json()["detail"]
    assert kinds(dated(desk, loan, what, -21, reason="bank-error")) == (422, "malformed"), "no reason makes it older"
    assert kinds(dated(desk, loan, what, -15, reason="to look better")) == (422, "malformed")
    assert dated(desk, loan, what, -BACK_DAYS).status_code == 201


def test_why_it_is_booked_so_late_is_kept(either: Counter):
    loan = stands_for(either, "repayments")
    assert dated(either, loan, "repayments", -15, reason="bank-error").status_code == 201
    events = either.call("reader", "GET", f"/v1/loans/{loan}/events").json()["items"]
    assert [one["reason"] for one in events] == [None, "bank-error"]


def test_a_retry_of_what_was_booked_in_time_is_answered_long_after(desk: Counter):
    loan = desk.lent()["id"]
    day = on(desk)
    assert desk.repays(loan, "in-1", 5).status_code == 201
    desk.clock.move(days=BACK_DAYS + 5)
    again = desk.repays(loan, "in-1", 5, on=day)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")


# --- whatever is amended, in whatever order


steps = st.lists(
    st.tuples(
        st.sampled_from(["pay", "pay", "reverse", "replace", "refund", "plan", "wait"]),
        st.integers(1, 600_000),
        st.integers(0, 25),
    ),
    min_size=1,
    max_size=7,
)


@settings(max_examples=effort(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_no_amendment_resets_the_clock_or_loses_a_fen(desk: Counter, steps):
    """By hand: who has paid less, all in all, than the contract's only due is late since that due."""
    name = next(NAMES)
    loan = desk.lent(f"pay-{name}")
    first, loan = loan["schedule"][0], loan["id"]
    matures = date.fromisoformat(first["due"])
    money: dict[str, int] = {}
    back = 0
    for number, (what, amount, days) in enumerate(steps):
        event = f"e-{name}-{number}"
        desk.clock.move(days=days)
        before = desk.call("reader", "GET", f"/v1/loans/{loan}").json()
        paid = next(iter(money), None)
        if what == "pay" and desk.repays(loan, event, amount).status_code == 201:
            money[event] = amount
        elif what == "reverse" and paid is not None:
            if posts(desk, loan, "corrections", event, corrects=paid).status_code == 201:
                del money[paid]
        elif what == "replace" and paid is not None:
            right = {"amount": amount, "on": on(desk)}
            if posts(desk, loan, "corrections", event, corrects=paid, instead=right).status_code == 201:
                money[f"{event}/instead"] = amount
                del money[paid]
        elif what == "refund":
            back += amount * (posts(desk, loan, "refunds", event, amount=amount, on=on(desk)).status_code == 201)
        elif what == "plan" and before["owed"]["principal"]:
            body = plan(desk, (days + 1, before["owed"]["principal"], 0))
            if posts(desk, loan, "restructurings", event, **body).status_code == 201:
                assert days_past_due(desk, loan)["contractual"] == before["days_past_due"]["contractual"]
        found = desk.call("reader", "GET", f"/v1/loans/{loan}").json()
        assert found["received"] == sum(money.values())
        today = desk.desk.day(desk.clock())
        if sum(money.values()) - back < first["principal"] and today > matures:
            assert found["days_past_due"]["contractual"] == (today - matures).days


@pytest.mark.parametrize("day", ["9999-12-31", "9000-01-01"])
def test_nothing_is_put_off_to_where_no_calendar_goes(desk: Counter, day: str):
    """Grace on it, or more time, would have no day: an error within, on each later look at the loan."""
    loan = desk.lent()["id"]
    assert kinds(posts(desk, loan, "graces", "g-1", on=on(desk), until=day)) == (409, "conflict")
    schedule = [{"due": day, "principal": 500_000, "interest": 0}]
    assert kinds(posts(desk, loan, "restructurings", "r-1", on=on(desk), schedule=schedule)) == (409, "conflict")
    assert posts(desk, loan, "graces", "g-1", on=on(desk), until="8999-12-31").status_code == 201


def test_a_plan_is_of_no_more_dues_than_ten_years_have_months(desk: Counter):
    """What it costs is worked out while nobody else can write: of 360 dues that was ten seconds."""
    loan = desk.lent()["id"]
    dues = [(30 * at, 1000, 0) for at in range(1, 121)]
    assert kinds(posts(desk, loan, "restructurings", "r-1", **plan(desk, *dues, (3660, 380_000, 0)))) == (
        422,
        "malformed",
    )
    last = (3650, 381_000, 0)
    assert posts(desk, loan, "restructurings", "r-1", **plan(desk, *dues[:-1], last)).status_code == 201
