"""The rights desk: what people ask of a lender is recorded, due, answered in writing, sealed to two, and stops the
lender where it is not."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from support.desk import MINE, answers, asked, asks, marks
from support.market import Market
from support.observed import entries
from support.world import pseudonym

from consent.commands import receive_requests, request_steps
from consent.commands.export_consents import export_all
from consent.commands.forget_subject import forget_subject
from consent.storage.request_tables import RequestStepRow, RightsRequestRow
from crypto.keys import RecipientKey
from crypto.sealing import seal_to, unseal_from
from law.deadlines import due
from protocol.consents import Authority
from protocol.rights import (
    WHOLE_PERSON,
    AnswerOutcome,
    RefusalReason,
    RequestContent,
    RequestKind,
    RightsAnswer,
    RightsReceipt,
    RightsRequest,
    attachment_context,
    check_rights_receipt,
)


@pytest.fixture
def market(any_market: Market) -> Market:
    return any_market


# --- every right has a route


@pytest.mark.parametrize("kind", RequestKind)
def test_every_right_can_be_asked_for_is_answered_and_closed(market, kind):
    (person,) = market.consenting("aspen")
    sha256 = asked(market, person, kind.value)
    (listed,) = market.call(person.pseudonym, "GET", MINE).json()["items"]
    assert (listed["request_sha256"], listed["status"], listed["kind"]) == (sha256, "received", kind.value)
    assert market.call("aspen", "POST", f"/v1/requests/{sha256}/marks").json()["status"] == "marked"
    assert answers(market, sha256).json()["status"] == "answered"
    found = market.call(person.pseudonym, "GET", f"{MINE}/{sha256}").json()
    assert [step["step"]["event"] for step in found["steps"]] == ["receive", "mark", "answer"]
    said = RightsAnswer.verify(found["steps"][2]["step"]["evidence"]["token"], market.keys["aspen"].public)
    assert (said.request_sha256, said.text) == (sha256, "It was put right.")
    assert market.call(person.pseudonym, "POST", f"{MINE}/{sha256}/closings").json()["status"] == "closed"
    assert market.call("aspen", "GET", "/v1/requests").json()["items"] == []
    (over,) = market.call("aspen", "GET", "/v1/requests?closed=true").json()["items"]
    assert over["status"] == "closed"


def test_a_login_over_two_lenders_asks_each_of_its_own(market):
    (here,), (there,), (stranger,) = market.enrol("aspen"), market.enrol("birch"), market.enrol("cedar")
    login = market.login(here, there)
    first, second = asks(market, login, recipient="aspen"), asks(market, login, "access", "birch")
    assert (first.status_code, second.status_code) == (201, 201)
    assert asks(market, login, recipient="cedar").status_code == 404
    mine = market.call(login, "GET", MINE).json()["items"]
    assert [(one["recipient"], one["kind"]) for one in mine] == [("birch", "access"), ("aspen", "object")]
    found = market.call(login, "GET", f"{MINE}/{first.json()['request_sha256']}").json()
    assert found["steps"][0]["step"]["evidence"]["login_sha256"] == "e" * 64
    assert market.call(stranger.pseudonym, "GET", MINE).json()["items"] == []


def signed(market: Market, person, key=None, **changes: Any) -> str:
    about = {
        "pii_principal_id": person.pseudonym, "recipient": person.lender, "asked": RequestContent(kind="access"),
        "asked_at": market.clock(), "nonce": "n" * 16,
    }  # fmt: skip
    return RightsRequest.model_validate(about | changes).sign(key or person.key)


def test_a_request_that_a_person_signed_acts_once_and_is_theirs_alone(market):
    person, other = market.enrol("aspen", 2)
    token = signed(market, person)
    assert market.call(other.pseudonym, "POST", MINE, {"token": token}).status_code == 401
    assert market.call(person.pseudonym, "POST", MINE, {"token": token}).status_code == 201
    assert market.call(person.pseudonym, "POST", MINE, {"token": token}).status_code == 409
    wrong = [
        (signed(market, person, other.key), 401),
        (signed(market, person, recipient="birch"), 409),
        (signed(market, person, asked_at=market.clock() - timedelta(days=8)), 409),
        (signed(market, person, evidence_sha256="0" * 64), 422),
    ]
    for token, status in wrong:
        assert market.call(person.pseudonym, "POST", MINE, {"token": token}).status_code == status
    assert len(market.call(person.pseudonym, "GET", MINE).json()["items"]) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"recipient": "aspen"},
        {"recipient": "aspen", "asked": {"kind": "object"}, "token": "x"},
        {"recipient": "aspen", "asked": {"kind": "transfer"}},
        {"recipient": "aspen", "asked": {"kind": "prove"}},
        {"recipient": "aspen", "asked": {"kind": "correct"}},
        {"recipient": "aspen", "asked": {"kind": "object", "features": ["late", "late"]}},
        {"recipient": "aspen", "asked": {"kind": "object", "features": ["*"]}},
        {"recipient": "aspen", "asked": {"kind": "access", "relation": "heir"}},
        {"recipient": "aspen", "asked": {"kind": "access", "reply_key": "A" * 1622}},
        {"recipient": "aspen", "asked": {"kind": "access", "reply_key": "short"}},
    ],
)
def test_what_is_not_whole_is_refused(market, body):
    (person,) = market.enrol("aspen")
    answer = market.call(person.pseudonym, "POST", MINE, body)
    zeros = body.get("asked", {}).get("reply_key") == "A" * 1622  # a key all the same: nobody has its secret half
    assert answer.status_code == (201 if zeros else 422), answer.text


def test_nobody_asks_without_end(market, monkeypatch):
    (person,) = market.enrol("aspen")
    for _ in range(receive_requests.MAX_A_DAY):
        asked(market, person, "explain")
    refused = asks(market, person.pseudonym, "explain")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:tahini:problem:too-many-requests-open")
    market.clock.move(days=1)
    for _ in range(receive_requests.MAX_UNANSWERED - receive_requests.MAX_A_DAY):
        asked(market, person, "explain")
    market.clock.move(days=1)
    assert asks(market, person.pseudonym, "explain").status_code == 409, "twenty wait for an answer"


def test_nobody_objects_without_end_and_everybody_is_heard(market):
    """A thousand objections, each due, would have stopped a lender until it had answered every one of them."""
    (person,) = market.enrol("aspen")
    for number in range(receive_requests.MAX_A_DAY):
        assert asks(market, person.pseudonym, "correct", features=[f"f{number}"], text="No.").status_code == 201
    refused = asks(market, person.pseudonym, "object", features=["late"])
    assert (refused.status_code, "name no feature" in refused.text) == (409, True)
    everything = asks(market, person.pseudonym, "restrict")
    assert everything.status_code == 201, "an objection to everything is taken"
    assert asks(market, person.pseudonym, "object").status_code == 409, "everything is marked already"
    assert asks(market, person.pseudonym, "access").status_code == 201, "and takes no other request's place"
    closing = f"{MINE}/{everything.json()['request_sha256']}/closings"
    assert market.call(person.pseudonym, "POST", closing).status_code == 201
    assert asks(market, person.pseudonym, "object").status_code == 201, "and again where none is open"


def test_access_is_had_far_oftener_than_twice_a_year_and_costs_nothing(market):
    """征信业管理条例 17: two free reports a year. There is no fee anywhere in the protocol, and no yearly limit."""
    (person,) = market.enrol("aspen")
    for _ in range(12):
        for _ in range(2):
            sha256 = asked(market, person, "access")
            assert answers(market, sha256).status_code == 201
        assert market.call(person.pseudonym, "GET", "/v1/me/export").status_code == 200
        market.clock.move(days=30)
    fields = {*RequestContent.model_fields, *RightsAnswer.model_fields}
    assert not {name for name in fields if "fee" in name or "price" in name or "cost" in name}


# --- for somebody who came to a branch


def test_a_lender_cannot_use_up_a_persons_requests(market, monkeypatch):
    """Ten requests a day, handed in and answered at once, left the person none of their own."""
    monkeypatch.setattr(receive_requests, "MAX_A_DAY", 3)
    (person,) = market.enrol("aspen")
    handed = [handed_in(market, person, "explain", number) for number in range(4)]
    assert [answer.status_code for answer in handed] == [201, 201, 201, 409], "a lender is held to the limit too"
    for answer in handed[:2]:
        assert answers(market, answer.json()["request_sha256"]).status_code == 201
    for kind in ("object", "access", "erase", "complain"):
        assert asks(market, person.pseudonym, kind).status_code == 201
    refused = asks(market, person.pseudonym, "access")
    assert (refused.status_code, "complain as the notice says" in refused.text) == (409, True)


def handed_in(market: Market, person, kind: str, number: int):
    asked = RightsRequest(
        pii_principal_id=person.pseudonym, recipient=person.lender, asked={"kind": kind, "channel": "branch"},
        asked_at=market.clock(), evidence_sha256="e" * 64, nonce=f"{number:032d}",
    )  # fmt: skip
    return market.call(person.lender, "POST", "/v1/requests", {"token": asked.sign(market.keys[person.lender])})


def test_a_lender_hands_in_what_an_heir_asked_at_a_branch(market):
    (person,), (there,) = market.enrol("aspen"), market.enrol("birch")
    authority = Authority(guardian_entity_id="heir-1", authority_evidence_hash="a" * 64)
    heir = RequestContent(kind=RequestKind.ERASE, channel="branch", relation="heir", authority=authority)
    came = market.clock() - timedelta(days=3)
    key, fields = market.keys["aspen"], {"asked": heir, "asked_at": came, "evidence_sha256": "b" * 64}
    answer = market.call("aspen", "POST", "/v1/requests", {"token": signed(market, person, key, **fields)})
    assert answer.status_code == 201, answer.text
    assert answer.json()["due_at"] == due("erase", "CN", came).at.isoformat(), "from the day on which they came"
    sha256 = answer.json()["request_sha256"]
    refusal = answers(market, sha256, outcome=AnswerOutcome.REFUSED, reason=RefusalReason.NO_AUTHORITY)
    assert refusal.json()["status"] == "refused"
    wrong = [
        (signed(market, person, **fields), 401),
        (signed(market, there, key, **fields, recipient="aspen"), 404),
        (signed(market, there, key, **fields), 403),
        (signed(market, person, key, **fields | {"evidence_sha256": None}), 422),
        (signed(market, person, key, **fields | {"asked": RequestContent(kind=RequestKind.ERASE, channel="app")}), 422),
        (signed(market, person, key, **fields | {"asked_at": came - timedelta(days=60)}), 409),
    ]
    for token, status in wrong:
        assert market.call("aspen", "POST", "/v1/requests", {"token": token}).status_code == status


# --- nobody else


def test_nobody_else_can_tell_that_there_is_a_request(market):
    (person, other), (there,) = market.enrol("aspen", 2), market.enrol("birch")
    sha256 = asked(market, person)
    for caller in (other.pseudonym, there.pseudonym):
        for target in (f"{MINE}/{sha256}", f"{MINE}/{sha256}/receipts/1", f"{MINE}/{sha256}/attachment"):
            answer = market.call(caller, "GET", target)
            missing = market.call(caller, "GET", target.replace(sha256, "f" * 64))
            assert (answer.status_code, answer.text) == (404, missing.text)
        assert market.call(caller, "POST", f"{MINE}/{sha256}/closings").status_code == 404
    target = f"/v1/requests/{sha256}"
    assert market.call("birch", "GET", target).status_code == 404
    assert market.call("birch", "POST", f"{target}/marks").status_code == 404
    assert market.call("birch", "POST", f"{target}/closings").status_code == 404
    assert answers(market, sha256, "birch").status_code == 404
    assert market.call("birch", "GET", "/v1/requests").json()["items"] == []
    for caller in ("auditor", "registry", "coordinator"):
        assert market.call(caller, "GET", target).status_code == 403
    counted = market.call("auditor", "GET", "/v1/requests/statistics").json()["items"]
    assert [(one["recipient"], one["kind"], one["unanswered"]) for one in counted] == [("aspen", "object", 1)]


def test_an_answer_is_the_lender_s_own_and_final(market):
    (person,) = market.enrol("aspen")
    sha256 = asked(market, person)
    said = {"lender": "aspen", "request_sha256": sha256, "outcome": "granted", "text": "done", "language": "en",
            "answered_at": market.clock()}  # fmt: skip
    target = f"/v1/requests/{sha256}/answers"
    forged = RightsAnswer.model_validate(said).sign(market.keys["birch"])
    assert market.call("aspen", "POST", target, {"token": forged}).status_code == 401
    elsewhere = RightsAnswer.model_validate(said | {"request_sha256": "1" * 64}).sign(market.keys["aspen"])
    assert market.call("aspen", "POST", target, {"token": elsewhere}).status_code == 403
    assert answers(market, sha256).status_code == 201
    again = answers(market, sha256, outcome=AnswerOutcome.REFUSED, reason=RefusalReason.UNFOUNDED)
    assert (again.status_code, again.json()["type"]) == (409, "urn:tahini:problem:illegal-request-step")
    assert market.call("aspen", "POST", f"/v1/requests/{sha256}/marks").status_code == 409


# --- sealed, logged, proved


WORDS = "This sentence is nobody else's business."


TABLES = ("rights_requests", "request_steps", "request_marks", "request_copies", "request_attachments")


def everything_stored(market: Market) -> bytes:
    """Every value of every table, as bytes."""
    found = b""
    with market.registry.ledger.read() as session:
        for table in (*TABLES, "log_entries"):
            for row in session.execute(text(f"SELECT * FROM {table}")):
                found += b"|".join(
                    bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode() for value in row
                )
    return found


def test_what_was_said_is_sealed_and_the_log_names_nobody(market):
    (person,) = market.enrol("aspen")
    sha256 = asked(market, person, "correct", text=WORDS)
    answers(market, sha256, text=WORDS)
    market.call(person.pseudonym, "POST", f"{MINE}/{sha256}/closings")
    assert WORDS.encode() not in everything_stored(market)
    logged = [leaf for leaf in entries(market.registry) if leaf["type"].startswith("request.")]
    assert [leaf["type"] for leaf in logged] == ["request.received", "request.answered", "request.closed"]
    for leaf in logged:
        assert set(leaf) == {"v", "type", "actor", "time", "request", "body"}
        assert leaf["actor"] == "registry"
        said = json.dumps(leaf)
        assert not any(word in said for word in (person.pseudonym, sha256, "aspen", "correct"))


def test_either_side_can_read_every_step_and_forgetting_ends_that_here(market):
    (person,) = market.enrol("aspen")
    sha256 = asked(market, person, "correct", text=WORDS)
    answers(market, sha256, text=WORDS)
    exported = export_all(market.registry, [person.pseudonym])
    assert json.dumps(exported["log_entries"]).count(WORDS) == 1, "the request; the answer is a signed token"
    assert json.dumps(exported["requests"]).count(WORDS) == 1
    assert [entry["entry"]["type"] for entry in exported["log_entries"]] == ["request.received", "request.answered"]
    theirs = market.call("aspen", "GET", f"/v1/requests/{sha256}").json()
    assert [step["step"] for step in theirs["steps"]] == [None, None], "sealed to the key of the consortium document"
    assert all(step["sealed"] for step in theirs["steps"])
    forget_subject(market.registry, person.pseudonym)
    assert market.call("aspen", "GET", f"/v1/requests/{sha256}").status_code == 404
    assert market.call("aspen", "GET", "/v1/requests?closed=true").json()["items"] == []
    with market.registry.ledger.read() as session:
        left = {table: session.scalar(text(f"SELECT count(*) FROM {table}")) for table in TABLES[3:]}
    assert left == {"request_copies": 0, "request_attachments": 0}, "nor does the lender's key open anything here"


def test_a_lender_without_a_key_of_its_own_reads_all_the_same(market, monkeypatch):
    (person,) = market.enrol("aspen")
    monkeypatch.delitem(market.registry.ledger.sealer.recipients, "aspen")
    sha256 = asked(market, person, "correct", text=WORDS)
    (step,) = market.call("aspen", "GET", f"/v1/requests/{sha256}").json()["steps"]
    assert (step["sealed"], step["step"]["evidence"]["request"]["asked"]["text"]) == (None, WORDS)
    assert WORDS.encode() not in everything_stored(market)
    assert answers(market, sha256).status_code == 201


def test_a_request_stays_its_person_s_under_a_new_name(market):
    person, other = market.consenting("aspen", 2)
    sha256, before = asked(market, person), person.pseudonym
    assert market.rename([person, other], [pseudonym(2), pseudonym(2)]).status_code == 201
    assert [one["request_sha256"] for one in market.call(person.pseudonym, "GET", MINE).json()["items"]] == [sha256]
    told = market.call("aspen", "GET", f"/v1/requests/{sha256}").json()
    assert told["pii_principal_id"] == person.pseudonym != before
    assert market.rule(person) == "suspended"
    assert market.call(person.pseudonym, "POST", f"{MINE}/{sha256}/closings").status_code == 201
    assert market.rule(person) == "given"


def test_a_receipt_of_each_step_verifies_offline(market):
    (person,) = market.enrol("aspen")
    sha256 = asked(market, person)
    answers(market, sha256)
    market.registry.ledger.sequencer.settle()
    trust = market.registry.consortium.policy
    for number, event in enumerate(("receive", "answer"), 1):
        text_of = market.call(person.pseudonym, "GET", f"{MINE}/{sha256}/receipts/{number}").text
        receipt = RightsReceipt.verify(text_of, market.keys["registry"].public)
        check_rights_receipt(receipt, trust)
        assert (receipt.step.event, receipt.step.request_sha256) == (event, sha256)
        for change in ({"at": receipt.step.at + timedelta(days=1)}, {"request_sha256": "0" * 64}):
            step = receipt.step.model_copy(update=change)
            with pytest.raises(Exception, match="commit"):
                check_rights_receipt(receipt.model_copy(update={"step": step}), trust)
    assert receipt.step.due_at is None
    assert market.call(person.pseudonym, "GET", f"{MINE}/{sha256}/receipts/3").status_code == 404


def test_an_attachment_is_for_the_person_alone(market):
    (person,) = market.enrol("aspen")
    key = RecipientKey.generate()
    sha256 = asked(market, person, "access", reply_key=key.public.text)
    sealed = seal_to(key.public, b"late: 3", attachment_context(sha256))
    assert market.call(person.pseudonym, "GET", f"{MINE}/{sha256}").json()["attachment"] is None
    other = answers(market, sha256, attachment=sealed, attachment_sha256="0" * 64)
    assert other.status_code == 422
    assert answers(market, sha256, attachment=sealed).status_code == 201
    target = market.call(person.pseudonym, "GET", f"{MINE}/{sha256}").json()["attachment"]
    got = market.call(person.pseudonym, "GET", target)
    assert (got.status_code, got.headers["content-type"]) == (200, "application/octet-stream")
    assert unseal_from(key, got.content, attachment_context(sha256)) == b"late: 3"
    assert market.call("aspen", "GET", target).status_code == 403
    without = asked(market, person, "access")
    refused = answers(market, without, attachment=sealed)
    assert (refused.status_code, "names no key" in refused.text) == (409, True)
    assert market.call(person.pseudonym, "GET", f"{MINE}/{without}").json()["status"] == "received", "all or nothing"


def test_no_step_without_its_log_entry(market, monkeypatch):
    """What fails between the steps of a transaction leaves nothing; what was acknowledged is whole."""
    (person,) = market.enrol("aspen")
    sha256 = asked(market, person)
    size = market.log_size()
    with monkeypatch.context() as patch:
        patch.setattr(request_steps, "seal_to", lambda *_: 1 / 0)
        assert asks(market, person.pseudonym).status_code == 500
        assert answers(market, sha256).status_code == 500
    with market.registry.ledger.read() as session:
        assert [row.status.value for row in session.scalars(select(RightsRequestRow))] == ["received"]
        assert len(session.scalars(select(RequestStepRow)).all()) == 1
    assert market.log_size() == size
    assert marks(market) == {WHOLE_PERSON: [0]}
    assert answers(market, sha256).status_code == 201
    assert market.log_size() == size + 1


def test_a_command_under_a_key_acts_once(market):
    (person,) = market.enrol("aspen")
    body = {"recipient": "aspen", "asked": {"kind": "access"}}
    first = market.call(person.pseudonym, "POST", MINE, body, Idempotency_Key="k")
    again = market.call(person.pseudonym, "POST", MINE, body, Idempotency_Key="k")
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert len(market.call(person.pseudonym, "GET", MINE).json()["items"]) == 1
