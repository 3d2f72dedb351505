"""Statements of uses: in the log only with the consents that they name, in their order, once, by who may."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from support.desk import asked
from support.market import Market, open_market
from support.scoring import Desk, asks_to_score
from support.world import pseudonym

from consent.commands.append_entries import NewEntry
from consent.storage.tables import SubjectEntryRow
from crypto.errors import SignatureError
from crypto.keys import SigningKey
from law.categories import DataCategory
from protocol.records import record_id
from protocol.terms import TRAINING_PURPOSE
from protocol.uses import SCORING_PURPOSE, Blinding, UseStatement


@pytest.fixture
def fresh_market(tmp_path: Path) -> Iterator[Market]:
    with open_market(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """One for all who publish nothing more: people and desks are each test's own."""
    with open_market(tmp_path_factory.mktemp("market")) as opened:
        asks_to_score(opened)
        yield opened


@pytest.fixture
def desk(market: Market, tmp_path: Path) -> Desk:
    return Desk.of(market, tmp_path / "desk")


def handed_in(market, *statements: UseStatement, by: str = "aspen", key: SigningKey | None = None) -> list[dict]:
    tokens = [said.sign(key or market.keys[by]) for said in statements]
    answer = market.call(by, "POST", "/v1/uses", {"tokens": tokens})
    assert answer.status_code == 201, answer.text
    return answer.json()["items"]


def refusal(market, said: UseStatement, **how: Any) -> str:
    """Why the statement is not logged; nothing is."""
    before = market.log_size()
    [answer] = handed_in(market, said, **how)
    assert market.log_size() == before
    assert answer["index"] is None
    return answer["refused"]


def reading(desk: Desk, person, blinding: Blinding | None = None) -> UseStatement:
    statements, permission = desk.trail._statements, desk.permission(person)
    return statements.read(blinding or Blinding.of("a-1"), permission, {"bureau": DataCategory.BUREAU})


def altered(said: UseStatement, **changes: Any) -> UseStatement:
    return said.model_copy(update={"nonce": secrets.token_urlsafe(24), **changes})


def leaf(market, index: int) -> dict[str, Any]:
    market.checkpoint()
    return market.http.get(f"/v1/log/entries/{index}").json()


# --- what is logged


def test_a_skeleton_holds_hashes_alone_and_its_body_is_the_borrowers(market, desk):
    [person] = market.consenting("aspen")
    blinding, permission, logged = desk.reads(person)
    found = leaf(market, logged.index)
    assert found["use"] == {"application": blinding.name, "statement": logged.said.sha256}
    assert (found["type"], found["actor"], found["body"]["sealed_to"]) == ("use.read", "aspen", ["subject"])
    said, _ = desk.decides(blinding, permission)
    [answer] = handed_in(market, said)
    found = leaf(market, answer["index"])
    assert set(found["use"]) == {"application", "statement", "model", "policy", "law", "case"}
    text = json.dumps(found)
    for secret in (person.pseudonym, "a-1", "c" * 64, "approve", blinding.salt):
        assert secret not in text
    uses = market.call(person.pseudonym, "GET", "/v1/me/uses").json()["items"]
    assert [(use["what"], use["entry_index"]) for use in uses] == [
        ("use.read", logged.index), ("use.scored", answer["index"]),
    ]  # fmt: skip
    read = uses[0]
    assert (read["purpose"], read["time"]) == (SCORING_PURPOSE, logged.said.at.isoformat())
    assert (read["stated"]["application"], read["stated"]["sources"]["bureau"]) == (blinding.name, "bureau")
    assert read["stated"]["record_ids"] == [one.record_id for one in logged.said.consents]


def test_handed_in_again_it_has_the_index_that_it_has_whatever_was_taken_back_since(market, desk):
    [person] = market.consenting("aspen")
    said = reading(desk, person)
    [first] = handed_in(market, said)
    market.says(person, "withdraw")
    size = market.log_size()
    assert handed_in(market, said, said) == [first, first]
    assert market.log_size() == size
    assert "another statement" in refusal(market, altered(said))


def test_twice_in_one_request_is_one_entry(market, desk):
    [person] = market.consenting("aspen")
    said, size = reading(desk, person), market.log_size()
    first, second = handed_in(market, said, said)
    assert first == second == {"index": size, "refused": None, "wants_person": False}


