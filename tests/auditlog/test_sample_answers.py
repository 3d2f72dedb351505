"""What is shown of one person counts for nobody else; of a child only a guardian's yes counts, however it came."""

from __future__ import annotations

import time
from copy import deepcopy

import pytest
from support.sampling import Sampling, audience, judged_alone, smuggled
from support.world import pseudonym

from clients.renaming import rename_people
from consent.commands.import_decisions import Import, ImportedRecord, import_decisions
from naming.client import Renaming
from protocol.consents import Action, Authority, ConsentDecision
from protocol.schema import now

GUARDIAN = Authority(age_band="under-14", guardian_entity_id="parent-1", authority_evidence_hash="a" * 64)


def says(house, person, choices, authority=None):
    time.sleep(1.01)  # decisions are dated to the second, and a yes must be later
    told = ConsentDecision.claimed(person.decide(house.notice, choices)).model_dump()
    told |= {"authority": authority} if authority else {}
    house.anyone().decide([ConsentDecision.model_validate(told).sign(person.key)])


def hand_in(house, *people, kind="ordinary", action="give", authority=None, lender="cedar"):
    roll = {name: number for number, name in enumerate(house.client(lender).whole_roll())}
    common = {"sensitivity": kind, "action": action, "event_time": now(), "evidence_sha256": "e" * 64}
    notice = house.notice
    asked = Import(
        notice_id=notice.id, notice_version=notice.version, notice_language="en",
        notice_sha256=notice.text_sha256("en"), channel="paper",
        records=[
            ImportedRecord(number=roll[person.pseudonym], authority=authority or Authority(), **common)
            for person in people
        ],
    )  # fmt: skip
    import_decisions(house.registry, house.registry.consortium.party(lender), asked)


def silent(house):
    return [person for person in house.borrowers["cedar"] if person.answer == "silent"]


def shown(house):
    """A sample of cedar's roster, and what the registry shows of it."""
    sampling = Sampling(house)
    token, opened = sampling.opened("cedar")
    return sampling, opened, sampling.evidence(token)


def broken(told):
    return sorted(one.rule for one in judged_alone(*told).broken)


# --- whose an answer is


def test_a_decision_of_somebody_else_is_no_yes(active, monkeypatch):
    """A registry that shows the yes of one person for another whom nobody asked, or one yes for everybody."""
    bad = smuggled(active, monkeypatch)
    active.open_gate(0, "cedar")
    sampling, opened, evidence = shown(active)
    people = evidence["people"]
    assert broken((sampling, opened, evidence)) == ["given"]
    good = next(p.pseudonym for p in active.consenting("cedar") if p.pseudonym in people)
    people[bad] = people[good]
    assert broken((sampling, opened, evidence)) == ["logged"]
    evidence["people"] = dict.fromkeys(people, people[good])
    found = judged_alone(sampling, opened, evidence)
    assert {one.rule for one in found.broken} == {"logged"} and found.clean == 1


def test_a_record_that_was_handed_in_stands_for_one_person(house, monkeypatch):
    first, second, *_ = silent(house)
    hand_in(house, first, second)
    hand_in(house, second, kind="income")
    monkeypatch.setattr("clients.gate.Draw.audience_of", lambda *_: audience(house))
    house.activate()
    house.open_gate(0, "cedar")
    sampling, opened, evidence = shown(house)
    assert broken((sampling, opened, evidence)) == []
    one, other = (evidence["people"][person.pseudonym] for person in (first, second))
    evidence["people"][first.pseudonym] = other
    assert broken((sampling, opened, evidence)) == ["logged"]
    evidence["people"][first.pseudonym] = one | {"number": other["number"], "events": other["events"][1:]}
    assert "logged" in broken((sampling, opened, evidence)), "a number is one person's"


