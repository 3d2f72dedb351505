"""Samples: drawn by nobody, opened by lender and registry, judged by the auditor against the log."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from hashlib import sha256
from math import comb

import pytest
from support.world import REGISTRY

from auditlog.audit import verify_log
from auditlog.sample_draws import draws, judged
from auditlog.sampling import upper_bound
from clients.consents import HeldSnapshot
from clients.errors import NodeError
from clients.sampling import open_sample, verified_draw
from consent.commands.forget_subject import forget_subject
from consent.commands.import_decisions import Import, ImportedRecord, import_decisions
from credit.features import schema_from
from crypto.keys import SigningKey
from crypto.sealing import unpad, unseal_from
from protocol.errors import AuditFailed, ConsentError
from protocol.samples import (
    EVIDENCE_CONTEXT,
    OPENED_CONTEXT,
    OpenedSample,
    SampleRequest,
    drawn,
    positions,
    seed_of,
    shares,
)
from protocol.schema import now

# --- the draw itself


def test_a_draw_is_the_same_for_everybody_and_another_for_another_seed():
    one, other = seed_of("a" * 64, "b" * 64, "c" * 64), seed_of("a" * 64, "d" * 64, "c" * 64)
    assert positions(one, "aspen", (0, 1), 1000, 20) == positions(one, "aspen", (0, 1), 1000, 20)
    assert positions(one, "aspen", (0, 1), 1000, 20) != positions(other, "aspen", (0, 1), 1000, 20)
    assert positions(one, "aspen", (0, 1), 1000, 20) != positions(one, "birch", (0, 1), 1000, 20)
    assert positions(one, "aspen", (0, 1), 1000, 20) != positions(one, "aspen", (1, 1), 1000, 20)


def test_a_draw_is_of_different_people_and_of_all_where_there_are_no_more():
    assert drawn(b"seed", "x", 5, 9) == (0, 1, 2, 3, 4)
    assert drawn(b"seed", "x", 0, 9) == ()
    found = drawn(b"seed", "x", 100, 60)
    assert len(set(found)) == 60
    assert found == tuple(sorted(found)) and found[0] >= 0 and found[-1] < 100


def test_everybody_is_as_likely_as_everybody_else():
    """3,000 draws of 2 of 10: each stands in about a fifth of them (deviation: 4 standard errors)."""
    times = Counter(at for seed in range(3000) for at in drawn(seed.to_bytes(4, "big"), "x", 10, 2))
    assert all(abs(times[at] - 600) < 4 * (3000 * 0.2 * 0.8) ** 0.5 for at in range(10))


def test_shares_are_as_the_rosters_are_large():
    sizes = {"a": 900, "empty": 0, "b": 100}
    found = Counter()
    for seed in range(200):
        found.update(shares(seed.to_bytes(4, "big"), 50, sizes))
    assert found.total() == 200 * 50 and "empty" not in found
    assert abs(found["b"] - 1000) < 4 * (10_000 * 0.1 * 0.9) ** 0.5
    assert shares(b"x", 50, {"a": 3, "b": 2}) == {"a": 3, "b": 2}


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


NAMED = {**REGISTRY, "features": REGISTRY["features"][:2]}
"""Features of which the house's notice names every category."""


@pytest.fixture
def active(house):
    house.activate(features=schema_from(NAMED, "tests").model_dump(mode="json"))
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
    missing = sum(len(roster.positions) for roster in sampling.draws["birch"].rosters)
    assert len(found.broken) == missing and found.clean == found.drawn - missing


