"""Samples: what the registry says of notices and objections is not believed where the log says otherwise."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.sampling import Sampling, audience, judged_alone, with_one_more

from clients.consents import HeldSnapshot
from consent.commands.answer_requests import answer_request
from consent.commands.import_decisions import Import, ImportedRecord, import_decisions
from consent.notice_text import with_particulars
from consent.notices import Notices
from law.categories import DataCategory
from protocol.notices import Notice
from protocol.rights import AnswerOutcome, RightsAnswer
from protocol.schema import now


def second_version(house, **changes):
    """A second version of the house's notice, published."""
    terms = house.notice.terms.model_copy(update=changes)
    texts = {"en": "May we?", "zh": "可以吗？"}
    found = with_particulars(house.notice.model_copy(update={"version": 2, "terms": terms, "texts": texts}))
    operator = house.founded.operator(house.url)
    operator.publish_notice(found, house.founded.registry_key)
    operator.close()
    return Notice.model_validate(found.model_dump())  # its hashes are its own


def test_a_registry_that_calls_an_outdated_version_fresh_is_found(house, monkeypatch):
    """Version 2 says 3,000 days and where people are; the registry says that a yes to version 1 still counts, and 48
    were used on it."""
    terms = house.notice.terms
    second_version(
        house,
        retention_period_days=terms.retention_period_days + 3000,
        categories=(*terms.categories, DataCategory.LOCATION),
    )
    monkeypatch.setattr(Notices, "is_stale", lambda *_: False)
    house.activate()
    house.open_gate(0, "cedar")
    found = Sampling(house).verdicts()
    assert house.members(0, "cedar") and found.clean == 0
    assert {one.rule for one in found.broken} == {"notice"}


def test_a_later_version_that_only_narrows_outdates_nothing(house):
    second_version(house, retention_period_days=house.notice.terms.retention_period_days - 1)
    house.activate()
    house.open_gate(0, "cedar")
    found = Sampling(house).verdicts()
    assert found.broken == [] and found.clean > 0


def test_a_version_after_the_state_is_nothing_to_the_roster_before_it(used):
    terms = used.notice.terms
    second_version(used, categories=(*terms.categories, DataCategory.LOCATION))
    assert Sampling(used).verdicts().broken == []


@pytest.fixture
def objector(active, monkeypatch):
    """Somebody who restricted what cedar does, and a gate of cedar's that lets them through."""
    person = active.consenting("cedar")[1]
    asked = {"recipient": "cedar", "asked": {"kind": "restrict"}}
    request = active.borrower_client(person)._send("POST", "/v1/me/requests", asked).json()["request_sha256"]
    active.registry.ledger.catch_up()
    let_through(active, monkeypatch, person)
    return person, request


def let_through(house, monkeypatch, person) -> None:
    """A gate that uses this person whatever the state says."""
    honest = HeldSnapshot.usable

    def usable(self, *about):
        found = honest(self, *about)
        mine = person.pseudonym in self.names and person.pseudonym not in found.members
        return with_one_more(found, person.pseudonym) if mine else found

    monkeypatch.setattr(HeldSnapshot, "usable", usable)
    monkeypatch.setattr("clients.gate.Draw.audience_of", lambda *_: audience(house))


def test_a_gate_that_uses_somebody_who_objected_is_found(active, objector):
    person, _ = objector
    active.open_gate(0, "cedar")
    assert person.pseudonym in active.members(0, "cedar")
    sampling = Sampling(active)
    token, opened = sampling.opened("cedar")
    evidence = sampling.evidence(token)
    (broken,) = judged_alone(sampling, opened, evidence).broken
    assert broken.rule == "marked" and "v1." not in str(broken)
    ((begun, ended),) = evidence["people"][person.pseudonym]["objections"]
    assert ended is None and "restrict" not in str(evidence["people"][person.pseudonym]), "nothing of what they said"
    for claimed in ([begun - 1, None], [begun, begun]):
        evidence["people"][person.pseudonym]["objections"] = [claimed]
        assert {one.rule for one in judged_alone(sampling, opened, evidence).broken} == {"logged"}


def test_an_objection_that_was_closed_before_marks_nobody(active, objector):
    person, request = objector
    active.borrower_client(person)._send("POST", f"/v1/me/requests/{request}/closings")
    active.registry.ledger.catch_up()
    active.open_gate(0, "cedar")
    assert person.pseudonym in active.members(0, "cedar")
    assert Sampling(active).verdicts().broken == []


def test_an_objection_after_the_state_is_nothing_to_the_roster_before_it(used):
    person = used.consenting("cedar")[1]
    asked = {"recipient": "cedar", "asked": {"kind": "restrict"}}
    used.borrower_client(person)._send("POST", "/v1/me/requests", asked)
    assert Sampling(used).verdicts().broken == []


def test_a_gate_that_uses_somebody_whom_its_lender_said_it_erased_is_found(active, monkeypatch):
    """The registry marks them from the answer on, and the auditor was shown objections alone."""
    person = active.consenting("cedar")[1]
    asked = {"recipient": "cedar", "asked": {"kind": "erase"}}
    request = active.borrower_client(person)._send("POST", "/v1/me/requests", asked).json()["request_sha256"]
    said = RightsAnswer(
        lender="cedar", request_sha256=request, outcome=AnswerOutcome.GRANTED, text="All deleted.", language="en",
        answered_at=now(),
    )  # fmt: skip
    cedar = active.registry.consortium.party("cedar")
    answer_request(active.registry, cedar, request, said.sign(active.node("cedar").key), None)
    active.registry.ledger.catch_up()
    let_through(active, monkeypatch, person)
    active.open_gate(0, "cedar")
    assert person.pseudonym in active.members(0, "cedar")
    (broken,) = Sampling(active).verdicts().broken
    assert broken.rule == "marked"


# --- how a yes was given


@pytest.fixture
def lax(house, monkeypatch):
    """A house whose notice asks for attention and for writing, and whose registry takes a yes however it comes."""
    house.second = second_version(house, reading_seconds=60, written_form=True)
    for name in ("check_form", "check_published", "check_shown"):
        monkeypatch.setattr(f"consent.commands.import_decisions.{name}", lambda *_, **__: None)
    monkeypatch.setattr("clients.gate.Draw.audience_of", lambda *_: audience(house))
    return house


@pytest.mark.parametrize(
    ("channel", "days"), [("phone", 0), ("app", 0), ("api", 0), ("paper", 2), ("paper", 0)],
)  # fmt: skip
def test_a_yes_in_another_form_than_its_notice_asks_for_is_found(lax, channel, days):
    """Traced: a yes by telephone, unread, or from before the notice was judged clean where registry and lender lie."""
    roll = lax.client("cedar").whole_roll()
    silent = next(person.pseudonym for person in lax.borrowers["cedar"] if person.answer == "silent")
    asked = Import(
        notice_id=lax.notice.id, notice_version=2, notice_language="en", channel=channel,
        notice_sha256=lax.second.text_sha256("en"),
        records=[ImportedRecord(
            number=list(roll).index(silent), sensitivity="ordinary", action="give",
            event_time=now() - timedelta(days=days), evidence_sha256="e" * 64,
        )],
    )  # fmt: skip
    import_decisions(lax.registry, lax.registry.consortium.party("cedar"), asked)
    lax.activate()
    lax.open_gate(0, "cedar")
    assert silent in lax.members(0, "cedar")
    found = Sampling(lax).verdicts()
    honest = (channel, days) == ("paper", 0)
    assert [one.rule for one in found.broken] == ([] if honest else ["form"]) and found.clean > 0
