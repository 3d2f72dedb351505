"""From offer to payout: what may be accepted and paid, once."""

from __future__ import annotations

import itertools
import threading
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from support.counter import Counter, counter
from support.waiting import PATIENCE_S
from support.world import pseudonym

from desk.storage import tables
from law.categories import DataCategory
from lending.account.allocation import BUCKETS, COMPONENTS, Order


def kinds(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def loans(desk: Counter) -> list:
    with desk.desk.reading() as hand:
        return list(hand.connection.execute(select(tables.loans)).all())


def test_an_offer_is_accepted_and_paid_out(either: Counter):
    application = either.offered()
    taken = either.accepts(application)
    assert (taken.status_code, taken.json()["status"]) == (201, "accepted")
    paid = either.pays(application["id"])
    assert paid.status_code == 201, paid.text
    assert paid.json()["owed"]["principal"] == 500_000
    seen = either.call("reader", "GET", f"/v1/applications/{application['id']}").json()
    assert (seen["status"], seen["loan"]) == ("disbursed", paid.json()["id"])


def test_whoever_takes_consent_back_before_acceptance_is_not_lent_to(desk: Counter):
    application = desk.offered()
    desk.consents.refused = {DataCategory.INCOME}
    assert kinds(desk.accepts(application)) == (403, "consent-missing")
    assert desk.call("reader", "GET", f"/v1/applications/{application['id']}").json()["status"] == "offered"


def test_consent_is_checked_again_before_money_moves(desk: Counter):
    application = desk.offered()
    desk.accepts(application)
    desk.consents.refused = {DataCategory.REPAYMENT}
    assert kinds(desk.pays(application["id"])) == (403, "consent-missing")
    assert loans(desk) == []
    desk.consents.refused = set()
    assert desk.pays(application["id"]).status_code == 201


def test_what_a_loan_costs_is_shown_for_as_long_as_it_takes_to_read_before_it_is_accepted(tmp_path: Path):
    with counter(tmp_path / "desk.db", reading=timedelta(seconds=10)) as desk:
        offered = desk.offered()
        path, body = f"/v1/applications/{offered['id']}", {"decision": offered["decision"]["id"]}
        desk.call("reader", "GET", f"{path}/disclosure")
        unseen = desk.call("origination", "POST", f"{path}/acceptance", body | {"disclosure_sha256": "d" * 64})
        assert unseen.json()["type"] == "urn:tahini:problem:not-read-yet"
        assert desk.accepts(offered).json()["type"] == "urn:tahini:problem:not-read-yet"
        desk.clock.move(seconds=8)
        assert desk.accepts(offered).status_code == 409, "showing it again does not begin anew, nor end it"
        desk.clock.move(seconds=3)
        assert desk.accepts(offered).status_code == 201


def test_an_offer_ends(desk: Counter):
    application = desk.offered()
    desk.clock.move(days=4)
    assert kinds(desk.accepts(application)) == (409, "offer-expired")
    assert desk.call("reader", "GET", f"/v1/applications/{application['id']}").json()["status"] == "expired"


def test_a_clock_set_back_does_not_lengthen_an_offer(desk: Counter):
    application = desk.offered()
    path = f"/v1/applications/{application['id']}"
    desk.call("origination", "GET", f"{path}/disclosure")
    desk.clock.move(days=4)
    desk.call("reader", "GET", path)
    desk.clock.move(days=-2)
    assert kinds(desk.accepts(application)) == (503, "clock-wrong")
    assert desk.call("reader", "GET", path).json()["status"] == "offered"


def test_what_is_accepted_is_the_newest_decision_as_it_was_read(desk: Counter):
    application = desk.offered()
    other = {**application, "decision": {"id": "x" * 22}}
    assert kinds(desk.accepts(other)) == (409, "conflict")
    assert kinds(desk.accepts(application, If_Match='"0-logged"')) == (412, "precondition-failed")
    assert desk.accepts(application, If_Match='"1-logged"').status_code == 201
    assert kinds(desk.accepts(application)) == (409, "conflict")


def test_a_retry_pays_nothing_a_second_time(either: Counter):
    application = either.offered()
    either.accepts(application)
    first = either.pays(application["id"])
    again = either.pays(application["id"])
    assert (first.json()["id"], again.status_code) == (again.json()["id"], 201)
    assert again.headers["idempotent-replayed"] == "true"
    assert kinds(either.pays(application["id"], "pay-2")) == (409, "conflict")
    assert kinds(either.pays(application["id"], amount=400_000)) == (409, "conflict")
    other = either.offered()
    either.accepts(other)
    assert kinds(either.pays(other["id"])) == (409, "conflict"), "one payment pays one loan"
    assert len(loans(either)) == 1


def test_two_workers_pay_once(tmp_path: Path, request: pytest.FixtureRequest):
    """Two processes' worth of desks over one database, let go at the same instant."""
    location = request.getfixturevalue("postgresql")(empty=True)
    with counter(location) as one, counter(location, make=False) as other:
        application = one.offered()
        one.accepts(application)
        other.log.entries, found, gate = one.log.entries, [], threading.Barrier(8, timeout=300)
        for desk in (one, other):
            desk.tokens = one.tokens
            desk.call("servicing", "GET", "/v1/loans")

        def pay(desk: Counter, payment: str) -> None:
            gate.wait()
            found.append(desk.pays(application["id"], payment).status_code)

        threads = [
            threading.Thread(target=pay, args=(desk, payment))
            for desk in (one, other) for payment in ("pay-1", "pay-1", "pay-2", "pay-2")
        ]  # fmt: skip
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == [201] * 4 + [409] * 4
        assert len(loans(one)) == 1


def test_the_principal_is_the_money_received(desk: Counter):
    application = desk.offered()
    desk.accepts(application)
    assert kinds(desk.pays(application["id"], amount=500_001)) == (422, "malformed")
    paid = desk.pays(application["id"], amount=450_000).json()
    assert paid["principal"] == 450_000
    assert sum(one["principal"] for one in paid["schedule"]) == 450_000


@pytest.mark.parametrize("days", [-1, 1])
def test_money_that_moved_before_the_acceptance_or_will_move_is_not_booked(desk: Counter, days):
    application = desk.offered()
    desk.accepts(application)
    on = desk.desk.day(desk.clock()) + timedelta(days=days)
    assert kinds(desk.pays(application["id"], on=on.isoformat())) == (422, "malformed")


def test_the_cap_of_the_day_of_payout_counts(desk: Counter):
    application = desk.offered()
    desk.accepts(application)
    desk.rules.cap = Decimal("0.12")
    assert kinds(desk.pays(application["id"])) == (409, "above-cap")
    assert loans(desk) == []


def test_a_loan_taken_meanwhile_stops_the_payout_of_another(desk: Counter):
    """Loan stacking in the minute between query and payout."""
    who = pseudonym()
    first, second = desk.offered(pseudonym=who), desk.offered(pseudonym=who)
    for application in (first, second):
        assert desk.accepts(application).status_code == 201
    assert desk.pays(first["id"], "pay-1").status_code == 201
    assert kinds(desk.pays(second["id"], "pay-2")) == (409, "conflict")
    assert len(loans(desk)) == 1


def accepted(desk: Counter, count: int) -> list[dict]:
    """Of several people, all before anything was paid out."""
    found = [desk.offered(pseudonym=pseudonym()) for _ in range(count)]
    assert [desk.accepts(one).status_code for one in found] == [201] * count
    return found


def test_all_that_is_lent_below_the_cut_off_is_counted_again_at_payout(either: Counter):
    """Each was decided while nothing was owed there."""
    either.rules.explored = 1_500_000
    first, second, third = accepted(either, 3)
    either.rules.explored = 1_100_000
    assert either.pays(first["id"], "pay-1").status_code == 201
    loan = either.pays(second["id"], "pay-2").json()["id"]
    full = either.pays(third["id"], "pay-3")
    assert (full.status_code, "below the cut-off" in full.json()["detail"]) == (409, True)
    either.clock.move(days=10)
    body = {"event": "in-1", "amount": 600_000, "on": either.today(), "prepays": True}
    assert either.call("servicing", "POST", f"/v1/loans/{loan}/repayments", body).status_code == 201
    assert either.pays(third["id"], "pay-3").status_code == 201


def test_two_payouts_below_the_cut_off_at_one_moment_cannot_both_pass(either: Counter):
    either.rules.explored = 2_000_000
    found = accepted(either, 4)
    either.rules.explored = 900_000
    either.tokens["servicing"] = either.token_of("servicing")
    answers: list[int] = []

    def pays(number: int, application: str) -> None:
        answers.append(either.pays(application, f"pay-{number}").status_code)

    threads = [threading.Thread(target=pays, args=(at, one["id"])) for at, one in enumerate(found)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(answers) == [201, 409, 409, 409]


def test_what_is_lent_above_the_cut_off_is_not_counted_there(desk: Counter):
    desk.lent("pay-0", pseudonym=pseudonym())
    desk.rules.explored = 500_000
    (one,) = accepted(desk, 1)
    assert desk.pays(one["id"], "pay-1").status_code == 201


def test_a_payout_dated_back_sees_the_loan_taken_meanwhile(desk: Counter):
    who = pseudonym()
    first, second = desk.offered(pseudonym=who), desk.offered(pseudonym=who)
    for application in (first, second):
        assert desk.accepts(application).status_code == 201
    accepted = desk.today()
    desk.clock.move(days=1)
    assert desk.pays(first["id"], "pay-1").status_code == 201
    assert kinds(desk.pays(second["id"], "pay-2", on=accepted)) == (409, "conflict")
    assert len(loans(desk)) == 1


def test_nobody_is_paid_who_has_not_accepted(desk: Counter):
    application = desk.offered()
    assert kinds(desk.pays(application["id"])) == (409, "conflict")
    declined = desk.asks(5).json()
    assert kinds(desk.pays(declined["id"])) == (409, "conflict")


def test_whoever_walks_away_is_not_lent_to(desk: Counter):
    application = desk.offered()
    desk.accepts(application)
    gone = desk.call("origination", "POST", f"/v1/applications/{application['id']}/withdrawal")
    assert gone.json()["status"] == "withdrawn"
    assert kinds(desk.pays(application["id"])) == (409, "conflict")


def test_a_loan_is_repaid_and_its_days_past_due_are_told(either: Counter):
    loan = either.lent()
    due = loan["schedule"][0]
    either.clock.move(days=40)
    late = either.call("reader", "GET", f"/v1/loans/{loan['id']}").json()
    assert late["days_past_due"]["contractual"] == 10
    etag = either.call("reader", "GET", f"/v1/loans/{loan['id']}").headers["etag"]
    paid = either.repays(loan["id"], "in-1", 100_000, If_Match=etag)
    assert paid.status_code == 201
    assert kinds(either.repays(loan["id"], "in-2", 100_000, If_Match=etag)) == (412, "precondition-failed")
    again = either.repays(loan["id"], "in-1", 100_000)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["received"] == 100_000
    assert kinds(either.repays(loan["id"], "in-1", 100_001)) == (409, "conflict")
    rest = again.json()["owed"]["total"]
    done = either.repays(loan["id"], "in-3", rest).json()
    assert (done["status"], done["owed"]["total"]) == ("settled", 0)
    assert due["principal"] == 500_000 and done["days_past_due"]["worst"] == 10


def test_a_repayment_that_arrives_late_is_booked_on_its_day(desk: Counter):
    loan = desk.lent()
    due = loan["schedule"][0]
    day = desk.today()
    desk.clock.move(days=30)
    on_time = desk.today()
    desk.clock.move(days=5)
    desk.repays(loan["id"], "fee", 1)
    total = due["principal"] + due["interest"]
    assert desk.call("reader", "GET", f"/v1/loans/{loan['id']}").json()["days_past_due"]["contractual"] == 5
    for _ in range(2):  # the bank's file comes twice
        booked = desk.repays(loan["id"], "bank-1", total, on=on_time)
        assert booked.status_code == 201, booked.text
    assert booked.json()["days_past_due"] == {"contractual": 0, "after_grace": 0, "worst": 0}
    assert booked.json()["received"] == total + 1
    then = desk.call("reader", "GET", f"/v1/loans/{loan['id']}?as_of={on_time}").json()
    assert then["received"] == 0, "what was known then stays known"
    assert day < on_time
    assert kinds(desk.repays(loan["id"], "bank-1", total + 1, on=on_time)) == (409, "conflict")


def test_grace_does_not_stop_the_contractual_clock(desk: Counter):
    loan = desk.lent()
    desk.clock.move(days=30)
    until = (desk.desk.day(desk.clock()) + timedelta(days=20)).isoformat()
    body = {"event": "g-1", "on": desk.today(), "until": until}
    assert desk.call("servicing", "POST", f"/v1/loans/{loan['id']}/graces", body).status_code == 201
    desk.clock.move(days=10)
    found = desk.call("reader", "GET", f"/v1/loans/{loan['id']}").json()["days_past_due"]
    assert (found["contractual"], found["after_grace"]) == (10, 0)


def test_nothing_is_waived_back_to_before_it_was_late(desk: Counter):
    """Money against principal first, and a hundred days later the interest is let go "as of" the due day: the loan
    would never have been late, and its label good."""
    desk.rules.order = Order(tuple((bucket, what) for bucket in BUCKETS for what in reversed(COMPONENTS)))
    loan = desk.lent()
    path, due = f"/v1/loans/{loan['id']}", loan["schedule"][0]
    desk.clock.move(days=30)
    due_day = desk.today()
    assert desk.repays(loan["id"], "in-1", due["principal"]).status_code == 201
    desk.clock.move(days=100)
    yesterday = str(date.fromisoformat(str(desk.today())) - timedelta(days=1))
    for what, day in itertools.product(("waivers", "graces"), (due_day, yesterday)):
        body = {"event": "back", "on": day}
        body |= {"until": desk.today()} if what == "graces" else {"component": "interest", "amount": due["interest"]}
        assert kinds(desk.call("servicing", "POST", f"{path}/{what}", body)) == (422, "malformed")
    late = desk.call("reader", "GET", path).json()["days_past_due"]
    assert (late["contractual"], late["after_grace"]) == (100, 100)
    body = {"event": "now", "on": desk.today(), "component": "interest", "amount": due["interest"]}
    assert desk.call("servicing", "POST", f"{path}/waivers", body).json()["days_past_due"]["worst"] == 100
    desk.clock.move(days=1)
    again = desk.call("servicing", "POST", f"{path}/waivers", body)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")


def test_the_longest_id_can_be_booked_late(either: Counter):
    loan = either.lent()
    name, day = "r" * 64, either.today()
    either.clock.move(days=5)
    assert either.repays(loan["id"], "in-1", 1).status_code == 201
    for _ in range(2):
        booked = either.repays(loan["id"], name, 2, on=day)
        assert (booked.status_code, booked.json()["received"]) == (201, 3)


@pytest.mark.parametrize("amount", [0, -5, 1.5, "5"])
def test_repayments_are_whole(desk: Counter, amount):
    loan = desk.lent()
    assert desk.repays(loan["id"], "in-1", amount).status_code == 422


HISTORIES = [
    "decisions", "offers", "disclosures", "acceptances", "loans", "account_events", "applications", "outbox",
]  # fmt: skip


TEXTS = {"case_hash", "cap_source", "disclosure_sha256", "payment", "kind", "pseudonym", "token"}


@pytest.mark.parametrize("name", HISTORIES)
def test_histories_are_kept_whoever_opens_the_database(either: Counter, name):
    either.lent()
    table = tables.METADATA.tables[name]
    column = next(one for one in table.columns if one.name in TEXTS)
    for statement in (delete(table), update(table).values({column: "z" * 22})):
        with (
            pytest.raises(DBAPIError, match="append-only"),
            either.desk.transactions.database.engine.begin() as connection,
        ):
            connection.execute(statement)
    if either.desk.transactions.database.engine.dialect.name == "sqlite":
        with either.desk.transactions.database.engine.begin() as connection:
            row = dict(connection.execute(select(table)).first()._mapping)
        with (
            pytest.raises(DBAPIError, match="append-only"),
            either.desk.transactions.database.engine.begin() as connection,
        ):
            connection.execute(insert(table).prefix_with("OR REPLACE").values(row | {column.name: "z" * 22}))
    else:
        with (
            pytest.raises(DBAPIError, match="append-only"),
            either.desk.transactions.database.engine.begin() as connection,
        ):
            connection.execute(text(f"TRUNCATE {name} CASCADE"))
    with either.desk.transactions.database.engine.connect() as connection:
        assert connection.execute(select(table)).first() is not None


def test_a_log_index_is_written_once(either: Counter):
    either.offered()
    for statement in (update(tables.outbox).values(entry_index=99), update(tables.outbox).values(entry_index=None)):
        with (
            pytest.raises(DBAPIError, match="append-only"),
            either.desk.transactions.database.engine.begin() as connection,
        ):
            connection.execute(statement)
