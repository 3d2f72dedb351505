"""Decisions collected elsewhere: all or none, only first answers or a no, and a Merkle root over every record."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import select
from support.market import shown
from support.observed import entries
from support.world import pseudonym

from consent.commands.import_decisions import ImportedRecord, record_leaf
from consent.commands.record_decisions import Done, Request, record_requests
from consent.commands.withdraw_consents import WithdrawalOfAll
from consent.storage.tables import ConsentEventRow, ImportRow, RevocationRow, SubjectRow
from crypto.documents import canonical_json
from crypto.merkle import inclusion_proof, leaf_hash, leaves_reader, tree_root, verify_inclusion
from protocol.terms import BROADER_PURPOSE, TRAINING_PURPOSE


@pytest.fixture
def any_market(any_market):
    any_market.clock.move(days=9)  # people have had time to answer
    return any_market


@pytest.fixture
def market(market):
    market.clock.move(days=9)
    market.enrol("aspen", 12)
    return market


def record(market, number, action="give", kind="ordinary", **fields):
    when = market.clock() - timedelta(days=3)
    about = {"number": number, "sensitivity": kind, "action": action, "event_time": when.isoformat()}
    return about | {"evidence_sha256": f"{number:064x}"} | fields


def hand_in(market, *records, lender="aspen", **fields):
    body = shown(market.notices[-1], "zh") | {"channel": "paper", "records": list(records)}
    return market.call(lender, "POST", "/v1/imports", body | fields)


def told(market, number):
    return market.rule(market.people["aspen"][number])


def test_one_entry_holds_the_root_of_all_records(any_market):
    market = any_market
    market.enrol("aspen", 12)
    records = [record(market, n, "give" if n % 3 else "refuse") for n in range(7)]
    records.append(record(market, 1, kind="sensitive"))
    size = market.log_size()
    answer = hand_in(market, *records)
    assert (answer.status_code, answer.json()) == (201, {"imported": 8, "entry_index": size})
    assert market.log_size() == size + 1
    with market.registry.ledger.read() as session:
        (row,) = session.scalars(select(ImportRow))
        events = session.scalars(select(ConsentEventRow).order_by(ConsentEventRow.sequence)).all()
        numbers = dict(session.execute(select(SubjectRow.id, SubjectRow.number)).tuples().all())
    leaf, notice = entries(market.registry)[size], market.notices[-1]
    about = {
        "channel": "paper", "lender": "aspen", "notice": notice.id, "notice_sha256": notice.text_sha256("zh"),
        "notice_version": 1,
    }  # fmt: skip
    leaves = [
        leaf_hash(record_leaf(row.salt, at, about, ImportedRecord.model_validate(one)))
        for at, one in enumerate(records)
    ]
    assert row.leaves == b"".join(leaves)
    root = tree_root(len(leaves), leaves_reader(leaves))
    assert (leaf["type"], leaf["actor"], "count" in leaf, leaf["root"]) == (
        "consents.imported", "aspen", False, root.hex(),
    )  # fmt: skip
    for at, one in enumerate(records):
        proof = inclusion_proof(at, len(leaves), leaves_reader(leaves))
        verify_inclusion(leaves[at], at, len(leaves), proof, root)
        event = events[at]
        assert (event.import_id, event.position, event.decision_sha256) == (row.id, at, None)
        assert (numbers[event.subject_id], event.sensitivity, event.event) == (
            one["number"], one["sensitivity"], one["action"],
        )  # fmt: skip
    assert [told(market, n) for n in range(8)] == ["refused", "given", "given"] * 2 + ["refused", "never-asked"]


def test_a_leaf_cannot_be_guessed_without_its_salt(market):
    one = ImportedRecord.model_validate(record(market, 1))
    assert record_leaf(b"a" * 32, 0, {}, one) != record_leaf(b"b" * 32, 0, {}, one)
    assert record_leaf(b"a" * 32, 0, {}, one) != record_leaf(b"a" * 32, 1, {}, one)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"number": 99}, 409),
        ({"action": "withdraw"}, 409),
        ({"action": "resume"}, 422),
        ({"number": 0}, 409),  # answered twice in one request
        ({"number": -1}, 422),
        ({"evidence_sha256": "x"}, 422),
        ({"event_time": "2999-01-01T00:00:00Z"}, 422),
        ({"event_time": "2150-01-01T00:00:00Z"}, 409),
        ({"sensitivity": "secret"}, 422),
    ],
)
def test_one_bad_record_and_none_is_recorded(market, change, status):
    size = market.log_size()
    answer = hand_in(market, record(market, 0), record(market, 1) | change)
    assert answer.status_code == status, answer.text
    assert market.log_size() == size
    assert told(market, 0) == "never-asked"
    with market.registry.ledger.read() as session:
        assert session.scalars(select(ImportRow)).all() == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"number": 99}, "this number is not on the lender's roll, or was forgotten"),
        ({"number": 0}, "the borrower has decided already; only they can decide anew"),
        ({"action": "withdraw"}, "a consent that is none cannot be changed by 'withdraw'"),
        ({"event_time": "2150-01-01T00:00:00Z"}, "event_time is in the future"),
    ],
)
def test_a_refusal_names_the_record(market, change, says):
    answer = hand_in(market, record(market, 0), record(market, 1), record(market, 2) | change).json()
    assert answer["detail"] == f"records[2]: {says}"
    assert [fault["pointer"] for fault in answer["errors"]] == ["#/records/2"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"action": "agree"}, "action must be one of 'give', 'refuse', 'withdraw' or 'suspend'"),
        ({"evidence_sha256": "ABC"}, "evidence_sha256 must be a SHA-256: 64 lower-case hexadecimal digits"),
        ({"event_time": "2026-11-20 10:00"}, "event_time must be a time with its zone, as 2026-01-31T12:00:00Z"),
        ({"note": "x"}, "note is not known"),
    ],
)
def test_a_record_that_does_not_fit_is_named_with_its_field(market, change, says):
    answer = hand_in(market, record(market, 0), record(market, 1) | change).json()
    assert (answer["status"], answer["detail"]) == (422, f"body.records[1].{says}")
    assert [fault["pointer"] for fault in answer["errors"]] == [f"#/records/1/{next(iter(change))}"]


def test_every_batch_names_the_place_that_it_refuses(market):
    person, fresh = market.people["aspen"][3], pseudonym()
    enrolled = {"pseudonym": person.pseudonym, "ledger_pseudonym": pseudonym()}
    new = {"pseudonym": fresh, "ledger_pseudonym": pseudonym()}
    for batch, place in (([new, enrolled], "#/subjects/1"), ([new, new], "#/subjects/1")):
        answer = market.call("aspen", "POST", "/v1/subjects", {"subjects": batch})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (409, place)
    lost = [{"type": "use.read", "to": ["auditor"]}, {"type": "use.read", "subject": fresh}]
    answer = market.call("aspen", "POST", "/v1/log/entries", {"entries": lost})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (404, "#/entries/1/subject")
    one, other = market.people["aspen"][1:3]
    answer = market.decide(market.decision(one, {"ordinary": "give"}), market.decision(other, {"ordinary": "resume"}))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (409, "#/tokens/1")


@pytest.mark.parametrize("fields", [{"notice_sha256": "0" * 64}, {"notice_language": "fr"}, {"notice_version": 9}])
def test_another_text_than_was_published_is_refused(market, fields):
    assert hand_in(market, record(market, 0), **fields).status_code in {404, 409}
    assert told(market, 0) == "never-asked"


def test_a_lender_speaks_for_its_own_borrowers_only(market):
    assert hand_in(market, record(market, 0), lender="birch").status_code == 409
    market.publish(1, "others", recipients=("birch",), purpose=BROADER_PURPOSE)
    assert hand_in(market, record(market, 0)).status_code == 409


def test_what_a_borrower_has_decided_only_the_borrower_decides_anew(market):
    person = market.people["aspen"][0]
    market.says(person, "refuse")
    recent = (market.clock() + timedelta(seconds=1)).isoformat()
    for action in ("give", "refuse"):
        answer = hand_in(market, record(market, 0, action, event_time=recent))
        assert (answer.status_code, "only they can decide anew" in answer.text) == (409, True)
    assert market.rule(person) == "refused"


def test_a_lender_may_say_no_for_a_borrower_and_never_yes_again(market):
    person = market.people["aspen"][0]
    market.says(person, "give")
    market.clock.move(seconds=5)
    moment = market.clock().isoformat()
    assert hand_in(market, record(market, 0, "suspend", event_time=moment)).status_code == 201
    assert market.rule(person) == "suspended"
    assert hand_in(market, record(market, 0, "withdraw", event_time=moment)).status_code == 201
    assert market.rule(person) == "withdrawn"
    market.clock.move(seconds=5)
    again = hand_in(market, record(market, 0, "give", event_time=market.clock().isoformat()))
    assert again.status_code == 409
    assert market.rule(person) == "withdrawn"
    with market.registry.ledger.read() as session:
        rows = session.scalars(select(RevocationRow).order_by(RevocationRow.number)).all()
    assert [(row.number, str(row.event)) for row in rows] == [(1, "suspend"), (2, "withdraw")]
    assert market.says(person, "give").status_code == 201
    assert market.rule(person) == "given"


def test_a_no_from_before_the_borrower_s_own_yes_changes_nothing(market):
    person = market.people["aspen"][0]
    market.says(person, "give")
    assert hand_in(market, record(market, 0, "withdraw")).status_code == 409
    assert market.rule(person) == "given"


def test_a_record_dated_ahead_cannot_stand_in_the_way_of_a_withdrawal(market):
    """A lender's yes of tomorrow, or of the next minutes, would be later than the borrower's no of now."""
    ahead = (market.clock() + timedelta(minutes=4)).isoformat()
    hand_in(market, record(market, 0, event_time=ahead))
    person = market.people["aspen"][0]
    market.clock.move(seconds=10)
    if market.rule(person) == "given":
        assert market.decide(market.decision(person, {"ordinary": "withdraw"})).status_code == 201
    assert market.rule(person) in {"withdrawn", "never-asked"}


@pytest.mark.parametrize("ahead", [timedelta(minutes=4), timedelta(seconds=2)])
def test_a_yes_from_a_clock_that_is_ahead_does_not_block_a_no(market, ahead):
    """From another device with the right clock, on paper through the lender, or from one whose clock is behind."""
    for person, withdraw in (
        (0, lambda who, token: market.decide(token)),
        (1, lambda who, token: hand_in(market, record(market, 1, "withdraw", event_time=market.clock().isoformat()))),
        (2, lambda who, token: market.call(who.pseudonym, "POST", "/v1/me/withdrawals")),
    ):
        who = market.people["aspen"][person]
        given = market.decide(market.decision(who, {"ordinary": "give"}, event_time=market.clock() + ahead))
        assert given.status_code == 201, given.text
        assert market.rule(who) == "given"
        said = market.decision(who, {"ordinary": "withdraw"}, event_time=market.clock() - timedelta(minutes=4))
        assert withdraw(who, said).status_code == 201
        assert market.rule(who) == "withdrawn"
        market.clock.move(seconds=1)
        assert market.says(who, "give").status_code == 201, "and a yes of later counts"
    with market.registry.ledger.read() as session:
        latest = market.clock().replace(microsecond=999_999)
        assert all(row.event_time <= latest for row in session.scalars(select(ConsentEventRow)))


def test_the_forgotten_are_not_on_the_roll_any_more(market):
    assert market.call(market.people["aspen"][0].pseudonym, "DELETE", "/v1/me").status_code == 200
    assert hand_in(market, record(market, 0)).status_code == 409


def test_the_notice_s_validity_counts_from_the_day_of_the_answer(market):
    market.publish(2, validity_days=4)
    market.clock.move(days=6)
    old = (market.clock() - timedelta(days=5)).isoformat()
    assert hand_in(market, record(market, 0), record(market, 1, event_time=old)).status_code == 201
    assert (told(market, 0), told(market, 1)) == ("given", "expired")
    market.clock.move(days=1)
    assert told(market, 0) == "expired"
    assert market.check("aspen")["allowed"] == 0
    assert market.notices[-1].purpose == TRAINING_PURPOSE


# --- children


GUARDIAN = {"age_band": "under-14", "guardian_entity_id": "parent-1", "authority_evidence_hash": "a" * 64}


def test_what_ends_because_an_import_says_under_14_is_no_record_of_that_import(any_market):
    """The withdrawal is the registry's own; whoever it concerns reads, takes back and erases as everybody does."""
    market = any_market
    other, child = market.enrol("aspen", 2)
    market.says(child, "give", ("ordinary", "sensitive"))
    records = (record(market, 0), record(market, 1, "refuse", "income", authority=GUARDIAN))
    assert hand_in(market, *records).is_success
    (mine,) = market.call(child.pseudonym, "GET", "/v1/me/imports").json()["items"]
    assert (mine["position"], mine["record"]["action"], mine["record"]["sensitivity"]) == (1, "refuse", "income")
    assert leaf_hash(canonical_json(mine["record"])).hex() == mine["leaf_sha256"]
    assert market.call(child.pseudonym, "GET", "/v1/me/consents").status_code == 200
    assert market.call(child.pseudonym, "GET", "/v1/me/export").status_code == 200
    requests = [
        Request(subjects=[one.pseudonym], intent=WithdrawalOfAll(accepted=[], login_sha256="0" * 64))
        for one in (child, other)
    ]
    assert all(isinstance(one, Done) for one in record_requests(market.registry, requests))
    assert (market.rule(child), market.rule(other)) == ("withdrawn", "withdrawn")
    assert market.call(child.pseudonym, "DELETE", "/v1/me").status_code == 200
    (theirs,) = market.call(other.pseudonym, "GET", "/v1/me/imports").json()["items"]
    assert leaf_hash(canonical_json(theirs["record"])).hex() == theirs["leaf_sha256"], "the record of another is whole"


