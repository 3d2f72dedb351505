"""Recording decisions: signed by the borrower, once, all or nothing, with a log entry (invariant 3)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import insert, select, text
from support.house import House
from support.world import GENERAL

from auditlog.log import AuditLog
from auditlog.witnesses import Witnesses
from consent.commands.record_decisions import record_decisions
from consent.storage.subjects import find_subjects
from consent.storage.tables import ConsentEventRow, ConsentRow, DataKeyRow, DecisionRow, LoginLinkRow, SubjectRow
from consent.transaction import Transaction, writing
from crypto.bodies import SealedBody, unseal
from crypto.errors import SealError
from crypto.keys import SigningKey, unb64
from crypto.notes import InclusionProof
from crypto.sealing import body_context
from protocol.consents import Action, ConsentDecision
from protocol.errors import ConsentError, NotAuthenticated, NotWitnessed, RegistryUnavailable
from protocol.schema import now
from protocol.states import ConsentStatus, Event, state_after


def state_of(house: House, person) -> dict[str, str]:
    records = house.borrower_client(person).my_consents()
    return {r.pii_processing.sensitivity: r.event.event_state.value for r in records}


def everything(house: House) -> tuple:
    with house.registry.ledger.read() as session:
        consents = sorted((r.subject_id, r.sensitivity, r.state) for r in session.scalars(select(ConsentRow)))
        events = session.scalars(select(ConsentEventRow.sequence)).all()
        decisions = sorted(session.scalars(select(DecisionRow.sha256)))
        return consents, len(events), decisions, house.registry.ledger.log.size(session)


def resign(token: str, key: SigningKey, **fields) -> str:
    """The same decision, but for these fields, as somebody else says it, or the same person anew."""
    changes = {"nonce": secrets.token_urlsafe(16), **fields}
    return ConsentDecision.claimed(token).model_copy(update=changes).sign(key)


@contextmanager
def refused(house: House, reason: str) -> Iterator[pytest.ExceptionInfo[ConsentError]]:
    """What is done here is refused, and nothing is recorded of it."""
    before = everything(house)
    with pytest.raises(ConsentError, match=reason) as told:
        yield told
    assert everything(house) == before


def test_a_decision_is_acknowledged_with_a_receipt_that_verifies_offline(house):
    person = house.consenting()[0]
    receipt = house.anyone().decide([person.withdrawal(house.notice)])[0]
    assert set(receipt.states.values()) == {"withdrawn"}
    proof = InclusionProof.parse(receipt.proof)
    proof.verify(unb64(receipt.entry), house.registry.ledger.log.verifier)


def test_the_projection_is_the_fold_over_the_events(house):
    for person in house.consenting()[:10]:
        house.withdraw(person)
    with house.registry.ledger.read() as session:
        for row in session.scalars(select(ConsentRow)):
            events = session.scalars(
                select(ConsentEventRow.event)
                .where(
                    ConsentEventRow.subject_id == row.subject_id,
                    ConsentEventRow.scope_id == row.scope_id,
                    ConsentEventRow.sensitivity == row.sensitivity,
                )
                .order_by(ConsentEventRow.sequence)
            )
            assert state_after(Event(event) for event in events) is ConsentStatus(row.state)


def test_an_illegal_transition_is_409_and_changes_nothing(house):
    person = house.consenting()[0]
    house.withdraw(person)
    with refused(house, "cannot be changed") as told:
        house.withdraw(person)
    assert (told.value.status, told.value.code) == (409, "illegal-transition")


def test_one_bad_decision_spoils_the_batch_and_nothing_is_recorded(house):
    good, other = house.consenting()[:2]
    forged = other.withdrawal(house.notice)
    forged = forged[:-6] + ("AAAAAA" if not forged.endswith("AAAAAA") else "BBBBBB")
    with refused(house, "decision 2 of 2"):
        house.anyone().decide([good.withdrawal(house.notice), forged])


def test_a_decision_acts_once(house):
    person = house.consenting()[0]
    token = person.withdrawal(house.notice)
    house.anyone().decide([token])
    with refused(house, "recorded before"):
        house.anyone().decide([token])
    again = house.consenting()[1].withdrawal(house.notice)
    with refused(house, "twice in one request"):
        house.anyone().decide([again, again])


def test_a_decision_that_was_held_back_cannot_undo_a_later_one(house):
    """A lender that keeps a signed yes and hands it in after the withdrawal changes nothing."""
    person = house.borrowers["aspen"][9]
    assert person.answer == "silent"
    held = person.decide(house.notice, {"ordinary": Action.GIVE})
    later = ConsentDecision.claimed(held)
    for seconds, action in enumerate((Action.GIVE, Action.WITHDRAW), 1):
        moment = later.event_time + timedelta(seconds=seconds)
        said = resign(person.decide(house.notice, {"ordinary": action}), person.key, event_time=moment)
        house.anyone().decide([said])
    with refused(house, "has decided since"):
        house.anyone().decide([held])


def test_an_expiry_is_written_as_an_event_before_the_next_answer(house):
    person = house.borrowers["aspen"][9]
    given = person.decide(house.notice, {"ordinary": Action.GIVE})
    house.anyone().decide([resign(given, person.key, expiry_time=now() + timedelta(seconds=60))])
    house.clock.move(seconds=90)
    again = ConsentDecision.claimed(given).event_time + timedelta(seconds=80)
    record_decisions(house.registry, [resign(given, person.key, event_time=again)])
    with house.registry.ledger.read() as session:
        subject = session.scalar(select(SubjectRow.id).where(SubjectRow.pseudonym == person.pseudonym))
        events = session.scalars(
            select(ConsentEventRow.event)
            .where(ConsentEventRow.subject_id == subject)
            .order_by(ConsentEventRow.sequence)
        ).all()
    assert events == ["give", "expire", "give"]
    assert state_after(Event(event) for event in events) is ConsentStatus.GIVEN


def test_a_receipt_for_another_entry_is_not_believed(house, monkeypatch):
    """A registry that acknowledges a withdrawal it did not log is caught by the borrower's own client."""
    first, second = house.consenting()[:2]
    real = house.anyone().decide([first.withdrawal(house.notice)])[0]
    token = second.withdrawal(house.notice)
    lie = real.model_copy(
        update={"pii_principal_id": second.pseudonym, "decision_sha256": ConsentDecision.claimed(token).sha256}
    ).sign(house.registry.signing_key)
    answer = httpx.Response(201, json={"recorded": 1, "receipts": [lie]})
    client = house.anyone()
    monkeypatch.setattr(client, "_send", lambda *_: answer)
    with pytest.raises(RegistryUnavailable, match="does not commit to this decision"):
        client.decide([token])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"notice_sha256": "0" * 64}, "another text"),
        ({"notice_language": "fr"}, "no text"),
        ({"notice_version": 9}, "no notice"),
        ({"event_time": now() + timedelta(hours=1)}, "future"),
        ({"event_time": now() - timedelta(days=8)}, "seven days"),
        ({"expiry_time": now() - timedelta(seconds=1)}, "expired already"),
    ],
)
def test_a_decision_that_does_not_fit_the_notice_or_the_time_is_refused(house, fields, reason):
    person = house.consenting()[0]
    with refused(house, reason):
        house.anyone().decide([resign(person.withdrawal(house.notice), person.key, **fields)])


