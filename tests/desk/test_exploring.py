"""What is lent below the cut-off is capped: what is offered counts until it is settled who takes it."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from support.counter import Counter, apply_together, pseudonym

from desk import accounts
from desk.accounts import explored_outstanding, explored_reserved
from desk.commands.apply import LoanWanted
from desk.storage.tables import applications, settled_loans
from protocol.errors import Conflict, StorageFailed

ONE = 500_000


def reserved(desk: Counter) -> int:
    with desk.desk.reading() as hand:
        return explored_reserved(hand.connection, hand.moment)


def owed(desk: Counter) -> int:
    with desk.desk.reading() as hand:
        return explored_outstanding(hand.connection, desk.desk.day(hand.moment))


def settled(desk: Counter) -> list[str]:
    with desk.desk.reading() as hand:
        return list(hand.connection.scalars(select(settled_loans.c.loan)))


def test_parallel_offers_below_the_cut_off_do_not_exceed_what_may_be_lent(either: Counter):
    """Each is decided while nothing is offered there: what all of them read is read before anything is written."""
    either.rules.explored = 2 * ONE + 1
    either.book.values["late"] = 0
    wanted = [LoanWanted(pseudonym(), "small", ONE, 30, "a fridge") for _ in range(6)]
    answers = apply_together(either.desk, [(one, None) for one in wanted])
    assert [one for one in answers if isinstance(one, Exception) and not isinstance(one, Conflict)] == []
    assert [isinstance(one, Conflict) for one in answers].count(True) == 4
    assert reserved(either) == 2 * ONE
    with either.desk.reading() as hand:
        assert len(hand.connection.execute(select(applications.c.id)).all()) == 2, "nothing else was decided"


def test_an_offer_is_counted_until_it_is_taken_expires_or_is_not_wanted(either: Counter):
    either.rules.explored = 10 * ONE
    taken, left, contested, expired = (either.offered(pseudonym=pseudonym()) for _ in range(4))
    assert reserved(either) == 4 * ONE
    assert either.accepts(taken).status_code == 201
    for path, application in (("withdrawal", left), ("contest", contested)):
        answer = either.call("origination", "POST", f"/v1/applications/{application['id']}/{path}")
        assert answer.status_code in {200, 201}, answer.text
    assert reserved(either) == 2 * ONE, "what is accepted, and what may still be"
    either.clock.move(days=3, seconds=1)
    assert (reserved(either), expired["decision"]["offer"]["amount"]) == (ONE, ONE)
    assert either.pays(taken["id"]).status_code == 201
    assert (reserved(either), owed(either)) == (0, ONE)


def test_what_is_offered_is_what_the_next_decision_knows(desk: Counter):
    desk.rules.explored = 10 * ONE
    desk.offered(pseudonym=pseudonym())
    found = desk.desk.lending.decide
    seen: list[object] = []
    desk.rules.decide = lambda case: seen.append(case.facts["exploration_outstanding"].value) or found(case)  # type: ignore[func-returns-value,method-assign,assignment]
    desk.offered(pseudonym=pseudonym())
    assert seen == [ONE]


def test_what_a_withdrawn_consent_made_void_is_not_counted(desk: Counter):
    desk.rules.explored = 10 * ONE
    desk.log.refuses = "use.scored"
    assert desk.asks(0).json()["status"] == "void"
    assert reserved(desk) == 0


def test_a_settled_loan_is_folded_no_more_and_a_correction_brings_it_back(
    desk: Counter, monkeypatch: pytest.MonkeyPatch
):
    desk.rules.explored = 10 * ONE
    loan = desk.lent("pay-1", pseudonym=pseudonym())["id"]
    desk.lent("pay-2", pseudonym=pseudonym())
    desk.clock.move(days=30)
    rest = desk.call("reader", "GET", f"/v1/loans/{loan}").json()["owed"]["total"]
    assert settled(desk) == []
    assert desk.repays(loan, "in-1", rest).status_code == 201
    assert settled(desk) == [loan] and owed(desk) == ONE
    assert desk.repays(loan, "in-2", 5).status_code == 201, "more money than is owed is held"
    folded: list[str] = []
    read = accounts.events_of
    monkeypatch.setattr(accounts, "events_of", lambda connection, loan: folded.append(loan) or read(connection, loan))  # type: ignore[func-returns-value]
    assert owed(desk) == ONE and loan not in folded and len(folded) == 1
    wrong = desk.call("servicing", "POST", f"/v1/loans/{loan}/corrections", {"event": "c-1", "corrects": "in-1"})
    assert wrong.status_code == 201, wrong.text
    assert settled(desk) == [] and owed(desk) == 2 * ONE


def test_a_database_of_other_tables_is_refused_in_a_sentence(desk: Counter):
    """The number says which there are: it changes with them, without anybody thinking of it."""
    with desk.desk.transactions.database.write() as connection:
        connection.exec_driver_sql("UPDATE desk_schema SET version = 1")
    with pytest.raises(StorageFailed, match=r"other tables \(1\).*no release has had desks yet.*tahini desk init"):
        desk.desk.transactions.database.check()
