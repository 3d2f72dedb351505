"""Revocations arrive: numbered without a gap, signed, acknowledged once; whoever is behind is given nothing more."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select
from support.market import MECHANISM
from support.observed import entries

from consent.commands.record_decisions import record_decisions
from consent.storage.tables import AcknowledgementRow, RevocationRow
from crypto.errors import SignatureError
from protocol.campaigns import Authorisation
from protocol.revocations import Acknowledgement, Revocation

THREADS, EACH = 6, 5


def test_numbers_have_no_gap_whoever_revokes_at_the_same_moment(any_market):
    market = any_market
    people = market.consenting("aspen", THREADS * EACH)
    market.clock.move(seconds=1)
    tokens = [market.decision(p, {"ordinary": "withdraw" if p.number % 2 else "suspend"}) for p in people]
    begin = threading.Barrier(THREADS)

    def revoke(first):
        begin.wait()
        for token in tokens[first::THREADS]:
            record_decisions(market.registry, [token])

    with ThreadPoolExecutor(THREADS) as crowd:
        list(crowd.map(revoke, range(THREADS)))
    with market.registry.ledger.read() as session:
        rows = session.scalars(select(RevocationRow).order_by(RevocationRow.number)).all()
    assert [row.number for row in rows] == list(range(1, len(people) + 1))
    assert len({row.subject_id for row in rows}) == len(people)
    found = market.client("aspen").revocations()
    assert [r.number for r in found] == list(range(1, len(people) + 1))
    assert {(r.pii_principal_id, r.event_type) for r in found} == {
        (p.pseudonym, "withdraw" if p.number % 2 else "suspend") for p in people
    }


def test_revocations_are_signed_and_one_s_own(market):
    (person,), (there,) = market.consenting("aspen"), market.consenting("birch")
    for one in (person, there):
        assert market.says(one, "withdraw").status_code == 201
    (token,) = market.call("aspen", "GET", "/v1/revocations").json()["items"]
    told = Revocation.verify(token, market.keys["registry"].public)
    assert (told.recipient, told.number, told.pii_principal_id) == ("aspen", 1, person.pseudonym)
    assert told.event_time <= market.clock()
    with pytest.raises(SignatureError):
        Revocation.verify(token, market.keys["birch"].public)
    (other,) = market.call("birch", "GET", "/v1/revocations").json()["items"]
    assert Revocation.claimed(other).pii_principal_id == there.pseudonym


def test_a_refusal_of_a_request_leaves_no_number_behind(market):
    first, second = market.consenting("aspen", 2)
    market.clock.move(seconds=1)
    both = [market.decision(first, {"ordinary": "withdraw"}), market.decision(second, {"ordinary": "resume"})]
    assert market.decide(*both).status_code == 409
    assert market.says(second, "withdraw").status_code == 201
    assert [r.number for r in market.client("aspen").revocations()] == [1]


def test_an_acknowledgement_is_logged_once_and_ends_what_is_outstanding(market):
    people = market.consenting("aspen", 3)
    for person in people:
        market.says(person, "withdraw")
    size = market.log_size()
    first = market.acknowledge("aspen", 2)
    assert (first.status_code, first.json()) == (201, {"acknowledged": 2, "entry_index": size})
    assert market.acknowledge("aspen", 2).json() == first.json()
    assert market.acknowledge("aspen", 1).json() == first.json(), "what was acknowledged stays so"
    assert market.log_size() == size + 1
    assert [r.number for r in market.client("aspen").revocations()] == [3]
    with market.registry.ledger.read() as session:
        assert len(session.scalars(select(AcknowledgementRow)).all()) == 1
    entry = entries(market.registry)[size]
    assert entry["type"] == "revocations.acknowledged"
    assert "count" not in json.dumps(entry), "how many is the lender's business"


def test_nobody_acknowledges_for_another_or_ahead(market):
    (person,) = market.consenting("aspen")
    market.says(person, "withdraw")
    size = market.log_size()
    assert market.acknowledge("aspen", 2).status_code == 409
    told = Acknowledgement(recipient="aspen", number=1, acknowledged_at=market.clock())
    target = "/v1/revocations/acknowledgements"
    assert market.call("birch", "POST", target, {"token": told.sign(market.keys["birch"])}).status_code == 403
    assert market.call("aspen", "POST", target, {"token": told.sign(market.keys["birch"])}).status_code == 401
    assert market.log_size() == size


def test_who_is_behind_gets_no_authorisation_until_it_has_caught_up(market):
    (person,) = market.consenting("aspen")
    campaign = market.campaign(hours=9)
    assert market.authorise(campaign).status_code == 201
    market.says(person, "withdraw")
    market.clock.move(minutes=59)
    assert market.authorise(campaign).status_code == 201, "there is an hour to act"
    market.clock.move(minutes=1)
    refused = market.authorise(campaign)
    assert (refused.status_code, "has not acknowledged revocation 1" in refused.text) == (403, True)
    assert market.authorise(campaign, "birch").status_code == 201, "it is aspen that is behind"
    behind = market.call("auditor", "GET", "/v1/revocations/outstanding").json()["items"]
    assert [(b["recipient"], b["newest"], b["acknowledged"], b["overdue_since"] is None) for b in behind] == [
        ("aspen", 1, 0, False), ("birch", 0, 0, True), ("cedar", 0, 0, True),
    ]  # fmt: skip
    assert market.call("coordinator", "GET", "/v1/revocations/outstanding").status_code == 403
    late = market.call("coordinator", "GET", "/v1/revocations/late").json()
    assert late == {"items": ["aspen"], "next": None}, "neither how many nor since when"
    before = market.checkpoint()
    market.acknowledge("aspen", 1)
    assert market.call("coordinator", "GET", "/v1/revocations/late").json()["items"] == []
    stale = market.authorise(campaign, checkpoint=before)
    assert (stale.status_code, "stale" in stale.text) == (403, True)
    assert market.authorise(campaign, checkpoint="a note of nobody's").status_code == 403
    assert market.authorise(campaign).status_code == 201


def test_the_time_to_act_begins_when_the_registry_hears_of_it(market):
    (person,) = market.consenting("aspen")
    campaign = market.campaign(hours=9)
    market.clock.move(hours=5)
    said_at = market.clock() - timedelta(hours=4)
    told = market.decide(market.decision(person, {"ordinary": "withdraw"}, event_time=said_at))
    assert told.status_code == 201
    assert market.rule(person) == "withdrawn", "the person's word counts at once"
    market.clock.move(minutes=59)
    assert market.authorise(campaign).status_code == 201, "aspen could not have known"
    market.clock.move(minutes=1)
    assert market.authorise(campaign).status_code == 403


def test_a_withdrawal_is_in_force_in_the_very_next_answer(market):
    person, other = market.consenting("aspen", 2)
    campaign = market.campaign()
    client = market.client("aspen")
    assert client.consent_state(campaign.purpose, "c" * 16).codes["ordinary"].tolist() == [1 << 8 | 1] * 2
    before = Authorisation.claimed(market.authorise(campaign).json()["token"]).use.consent_sequence
    market.says(person, "withdraw")
    assert market.rule(person) == "withdrawn"
    state = client.consent_state(campaign.purpose, "d" * 16)
    assert [code & 0xFF for code in state.codes["ordinary"].tolist()] == [3, 1]
    after = Authorisation.claimed(market.authorise(campaign).json()["token"]).use.consent_sequence
    assert after == state.state.sequence == before + 1, "and no node may use what was before"
    assert market.rule(other) == "given"


def test_a_spent_budget_is_refused(market):
    market.consenting("aspen")
    campaign = market.campaign()
    for release in range(len(MECHANISM.releases)):
        market.commit(campaign, release=release)
    for attempt in range(2, 101):
        answer = market.authorise(campaign)
        if answer.status_code != 201:
            break
        market.commit(campaign, release=len(MECHANISM.releases) - 1, attempt=attempt)
    assert (answer.status_code, "is spent" in answer.text) == (403, True)
    assert market.authorise(campaign, "birch").status_code == 201, "each lender has spent its own"