def test_one_that_is_refused_holds_up_no_other(market, desk):
    one, other = market.consenting("aspen", 2)
    good, bad = reading(desk, one), altered(reading(desk, other), consents=reading(desk, one).consents)
    size = market.log_size()
    refused, taken = handed_in(market, bad, good)
    assert (refused["index"], taken["index"]) == (None, size)


def test_a_whole_application_can_come_in_one_request(market, desk):
    [person] = market.consenting("aspen")
    blinding = Blinding.of("a-7")
    read = reading(desk, person, blinding)
    scored, _ = desk.decides(blinding, desk.permission(person))
    explained = desk.trail.explained(blinding, scored, "Your instalments come late.")
    size = market.log_size()
    assert [one["index"] for one in handed_in(market, read, scored, explained)] == [size, size + 1, size + 2]


# --- what is not


def test_nothing_without_its_consent(market, desk):
    """Never asked, asked for training alone, withdrawn, objected to, or another category than was asked."""
    training = next(one for one in market.notices if one.purpose == TRAINING_PURPOSE)
    [person] = market.consenting("aspen")
    said = reading(desk, person)
    silent, learnt = market.enrol("aspen", 2)
    market.clock.move(seconds=1)
    assert market.decide(market.decision(learnt, {"ordinary": "give"}, training)).is_success
    for other in (silent, learnt):
        mine = tuple(one.model_copy(update={"record_id": _record(market, other)}) for one in said.consents)
        found = refusal(market, altered(said, pii_principal_id=other.pseudonym, consents=mine))
        assert "not given: never-asked" in found
    [consent] = said.consents
    more = consent.model_copy(update={"categories": (*consent.categories, DataCategory.SOCIAL)})
    assert "does not name social" in refusal(market, altered(said, consents=(more,)))
    income = consent.model_copy(update={"categories": (DataCategory.INCOME,)})
    sources = {"payroll": DataCategory.INCOME}
    assert "income needs another" in refusal(market, altered(said, consents=(income,), sources=sources))
    asked(market, person, "object")
    assert "not given: suspended" in refusal(market, said)


def _record(market, person, kind: str = "ordinary") -> str:
    return record_id(market.registry.consortium.log_origin, person.pseudonym, SCORING_PURPOSE, person.lender, kind)


def test_nothing_once_a_withdrawal_was_acknowledged_and_the_explanation_all_the_same(market, desk):
    [person] = market.consenting("aspen")
    blinding, permission, _ = desk.reads(person)
    scored, _ = desk.decides(blinding, permission)
    late_blinding, late_permission, _ = desk.reads(person, "a-2")
    late, _ = desk.decides(late_blinding, late_permission)
    assert handed_in(market, scored)[0]["index"] is not None
    market.says(person, "withdraw")
    assert "not given: withdrawn" in refusal(market, late)
    explained = desk.trail.explained(blinding, scored, "Your instalments come late.")
    assert handed_in(market, explained)[0]["index"] is not None


def test_a_purpose_other_than_scoring_is_refused(market, desk):
    [person] = market.consenting("aspen")
    assert "purpose" in refusal(market, altered(reading(desk, person), purpose=TRAINING_PURPOSE))


def test_another_version_of_the_notice_than_was_answered_is_refused(market, desk):
    [person] = market.consenting("aspen")
    said = reading(desk, person)
    for field, value in (("notice_version", 2), ("notice_id", "credit"), ("notice_sha256", "0" * 64)):
        [consent] = said.consents
        other = altered(said, consents=(consent.model_copy(update={field: value}),))
        assert "another notice" in refusal(market, other)


def test_a_consent_of_somebody_else_is_refused(market, desk):
    one, other = market.consenting("aspen", 2)
    said = altered(reading(desk, one), pii_principal_id=other.pseudonym)
    assert "another person's" in refusal(market, said)


def test_steps_come_in_their_order_about_one_person(market, desk):
    one, other = market.consenting("aspen", 2)
    blinding = Blinding.of("a-3")
    scored, _ = desk.decides(blinding, desk.permission(one))
    assert "no use.read" in refusal(market, scored)
    handed_in(market, reading(desk, other, blinding))
    assert "no use.read of this application and person" in refusal(market, scored)
    assert "no use.scored" in refusal(market, desk.trail.explained(blinding, scored, "why"))