def test_an_answer_under_a_former_name_is_theirs_as_the_log_proves(house):
    """Rosters under either name; decisions under the former one."""
    house.activate()
    house.open_gate(0, "cedar")
    client, node = house.client("cedar"), house.node("cedar")
    renamings = [Renaming(old, pseudonym(2), pseudonym(2)) for old in client.whole_roll()]
    client.rename([(one.old, one.new, one.ledger) for one in renamings])
    rename_people(node, renamings)
    house.open_gate(1, "cedar")
    sampling, opened, evidence = shown(house)
    assert {name[:3] for name in opened.names} == {"v1.", "v2."}
    assert broken((sampling, opened, evidence)) == []
    honest = deepcopy(evidence)
    evidence["people"] = {name: one and one | {"renamed": []} for name, one in honest["people"].items()}
    assert set(broken((sampling, opened, evidence))) == {"logged"}, "which name became which is not shown"
    one, other = [name for name in opened.names if name.startswith("v2.")][:2]
    stolen = honest["people"][other] | {"renamed": honest["people"][one]["renamed"]}
    assert "logged" in broken((sampling, opened, honest | {"people": honest["people"] | {one: stolen}}))
    bent = deepcopy(honest)
    bent["people"][one]["renamed"][0]["record"]["former"] = bent["people"][other]["renamed"][0]["record"]["former"]
    assert broken((sampling, opened, bent)) != []


# --- children


@pytest.fixture
def careless(house, monkeypatch):
    """A registry that ends nothing when it hears that somebody is a child, and tells no node that they are one."""
    monkeypatch.setattr("consent.commands.record_decisions.unguarded", lambda *_: ())
    monkeypatch.setattr("clients.consents.CHILD", 0)
    monkeypatch.setattr("clients.gate.Draw.audience_of", lambda *_: audience(house))
    return house


def test_a_child_s_own_yes_to_sensitive_data_is_no_guardian_s(careless):
    child = silent(careless)[0]
    says(careless, child, {"ordinary": Action.GIVE, "sensitive": Action.GIVE})
    says(careless, child, {"income": Action.REFUSE}, GUARDIAN)
    careless.activate()
    careless.open_gate(0, "cedar")
    assert child.pseudonym in careless.members(0, "cedar")
    assert broken(shown(careless)) == ["child"]


def test_a_child_of_whom_an_import_says_so_is_found(careless):
    child = silent(careless)[0]
    hand_in(careless, child, authority=GUARDIAN)
    careless.activate()
    careless.open_gate(0, "cedar")
    assert child.pseudonym in careless.members(0, "cedar")
    sampling, opened, evidence = shown(careless)
    assert broken((sampling, opened, evidence)) == ["child"]
    (event,) = evidence["people"][child.pseudonym]["events"]
    del event["imported"]["record"]["authority"]
    assert broken((sampling, opened, evidence)) == ["logged"], "who decided is part of the record"


def test_a_guardian_s_yes_after_an_import_said_so_is_clean(house, monkeypatch):
    """The child's own yes had ended with it, and is shown of nobody."""
    child = silent(house)[0]
    says(house, child, {"ordinary": Action.GIVE, "sensitive": Action.GIVE})
    hand_in(house, child, kind="income", action="refuse", authority=GUARDIAN)
    says(house, child, {"ordinary": Action.GIVE, "sensitive": Action.GIVE}, GUARDIAN)
    monkeypatch.setattr("clients.gate.Draw.audience_of", lambda *_: audience(house))
    house.activate()
    house.open_gate(0, "cedar")
    assert child.pseudonym in house.members(0, "cedar")
    assert broken(shown(house)) == []


def test_a_guardian_s_yes_that_was_handed_in_is_clean(house, monkeypatch):
    child = silent(house)[0]
    for kind in ("ordinary", "sensitive"):
        hand_in(house, child, kind=kind, authority=GUARDIAN)
    monkeypatch.setattr("clients.gate.Draw.audience_of", lambda *_: audience(house))
    house.activate()
    house.open_gate(0, "cedar")
    assert child.pseudonym in house.members(0, "cedar")
    assert broken(shown(house)) == []
