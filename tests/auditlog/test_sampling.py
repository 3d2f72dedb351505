"""Samples: drawn by nobody, opened by lender and registry, judged by the auditor against the log."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from math import comb

import numpy as np
import pytest
from support.rosters import Tree, named
from support.world import features, pseudonym

from auditlog.audit import verify_log
from auditlog.authority import LoggedCommitment
from auditlog.sample_draws import draws, judged
from auditlog.sampling import Unproved, upper_bound, who_stands_in
from clients.consents import HeldSnapshot, Usable
from clients.errors import NodeError
from clients.home import LEDGER_FILE
from clients.sampling import open_sample, verified_draw
from consent.commands.forget_subject import forget_subject
from consent.commands.import_decisions import Import, ImportedRecord, import_decisions
from crypto.keys import SigningKey
from crypto.memberships import MAX_MEMBERS, cell_of
from crypto.rosters import depth_for, member_hash, tombstone
from crypto.sealing import unpad, unseal_from
from demo.assessing import make_assessment
from protocol.assessments import ImpactAssessment, campaign_categories
from protocol.campaigns import RosterCommitment
from protocol.coverage import Needs
from protocol.errors import AuditFailed, ConsentError
from protocol.samples import (
    EVIDENCE_CONTEXT,
    OPENED_CONTEXT,
    OpenedCellOfRoster,
    OpenedSample,
    SampleRequest,
    cells,
    drawn,
    seed_of,
    shares,
)
from protocol.schema import now
from server.assessments import record

# --- the draw itself


def test_a_draw_is_the_same_for_everybody_and_another_for_another_seed():
    one, other = seed_of("a" * 64, "b" * 64, "c" * 64), seed_of("a" * 64, "d" * 64, "c" * 64)
    assert cells(one, "aspen", (0, 1), 1000, 20) == cells(one, "aspen", (0, 1), 1000, 20)
    assert cells(one, "aspen", (0, 1), 1000, 20) != cells(other, "aspen", (0, 1), 1000, 20)
    assert cells(one, "aspen", (0, 1), 1000, 20) != cells(one, "birch", (0, 1), 1000, 20)
    assert cells(one, "aspen", (0, 1), 1000, 20) != cells(one, "aspen", (1, 1), 1000, 20)


def test_a_draw_is_of_different_people_and_of_all_where_there_are_no_more():
    assert drawn(b"seed", "x", 5, 9) == (0, 1, 2, 3, 4)
    assert drawn(b"seed", "x", 0, 9) == ()
    found = drawn(b"seed", "x", 100, 60)
    assert len(set(found)) == 60
    assert found == tuple(sorted(found)) and found[0] >= 0 and found[-1] < 100


def test_every_person_is_as_likely_as_every_other():
    """Of two rosters with 4 and 8 cells, however many stand in each: 3,000 draws of 3 of the 12 cells open everybody
    about 750 times (deviation: 4.5 standard errors)."""
    rosters = {"a": [named(number) for number in range(7)], "b": [named(number) for number in range(50, 58)]}
    times = Counter()
    for seed in (number.to_bytes(4, "big") for number in range(3000)):
        for lender, count in shares(seed, 3, {name: len(people) for name, people in rosters.items()}).items():
            people = rosters[lender]
            for at in cells(seed, lender, (0, 1), len(people), count):
                times.update(name for name in people if cell_of(name, depth_for(len(people))) == at)
    everybody = [name for people in rosters.values() for name in people]
    assert set(times) == set(everybody)
    assert all(abs(times[name] - 750) < 4.5 * (3000 * 0.25 * 0.75) ** 0.5 for name in everybody)


def test_every_number_is_as_likely_as_every_other():
    """3,000 draws of 2 of 10: each stands in about a fifth of them (deviation: 4 standard errors)."""
    times = Counter(at for seed in range(3000) for at in drawn(seed.to_bytes(4, "big"), "x", 10, 2))
    assert all(abs(times[at] - 600) < 4 * (3000 * 0.2 * 0.8) ** 0.5 for at in range(10))


def test_shares_are_as_the_rosters_have_cells():
    sizes = {"a": 900, "empty": 0, "b": 127}
    found = Counter()
    for seed in range(200):
        found.update(shares(seed.to_bytes(4, "big"), 50, sizes))
    assert found.total() == 200 * 50 and "empty" not in found
    share = 64 / (512 + 64)
    assert abs(found["b"] - 10_000 * share) < 4 * (10_000 * share * (1 - share)) ** 0.5
    assert shares(b"x", 50, {"a": 3, "b": 2}) == {"a": 2, "b": 2}
    assert shares(b"x", 50, {"a": 1}) == {"a": 1}


@pytest.mark.parametrize(("bad", "of"), [(0, 300), (1, 300), (3, 60), (10, 100)])
def test_the_bound_is_where_so_few_bad_ones_would_be_seen_one_time_in_twenty(bad, of):
    rate = upper_bound(bad, of)
    tail = sum(comb(of, k) * rate**k * (1 - rate) ** (of - k) for k in range(bad + 1))
    assert abs(tail - 0.05) < 1e-9
    assert upper_bound(0, 300) < 0.01
    assert upper_bound(5, 5) == 1.0


# --- end to end


class Sampling:
    """One sample of a house's campaign, step by step."""

    def __init__(self, house, people: int = 300) -> None:
        self.house, self.founded = house, house.founded
        self.client = house.founded.auditor(house.url)
        house.clients.append(self.client)
        self.nonce = secrets.token_bytes(32).hex()
        self.index = self.announce(people)
        house.registry.ledger.catch_up()
        self.audit = verify_log(self.client, self.client.checkpoint_note(), self.founded.auditor_recipient)
        self.draws = draws(self.audit, house.campaign.sha256, self.index, self.nonce)

    def announce(self, people: int, **changes) -> int:
        asked = SampleRequest(
            campaign_sha256=self.house.campaign.sha256,
            auditor="auditor",
            people=people,
            nonce_sha256=sha256(bytes.fromhex(self.nonce)).hexdigest(),
            requested_at=now(),
        )
        return self.client.announce_sample(asked, self.founded.auditor_key)

    def token(self, lender: str) -> str:
        return self.draws[lender].sign(self.founded.auditor_key)

    def opened(self, lender: str) -> tuple[str, OpenedSample]:
        node = self.house.node(lender)
        draw = verified_draw(node, self.house.client(lender), self.token(lender))
        sealed = open_sample(node, draw)
        token = unpad(unseal_from(self.founded.auditor_recipient, sealed, OPENED_CONTEXT)).decode()
        return token, OpenedSample.verify(token, node.key.public)

    def evidence(self, token: str) -> dict:
        sealed = self.client.open_evidence(self.index, token)
        return json.loads(unpad(unseal_from(self.founded.auditor_recipient, sealed, EVIDENCE_CONTEXT)))

    def verdicts(self, without: str = ""):
        told = {lender: self.opened(lender) for lender in self.draws if lender != without}
        evidence = {lender: self.evidence(token) for lender, (token, _) in told.items()}
        return judged(self.audit, self.draws, {name: sample for name, (_, sample) in told.items()}, evidence)