def smuggled(house, monkeypatch, lender: str = "cedar") -> str:
    """A gate that lets one refuser through, at one lender; its pseudonym."""
    bad = next(p.pseudonym for p in house.borrowers[lender] if p.answer == "refuses")
    honest = HeldSnapshot.usable

    def usable(self, places):
        ordinary, sensitive = honest(self, places)
        return ([*ordinary, bad] if bad in self.names else ordinary), sensitive

    monkeypatch.setattr(HeldSnapshot, "usable", usable)
    monkeypatch.setattr("clients.gate.Draw.audience_of", lambda *_: _audience(house))
    return bad


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
    """20 of n drawn find one bad of n in 20/n of all draws (4 standard errors)."""
    bad = smuggled(active, monkeypatch)
    active.open_gate(0, "cedar")
    sampling = Sampling(active)
    (member,) = [
        one.position for roster in sampling.opened("cedar")[1].rosters for one in roster.members if one.pseudonym == bad
    ]
    size = sampling.audit.commitments[0].opened.size
    tries, share = 2000, 20 / size
    hits = sum(
        member in positions(seed_of("0" * 64, f"{i:064x}", active.campaign.sha256), "cedar", (0, 1), size, 20)
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
        HeldSnapshot, "usable", lambda self, places: ([*honest(self, places)[0], person.pseudonym], set())
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
    house.activate(features=schema_from(NAMED, "tests").model_dump(mode="json"))
    house.open_gate(0, "cedar")
    sampling = Sampling(house)
    token, opened = sampling.opened("cedar")
    imported = set(silent) & {one.pseudonym for one in opened.rosters[0].members}
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
    person = opened.rosters[0].members[0].pseudonym
    forget_subject(used.registry, person)
    found = sampling.verdicts()
    assert found.forgotten == sum(one.pseudonym == person for r in opened.rosters for one in r.members) > 0
    assert found.broken == [] and found.judged == found.clean


def test_a_feature_of_a_category_that_the_notice_does_not_name_is_found(house):
    house.activate()
    house.open_gate(0, "cedar")
    found = Sampling(house, 10).verdicts()
    assert {(one.rule, one.why) for one in found.broken} == {("category", "the notice does not name bureau")}
    assert len(found.broken) == found.drawn == 10


# --- whoever is not honest


def test_a_lender_opens_nobody_whom_the_auditor_chose(used):
    sampling = Sampling(used, people=5)
    lender, draw = next(iter(sampling.draws.items()))
    roster = draw.rosters[0]
    chosen = tuple(at for at in range(roster.size) if at not in roster.positions)[: len(roster.positions)]
    forged = draw.model_copy(update={"rosters": (roster.model_copy(update={"positions": chosen}),)})
    node, client = used.node(lender), used.client(lender)
    with pytest.raises(NodeError, match="chosen, not drawn"):
        verified_draw(node, client, type(draw).model_validate(forged.model_dump()).sign(used.founded.auditor_key))


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
    one = opened.rosters[0].members[0].model_dump()
    many = [{**one, "pseudonym": p.pseudonym} for p in used.borrowers[lender][:3]]
    roster = {**opened.rosters[0].model_dump(), "members": many}
    greedy = OpenedSample.model_validate({**opened.model_dump(), "rosters": [roster]})
    with pytest.raises(ConsentError, match="more people than"):
        sampling.evidence(greedy.sign(used.node(lender).key))


def test_only_auditors_sample(used):
    sampling = Sampling(used)
    token = sampling.opened("cedar")[0]
    answer = used.client("cedar")
    with pytest.raises(ConsentError, match="this call is for"):
        answer._send("POST", "/v1/evidence/samples", {"token": token})
    with pytest.raises(ConsentError, match="this call is for"):
        answer._send("POST", f"/v1/evidence/samples/{sampling.index}/openings", {"token": token})


def test_somebody_else_in_place_of_a_member_is_found(used):
    """A lender that swaps a bad member for a good one."""
    sampling = Sampling(used)
    token, opened = sampling.opened("cedar")
    roster = opened.rosters[0]
    good = roster.members[0].pseudonym
    swapped = [m.model_dump() | {"pseudonym": good} for m in roster.members]
    rosters = [{**roster.model_dump(), "members": swapped}, *(r.model_dump() for r in opened.rosters[1:])]
    forged = OpenedSample.model_validate({**opened.model_dump(), "rosters": rosters})
    evidence = {"cedar": sampling.evidence(token)}
    found = judged(sampling.audit, {"cedar": sampling.draws["cedar"]}, {"cedar": forged}, evidence)
    assert {one.rule for one in found.broken} == {"member"}
    assert len(found.broken) == len(roster.members) - 1


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
    found = judged(sampling.audit, {"cedar": sampling.draws["cedar"]}, {"cedar": opened}, {"cedar": evidence})
    assert {one.rule for one in found.broken} == {"logged"} and found.clean == 0
