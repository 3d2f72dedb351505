"""One application: the order in which it is decided, and what each fault leads to."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select
from support.counter import BAD, GOOD, MIDDLING, Counter
from support.world import pseudonym

from crypto.errors import TahiniError
from desk.errors import SourceFailed
from desk.storage import tables
from law.categories import DataCategory


def stored(desk: Counter, table) -> list:
    with desk.desk.reading() as hand:
        return list(hand.connection.execute(select(table)).all())


def facts(desk: Counter, application: str) -> dict:
    from desk.records import held

    with desk.desk.reading() as hand:
        return held(hand.connection, application).made(desk.desk).case.facts


@pytest.mark.parametrize(("late", "status"), [(GOOD, "offered"), (MIDDLING, "in-review"), (BAD, "declined")])
def test_each_outcome(either: Counter, late, status):
    answer = either.asks(late)
    assert answer.status_code == 201, answer.text
    said = answer.json()
    assert said["status"] == status
    assert (said["decision"]["offer"] is not None) == (status == "offered")
    assert bool(said["decision"]["reasons"]) == (status != "offered")
    assert said["decision"]["entry_index"] == 1
    assert either.log.steps() == ["use.read", "use.scored"]
    again = either.call("origination", "GET", f"/v1/applications/{said['id']}")
    assert (again.json(), again.headers["etag"]) == (said, answer.headers["etag"])


def test_nothing_is_read_without_consent_to_this_purpose(desk: Counter):
    desk.consents.refused = {DataCategory.REPAYMENT}
    answer = desk.asks()
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:tahini:problem:consent-missing")
    assert (desk.book.asked, desk.income.asked, desk.log.entries, stored(desk, tables.applications)) == (0, 0, [], [])


def test_the_log_knows_before_a_source_is_asked(desk: Counter):
    known: list[list[str]] = []
    desk.book.before = lambda: known.append(desk.log.steps())
    desk.asks()
    assert known == [["use.read"]]


def test_without_the_log_nobody_is_asked(desk: Counter):
    desk.log.away = True
    answer = desk.asks()
    assert answer.status_code == 503
    assert (desk.book.asked, stored(desk, tables.applications)) == (0, [])


def test_what_was_refused_is_neither_asked_nor_missing(desk: Counter):
    desk.consents.refused = {DataCategory.INCOME}
    said = desk.asks().json()
    assert desk.income.asked == 0
    assert facts(desk, said["id"])["income"].status == "refused"


@pytest.mark.parametrize("fault", [TahiniError("x"), SourceFailed("x"), OSError("x"), None])
def test_a_source_without_an_answer_is_late_and_never_a_refusal(desk: Counter, fault):
    desk.book.fails, desk.book.wait = fault, None if fault else threading.Event()
    said = desk.asks().json()
    found = facts(desk, said["id"])
    assert (found["late"].status, found["income"].status) == ("late", "present")
    assert said["status"] == "in-review"
    if desk.book.wait:
        desk.book.wait.set()


def test_a_source_answers_only_what_it_is_there_for(desk: Counter):
    desk.income.values |= {"sex": "f", "late": 9}
    said = desk.asks(GOOD).json()
    found = facts(desk, said["id"])
    assert sorted(found) == ["exploration_outstanding", "income", "late"] and found["late"].value == 0


def test_no_offer_is_shown_before_the_log_has_its_index(desk: Counter, monkeypatch):
    monkeypatch.setattr("desk.commands.apply.LOG_PATIENCE_S", 0.0)
    answering = desk.log.log_uses
    desk.log.log_uses = lambda tokens: answering(tokens) if "use.read" in _steps(desk, tokens) else _away()  # type: ignore
    answer = desk.asks()
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert "decision" not in answer.json() and "score" not in answer.text
    seen = desk.call("origination", "GET", f"/v1/applications/{answer.json()['id']}")
    assert (seen.status_code, seen.json()["status"]) == (202, "pending")
    taken = desk.call(
        "origination", "POST", f"/v1/applications/{answer.json()['id']}/acceptance",
        {"decision": answer.json()["id"], "disclosure_sha256": "d" * 64},
    )  # fmt: skip
    assert (taken.status_code, taken.json()["type"]) == (409, "urn:tahini:problem:not-logged-yet")
    desk.log.log_uses = answering  # type: ignore[method-assign]
    desk.desk.sender.wait(answer.json()["id"], "use.scored", 20)
    assert desk.call("origination", "GET", f"/v1/applications/{answer.json()['id']}").json()["status"] == "offered"


def _steps(desk: Counter, tokens) -> set[str]:
    from protocol.uses import UseStatement

    return {UseStatement.claimed(token).step for token in tokens}


def _away():
    from protocol.errors import RegistryUnavailable

    raise RegistryUnavailable("the log does not answer")


def test_a_consent_taken_back_before_the_log_makes_the_decision_void(desk: Counter):
    desk.log.refuses = "use.scored"
    said = desk.asks().json()
    assert said["status"] == "void" and "decision" not in said
    taken = desk.call(
        "origination", "POST", f"/v1/applications/{said['id']}/acceptance",
        {"decision": said["id"], "disclosure_sha256": "d" * 64},
    )  # fmt: skip
    assert taken.status_code == 409


def test_a_decision_is_never_stored_without_its_statement(desk: Counter, monkeypatch):
    """Killed between the two: both are of one transaction."""

    def fails(*_):
        raise TahiniError("killed here")

    monkeypatch.setattr(desk.desk.trail, "state", fails)
    assert desk.asks().status_code == 409
    assert [stored(desk, table) for table in (tables.applications, tables.decisions, tables.offers, tables.outbox)] == [
        [], [], [], [],
    ]  # fmt: skip


def test_the_same_request_again_makes_nothing_new(either: Counter):
    headers = {"Idempotency_Key": "k1"}
    who = pseudonym()
    first, second = (either.asks(GOOD, headers=headers, pseudonym=who) for _ in range(2))
    assert first.json() == second.json()
    assert "idempotent-replayed" not in first.headers and second.headers["idempotent-replayed"] == "true"
    assert len(stored(either, tables.applications)) == 1 and either.book.asked == 1
    other = either.asks(GOOD, headers=headers, pseudonym=who, amount=1)
    assert other.status_code == 422


def test_the_same_request_at_once_makes_one_application(either: Counter):
    """Both find nothing before they read; the transaction lets one in."""
    gate = threading.Barrier(2, timeout=300)
    either.book.before = lambda: (gate.wait(), None)[1]
    who, found = pseudonym(), []
    either.call("origination", "GET", "/v1/applications")

    def ask() -> None:
        found.append(either.asks(GOOD, headers={"Idempotency_Key": "k"}, pseudonym=who).json())

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one["id"] for one in found}) == 1 and len(stored(either, tables.applications)) == 1


@pytest.mark.parametrize("amount", [0, -1, 10.5, 10.0, "10", True, None, 10**14])
def test_an_amount_that_is_not_whole_is_refused(desk: Counter, amount):
    answer = desk.asks(amount=amount)
    assert (answer.status_code, desk.book.asked) == (422, 0)
    assert "#/amount" in answer.text


@pytest.mark.parametrize("more", [{"pseudonym": "110101199001011234"}, {"identity": "110101199001011234"}])
def test_an_identity_number_is_refused_and_not_repeated(desk: Counter, more):
    answer = desk.asks(**more)
    assert answer.status_code == 422
    assert "1101011990" not in answer.text


def test_whoever_was_not_told_of_machines_is_looked_at_by_a_person(desk: Counter):
    desk.consents.automated = False
    said = desk.asks(GOOD).json()
    assert said["status"] == "in-review"


def test_a_clock_that_goes_back_stops_the_desk(either: Counter):
    either.offered()
    either.clock.move(minutes=-10)
    answer = either.asks()
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:tahini:problem:clock-wrong")
    assert len(stored(either, tables.applications)) == 1
    either.clock.move(minutes=10)
    assert either.asks().status_code == 201


def test_nothing_of_a_case_lies_in_clear_in_the_database(desk: Counter, tmp_path):
    desk.asks(GOOD, purpose="a very particular fridge")
    content = (tmp_path / "desk.db").read_bytes() + (tmp_path / "desk.db-wal").read_bytes()
    assert b"particular" not in content and b'"late"' not in content and b"4000" not in content


def test_who_decides_at_the_same_time_is_stored_together(either: Counter):
    """Whatever shares a transaction with it, each has all that is its own, and only that."""
    found = [either.asks(GOOD).json()]
    with ThreadPoolExecutor(8) as pool:
        found += list(pool.map(lambda _: either.asks(GOOD).json(), range(15)))
    assert len({one["id"] for one in found}) == 16
    for table, each in ((tables.applications, 1), (tables.decisions, 1), (tables.offers, 1), (tables.outbox, 2)):
        assert len(stored(either, table)) == 16 * each, table.name
    for said in found:
        assert either.call("origination", "GET", f"/v1/applications/{said['id']}").json() == said


def test_what_was_added_is_there_for_whoever_reads_in_the_same_transaction(desk: Counter):
    """A row that a foreign key needs goes in first, and what a job reads holds what another added."""
    said = desk.asks(BAD).json()
    one = dict(stored(desk, tables.applications)[0]._mapping)

    def job(hand):
        row = hand.connection.execute(select(tables.decisions)).one()._mapping
        hand.add(tables.reviews, id="r" * 22, application="a" * 22, opened_at=hand.moment, status="waiting", version=1)
        hand.add(tables.decisions, **{**row, "id": "d" * 22, "application": "a" * 22})
        hand.add(tables.applications, **{**one, "id": "a" * 22, "number": 99})
        return len(hand.connection.execute(select(tables.applications)).all())

    assert desk.desk.write(job) == 2
    assert {row.id for row in stored(desk, tables.applications)} == {said["id"], "a" * 22}