@pytest.fixture
def active(house):
    house.activate()
    return house


@pytest.fixture
def used(active):
    """Two releases in which every lender has committed a roster."""
    for lender in active.borrowers:
        for release in (0, 1):
            active.open_gate(release, lender)
    return active


def test_a_clean_sample_is_clean_and_its_opening_is_in_the_log(used):
    sampling = Sampling(used)
    found = sampling.verdicts()
    assert found.drawn == found.clean == sum(c.opened.size for c in sampling.audit.commitments) > 0
    assert found.broken == [] and found.forgotten == 0
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


def smuggled(house, monkeypatch, lender: str = "cedar") -> str:
    """A gate that lets one refuser through, at one lender; its pseudonym."""
    bad = next(p.pseudonym for p in house.borrowers[lender] if p.answer == "refuses")
    honest = HeldSnapshot.usable

    def usable(self, places, needs):
        found = honest(self, places, needs)
        return with_one_more(found, bad) if bad in self.names else found

    monkeypatch.setattr(HeldSnapshot, "usable", usable)
    monkeypatch.setattr("clients.gate.Draw.audience_of", lambda *_: _audience(house))
    return bad


def with_one_more(found: Usable, name: str) -> Usable:
    return replace(found, members=[*found.members, name], which=np.append(found.which, found.which[:1]))


def _audience(house):
    return house.campaign.mechanism.releases[0].audience


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
    monkeypatch.setattr("clients.gate.Draw.audience_of", lambda *_: _audience(active))
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
    imported = set(silent) & set(opened.pseudonyms)
    assert imported
    evidence = sampling.evidence(token)
    told = ({"cedar": sampling.draws["cedar"]}, {"cedar": opened}, {"cedar": evidence})
    assert judged(sampling.audit, *told).broken == []
    for name in imported:
        evidence["people"][name]["events"][0]["imported"]["record"]["number"] += 1
    assert {one.rule for one in judged(sampling.audit, *told).broken} == {"logged"}


def test_who_was_forgotten_since_is_counted_apart(used):
    sampling = Sampling(used)
    opened = sampling.opened("cedar")[1]
    person = opened.pseudonyms[0]
    forget_subject(used.registry, person)
    found = sampling.verdicts()
    assert found.forgotten == sum(person in cell.names for r in opened.rosters for cell in r.cells) > 0
    assert found.broken == [] and found.judged == found.clean == found.drawn - found.forgotten


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


