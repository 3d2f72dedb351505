"""What the desk states in the log: before it reads, before a decision has effect, once, provably, whatever dies."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import done, refused
from support.market import Market, open_market
from support.scoring import SOURCES, Desk, asks_to_score, decided
from support.waiting import PATIENCE_S, until
from support.world import pseudonym

from crypto.errors import CryptoError, ProofError
from crypto.keys import SigningKey
from desk.office import InHand
from desk.outbox import Sender, UseRefused
from desk.statements import Decided, decision_payload
from desk.trail import LoggedUse, Trail
from law.categories import DataCategory
from protocol.errors import Conflict, RegistryUnavailable
from protocol.receipts import verify_kept
from protocol.uses import Blinding, DecisionReceipt, UseStatement, check_decision_receipt


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """One for all: people and desks are each test's own."""
    with open_market(tmp_path_factory.mktemp("market")) as opened:
        asks_to_score(opened)
        yield opened


@pytest.fixture
def desk(market: Market, tmp_path: Path) -> Desk:
    return Desk.of(market, tmp_path / "desk")


def logged_uses(market: Market, since: int) -> list[tuple[str, str]]:
    """Type and application of every use in the log from this entry on, in order."""
    market.checkpoint()
    size, found = market.log_size(), []
    for index in range(since, size):
        leaf = market.http.get(f"/v1/log/entries/{index}").json()
        if "use" in leaf:
            found.append((leaf["type"], leaf["use"]["application"]))
    return found


# --- before anything is read, before anything has effect


def test_nothing_may_be_read_of_whom_nothing_is_granted(market, desk):
    [silent] = market.enrol("aspen")
    size = market.log_size()
    with pytest.raises(UseRefused, match="not consented"):
        desk.trail.read(Blinding.of("a"), desk.permission(silent), {})
    assert market.log_size() == size


def test_a_source_is_asked_only_for_what_is_granted(market, desk):
    [person] = market.consenting("aspen")
    with pytest.raises(ValueError, match="income, which no consent covers"):
        desk.trail.read(Blinding.of("a"), desk.permission(person), {"payroll": DataCategory.INCOME})


def test_a_withdrawal_that_the_copy_has_not_heard_of_stops_the_reading(market, desk):
    [person] = market.consenting("aspen")
    stale = desk.permission(person)
    market.says(person, "withdraw")
    with pytest.raises(UseRefused, match="withdrawn"):
        desk.trail.read(Blinding.of("a"), stale, SOURCES)


def test_a_decision_waits_for_its_index_and_has_it_once(market, desk):
    [person] = market.consenting("aspen")
    blinding, permission, _ = desk.reads(person)
    said, _ = desk.decides(blinding, permission)
    with pytest.raises(RegistryUnavailable, match="not acknowledged"):
        desk.sender.wait("a-1", "use.scored", 0.0)
    size = market.log_size()
    assert desk.sender.deliver() == 1
    assert desk.sender.wait("a-1", "use.scored", 0.0) == size
    assert desk.sender.deliver() == 0
    with desk.storage.write() as connection:
        desk.trail.record(connection, blinding, said)
    assert desk.sender.deliver() == 0
    assert market.log_size() == size + 1


def test_who_takes_the_yes_back_between_reading_and_decision_voids_it(market, desk):
    [person] = market.consenting("aspen")
    blinding, permission, _ = desk.reads(person)
    desk.decides(blinding, permission)
    market.says(person, "withdraw")
    desk.sender.deliver()
    with pytest.raises(UseRefused, match="withdrawn"):
        desk.sender.wait("a-1", "use.scored", 0.0)
    market.says(person, "give")
    assert desk.sender.deliver() == 0, "refused for good"
    assert desk.trail.receipt(blinding, {}) is None


def test_an_application_is_decided_once(market, desk):
    [person] = market.consenting("aspen")
    blinding, permission, _ = desk.reads(person)
    desk.decides(blinding, permission)
    with pytest.raises(Conflict, match="recorded already"):
        desk.decides(blinding, permission, outcome="decline")


def test_a_decision_that_is_rolled_back_leaves_nothing_to_deliver(market, desk):
    [person] = market.consenting("aspen")
    blinding, permission, _ = desk.reads(person)
    case, decision = decided("a-1", market)
    said = desk.trail.scored(blinding, permission, Decided(case, decision_payload(decision), {}, True))
    with pytest.raises(ZeroDivisionError), desk.storage.write() as connection:
        desk.trail.record(connection, blinding, said)
        raise ZeroDivisionError
    assert desk.sender.deliver() == 0


