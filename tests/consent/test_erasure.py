"""Whoever is erased is nowhere any more, knows nobody's key, and can come back; what they spent stays spent."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from support.market import open_market, shown
from support.world import pseudonym

from consent.commands.forget_subject import forget_subject
from consent.storage.tables import (
    AssignmentRow,
    ConsentEventRow,
    ConsentRow,
    DecisionRow,
    ImportRow,
    SubjectEntryRow,
    SubjectRow,
)
from consent.storage.tombstones import Tombstones, erased_on
from consent.transaction import reading
from crypto.keys import SigningKey
from crypto.rosters import tombstone
from protocol.enrolment import EnrolmentList
from protocol.revocations import Revocation
from protocol.snapshots import ConsentSnapshot

MINE = (ConsentRow, ConsentEventRow, DecisionRow, SubjectEntryRow)


def erase(market, person) -> None:
    answer = market.call(person.pseudonym, "DELETE", "/v1/me", key=person.key)
    assert answer.status_code == 200, answer.text


def back(market, person, key: SigningKey | None = None) -> None:
    """The lender enrols the same person again."""
    person.key = key or SigningKey.generate()
    body = {"subjects": [person.enrolment.model_dump(mode="json")]}
    answer = market.call(person.lender, "POST", "/v1/subjects", body)
    assert answer.status_code == 201, answer.text
    person.number = answer.json()["first"]


def rows_of(market, number: int, lender: str = "aspen") -> dict[str, int]:
    with market.registry.ledger.read() as session:
        subject = session.scalar(select(SubjectRow.id).where(SubjectRow.lender == lender, SubjectRow.number == number))
        count = select(func.count())
        return {t.__tablename__: session.scalar(count.select_from(t).where(t.subject_id == subject)) for t in MINE}


# --- what evidence.md traced


@pytest.mark.parametrize(
    "path",
    ["/v1/me/consents", "/v1/me/export", "/v1/me/notices", "/v1/me/receipts", "/v1/me/uses", "/v1/me/imports"],
)
def test_the_key_of_an_erased_person_is_a_strangers(market, path):
    (person,) = market.consenting("aspen")
    stranger = SigningKey.generate()
    erase(market, person)
    mine = market.call(person.pseudonym, "GET", path)
    other = market.call("v1." + "x" * 43, "GET", path, key=stranger)
    assert (mine.status_code, mine.text) == (other.status_code, other.text)
    assert mine.status_code == 401
    assert market.decide(market.decision(person, {"ordinary": "give"})).status_code == 401
    assert market.call(person.pseudonym, "DELETE", "/v1/me").status_code == 401


def test_a_login_of_an_erased_person_is_a_strangers(market):
    (person,) = market.consenting("aspen")
    headers = market.login(person)
    assert market.call(headers, "GET", "/v1/me/consents").status_code == 200
    erase(market, person)
    refused = market.call(headers, "GET", "/v1/me/consents")
    assert refused.status_code == 401, "remembered for a second, and known to be gone all the same"
    assert person.pseudonym not in market.call(headers, "GET", "/v1/me/links").text


def test_the_erased_can_come_back_and_must_answer_anew(any_market):
    market = any_market
    (person,) = market.consenting("aspen")
    old = person.key
    erase(market, person)
    market.clock.move(seconds=1)
    back(market, person)
    assert person.number == 1, "the place on the roll is a new one"
    assert market.rule(person) == "never-asked"
    assert market.call(person.pseudonym, "GET", "/v1/me/consents", key=old).status_code == 401
    assert market.call(person.pseudonym, "GET", "/v1/me/consents").json()["items"] == []
    assert market.says(person, "give").status_code == 201
    assert market.rule(person) == "given"
    again = market.call("aspen", "POST", "/v1/subjects", {"subjects": [person.enrolment.model_dump(mode="json")]})
    assert again.status_code == 409


def test_no_yes_from_before_counts_after_the_return(any_market):
    """Not one that acted already, not one that nobody had handed in, not one on paper."""
    market = any_market
    (person,) = market.enrol("aspen")
    market.clock.move(seconds=1)
    acted, kept = (market.decision(person, {"ordinary": "give"}) for _ in range(2))
    assert market.decide(acted).status_code == 201
    ahead = market.decision(
        person, {"sensitive": "give"}, event_time=market.clock.move(seconds=0).replace(microsecond=0)
    )
    erase(market, person)
    market.clock.move(seconds=30)
    back(market, person, person.key)
    for token in (acted, kept, ahead):
        assert market.decide(token).status_code == 409
    record = {
        "number": person.number, "sensitivity": "ordinary", "action": "give", "evidence_sha256": "ab" * 32,
        "event_time": (market.clock.move(seconds=0)).replace(year=2026, month=1, day=1).isoformat(),
    }  # fmt: skip
    body = shown(market.notices[-1], "zh") | {"channel": "paper", "records": [record]}
    refused = market.call("aspen", "POST", "/v1/imports", body)
    assert (refused.status_code, "come back" in refused.text) == (409, True)
    assert market.rule(person) == "never-asked"


def test_a_decision_that_was_dated_ahead_does_not_act_again_after_the_return(market):
    (person,) = market.enrol("aspen")
    ahead = market.clock.move(seconds=1) + timedelta(minutes=4)
    token = market.decision(person, {"ordinary": "give"}, event_time=ahead)
    assert market.decide(token).status_code == 201
    market.clock.move(seconds=1)
    erase(market, person)
    back(market, person, person.key)
    refused = market.decide(token)
    assert (refused.status_code, "acts once" in refused.text) == (409, True)


# --- what is left


def test_nothing_but_a_tombstone_is_left_of_the_erased(any_market):
    market = any_market
    person, other = market.consenting("aspen", 2, kinds=("ordinary", "sensitive"))
    record = {
        "number": person.number, "sensitivity": "ordinary", "action": "withdraw", "evidence_sha256": "ab" * 32,
        "event_time": market.clock().isoformat(),
    }  # fmt: skip
    theirs = record | {"number": other.number, "evidence_sha256": "cd" * 32}
    body = shown(market.notices[-1], "zh") | {"channel": "paper", "records": [record, theirs]}
    assert market.call("aspen", "POST", "/v1/imports", body).status_code == 201
    before = rows_of(market, other.number)
    erase(market, person)
    assert rows_of(market, person.number) == dict.fromkeys(rows_of(market, person.number), 0)
    assert rows_of(market, other.number) == before
    with market.registry.ledger.read() as session:
        row = session.scalar(select(SubjectRow).where(SubjectRow.number == person.number, SubjectRow.lender == "aspen"))
        assert row.pseudonym != person.pseudonym
        assert bytes(session.scalar(select(ImportRow.evidence))) == bytes(32) + bytes.fromhex("cd" * 32)
        assert row.public_key == ""
    (proof,) = market.call(other.pseudonym, "GET", "/v1/me/imports").json()["items"]
    assert proof["record"]["evidence"] == "cd" * 32
    names = market.client("aspen").roll(0, 10)
    assert names[1] == other.pseudonym
    assert names[0] != person.pseudonym
    assert len(names) == 2


# --- the order to the lender


def test_the_lender_is_ordered_to_erase_and_confirms_on_the_record(any_market):
    market = any_market
    person, other = market.consenting("aspen", 2)
    market.says(person, "withdraw")
    erase(market, person)
    market.says(other, "withdraw")
    withdrawn, order, theirs = market.client("aspen").revocations()
    assert [r.number for r in (withdrawn, order, theirs)] == [1, 2, 3]
    assert withdrawn.pii_principal_id != person.pseudonym
    assert (order.event_type, order.pii_principal_id, order.place) == ("erase", person.pseudonym, 0)
    assert order.tombstone == market.client("aspen").roll(0, 1)[0]
    campaign = market.campaign(hours=9, lenders=("aspen", "birch"))
    market.clock.move(hours=1)
    assert "has not acknowledged revocation 1" in market.authorise(campaign).text
    assert market.acknowledge("aspen", 3).status_code == 201
    assert market.authorise(campaign).status_code == 201
    assert market.client("aspen").revocations() == []
    (third,) = market.consenting("aspen")
    market.says(third, "withdraw")
    assert [r.number for r in market.client("aspen").revocations()] == [4], "no number is given twice"


def test_an_order_says_nothing_to_whoever_has_only_the_database(market):
    (person,) = market.consenting("aspen")
    erase(market, person)
    database = market.registry.home / "registry.db"
    market.registry.ledger.database.truncate_journal()
    assert person.pseudonym.encode() not in database.read_bytes()
    (token,) = market.call("aspen", "GET", "/v1/revocations").json()["items"]
    assert Revocation.claimed(token).pii_principal_id == person.pseudonym
    assert market.acknowledge("aspen", 1).status_code == 201
    with market.registry.ledger.read() as session:
        assert session.connection().exec_driver_sql("SELECT count(*) FROM erasure_orders").scalar() == 0
        assert session.connection().exec_driver_sql("SELECT count(*) FROM revocations").scalar() == 0


# --- place and budget


def places(market) -> set[tuple[str, int | None]]:
    with market.registry.ledger.read() as session:
        rows = session.execute(
            select(SubjectRow.lender, SubjectRow.number)
            .select_from(AssignmentRow)
            .outerjoin(SubjectRow, SubjectRow.id == AssignmentRow.subject_id)
        )
        return {(row[0], row[1]) for row in rows}


def test_the_place_drawn_before_holds_after_the_return(any_market):
    market = any_market
    (person,) = market.consenting("aspen")
    (elsewhere,) = market.consenting("birch", ledgers=[person.ledger])
    market.says(elsewhere, "withdraw")
    assert market.placed(market.campaign(), "aspen") == {0}
    erase(market, person)
    market.says(elsewhere, "give")
    assert market.placed(market.campaign(), "birch") == set(), "the place is at aspen, where nobody is"
    market.clock.move(seconds=1)
    back(market, person)
    market.says(person, "give")
    campaign = market.campaign()
    assert market.placed(campaign, "aspen") == {1}
    assert market.placed(campaign, "birch") == set()
    erase(market, person)
    erase(market, elsewhere)
    market.clock.move(seconds=1)
    back(market, elsewhere)
    market.says(elsewhere, "give")
    assert market.placed(market.campaign(), "birch") == set()


def test_leaving_and_coming_back_gives_no_second_budget(tmp_path, any_url):
    with open_market(tmp_path, any_url, max_epsilon=1.3) as market:
        (person,) = market.consenting("aspen")
        (fresh,) = market.consenting("aspen")
        first = market.campaign(lenders=("aspen", "birch"))
        assert market.placed(first, "aspen") == {0, 1}
        erase(market, person)
        market.clock.move(seconds=1)
        back(market, person)
        market.says(person, "give")
        (newcomer,) = market.consenting("aspen")
        second = market.campaign(lenders=("aspen", "birch"))
        assert market.placed(second, "aspen") == {newcomer.number}
        assert fresh.number not in market.placed(second, "aspen")


def test_only_the_day_of_an_erasure_is_kept(market):
    (person,) = market.consenting("aspen")
    erase(market, person)
    with market.registry.ledger.read() as session:
        when = session.scalar(select(SubjectRow.erased_at).where(SubjectRow.number == 0))
    assert (when.hour, when.minute, when.second, when.microsecond) == (0, 0, 0, 0)


def test_an_answer_that_is_kept_names_no_erased_person(market):
    (person,) = market.consenting("aspen")
    answer = market.call(person.pseudonym, "DELETE", "/v1/me", Idempotency_Key="once")
    assert answer.status_code == 200
    with market.registry.ledger.read() as session:
        kept = session.connection().exec_driver_sql("SELECT caller, body FROM idempotency").all()
    assert not any(person.pseudonym in json.dumps(list(row)) for row in kept)


def test_erasing_twice_under_one_name_leaves_two_tombstones(market):
    (person,) = market.consenting("aspen")
    erase(market, person)
    market.clock.move(seconds=1)
    back(market, person)
    market.says(person, "give")
    forget_subject(market.registry, person.pseudonym)
    market.clock.move(seconds=1)
    back(market, person)
    assert person.number == 2
    assert market.rule(person) == "never-asked"


def test_an_auditor_is_told_when_a_name_was_erased_last_and_of_nobody_else(market):
    """By the name, and by what a lender keeps of it; at the lender that had it alone."""
    person, other = market.consenting("aspen", 2)
    never, names = pseudonym(), {person.pseudonym, tombstone(person.pseudonym)}
    days = []
    for _ in range(2):
        market.clock.move(days=1)
        forget_subject(market.registry, person.pseudonym)
        days.append(market.clock().date())
        market.clock.move(seconds=1)
        back(market, person)
    with reading(market.registry) as view:
        by = Tombstones.of(view)
        asked = [*names, other.pseudonym, tombstone(other.pseudonym), never, tombstone(never)]
        assert erased_on(view.session, asked, by, "aspen") == dict.fromkeys(names, days[1])
        assert erased_on(view.session, asked, by, "birch") == {}


def test_what_was_spent_where_somebody_was_erased_counts_where_they_still_borrow(tmp_path, any_url):
    """Before and after their names are renewed: the registry alone can tell that it was them."""
    with open_market(tmp_path, any_url, max_epsilon=1.3) as market:
        (here,) = market.consenting("aspen")
        assert market.placed(market.campaign(lenders=("aspen", "birch")), "aspen") == {0}
        (there,) = market.enrol("birch", ledgers=[here.ledger])
        erase(market, here)
        with market.registry.ledger.read() as session:
            names = [row[0] for row in session.execute(select(SubjectRow.ledger_pseudonym))]
        assert len(set(names)) == 2, "a copy of the database does not say that the two are one"
        market.says(there, "give")
        assert market.placed(market.campaign(lenders=("aspen", "birch")), "birch") == set()
        assert market.rename([there], [pseudonym(2)]).status_code == 201
        market.says(there, "suspend")
        market.says(there, "resume")
        assert market.placed(market.campaign(lenders=("aspen", "birch")), "birch") == set()
        (newcomer,) = market.consenting("birch", ledgers=[pseudonym(2)])
        assert market.placed(market.campaign(lenders=("birch", "aspen")), "birch") == {newcomer.number}


def test_a_tombstone_cannot_be_renamed_and_keeps_nobody_from_being_renamed(any_market):
    market = any_market
    person, other = market.consenting("aspen", 2)
    erase(market, person)
    stone = market.client("aspen").roll(0, 1)[0]
    body = {"pseudonym": stone, "new_pseudonym": pseudonym(2), "new_ledger_pseudonym": pseudonym(2)}
    assert market.call("aspen", "POST", "/v1/subjects/renamings", {"renamings": [body]}).status_code in {409, 422}
    assert market.rename([other], [pseudonym(2)]).status_code == 201
    assert market.client("aspen").roll(0, 5) == [stone, other.pseudonym]
    market.campaign(lenders=("aspen", "birch"))


def test_the_lists_hash_is_right_after_any_order_of_enrolments_and_erasures(any_market):
    market = any_market
    people = market.consenting("aspen", 4)
    for at, person in enumerate(people):
        erase(market, person)
        if at % 2:
            market.enrol("aspen")
        challenge = {"purpose": market.notices[0].purpose, "challenge": "c" * 24}
        target = (
            f"/v1/consent-states?purpose={challenge['purpose'].replace('#', '%23')}&challenge={challenge['challenge']}"
        )
        for _ in range(2):
            state = ConsentSnapshot.claimed(market.call("aspen", "GET", target).json()["token"])
            assert EnrolmentList().extended(market.client("aspen").whole_roll()) == EnrolmentList(
                state.people, state.names_sha256
            )