# --- whoever is not honest


def test_a_lender_opens_nobody_whom_the_auditor_chose(used):
    sampling = Sampling(used, people=5)
    lender, draw = next(iter(sampling.draws.items()))
    roster = draw.rosters[0]
    others = tuple(at for at in range(1 << depth_for(roster.size)) if at not in roster.cells)
    chosen = others[: len(roster.cells)]
    forged = draw.model_copy(update={"rosters": (roster.model_copy(update={"cells": chosen}),)})
    node, client = used.node(lender), used.client(lender)
    with pytest.raises(NodeError, match="chosen, not drawn"):
        verified_draw(node, client, type(draw).model_validate(forged.model_dump()).sign(used.founded.auditor_key))


def test_a_lender_opens_no_more_than_the_log_announced(used):
    """An auditor that announces little and asks for much, drawn as the log says."""
    sampling = Sampling(used, people=5)
    lender, draw = next(iter(sampling.draws.items()))
    roster = draw.rosters[0]
    seed = seed_of(draw.root, draw.nonce, draw.campaign_sha256)
    more = cells(seed, lender, (roster.release, roster.attempt), roster.size, 6)
    greedy = changed(draw, rosters=[{**roster.model_dump(), "cells": more}])
    with pytest.raises(NodeError, match="more cells than entry"):
        verified_draw(used.node(lender), used.client(lender), greedy.sign(used.founded.auditor_key))


