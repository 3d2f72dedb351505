"""Samples: opened by lender and registry, judged by the auditor against the log."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from support.sampling import Sampling, audience, invented, judged_alone, resigned, smuggled, with_one_more
from support.world import features, pseudonym

from auditlog.audit import verify_log
from auditlog.sample_draws import judged
from clients.consents import HeldSnapshot
from consent.auditing import NOTICE_RULES
from consent.commands.forget_subject import forget_subject
from consent.commands.import_decisions import Import, ImportedRecord, import_decisions
from crypto.keys import SigningKey
from crypto.rosters import depth_for, tombstone
from demo.assessing import make_assessment
from protocol.assessments import ImpactAssessment, campaign_categories
from protocol.consents import Action, Authority, ConsentDecision
from protocol.coverage import Needs
from protocol.errors import AuditFailed
from protocol.samples import cells, seed_of
from protocol.schema import now
from server.assessments import record


def test_a_clean_sample_is_clean_and_its_opening_is_in_the_log(used):
    sampling = Sampling(used)
    found = sampling.verdicts()
    assert found.drawn == found.clean == sum(c.opened.size for c in sampling.audit.commitments) > 0
    assert found.broken == [] and found.forgotten == 0
    assert found.masked == sum(c.opened.masked_sensitive for c in sampling.audit.commitments) > 0
    used.registry.ledger.catch_up()
    after = verify_log(sampling.client, sampling.client.checkpoint_note(), used.founded.auditor_recipient)
    assert after.by_type["evidence.sampled"] == 1
    assert after.by_type["evidence.opened"] == 3
    names = {person.pseudonym.encode() for people in used.borrowers.values() for person in people}
    assert not any(name in leaf for leaf in after.leaves for name in names)


def test_a_lender_that_does_not_open_a_drawn_member_is_named(used):
    sampling = Sampling(used)
    found = sampling.verdicts(without="birch")
    assert {(one.lender, one.rule) for one in found.broken} == {("birch", "opened")}
    missing = sum(len(roster.cells) for roster in sampling.draws["birch"].rosters)
    assert len(found.broken) == missing and found.clean == found.drawn - missing > 0


def test_a_planted_bad_member_is_found(active, monkeypatch):
    smuggled(active, monkeypatch)
    active.open_gate(0, "cedar")
    assert any(active.members(0, "cedar"))
    (broken,) = Sampling(active).verdicts().broken
    assert (broken.lender, broken.release, broken.rule) == ("cedar", 0, "given")
    assert "v1." not in str(broken)


def test_a_planted_bad_member_is_found_as_often_as_it_should(active, monkeypatch):
    """20 of n cells drawn find one bad person in 20/n of all draws (4 standard errors)."""
    bad = smuggled(active, monkeypatch)
    active.open_gate(0, "cedar")
    sampling = Sampling(active)
    (member,) = [cell.number for cell in sampling.opened("cedar")[1].rosters[0].cells if bad in cell.names]
    size = sampling.audit.commitments[0].opened.size
    tries, share = 2000, 20 / (1 << depth_for(size))
    hits = sum(
        member in cells(seed_of("0" * 64, f"{i:064x}", active.campaign.sha256), "cedar", (0, 1), size, 20)
        for i in range(tries)
    )
    assert abs(hits - tries * share) < 4 * (tries * share * (1 - share)) ** 0.5


def test_a_withdrawal_that_the_state_left_out_is_found(active, monkeypatch):
    """A registry that shows a node a person as given who had withdrawn before."""
    person = active.consenting("cedar")[0]
    active.withdraw(person)
    active.registry.ledger.catch_up()
    honest = HeldSnapshot.usable
    monkeypatch.setattr(
        HeldSnapshot, "usable", lambda self, *about: with_one_more(honest(self, *about), person.pseudonym)
    )
    monkeypatch.setattr("clients.gate.Draw.audience_of", lambda *_: audience(active))
    active.open_gate(0, "cedar")
    (broken,) = Sampling(active).verdicts().broken
    assert broken.rule == "given" and "withdraw" in broken.why


def test_a_withdrawal_after_the_state_is_nothing_to_the_roster_before_it(used):
    person = used.consenting("cedar")[0]
    used.withdraw(person)
    assert Sampling(used).verdicts().broken == []


def test_answers_that_a_lender_handed_in_are_judged_by_their_proofs(house):
    """Of the silent: the record is under the root that the log holds, and a record of somebody else is not."""
    roll = {name: number for number, name in enumerate(house.client("cedar").whole_roll())}
    silent = [person.pseudonym for person in house.borrowers["cedar"] if person.answer == "silent"]
    common = {"sensitivity": "ordinary", "action": "give", "event_time": now(), "evidence_sha256": "e" * 64}
    notice = house.notice
    asked = Import(
        notice_id=notice.id, notice_version=notice.version, notice_language="en",
        notice_sha256=notice.text_sha256("en"), channel="paper",
        records=[ImportedRecord(number=roll[name], **common) for name in silent],
    )  # fmt: skip
    import_decisions(house.registry, house.registry.consortium.party("cedar"), asked)
    house.activate()
    house.open_gate(0, "cedar")
    sampling = Sampling(house)
    token, opened = sampling.opened("cedar")
    imported = set(silent) & set(opened.names)
    assert imported
    evidence = sampling.evidence(token)
    told = ({"cedar": sampling.draws["cedar"]}, {"cedar": opened}, {"cedar": evidence})
    assert judged(sampling.audit, *told, NOTICE_RULES).broken == []
    for name in imported:
        evidence["people"][name]["events"][0]["imported"]["record"]["number"] += 1
    assert {one.rule for one in judged(sampling.audit, *told, NOTICE_RULES).broken} == {"logged"}


def test_who_was_forgotten_since_is_counted_apart(used):
    sampling = Sampling(used)
    opened = sampling.opened("cedar")[1]
    person = opened.names[0]
    forget_subject(used.registry, person)
    told = {lender: sampling.opened(lender) for lender in sampling.draws}
    evidence = {lender: sampling.evidence(token) for lender, (token, _) in told.items()}
    samples = {name: sample for name, (_, sample) in told.items()}
    with pytest.raises(AuditFailed, match="the log shows 0 erasures since"):
        judged(sampling.audit, sampling.draws, samples, evidence, NOTICE_RULES)
    sampling.verify()
    found = judged(sampling.audit, sampling.draws, samples, evidence, NOTICE_RULES)
    assert found.forgotten == sum(person in cell.names for r in opened.rosters for cell in r.cells) > 0
    assert found.broken == [] and found.judged == found.clean == found.drawn - found.forgotten


def test_erasures_of_before_the_use_excuse_nobody(used):
    """Traced: after a thousand erasures a registry could say of a thousand people in a roster that they were erased."""
    sampling = Sampling(used)
    opened = sampling.opened("cedar")[1]
    forget_subject(used.registry, opened.names[0])
    evidence = sampling.evidence(sampling.opened("cedar")[0])
    sampling.verify()
    assert judged_alone(sampling, opened, evidence).forgotten > 0
    days = sampling.audit.know.erasures
    (count,) = days.values()
    days.clear()
    days["2020-02-29"] = count
    with pytest.raises(AuditFailed, match="shows 0 erasures since"):
        judged_alone(sampling, opened, evidence)


def test_whom_a_lender_erased_by_order_is_counted_as_forgotten(used):
    sampling = Sampling(used)
    gone = sampling.opened("cedar")[1].names[0]
    forget_subject(used.registry, gone)
    used.node("cedar").store.erase(gone)
    sampling.verify()
    opened = sampling.opened("cedar")[1]
    assert gone not in opened.names
    stones = sum(name == tombstone(gone) for roster in opened.rosters for cell in roster.cells for name in cell.names)
    found = sampling.verdicts()
    assert found.broken == [] and found.forgotten == stones > 0


def test_who_was_erased_before_the_state_was_served_is_not_excused(used):
    sampling = Sampling(used)
    token, opened = sampling.opened("cedar")
    evidence = sampling.evidence(token)
    evidence["people"][opened.names[0]] = {"erased_on": "2020-02-29"}
    times = sum(opened.names[0] in cell.names for roster in opened.rosters for cell in roster.cells)
    found = judged_alone(sampling, opened, evidence)
    assert [one.rule for one in found.broken] == ["enrolled"] * times


def test_an_invented_name_is_nobody_who_was_forgotten(active, monkeypatch):
    """A lender that fills its roster with names that were never enrolled."""
    invented(active, monkeypatch, pseudonym())
    active.open_gate(0, "cedar")
    found = Sampling(active).verdicts()
    assert [(one.lender, one.rule) for one in found.broken] == [("cedar", "enrolled")]
    assert found.forgotten == 0 and "v1." not in str(found.broken)


def test_the_tombstone_of_somebody_who_was_never_erased_excuses_nobody(active, monkeypatch):
    """A lender that says of a refuser whom it used that the person was erased."""
    bad = smuggled(active, monkeypatch)
    active.open_gate(0, "cedar")
    active.node("cedar").store.erase(bad)
    forget_subject(active.registry, active.consenting("cedar")[0].pseudonym)
    sampling = Sampling(active)
    assert bad not in sampling.opened("cedar")[1].names
    (broken,) = sampling.verdicts().broken
    assert broken.rule == "enrolled"


def test_who_refused_in_between_and_gave_again_is_clean(house):
    """A no that takes a yes back is recorded as two events; both are the one answer."""
    person = house.consenting("cedar")[0]
    for answer in (Action.REFUSE, Action.GIVE):
        time.sleep(1.01)  # decisions are dated to the second, and a yes must be later
        house.anyone().decide([person.decide(house.notice, {"ordinary": answer})])
    house.activate()
    house.open_gate(0, "cedar")
    assert Sampling(house).verdicts().broken == []


# --- every consent that the campaign needs


def test_a_gate_that_masks_nothing_is_found(active, monkeypatch):
    """Income of people who never gave their consent to it is used, and the commitment says so itself."""
    honest = HeldSnapshot.usable

    def usable(self, places, needs):
        found = honest(self, places, needs)
        return replace(found, which=found.which * 0, patterns=(frozenset(),))

    monkeypatch.setattr(HeldSnapshot, "usable", usable)
    active.open_gate(0, "cedar")
    found = Sampling(active).verdicts()
    assert {one.rule for one in found.broken} == {"masked"} and found.masked == 0
    roster = active.members(0, "cedar")
    plain = [p for p in active.consenting("cedar") if p.pseudonym in roster and not p.sensitive]
    assert len(found.broken) == len(plain) > 0


def test_a_child_without_a_guardian_s_yes_to_sensitive_data_is_found(house, monkeypatch):
    """Of a child everything is sensitive. That somebody is none may have been said about another purpose."""
    child = next(p for p in house.borrowers["cedar"] if p.answer == "silent")
    decided = ConsentDecision.claimed(child.decide(house.notice, {"ordinary": Action.GIVE})).model_dump()
    guardian = Authority(age_band="under-14", guardian_entity_id="parent-1", authority_evidence_hash="a" * 64)
    house.anyone().decide([ConsentDecision.model_validate(decided | {"authority": guardian}).sign(child.key)])
    house.activate()
    honest = HeldSnapshot.usable
    monkeypatch.setattr(
        HeldSnapshot, "usable", lambda self, *about: with_one_more(honest(self, *about), child.pseudonym)
    )
    monkeypatch.setattr("clients.gate.Draw.audience_of", lambda *_: audience(house))
    house.open_gate(0, "cedar")
    sampling = Sampling(house)
    token, opened = sampling.opened("cedar")
    evidence = sampling.evidence(token)
    (broken,) = judged_alone(sampling, opened, evidence).broken
    assert broken.rule == "child"
    evidence["people"][child.pseudonym]["child"] = False
    assert judged_alone(sampling, opened, evidence).broken == []


def test_an_answer_about_income_is_proved_as_one_about_ordinary_data_is(used):
    sampling = Sampling(used)
    token, opened = sampling.opened("cedar")
    evidence = sampling.evidence(token)
    about = [
        one for person in evidence["people"].values() for one in person["events"] if one["sensitivity"] == "income"
    ]
    assert about
    for event in about:
        event["decided"]["salt"] = "0" * 43
    assert {one.rule for one in judged_alone(sampling, opened, evidence).broken} == {"logged"}


def test_a_use_that_the_answered_notice_does_not_allow_is_found(house, monkeypatch):
    """A registry and a gate that let a campaign decide by machine alone, of which the notice says nothing."""
    made = make_assessment("coordinator", campaign_categories(features().model_dump(mode="json")), now())
    assessment = ImpactAssessment.model_validate({**made.model_dump(), "automated_decision": True})
    record(house.coordinator(), assessment)
    with monkeypatch.context() as careless:
        careless.setattr(Needs, "beyond", lambda *_: None)
        house.activate(automated_decision=True, assessment_sha256=assessment.sha256)
        house.open_gate(0, "cedar")
    found = Sampling(house, 10).verdicts()
    assert {one.rule for one in found.broken} == {"covered"} and len(found.broken) == found.drawn > 0
    assert {one.why for one in found.broken} == {"it decides by machine alone, which the notice does not say"}


@pytest.mark.parametrize("what", ["swapped", "left out", "added", "salt", "path", "number", "twice", "no tombstone"])
def test_a_cell_that_is_none_of_the_roster_is_found(used, what):
    """A lender that swaps a bad member for a good one, or hides one. Each such cell is one bad member."""
    sampling = Sampling(used)
    token, opened = sampling.opened("cedar")
    cells_shown = opened.rosters[0].cells
    good = opened.names[0]

    def change(cell):
        names, path = cell["names"], cell["path"]
        match what:
            case "swapped":
                return cell | {"names": (good,)}
            case "left out":
                return cell | {"names": names[1:]}
            case "added":
                return cell | {"names": (*names, pseudonym())}
            case "salt":
                return cell | {"salt": "0" * 64}
            case "path":
                return cell | {"path": path[1:]}
            case "number":
                return cell | {"number": cell["number"] ^ 1}
            case "twice":
                return cell | {"names": (*names, *names[:1])}
            case "no tombstone":
                return cell | {"names": ("erased." + "-" * 49,)}

    untouched = sum(change(cell.model_dump()) == cell.model_dump() for cell in cells_shown)
    found = judged_alone(sampling, resigned(opened, change), sampling.evidence(token))
    assert {one.rule for one in found.broken} == {"member"}
    assert len(found.broken) == len(cells_shown) - untouched > 0
    assert not any(name in str(one) for one in found.broken for name in opened.names)


def test_a_cell_is_opened_without_anybody_in_it_and_counts_for_nobody(used):
    sampling = Sampling(used)
    found = sampling.verdicts()
    opened = [cell for lender in sampling.draws for r in sampling.opened(lender)[1].rosters for cell in r.cells]
    assert any(not cell.names for cell in opened) and any(len(cell.names) > 1 for cell in opened)
    assert found.drawn == sum(len(cell.names) for cell in opened)


@pytest.mark.parametrize("what", ["salt", "key", "event", "index"])
def test_evidence_that_is_not_what_the_log_holds_is_found(used, what):
    """A registry that shows another answer than was given."""
    sampling = Sampling(used)
    token, opened = sampling.opened("cedar")
    evidence = sampling.evidence(token)
    for person in evidence["people"].values():
        event = person["events"][0]
        match what:
            case "salt":
                event["decided"]["salt"] = "0" * 43
            case "key":
                person["public_keys"] = [SigningKey.generate().public.text]
            case "event":
                event["event"] = "refuse"
            case "index":
                event["entry_index"] = 0
    found = judged_alone(sampling, opened, evidence)
    assert {one.rule for one in found.broken} == {"logged"} and found.clean == 0