def test_a_home_in_which_such_an_event_names_the_import_still_serves_its_people(market):
    """Written before: an event with an import, and no record of it."""
    other, child = market.people["aspen"][:2]
    assert hand_in(market, record(market, 0), record(market, 1, kind="sensitive")).is_success
    with market.registry.ledger.write() as session:
        newest = session.scalars(select(ConsentEventRow).order_by(ConsentEventRow.sequence.desc())).first()
        columns = {column.name: getattr(newest, column.name) for column in ConsentEventRow.__table__.columns}
        session.add(ConsentEventRow(**columns | {"sequence": newest.sequence + 1, "position": None}))
    (mine,) = market.call(child.pseudonym, "GET", "/v1/me/imports").json()["items"]
    assert mine["position"] == 1
    assert market.call(child.pseudonym, "GET", "/v1/me/consents").status_code == 200
    assert market.call(child.pseudonym, "DELETE", "/v1/me").status_code == 200
    (theirs,) = market.call(other.pseudonym, "GET", "/v1/me/imports").json()["items"]
    assert leaf_hash(canonical_json(theirs["record"])).hex() == theirs["leaf_sha256"]


@pytest.mark.parametrize("turned", [False, True])
def test_a_yes_that_stands_beside_the_word_that_somebody_is_a_child_needs_the_guardian_too(market, turned):
    """In whichever order the records of one request stand: one of them says it for all."""
    alone = record(market, 0, kind="sensitive")
    guarded = record(market, 0, authority=GUARDIAN)
    records = [guarded, alone] if turned else [alone, guarded]
    answer = hand_in(market, *records)
    assert answer.status_code == 409
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [f"#/records/{records.index(alone)}"]
    assert told(market, 0) == "never-asked"
    assert hand_in(market, *(one | {"authority": GUARDIAN} for one in records)).status_code == 201
    assert told(market, 0) == "given"