def test_only_the_borrower_can_decide(house):
    """An unknown borrower and a wrong key are told apart by nobody."""
    person = house.consenting()[0]
    token = person.withdrawal(house.notice)
    sentences = set()
    unknown = resign(token, person.key, pii_principal_id="v1." + "A" * 43)
    for bad in (unknown, resign(token, SigningKey.generate())):
        with refused(house, "not signed by an enrolled borrower") as told:
            house.anyone().decide([bad])
        assert told.value.status == 401
        sentences.add(str(told.value))
    assert len(sentences) == 1


def test_a_lender_s_pseudonym_cannot_decide_about_another_lender(house):
    person = house.consenting("aspen")[0]
    token = person.decide(house.notice, {"ordinary": Action.WITHDRAW})
    claimed = ConsentDecision.claimed(token)
    choice = claimed.choices[0].model_copy(update={"recipient": "birch"})
    with pytest.raises(ConsentError, match="lender that enrolled it"):
        house.anyone().decide([resign(token, person.key, choices=(choice,))])


def test_no_state_change_without_its_log_entry(house, monkeypatch):
    """Invariant 3: the change and its entry commit in one transaction, or neither does."""
    person = house.consenting()[0]
    before = everything(house)

    def fail(*_, **__):
        raise RuntimeError("the process dies here")

    with monkeypatch.context() as patch:
        patch.setattr(AuditLog, "append", fail)
        with pytest.raises(RuntimeError):
            record_decisions(house.registry, [person.withdrawal(house.notice)])
    assert everything(house) == before
    assert state_of(house, person)["ordinary"] == "given"


def test_a_full_disk_is_one_sentence_and_nothing_is_recorded(house):
    before = everything(house)
    with house.registry.ledger.database.write() as session:
        pages = session.scalar(text("PRAGMA page_count"))
    with house.registry.ledger.database.engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        connection.rollback()
    with pytest.raises(ConsentError, match="nothing was recorded") as told:
        for lender in house.borrowers:
            for person in house.consenting(lender):
                record_decisions(house.registry, [person.withdrawal(house.notice)])
                before = everything(house)
    assert told.value.status == 503
    consents, _, decisions, entries = everything(house)
    assert (len(decisions), entries) == (len(before[2]), before[3])
    assert len(consents) == len(before[0])