def test_only_a_lender_about_its_own_and_in_its_own_name(market, desk):
    [person] = market.consenting("aspen")
    said = reading(desk, person)
    token = said.sign(market.keys["aspen"])
    for caller in ("coordinator", "auditor", "registry"):
        assert market.call(caller, "POST", "/v1/uses", {"tokens": [token]}).status_code == 403
    assert "verify" in refusal(market, said, by="birch", key=market.keys["aspen"])
    assert "statement of 'aspen'" in refusal(market, said, by="birch")
    assert "verify" in refusal(market, said, key=market.keys["coordinator"])
    assert "not enrolled" in refusal(market, altered(said, pii_principal_id=pseudonym()))
    assert "not enrolled" in refusal(market, altered(said, lender="birch"), by="birch")


def test_a_statement_from_the_future_is_refused(market, desk):
    [person] = market.consenting("aspen")
    said = reading(desk, person)
    at = market.clock.move(minutes=6)
    market.clock.move(minutes=-6)
    assert "future" in refusal(market, altered(said, at=at))


def test_the_log_api_takes_no_use_from_anybody(market):
    """What a party logs of its own has no such field: only statements that were checked have."""
    entry = {"type": "use.scored", "to": ["auditor"], "use": {"application": "0" * 64}}
    for caller in ("aspen", "coordinator"):
        assert market.call(caller, "POST", "/v1/log/entries", {"entries": [entry]}).status_code == 422
    assert "use" not in NewEntry.model_fields


def test_statements_have_no_field_that_is_not_theirs(market, desk):
    [person] = market.consenting("aspen")
    said = reading(desk, person)
    with pytest.raises(SignatureError, match=r"extra|score"):
        UseStatement._of(said.payload() | {"score": 612})
    for wrong in ({"policy": "0" * 64}, {"automated": True}, {"document": "0" * 64}, {"consents": []},
                  {"sources": {"payroll": "income"}}):  # fmt: skip
        with pytest.raises(SignatureError):
            UseStatement._of(said.payload() | wrong)


# --- decisions by a machine alone, and limits on use


def test_no_machine_alone_where_the_notice_or_the_person_says_so(fresh_market, tmp_path):
    market = fresh_market
    asks_to_score(market, automated_decision=False)
    desk = Desk.of(market, tmp_path / "desk")
    [person] = market.consenting("aspen")
    blinding, permission, _ = desk.reads(person)
    scored, _ = desk.decides(blinding, permission, automated=True)
    assert "machine alone" in refusal(market, scored)
    assert handed_in(market, altered(scored, automated=False))[0]["index"] is not None


def test_who_refuses_automated_decisions_is_told_of_and_not_decided_about_by_a_machine(market, desk):
    [person] = market.consenting("aspen")
    asked(market, person, "refuse-automated")
    blinding, permission, logged = desk.reads(person)
    assert logged.wants_person
    scored, _ = desk.decides(blinding, permission, automated=True)
    assert "machine alone" in refusal(market, scored)
    assert handed_in(market, altered(scored, automated=False))[0]["index"] is not None


@pytest.mark.parametrize(
    ("limits", "most"), [({"fetch_type": "one-time"}, 1), ({"frequency": {"times": 2, "per": "week"}}, 2)]
)
def test_a_consent_is_used_no_oftener_than_its_notice_says(fresh_market, tmp_path, limits, most):
    market = fresh_market
    asks_to_score(market, limits=limits)
    desk = Desk.of(market, tmp_path / "desk")
    [person] = market.consenting("aspen")
    for number in range(most):
        market.clock.move(seconds=1)
        desk.reads(person, f"a-{number}")
    assert "used up" in refusal(market, reading(desk, person, Blinding.of("one-more")))
    market.clock.move(days=8)
    if "frequency" in limits:
        desk.reads(person, "next-week")
        return
    assert "used up" in refusal(market, reading(desk, person, Blinding.of("one-more")))
    market.says(person, "withdraw")
    market.says(person, "give")
    market.clock.move(minutes=3)
    desk.reads(person, "given-anew")


def following(desk: Desk, person, first: Blinding, application: str = "review-1") -> UseStatement:
    return reading(desk, person, Blinding.of(application, first))


def limited(market: Market, folder: Path, **limits: Any) -> tuple[Desk, Any]:
    """Somebody whose consent counts its uses."""
    asks_to_score(market, limits=limits)
    [person] = market.consenting("aspen")
    market.clock.move(seconds=1)
    return Desk.of(market, folder / "desk"), person