# --- proofs


def proved(market, person):
    """The records about this person, each of which hashes to the leaf that is shown."""
    items = market.call(person.pseudonym, "GET", "/v1/me/imports").json()["items"]
    for one in items:
        assert leaf_hash(canonical_json(one["record"])).hex() == one["leaf_sha256"]
    return [one["record"] for one in items]


def test_a_record_is_shown_as_it_was_handed_in_whatever_its_event_counts_from(any_market):
    """A clock that is ahead, and a no dated before the person's last yes by less than clocks may differ."""
    market = any_market
    ahead, behind = market.enrol("aspen", 2)
    at = (market.clock() + timedelta(minutes=2, microseconds=5)).astimezone(timezone(timedelta(hours=8)))
    market.says(behind, "give")
    before = market.clock() - timedelta(seconds=60)
    told = (record(market, 0, event_time=at.isoformat()), record(market, 1, "withdraw", event_time=before.isoformat()))
    assert hand_in(market, *told).status_code == 201
    for person, when in ((ahead, at), (behind, before)):
        (one,) = proved(market, person)
        assert datetime.fromisoformat(one["event_time"]) == when
    with market.registry.ledger.read() as session:
        latest = market.clock().replace(microsecond=999_999)
        assert all(row.event_time <= latest for row in session.scalars(select(ConsentEventRow)))


def test_what_a_record_found_to_be_over_is_no_record(market):
    person = market.people["aspen"][0]
    market.says(person, "give", expiry_time=market.clock() + timedelta(seconds=30))
    market.clock.move(seconds=60)
    moment = market.clock().isoformat()
    assert hand_in(market, record(market, 0, "withdraw", event_time=moment)).status_code == 201
    assert [one["action"] for one in proved(market, person)] == ["withdraw"]
    with market.registry.ledger.read() as session:
        events = session.scalars(select(ConsentEventRow).order_by(ConsentEventRow.sequence)).all()
    assert [(row.event, row.position) for row in events] == [("give", None), ("expire", None), ("withdraw", 0)]


def test_by_what_right_somebody_decided_is_in_the_record(any_market):
    market = any_market
    grown, child = market.enrol("aspen", 2)
    assert hand_in(market, record(market, 0), record(market, 1, authority=GUARDIAN)).status_code == 201
    (theirs,), (mine,) = proved(market, grown), proved(market, child)
    assert "authority" not in theirs and mine["authority"] == GUARDIAN
    shown = market.call(child.pseudonym, "GET", "/v1/me/consents").json()
    assert GUARDIAN["guardian_entity_id"] in str(shown)