def test_a_lender_opens_nothing_under_another_size_than_its_roster_has(used):
    """With a size of its choice an auditor could try many draws of one seed."""
    sampling = Sampling(used, people=5)
    lender, draw = next(iter(sampling.draws.items()))
    roster = draw.rosters[0]
    for size in (roster.size // 2, roster.size * 2):
        of_another = roster.model_dump() | {"size": size, "cells": (0,)}
        with pytest.raises(NodeError, match="has not the size"):
            open_sample(used.node(lender), changed(draw, rosters=[of_another]))
    beyond = roster.model_dump() | {"cells": (1 << depth_for(roster.size),)}
    with pytest.raises(NodeError, match="has no cell"):
        open_sample(used.node(lender), changed(draw, rosters=[beyond]))


def changed(draw, **fields):
    return type(draw).model_validate({**draw.model_dump(), **fields})


def test_a_draw_by_another_number_or_root_or_hand_is_refused(used):
    sampling = Sampling(used, people=5)
    lender, draw = next(iter(sampling.draws.items()))
    node, client, key = used.node(lender), used.client(lender), used.founded.auditor_key
    with pytest.raises(NodeError, match="announces no such sample"):
        verified_draw(node, client, changed(draw, nonce="0" * 64).sign(key))
    with pytest.raises(NodeError, match="announces no such sample"):
        verified_draw(node, client, changed(draw, entry_index=0).sign(key))
    with pytest.raises(ConsentError):
        verified_draw(node, client, changed(draw, root="0" * 64).sign(key))
    with pytest.raises(Exception, match="signature"):
        verified_draw(node, client, draw.sign(SigningKey.generate()))
    other = next(name for name in used.borrowers if name != lender)
    with pytest.raises(NodeError, match="is for"):
        verified_draw(used.node(other), used.client(other), draw.sign(key))


def test_the_auditor_cannot_draw_with_another_number_than_it_announced(used):
    sampling = Sampling(used)
    with pytest.raises(AuditFailed, match="with another number"):
        draws(sampling.audit, used.campaign.sha256, sampling.index, "1" * 64)
    with pytest.raises(AuditFailed, match="announces no sample"):
        draws(sampling.audit, used.campaign.sha256, 0, sampling.nonce)


def test_the_registry_opens_nobody_whom_no_lender_opened(used):
    sampling = Sampling(used, people=2)
    lender = next(iter(sampling.draws))
    token, opened = sampling.opened(lender)
    with pytest.raises(Exception, match="signature"):
        sampling.evidence(opened.sign(used.founded.auditor_key))
    with pytest.raises(ConsentError, match="announces no sample"):
        sampling.client.open_evidence(0, token)
    one = opened.rosters[0].cells[0].model_dump()
    everybody = [pseudonym() for _ in range(4 * 2 + MAX_MEMBERS + 1)]
    crowded = [{**one, "names": everybody[:MAX_MEMBERS]}, {**one, "names": everybody[MAX_MEMBERS:]}]
    for greedy in ([one] * 3, crowded):
        roster = {**opened.rosters[0].model_dump(), "cells": greedy}
        more = OpenedSample.model_validate({**opened.model_dump(), "rosters": [roster]})
        with pytest.raises(ConsentError, match="more cells or people than"):
            sampling.evidence(more.sign(used.node(lender).key))


def test_only_auditors_sample(used):
    sampling = Sampling(used)
    token = sampling.opened("cedar")[0]
    answer = used.client("cedar")
    with pytest.raises(ConsentError, match="this call is for"):
        answer._send("POST", "/v1/evidence/samples", {"token": token})
    with pytest.raises(ConsentError, match="this call is for"):
        answer._send("POST", f"/v1/evidence/samples/{sampling.index}/openings", {"token": token})


def resigned(opened: OpenedSample, change) -> OpenedSample:
    """The sample with every cell of its first roster as ``change`` makes it."""
    told = opened.model_dump()
    told["rosters"][0]["cells"] = [change(cell) for cell in told["rosters"][0]["cells"]]
    return OpenedSample.model_validate(told)


def judged_alone(sampling, opened, evidence):
    return judged(sampling.audit, {"cedar": sampling.draws["cedar"]}, {"cedar": opened}, {"cedar": evidence})


@pytest.mark.parametrize("what", ["swapped", "left out", "added", "salt", "path", "number", "twice", "no tombstone"])
def test_a_cell_that_is_none_of_the_roster_is_found(used, what):
    """A lender that swaps a bad member for a good one, or hides one. Each such cell is one bad member."""
    sampling = Sampling(used)
    token, opened = sampling.opened("cedar")
    cells_shown = opened.rosters[0].cells
    good = opened.pseudonyms[0]

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
    assert not any(name in str(one) for one in found.broken for name in opened.pseudonyms)


def test_a_cell_is_opened_without_anybody_in_it_and_counts_for_nobody(used):
    sampling = Sampling(used)
    found = sampling.verdicts()
    opened = [cell for lender in sampling.draws for r in sampling.opened(lender)[1].rosters for cell in r.cells]
    assert any(not cell.names for cell in opened) and any(len(cell.names) > 1 for cell in opened)
    assert found.drawn == sum(len(cell.names) for cell in opened)


def test_whom_a_lender_erased_is_counted_as_forgotten(used):
    sampling = Sampling(used)
    gone = sampling.opened("cedar")[1].pseudonyms[0]
    with sqlite3.connect(used.node("cedar").home / LEDGER_FILE) as connection:
        for (change,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {change}")
        connection.execute("UPDATE members SET pseudonym = ? WHERE pseudonym = ?", (tombstone(gone), gone))
    opened = sampling.opened("cedar")[1]
    assert gone not in opened.pseudonyms
    stones = sum(name == tombstone(gone) for roster in opened.rosters for cell in roster.cells for name in cell.names)
    found = sampling.verdicts()
    assert found.broken == [] and found.forgotten == stones > 0


def committed_to(tree: Tree, size: int) -> LoggedCommitment:
    """A commitment of a lender that made this tree and says that so many stand in it."""
    return LoggedCommitment(0, {}, RosterCommitment.model_construct(root=tree.hash().hex(), size=size))


def shown_of(tree: Tree, name: str, number: int, *names: str) -> OpenedCellOfRoster:
    cell = tree.opened_for(name)
    path = tuple(step.hex() for step in cell.path)
    return OpenedCellOfRoster(number=number, salt=cell.salt.hex(), names=names, path=path)


def test_a_tree_that_puts_people_where_they_do_not_belong_is_found():
    """Two cells. Who belongs in the first stands in the second: their own proof would say that they are in neither."""
    here, there = named(1, "0"), named(2, "1")
    honest = Tree.honest([here, there], b"s" * 32)
    assert who_stands_in(committed_to(honest, 2), shown_of(honest, there, 1, there)) == (there,)
    hashes = tuple(sorted(map(member_hash, (here, there))))
    forged = Tree(honest.salts, {"0": (), "1": hashes})
    with pytest.raises(Unproved, match="do not belong"):
        who_stands_in(committed_to(forged, 2), shown_of(forged, there, 1, *sorted((here, there))))


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_a_tree_of_another_depth_than_the_stated_size_has_is_found(size):
    """Fewer cells than are drawn from would show some people twice as often, and others never."""
    people = [named(1, "0"), named(2, "1")]
    tree = Tree.honest(people, b"s" * 32)
    with pytest.raises(Unproved, match="none of the roster"):
        who_stands_in(committed_to(tree, size), shown_of(tree, people[0], 0, people[0]))


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
                person["public_key"] = SigningKey.generate().public.text
            case "event":
                event["event"] = "refuse"
            case "index":
                event["entry_index"] = 0
    found = judged_alone(sampling, opened, evidence)
    assert {one.rule for one in found.broken} == {"logged"} and found.clean == 0