ONCE = {"fetch_type": "one-time"}


def test_the_review_of_an_application_is_part_of_its_use(fresh_market, tmp_path):
    market = fresh_market
    desk, person = limited(market, tmp_path, **ONCE)
    first, permission, _ = desk.reads(person)
    desk.sender.deliver()
    review = Blinding.of("review-1", first)
    for said in (following(desk, person, first, "verification-1"), reading(desk, person, review)):
        assert handed_in(market, said)[0]["index"] is not None
    decided, _ = desk.decides(review, permission, automated=False)
    assert handed_in(market, decided)[0]["index"] is not None
    assert "used up" in refusal(market, reading(desk, person, Blinding.of("another")))


def test_no_machine_decides_in_what_follows_an_application(market, desk):
    [person] = market.consenting("aspen")
    first, permission, _ = desk.reads(person)
    review = Blinding.of("review-1", first)
    handed_in(market, reading(desk, person, review))
    with pytest.raises(ValueError, match="a person decides"):
        desk.decides(review, permission, automated=True)
    alone, _ = desk.decides(Blinding("review-1", review.salt), permission, automated=True)
    assert "another application than the step before" in refusal(market, alone)


def test_what_follows_follows_an_application_of_the_same_person_that_follows_none(market, desk):
    one, other = market.consenting("aspen", 2)
    first, _, _ = desk.reads(one)
    assert "no use.read of this application and person" in refusal(market, following(desk, other, first))
    assert "no use.read of this application" in refusal(market, following(desk, one, Blinding.of("nowhere")))
    review = Blinding.of("review-1", first)
    handed_in(market, reading(desk, one, review))
    assert "itself part of another" in refusal(market, following(desk, one, review, "chained"))


def test_what_follows_a_use_of_a_consent_that_was_given_anew_is_a_use_of_its_own(fresh_market, tmp_path):
    market = fresh_market
    desk, person = limited(market, tmp_path, **ONCE)
    first, _, _ = desk.reads(person)
    market.clock.move(seconds=1)
    market.says(person, "withdraw")
    assert "withdrawn" in refusal(market, following(desk, person, first))
    market.says(person, "give")
    market.clock.move(minutes=3)
    assert handed_in(market, following(desk, person, first))[0]["index"] is not None
    assert "used up" in refusal(market, following(desk, person, first, "once-more"))
    assert "used up" in refusal(market, reading(desk, person, Blinding.of("another")))


@pytest.mark.parametrize("limits", [ONCE, {"frequency": {"times": 1, "per": "day"}}])
def test_two_uses_in_one_request_are_two(fresh_market, tmp_path, limits):
    """A batch is counted as it grows, and in the second in which the consent was given."""
    market = fresh_market
    asks_to_score(market, limits=limits)
    [person] = market.consenting("aspen")
    desk = Desk.of(market, tmp_path / "desk")
    first = Blinding.of("a-1")
    said = [reading(desk, person, one) for one in (first, Blinding.of("a-2"), Blinding.of("r", first))]
    assert [one["refused"] and "used up" in one["refused"] for one in handed_in(market, *said)] == [None, True, None]
    assert "used up" in refusal(market, reading(desk, person, Blinding.of("a-3")))


# --- afterwards


def test_a_forgotten_person_leaves_entries_that_nobody_can_read(market, desk):
    [person] = market.consenting("aspen")
    _, _, logged = desk.reads(person)
    said = reading(desk, person, Blinding.of("a-2"))
    assert market.call(person.pseudonym, "DELETE", "/v1/me").is_success
    assert "not enrolled" in refusal(market, said)
    assert leaf(market, logged.index)["use"]["statement"] == logged.said.sha256
    with market.registry.ledger.read() as session:
        about = SubjectEntryRow.entry_index == logged.index
        assert session.scalar(select(func.count()).where(about)) == 0


def test_it_is_the_same_on_either_database(any_market, tmp_path):
    asks_to_score(any_market)
    desk = Desk.of(any_market, tmp_path / "desk")
    [person] = any_market.consenting("aspen")
    blinding, permission, _ = desk.reads(person)
    scored, _ = desk.decides(blinding, permission)
    first = handed_in(any_market, scored)
    assert handed_in(any_market, scored) == first
    late = reading(desk, person, Blinding.of("a-2"))
    any_market.says(person, "withdraw")
    assert "not given: withdrawn" in refusal(any_market, late)