def test_forgetting_makes_bodies_unreadable_while_proofs_verify(house):
    """Invariant 8."""
    person = house.consenting("cedar")[0]
    registry = house.registry
    receipt = house.anyone().decide([person.withdrawal(house.notice)])[0]
    proof = InclusionProof.parse(receipt.proof)
    with registry.ledger.read() as session:
        wrapped = session.scalars(select(DataKeyRow.wrapped).order_by(DataKeyRow.subject_id)).all()
        keys_before = len(wrapped)
        entry = registry.ledger.log.entry(session, proof.index)
        about = json.loads(entry.leaf)["body"]
        sealed = SealedBody(entry.body, unb64(about["key_commitment"]))
    assert house.borrower_client(person).forget_me() == 0, "both consents were withdrawn already"
    with registry.ledger.read() as session:
        names = session.scalars(select(SubjectRow.pseudonym)).all()
        remaining = find_subjects(Transaction(registry, session, registry.clock()), names)
        assert len(remaining) == keys_before - 1
        for subject in remaining.values():
            with pytest.raises(SealError):
                unseal(subject.data_key, sealed, body_context("consent.decided"))
        registry.ledger.log.prove_inclusion(session, proof.index).verify(entry.leaf, registry.ledger.log.verifier)
    proof.verify(unb64(receipt.entry), registry.ledger.log.verifier)
    with pytest.raises(ConsentError):
        house.anyone().decide([person.decide(house.notice, {"ordinary": Action.GIVE})])


def test_forgetting_ends_every_live_consent(house):
    person = next(p for p in house.consenting("cedar") if p.sensitive)
    assert house.borrower_client(person).forget_me() == 2
    with pytest.raises(ConsentError):
        state_of(house, person)


def test_two_answers_to_the_same_question_are_malformed(house):
    person = house.consenting()[0]
    token = person.decide(house.notice, {"ordinary": Action.WITHDRAW})
    twice = ConsentDecision.claimed(token).choices * 2
    forged = ConsentDecision.claimed(token).model_copy(update={"choices": twice}).sign(person.key)
    with pytest.raises(NotAuthenticated, match="not signed by an enrolled"):
        record_decisions(house.registry, [forged])


def test_a_withdrawal_is_in_force_while_the_witnesses_sleep_and_its_receipt_comes_later(house, monkeypatch):
    person = house.consenting("cedar")[0]
    token = person.withdrawal(house.notice)
    client = house.borrower_client(person)

    def asleep(*_args):
        raise NotWitnessed("nobody answers")

    with monkeypatch.context() as patch:
        patch.setattr("auditlog.sequencer.PUBLICATION_TIMEOUT_S", 0.2)
        patch.setattr(Witnesses, "cosign", asleep)
        with pytest.raises(NotWitnessed, match="in force"):
            client.decide([token])
        assert "given" not in {row.event.event_state for row in client.my_consents()}
    house.registry.ledger.catch_up()
    receipt = client.my_receipt(token)
    assert receipt.decision_sha256 == ConsentDecision.claimed(token).sha256
    stranger = house.borrower_client(house.consenting("cedar")[1])
    with pytest.raises(ConsentError, match="no such decision"):
        stranger.my_receipt(token)


def test_who_is_two_customers_of_a_lender_is_asked_which_and_nothing_is_recorded(market):
    """Links of before a login could have one alone; each of the two would be answered for by the other's form."""
    first, second = market.enrol("aspen", 2)
    account = "a" * 64
    headers = market.login(first, account=account)
    with writing(market.registry) as transaction:
        subject = transaction.session.scalar(select(SubjectRow.id).where(SubjectRow.pseudonym == second.pseudonym))
        row = {"id": "l" * 22, "issuer": GENERAL, "subject_hash": account, "subject_id": subject}
        transaction.session.execute(insert(LoginLinkRow), {**row, "linked_at": transaction.moment})
    known = market.call(headers, "GET", "/v1/me/links").json()["links"]
    assert [one["lender"] for one in known] == ["aspen", "aspen"]
    said = market.statement([("aspen", "ordinary", "give")])
    refused = market.call(market.login(account=account), "POST", "/v1/me/consents", said)
    assert (refused.status_code, refused.json()["reason"]) == (409, "several-there")
    assert {market.rule(one) for one in (first, second)} == {"never-asked"}
    assert market.call(headers, "DELETE", f"/v1/me/links/{'l' * 22}").status_code == 204
    assert market.call(market.login(account=account), "POST", "/v1/me/consents", said).status_code == 201
    assert (market.rule(first), market.rule(second)) == ("given", "never-asked")