# --- whatever dies


class Killed(BaseException):
    """The process is gone at this instruction."""


def dies(*_: object, **__: object) -> None:
    raise Killed


def test_killed_between_the_logs_answer_and_its_note_the_index_is_the_same(market, desk, tmp_path, monkeypatch):
    [person] = market.consenting("aspen")
    blinding, permission, _ = desk.reads(person)
    desk.decides(blinding, permission)
    size = market.log_size()
    monkeypatch.setattr(desk.outbox, "settle", dies)
    with pytest.raises(Killed):
        desk.sender.deliver()
    assert market.log_size() == size + 1
    again = Desk.of(market, tmp_path / "desk")
    assert again.sender.deliver() == 1
    assert again.sender.wait("a-1", "use.scored", 0.0) == size
    assert market.log_size() == size + 1


def test_killed_before_the_log_heard_of_it_it_is_delivered_by_the_next(market, desk, tmp_path, monkeypatch):
    [person], size = market.consenting("aspen"), market.log_size()
    blinding, permission, _ = desk.reads(person)
    desk.decides(blinding, permission)
    monkeypatch.setattr(desk.client, "log_uses", dies)
    with pytest.raises(Killed):
        desk.sender.deliver()
    again = Desk.of(market, tmp_path / "desk")
    again.sender.start()
    try:
        assert again.sender.wait("a-1", "use.scored", 10.0) > 0
    finally:
        again.sender.stop()
    assert logged_uses(market, size) == [("use.read", blinding.name), ("use.scored", blinding.name)]


def test_an_answer_that_is_lost_is_asked_for_again(market, desk, monkeypatch):
    [person] = market.consenting("aspen")
    blinding, permission, _ = desk.reads(person)
    desk.decides(blinding, permission)
    heard, lost = desk.client.log_uses, iter([True])

    def deaf(tokens):
        answers = heard(tokens)
        if next(lost, False):
            raise RegistryUnavailable("no answer")
        return answers

    monkeypatch.setattr(desk.client, "log_uses", deaf)
    size = market.log_size()
    desk.sender.start()
    try:
        assert desk.sender.wait("a-1", "use.scored", 10.0) == size
    finally:
        desk.sender.stop()
    assert market.log_size() == size + 1


