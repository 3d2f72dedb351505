"""What was accepted is paid out within the days that its product names, or not at all."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DBAPIError
from support.counter import GOOD, Counter, pseudonym
from support.loans import TODAY, once

from desk.accounts import explored_reserved
from desk.commands.person import person_file
from desk.commands.replay import Replaying
from desk.commands.retain import retain
from desk.storage.tables import applications, lapses
from lending.terms.disclosure import disclose
from lending.terms.schedule import schedule

ONE = 500_000


def accepted(desk: Counter, **more) -> str:
    application = desk.offered(pseudonym=pseudonym(), **more)
    assert desk.accepts(application).status_code == 201
    return str(application["id"])


def shown(desk: Counter, application: str) -> dict:
    return desk.call("reader", "GET", f"/v1/applications/{application}").json()


def kept(desk: Counter) -> list:
    with desk.desk.reading() as hand:
        return list(hand.connection.execute(select(lapses)).all())


def test_what_is_not_paid_out_in_time_lapses_and_nothing_is_paid_then(either: Counter):
    before = either.clock()
    application = accepted(either)
    until = datetime.fromisoformat(shown(either, application)["pay_by"])
    assert before <= until - timedelta(days=14) <= either.clock()
    either.clock.move(days=14, seconds=1)
    found = shown(either, application)
    assert (found["status"], found["lapsed"]["at"]) == ("lapsed", until.isoformat())
    assert kept(either) == [], "it has lapsed before anybody wrote it down"
    refused = either.pays(application)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:tahini:problem:offer-lapsed")
    assert "has lapsed, and nothing may be paid on it; apply again" in refused.json()["detail"]
    assert [(one.application, one.lapsed_at) for one in kept(either)] == [(application, until)]
    assert either.pays(application).json()["type"] == "urn:tahini:problem:offer-lapsed"
    assert either.call("reader", "GET", "/v1/loans").json()["items"] == []
    assert len(kept(either)) == 1


def test_up_to_that_moment_it_is_paid_and_a_retry_after_it_is_the_same_loan(desk: Counter):
    application = accepted(desk)
    desk.clock.move(days=14, minutes=-10)
    paid = desk.pays(application, on=desk.today())
    assert paid.status_code == 201, paid.text
    on = desk.today()
    desk.clock.move(days=1)
    again = desk.pays(application, on=on)
    assert (again.status_code, again.json()["id"]) == (201, paid.json()["id"])
    assert shown(desk, application)["status"] == "disbursed"


def test_an_earlier_value_date_brings_no_lapsed_offer_back(desk: Counter):
    application = accepted(desk)
    on = desk.today()
    desk.clock.move(days=15)
    late = desk.pays(application, on=on, reason="bank-error")
    assert late.json()["type"] == "urn:tahini:problem:offer-lapsed"


def test_the_borrower_is_told_in_their_language_what_became_of_it(desk: Counter):
    application = accepted(desk)
    desk.clock.move(days=15)
    told = shown(desk, application)["lapsed"]
    assert "5,000.00" in told["en"] and "lapsed" in told["en"] and "apply again" in told["en"]
    assert "5,000.00" in told["zh"] and "失效" in told["zh"]


def test_what_a_borrower_confirms_says_until_when_it_is_paid_out():
    made = once(payout_days=5)
    table = disclose(made, schedule(made, 100_000, 300, TODAY, 30))
    assert table.payload()["payout_days"] == 5
    assert "within 5 days of your acceptance" in table.text("en")
    assert "5 日内放款" in table.text("zh")
    other = disclose(once(payout_days=6), schedule(made, 100_000, 300, TODAY, 30))
    assert other.hash != table.hash


@pytest.mark.parametrize("days", [0, 91, True, 1.5])
def test_a_product_names_a_whole_number_of_days(days):
    with pytest.raises(ValueError, match="payout_days"):
        once(payout_days=days)


def test_what_was_reserved_is_free_at_that_moment(either: Counter):
    """Without anybody having looked at it: the next decision knows."""
    either.rules.explored = 10 * ONE
    application = accepted(either)

    def reserved() -> int:
        with either.desk.reading() as hand:
            return explored_reserved(hand.connection, hand.moment)

    either.clock.move(days=14, minutes=-10)
    assert reserved() == ONE
    either.clock.move(minutes=10, seconds=1)
    assert (reserved(), kept(either)) == (0, [])
    either.pays(application)
    assert reserved() == 0


def test_the_daily_round_writes_it_down_and_forgets_it_in_time(desk: Counter, caplog: pytest.LogCaptureFixture):
    application = accepted(desk)
    desk.clock.move(days=20)
    with caplog.at_level(logging.INFO, "tahini.desk"):
        assert retain(desk.desk, 30).forgotten == 0
    assert [one.application for one in kept(desk)] == [application]
    said = " ".join(one.getMessage() for one in caplog.records)
    assert "1 accepted offers were not paid out in time" in said and application not in said
    with desk.desk.reading() as hand:
        assert hand.connection.scalar(select(applications.c.status)) == "lapsed"
    desk.clock.move(days=11)
    assert retain(desk.desk, 30).forgotten == 1, "nobody waits for it any more"
    found = Replaying(desk.desk.transactions.database, desk.desk.at_rest).span(range(1000))
    assert found.sound and found.forgotten == 1


def test_nothing_else_becomes_of_it_and_its_person_may_apply_again(desk: Counter):
    person = pseudonym()
    application = desk.offered(pseudonym=person)
    desk.accepts(application)
    desk.clock.move(days=15)
    desk.pays(application["id"])
    path = f"/v1/applications/{application['id']}"
    for what in ("withdrawal", "contest"):
        assert desk.call("origination", "POST", f"{path}/{what}").status_code == 409
    assert desk.accepts(application).status_code == 409
    assert desk.asks(GOOD, pseudonym=person).json()["status"] == "offered"
    first, _ = person_file(desk.desk, person)["applications"]
    assert [one["application"] for one in first["lapses"]] == [application["id"]]


def test_that_it_lapsed_is_changed_by_nobody(either: Counter):
    application = accepted(either)
    either.clock.move(days=15)
    either.pays(application)
    for statement in (delete(lapses), update(lapses).values(application="z" * 22)):
        with (
            pytest.raises(DBAPIError, match="append-only"),
            either.desk.transactions.database.engine.begin() as connection,
        ):
            connection.execute(statement)
