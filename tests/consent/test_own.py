"""What the screens of a borrower are made of: questions, receipts, uses, histories and acknowledgements as fields."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from support.market import Market
from support.world import Person

from auditlog.entries import public_time
from consent.commands import read_consents, read_notices
from consent.commands.release_model import release_model
from crypto.errors import SealError
from crypto.keys import b64
from protocol.cards import ModelCard
from protocol.recalls import ModelRecall
from protocol.terms import TRAINING_PURPOSE


@pytest.fixture
def person(market: Market) -> Person:
    return market.enrol("aspen", 2)[0]


def items(market: Market, who: Any, target: str) -> list[dict[str, Any]]:
    answer = market.call(who if isinstance(who, dict) else who.pseudonym, "GET", target)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()["items"]


def questions(market: Market, who: Any) -> dict[tuple[str, str], tuple[str, str | None]]:
    (notice,) = items(market, who, "/v1/me/notices")
    return {(q["recipient"], q["sensitivity"]): (q["state"], q["open"]) for q in notice["questions"]}


# --- questions


def test_each_question_is_open_until_it_is_answered_itself(market, person):
    kinds = list(market.notices[0].terms.asked())
    assert len(kinds) > 1
    assert questions(market, person) == {("aspen", kind): ("none", "unanswered") for kind in kinds}
    market.says(person, "give")
    open_ = {kind for (_, kind), (_, why) in questions(market, person).items() if why}
    assert open_ == {*kinds} - {"ordinary"}
    for kind in open_:
        market.says(person, "refuse", (kind,))
    assert {why for _, why in questions(market, person).values()} == {None}


def test_a_question_names_its_record_and_what_was_answered(market, person):
    market.says(person, "give")
    market.publish(2)
    (notice,) = items(market, person, "/v1/me/notices")
    by_kind = {one["sensitivity"]: one for one in notice["questions"]}
    (record,) = items(market, person, "/v1/me/consents")
    assert by_kind["ordinary"]["record_id"] == record["record_id"]
    assert by_kind["ordinary"]["answered"] == {"id": "credit", "version": 1}
    assert notice["version"] == 2
    others = [one for kind, one in by_kind.items() if kind != "ordinary"]
    assert all(one["record_id"] is None and one["answered"] is None for one in others)


def test_a_no_rests_and_a_yes_that_ended_does_not(market, person):
    ends = market.clock() + timedelta(minutes=5)
    market.says(person, "give", expiry_time=ends)
    market.says(person, "refuse", ("income",))
    market.publish(2, material_change=True)
    assert questions(market, person)["aspen", "ordinary"] == ("given", "changed")
    market.clock.move(minutes=6)
    found = questions(market, person)
    assert found["aspen", "ordinary"] == ("expired", "expired")
    assert found["aspen", "income"] == ("refused", None)
    market.publish(3, recipients=("birch",))
    market.publish(1, "another", recipients=("aspen",))
    asked = {one["id"]: one["questions"] for one in items(market, person, "/v1/me/notices")}
    (income,) = [one for one in asked["another"] if one["sensitivity"] == "income"]
    assert (income["state"], income["open"]) == ("refused", None), "the same question under another name"


def test_of_a_child_everything_is_asked_as_sensitive_too(market, person):
    assert ("aspen", "sensitive") not in questions(market, person)
    young = {"age_band": "under-14", "guardian_entity_id": "g-1", "authority_evidence_hash": "a" * 64}
    assert market.says(person, "refuse", authority=young).status_code == 201
    assert questions(market, person)["aspen", "sensitive"] == ("none", "unanswered")


def test_who_borrows_at_two_lenders_sees_the_questions_of_each_apart(market, person):
    [there] = market.enrol("birch")
    me = market.login(person, there)
    market.says(there, "give")
    found = questions(market, me)
    assert found["birch", "ordinary"] == ("given", None)
    assert found["aspen", "ordinary"] == ("none", "unanswered")


# --- receipts


def test_a_receipt_in_the_list_says_what_was_decided_when_and_how(market, person):
    market.says(person, "give", ("ordinary", "income"))
    me = market.login(person)
    statement = market.statement([("aspen", "income", "withdraw")], notice_language="zh")
    notice = market.notices[0]
    statement |= {"notice_language": "zh", "notice_sha256": notice.text_sha256("zh")}
    market.clock.move(seconds=1)
    assert market.call(me, "POST", "/v1/me/consents", statement).status_code == 201
    newest, oldest = items(market, me, "/v1/me/receipts")
    assert newest["decided"] == {
        "event_time": market.clock().isoformat(),
        "channel": "web",
        "stated_by": "login",
        "notice": {"id": "credit", "version": 1, "language": "zh", "text_sha256": notice.text_sha256("zh")},
        "choices": [{"purpose": TRAINING_PURPOSE, "recipient": "aspen", "sensitivity": "income", "action": "withdraw"}],
        "states": {"aspen/income": "withdrawn"},
    }
    assert (newest["recipient"], oldest["decided"]["stated_by"]) == ("aspen", "signature")
    market.checkpoint()
    assert market.call(me, "GET", newest["receipt"]).status_code == 200


def test_a_decision_that_cannot_be_read_hides_no_other(market, person, monkeypatch):
    market.says(person, "give")
    market.says(person, "withdraw")
    read = read_consents.opened

    def damaged(subject, entry, kind):
        if not readable.pop():
            raise SealError("damaged")
        return read(subject, entry, kind)

    readable = [True, False]  # from its end: the newest is read first
    monkeypatch.setattr(read_consents, "opened", damaged)
    newest, oldest = items(market, person, "/v1/me/receipts")
    assert newest["decided"] is None
    assert oldest["decided"]["choices"][0]["action"] == "give"


# --- uses


def test_a_release_is_told_in_fields(market, person):
    market.says(person, "give")
    campaign = market.campaign(("aspen", "birch"))
    market.clock.move(seconds=1)
    market.commit(campaign)
    (use,) = items(market, person, "/v1/me/uses")
    assert use["campaign"] == {"sha256": campaign.sha256, "id": campaign.id, "title": "Test", "model": None}
    assert (use["what"], use["release"], use["attempt"], use["purpose"]) == ("release", 0, 1, TRAINING_PURPOSE)
    assert use["most_epsilon"] == campaign.mechanism.epsilon


def release(market: Market, campaign: Any) -> ModelCard:
    model = b"safetensors, as far as this is concerned"
    card = ModelCard(
        campaign_sha256=campaign.sha256, campaign_title="Test", model="scorecard",
        model_sha256=hashlib.sha256(model).hexdigest(), features=("late",), purpose=TRAINING_PURPOSE,
        legal_basis="consent", lenders=campaign.lenders, epsilon=1.0, epsilon_spent=0.5, delta=1e-6, mechanism={},
        releases=1, population_released=10.0, base_rate_released=0.1, released_at=market.clock(),
    )  # fmt: skip
    token = card.sign(market.keys["coordinator"])
    release_model(market.registry, market.party("coordinator"), campaign.sha256, card.sha256, token, b64(model))
    return card


def test_who_borrows_at_a_lender_of_a_campaign_reads_its_models_card(market, person):
    market.says(person, "give")
    campaign = market.campaign(("aspen", "birch"))
    market.clock.move(seconds=1)
    market.commit(campaign)
    target = f"/v1/me/models/{campaign.sha256}"
    assert market.call(person.pseudonym, "GET", target).status_code == 404
    card = release(market, campaign)
    assert items(market, person, "/v1/me/uses")[0]["campaign"]["model"] == target
    told = market.call(person.pseudonym, "GET", target).json()
    assert ModelCard.verify(told["card"], market.party("coordinator").key) == card
    assert told["recalls"] == []
    said = {"campaign_sha256": campaign.sha256, "card_sha256": card.sha256, "party": "aspen"}
    recall = ModelRecall(**said, reason="It is wrong about the young.", recalled_at=market.clock(), operator="staff-7")
    body = {"token": recall.sign(market.keys["aspen"])}
    assert market.call("aspen", "POST", f"/v1/campaigns/{campaign.sha256}/model/recalls", body).status_code == 201
    told = market.call(person.pseudonym, "GET", target)
    assert told.json()["recalls"] == [{"party": "aspen", "recalled_at": market.clock().isoformat()}]
    assert "staff-7" not in told.text
    [elsewhere] = market.enrol("cedar")
    theirs, nobodys = (
        market.call(elsewhere.pseudonym, "GET", f"/v1/me/models/{sha256}") for sha256 in (campaign.sha256, "0" * 64)
    )
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.json() == nobodys.json()


# --- one consent's history, and who acknowledged


def history(market: Market, person: Person, kind: str = "ordinary") -> list[dict[str, Any]]:
    records = items(market, person, "/v1/me/consents")
    (mine,) = [one for one in records if one["pii_processing"]["sensitivity"] == kind]
    return items(market, person, f"/v1/me/consents/{mine['record_id']}/history")


def test_the_history_of_a_consent_says_whose_word_each_event_is(market, person):
    assert market.hands_in("give", "ordinary", person.number, days=3).status_code == 409, "older than the notice"
    assert market.hands_in("give", "ordinary", person.number).status_code == 201
    market.says(person, "suspend")
    me = market.login(person)
    market.clock.move(seconds=1)
    resumed = market.call(me, "POST", "/v1/me/consents", market.statement([("aspen", "ordinary", "resume")]))
    assert resumed.status_code == 201, resumed.text
    found = history(market, person)
    assert [(one["event_type"], one["stated_by"], one["channel"]) for one in found] == [
        ("give", "import", "paper"), ("suspend", "signature", "app"), ("resume", "login", "web"),
    ]  # fmt: skip
    text = market.notices[0].text_sha256("en")
    assert {(one["language"], one["text_sha256"]) for one in found} == {("en", text)}
    assert [one["receipt"] is None for one in found] == [True, False, False]
    assert all(one["entry_index"] is not None for one in found)
    assert [one["revocation"] is None for one in found] == [True, False, True]


def test_an_end_by_time_is_in_the_history_before_and_after_anybody_notices(market, person):
    market.says(person, "give", expiry_time=market.clock() + timedelta(minutes=5))
    market.clock.move(minutes=6)
    last = history(market, person)[-1]
    assert (last["event_type"], last["stated_by"]) == ("expire", "registry")
    market.says(person, "give")
    found = history(market, person)
    assert [one["event_type"] for one in found] == ["give", "expire", "give"]
    assert found[1] == last


def test_a_history_is_its_owners_alone(market, person):
    other = market.people["aspen"][1]
    market.says(person, "give")
    (record,) = items(market, person, "/v1/me/consents")
    theirs = market.call(other.pseudonym, "GET", f"/v1/me/consents/{record['record_id']}/history")
    nobodys = market.call(other.pseudonym, "GET", f"/v1/me/consents/{'0' * 32}/history")
    assert (theirs.status_code, theirs.json()) == (nobodys.status_code, nobodys.json()) == (404, nobodys.json())
    assert items(market, other, "/v1/me/revocations") == []


def test_a_borrower_sees_whether_the_lender_has_acknowledged(market, person):
    market.says(person, "give", ("ordinary", "income"))
    market.says(person, "withdraw", ("income",))
    (told,) = items(market, person, "/v1/me/revocations")
    assert (told["recipient"], told["sensitivity"], told["event_type"]) == ("aspen", "income", "withdraw")
    assert (told["acknowledged_by_entry"], told["acknowledged_on"], told["overdue"]) == (None, None, False)
    minutes = market.registry.consortium.revocation_minutes
    assert told["due_at"] == (market.clock() + timedelta(minutes=minutes)).isoformat()
    market.clock.move(minutes=minutes)
    assert items(market, person, "/v1/me/revocations")[0]["overdue"]
    answer = market.acknowledge("aspen", told["number"])
    (told,) = items(market, person, "/v1/me/revocations")
    assert told["acknowledged_by_entry"] == answer.json()["entry_index"]
    assert told["acknowledged_on"] == public_time(int(market.clock().timestamp()) * 1_000_000)[:10]
    assert not told["overdue"]
    assert history(market, person, "income")[-1]["revocation"] == told
    market.says(person, "withdraw")
    newest, _ = items(market, person, "/v1/me/revocations")
    assert (newest["sensitivity"], newest["acknowledged_by_entry"]) == ("ordinary", None)


# --- all of it at once


def test_one_read_says_what_the_four_lists_say(market, person):
    lists = ("notices", "consents", "revocations", "incidents")
    for act in (None, "give", "withdraw"):
        if act:
            market.says(person, act, ("ordinary", "income"))
        answer = market.call(person.pseudonym, "GET", "/v1/me/overview")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["etag"] == market.call(person.pseudonym, "GET", "/v1/me/consents").headers["etag"]
        found = answer.json()
        assert found.keys() == set(lists)
        for name in lists:
            assert found[name] == {"items": items(market, person, f"/v1/me/{name}"), "next": None}
    assert len(found["revocations"]["items"]) == 2
    part = market.call(person.pseudonym, "GET", "/v1/me/overview?limit=1").json()["revocations"]
    assert part["items"] == found["revocations"]["items"][:1]
    more = market.call(person.pseudonym, "GET", f"/v1/me/revocations?cursor={part['next']}").json()
    assert part["items"] + more["items"] == found["revocations"]["items"]
    other = market.call(market.people["aspen"][1].pseudonym, "GET", "/v1/me/overview").json()
    assert not other["consents"]["items"] and not other["revocations"]["items"]


def stood(found: dict[str, Any]) -> set[str]:
    return {question["state"] for notice in found["notices"]["items"] for question in notice["questions"]}


def test_what_one_read_says_is_of_one_moment(market, person, monkeypatch):
    """Somebody who takes everything back while their page is drawn sees both as they were, or both as they are."""
    market.says(person, "give", ("ordinary", "income"))
    asked = read_notices.read_notices

    def meanwhile(*of: Any) -> Any:
        with ThreadPoolExecutor(1) as other:
            other.submit(market.says, person, "withdraw", ("ordinary", "income")).result()
        return asked(*of)

    monkeypatch.setattr(read_notices, "read_notices", meanwhile)
    found = market.call(person.pseudonym, "GET", "/v1/me/overview").json()
    assert stood(found) == {"given", "none"} and found["revocations"]["items"] == []
    monkeypatch.undo()
    found = market.call(person.pseudonym, "GET", "/v1/me/overview").json()
    assert stood(found) == {"withdrawn", "none"} and len(found["revocations"]["items"]) == 2