def test_many_at_once_each_have_one_entry_in_few_requests(market, desk, monkeypatch):
    people, sent, size = market.consenting("aspen", 24), [], market.log_size()
    for number, person in enumerate(people):
        blinding, permission, _ = desk.reads(person, f"a-{number}")
        desk.decides(blinding, permission)
    hand_in = desk.client.log_uses
    monkeypatch.setattr(desk.client, "log_uses", lambda tokens: (sent.append(len(tokens)), hand_in(tokens))[1])
    found: dict[int, int] = {}
    other = Sender(desk.outbox, desk.client)
    desk.sender.start(), other.start()

    def waits(number: int) -> None:
        found[number] = desk.sender.wait(f"a-{number}", "use.scored", 20.0)

    threads = [threading.Thread(target=waits, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    desk.sender.stop(), other.stop()
    assert sorted(found) == list(range(24))
    assert len(set(found.values())) == 24
    assert max(sent) > 1
    assert len(logged_uses(market, size)) == 48


def test_what_many_are_about_to_read_is_stated_in_few_requests(market, desk, monkeypatch):
    people, sent = market.consenting("aspen", 16), []
    permissions = [desk.permission(person) for person in people]
    hand_in, first = desk.client.log_uses, threading.Event()

    def slowly(tokens):
        sent.append(len(tokens))
        first.wait(PATIENCE_S)
        return hand_in(tokens)

    monkeypatch.setattr(desk.client, "log_uses", slowly)
    found: dict[int, LoggedUse] = {}

    def reads(number: int) -> None:
        found[number] = desk.trail.read(Blinding.of(f"a-{number}"), permissions[number], SOURCES)

    threads = [threading.Thread(target=reads, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    until(lambda: len(desk.trail.together._waiting) == 15, "all but the first wait for their turn")
    first.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sent == [1, 15]
    assert all(one.said.pii_principal_id == people[number].pseudonym for number, one in found.items())
    market.checkpoint()
    for one in found.values():
        leaf = market.http.get(f"/v1/log/entries/{one.index}").json()
        assert leaf["use"]["statement"] == one.said.sha256


def test_a_request_that_fails_is_told_to_all_who_were_in_it_and_to_no_later_one(market, desk, monkeypatch):
    [person] = market.consenting("aspen")
    permission = desk.permission(person)
    with monkeypatch.context() as patch:
        patch.setattr(desk.client, "log_uses", lambda _: (_ for _ in ()).throw(RegistryUnavailable("no answer")))
        with pytest.raises(RegistryUnavailable, match="no answer"):
            desk.trail.read(Blinding.of("a-1"), permission, SOURCES)
    assert desk.trail.read(Blinding.of("a-2"), permission, SOURCES).index > 0


def test_what_the_log_holds_at_the_index_must_be_what_was_stated(market, desk, monkeypatch):
    """A registry that acknowledges and does not log is found out by the proof."""
    [person] = market.consenting("aspen")
    blinding, permission, _ = desk.reads(person)
    _, payload = desk.decides(blinding, permission)
    desk.sender.deliver()
    market.checkpoint()
    kept = desk.outbox.logged("a-1")
    with desk.storage.write() as connection:
        connection.exec_driver_sql("UPDATE outbox SET entry_index = 0 WHERE step = 'use.scored'")
    assert kept["use.scored"].index != 0
    with pytest.raises(RegistryUnavailable, match="another entry at 0"):
        desk.trail.receipt(blinding, payload)


def test_a_key_that_is_no_lenders_makes_no_statements(market, desk):
    for key in (SigningKey.generate(), market.keys["coordinator"]):
        with pytest.raises(Conflict, match=r"not a lender"):
            Trail(desk.outbox, desk.client, key)


# --- receipts


@pytest.fixture
def decided_about(market, desk):
    """Somebody, what opens the decision about them, the decision, and its receipt."""
    [person] = market.consenting("aspen")
    blinding, permission, _ = desk.reads(person)
    said, payload = desk.decides(blinding, permission)
    with desk.storage.write() as connection:
        desk.trail.record(connection, blinding, desk.trail.explained(blinding, said, "Late, twice."))
    desk.sender.deliver()
    market.checkpoint()
    return person, blinding, payload, desk.trail.receipt(blinding, payload)


def test_a_receipt_verifies_with_nobody_asked_and_says_what_it_rests_on(market, decided_about):
    person, _, payload, token = decided_about
    found = verify_kept(token, market.registry.consortium, [person.pseudonym])
    assert found.facts["decision"] == payload
    assert found.facts["decision"]["outcome"] == "approve"
    assert (found.facts["model"], found.facts["policy"], found.facts["law"]) == ("1" * 64, "2" * 64, "3" * 64)
    assert found.facts["entries"]["use.read"] < found.facts["entries"]["use.scored"]
    assert found.facts["consents"][0]["categories"] == ["repayment", "bureau"]
    assert "before it took effect" in found.sentence
    with pytest.raises(ProofError, match="somebody else"):
        verify_kept(token, market.registry.consortium, [pseudonym()])


def test_the_command_verifies_a_receipt_and_refuses_a_forged_one(market, decided_about, tmp_path):
    person, _, payload, token = decided_about
    consortium, file, forged = tmp_path / "consortium.jws", tmp_path / "mine.jws", tmp_path / "forged.jws"
    consortium.write_text(market.registry.consortium.sign(market.keys["registry"]), encoding="utf-8")
    file.write_text(token, encoding="utf-8")
    other = DecisionReceipt.claimed(token).model_copy(update={"decision": payload | {"outcome": "decline"}})
    forged.write_text(other.sign(market.keys["aspen"]), encoding="utf-8")
    pinned = ("--consortium", consortium, "--registry-key", market.keys["registry"].public.text)
    verify = ("receipt", "verify", "--person", person.pseudonym, *pinned)
    assert "aspen decided 'approve' about application a-1" in done(*verify, file)
    assert "another decision" in refused(*verify, forged)


def test_a_receipt_verifies_after_the_registry_has_forgotten_the_person(market, decided_about):
    person, _, _, token = decided_about
    assert market.call(person.pseudonym, "DELETE", "/v1/me").is_success
    assert verify_kept(token, market.registry.consortium).about == person.pseudonym


def test_a_receipt_is_there_again_without_the_log(market, desk, decided_about, monkeypatch):
    _, blinding, payload, token = decided_about
    monkeypatch.setattr(desk.client, "_send", dies)
    assert (
        DecisionReceipt.claimed(desk.trail.receipt(blinding, payload)).scored == DecisionReceipt.claimed(token).scored
    )


def test_no_receipt_of_another_decision_than_was_stated(market, desk, decided_about):
    _, blinding, payload, token = decided_about
    with pytest.raises(ProofError, match="another decision"):
        desk.trail.receipt(blinding, {**payload, "outcome": "decline"})
    receipt, consortium = DecisionReceipt.claimed(token), market.registry.consortium
    key, forger = market.keys["aspen"], SigningKey.generate()
    other = Blinding.of("a-1")
    forged = {
        "outcome": {"decision": {**payload, "outcome": "decline"}},
        "case": {"decision": {**payload, "case_hash": "d" * 64}},
        "salt": {"salt": other.salt},
        "application": {"application": "a-2"},
        "person": {"pii_principal_id": pseudonym()},
        "swapped": {"read": receipt.scored, "scored": receipt.read},
        "no entry": {"scored": receipt.scored.model_copy(update={"entry": "!"})},
        "no json": {"scored": receipt.scored.model_copy(update={"entry": "AAAA"})},
        "entry": {"scored": receipt.scored.model_copy(update={"entry": receipt.read.entry})},
        "proof": {"scored": receipt.scored.model_copy(update={"proof": receipt.read.proof})},
        "lender": {"lender": "birch"},
    }
    for what, changes in forged.items():
        token = receipt.model_copy(update=changes).sign(key)
        with pytest.raises(CryptoError):
            pytest.fail(f"{what}: {verify_kept(token, consortium)}")
    with pytest.raises(CryptoError):
        verify_kept(receipt.sign(forger), consortium)
    with pytest.raises(CryptoError, match="no lender"):
        verify_kept(receipt.model_copy(update={"lender": "coordinator"}).sign(market.keys["coordinator"]), consortium)


def test_a_receipt_does_not_rest_on_what_was_not_named_before(market, desk, decided_about):
    """A lender that reads first and names it afterwards has no receipt to show."""
    person, _, payload, token = decided_about
    receipt, consortium = DecisionReceipt.claimed(token), market.registry.consortium
    said = UseStatement.claimed(receipt.scored.token)
    key = market.keys["aspen"]
    trust = (key.public, consortium.log_origin, consortium.policy)
    second = Blinding.of("a-9")
    permission = desk.permission(person)
    read = desk.trail.read(second, permission, {"own-book": DataCategory.REPAYMENT})
    with desk.storage.write() as connection:
        hand = InHand(connection, market.clock())
        desk.trail.keep(hand, read)
        hand.insert_added()
    scored, payload = desk.decides(second, permission)
    assert scored.sources == SOURCES == said.sources
    desk.sender.deliver()
    market.checkpoint()
    with pytest.raises(ProofError, match="source that was not named"):
        desk.trail.receipt(second, payload)
    assert check_decision_receipt(receipt, *trust)


def test_a_receipt_of_a_review_proves_which_application_it_is_part_of(market, desk):
    [person] = market.consenting("aspen")
    first, permission, _ = desk.reads(person)
    review = Blinding.of("r-1", first)
    sources = {"bureau": DataCategory.BUREAU}
    with desk.storage.write() as connection:
        hand = InHand(connection, market.clock())
        desk.trail.keep(hand, desk.trail.read(review, permission, sources))
        hand.insert_added()
    case, decision = decided("a-1", market)
    payload = decision_payload(decision)
    said = desk.trail.scored(review, permission, Decided(case, payload, sources, False))
    with desk.storage.write() as connection:
        desk.trail.record(connection, review, said)
    desk.sender.deliver()
    market.checkpoint()
    token = desk.trail.receipt(review, payload)
    found = verify_kept(token, market.registry.consortium, [person.pseudonym])
    assert found.facts["follows"] == first.name and "part of the use" in found.sentence
    receipt, key = DecisionReceipt.claimed(token), market.keys["aspen"]
    for forged in ({"first_salt": None}, {"first_salt": review.salt}):
        token = receipt.model_copy(update=forged).sign(key)
        with pytest.raises(ProofError, match="of this application"):
            verify_kept(token, market.registry.consortium)


def test_a_decision_in_json_has_no_floating_point_and_all_but_the_trace(market):
    _, decision = decided("a", market)
    payload = decision_payload(decision)
    text = json.dumps(payload)
    assert not [one for one in json.loads(text, parse_float=lambda text: [text]) if isinstance(one, list)]
    assert payload["offer"]["cost"]["compound"] == "0.1280"
    assert payload["scored"]["probability"] == "0.0625"
    assert payload["offer"]["amount"] == 1_000_000
    assert len(payload["trace"]) == 64
    assert decision_payload(decision) == payload
