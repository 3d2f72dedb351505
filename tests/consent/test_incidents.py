"""Incidents at the registry: those whom one concerns are told, nobody else, and the log names nobody."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import select
from support.incidents import make_incident
from support.observed import entries
from support.world import pseudonym

from consent.storage.filing_tables import IncidentPersonRow
from protocol.incidents import Incident, IncidentClosure


def report(market, people=(), caller="aspen", incident=None, **changes):
    incident = incident or make_incident(caller, discovered_at=market.clock(), **changes)
    names = [person if isinstance(person, str) else person.pseudonym for person in people]
    body = {"token": incident.sign(market.keys[caller]), "affected": names}
    return incident, market.call(caller, "POST", "/v1/incidents", body)


def mine(market, person):
    answer = market.call(person.pseudonym, "GET", "/v1/me/incidents")
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def close(market, incident, caller="aspen", **changes):
    fields = {
        "incident_sha256": incident.sha256, "institution": caller, "summary": "the share is gone for good",
        "handled_at": market.clock(),
    }  # fmt: skip
    closure = IncidentClosure.model_validate(fields | changes)
    target = f"/v1/incidents/{incident.sha256}/closure"
    return market.call(caller, "POST", target, {"token": closure.sign(market.keys[caller])})


def test_who_is_affected_is_told_and_nobody_else(any_market):
    market = any_market
    hit, spared = market.enrol("aspen", 2)
    (elsewhere,) = market.enrol("birch", 1, [hit.ledger])
    incident, answer = report(market, [hit])
    assert answer.status_code == 201
    assert answer.json() == {"sha256": incident.sha256, "told": 1, "unreachable": 0}
    (told,) = mine(market, hit)
    assert told["institution"] == "aspen" and told["advice"] == incident.advice and told["handled_at"] is None
    assert Incident.verify(told["token"], market.party("aspen").key) == incident
    assert mine(market, spared) == [] == mine(market, elsewhere)
    login = market.login(hit, elsewhere)
    (shown,) = market.call(login, "GET", "/v1/me/incidents").json()["items"]
    assert shown["pii_principal_id"] == hit.pseudonym


def test_the_log_says_that_somebody_was_told_and_not_who_of_what(market):
    people = market.enrol("aspen", 3)
    incident, _ = report(market, people)
    found = [leaf for leaf in entries(market.registry) if leaf["type"].startswith("incident.")]
    assert [leaf["type"] for leaf in found] == ["incident.opened"] + ["incident.notified"] * 3
    assert found[0].keys() == {"v", "type", "actor", "time", "incident", "body"}
    assert found[0]["actor"] == "aspen" and found[0]["body"]["sealed_to"] == ["auditor"]
    for leaf in found[1:]:
        assert leaf.keys() == {"v", "type", "actor", "time", "body"}
        assert leaf["actor"] == "registry" and leaf["body"]["sealed_to"] == ["subject"]
    said = json.dumps(found)
    assert incident.sha256 not in json.dumps(found[1:])
    assert not any(word in said for word in (*(person.pseudonym for person in people), incident.cause, "leaked"))


def test_reporting_again_tells_more_people_and_nobody_twice(market):
    first, second = market.enrol("aspen", 2)
    incident, _ = report(market, [first])
    size = market.log_size()
    _, again = report(market, [first, first], incident=incident)
    assert again.json()["told"] == 0 and market.log_size() == size
    _, more = report(market, [first, second], incident=incident)
    assert more.json()["told"] == 1
    assert len(mine(market, first)) == len(mine(market, second)) == 1
    assert market.call("aspen", "GET", f"/v1/incidents/{incident.sha256}").json()["told"] == 2


def test_a_lender_reaches_its_own_people_and_learns_nothing_of_others(market):
    (own,) = market.enrol("aspen", 1)
    (other,) = market.enrol("birch", 1)
    _, answer = report(market, [own, other, "v1." + "A" * 43])
    assert answer.json() | {"sha256": ""} == {"sha256": "", "told": 1, "unreachable": 2}
    assert mine(market, other) == []


def test_the_operator_reaches_everybody_and_the_coordinator_nobody(market):
    (one,) = market.enrol("aspen", 1)
    (two,) = market.enrol("birch", 1)
    _, answer = report(market, [one, two], caller="registry")
    assert answer.json()["told"] == 2
    assert mine(market, one)[0]["institution"] == "registry"
    _, answer = report(market, [one], caller="coordinator")
    assert answer.json()["told"] == 0 and answer.json()["unreachable"] == 1


def test_who_was_forgotten_is_unreachable_and_former_names_still_reach(market):
    gone, renamed = market.enrol("aspen", 2)
    assert market.call(gone.pseudonym, "DELETE", "/v1/me").is_success
    _, answer = report(market, [gone])
    assert (answer.json()["told"], answer.json()["unreachable"]) == (0, 1)
    before = renamed.pseudonym
    assert market.rename([renamed], [pseudonym(2)]).status_code == 201
    incident, answer = report(market, [before, renamed], id="second")
    assert answer.json()["told"] == 1
    with market.registry.ledger.read() as session:
        rows = session.scalars(select(IncidentPersonRow).where(IncidentPersonRow.incident_sha256 == incident.sha256))
        assert len(rows.all()) == 1
    assert len(mine(market, renamed)) == 1


def test_it_is_closed_once_by_whoever_reported_it_and_those_told_see_it(market):
    (hit,) = market.enrol("aspen", 1)
    incident, _ = report(market, [hit])
    assert close(market, incident, caller="birch").status_code == 404
    assert close(market, incident, handled_at=market.clock() - timedelta(days=1)).status_code == 409
    assert close(market, incident, handled_at=market.clock() + timedelta(days=1)).status_code == 409
    market.clock.move(hours=5)
    assert close(market, incident).status_code == 201
    assert close(market, incident).status_code == 409
    assert mine(market, hit)[0]["handled_at"] is not None
    assert entries(market.registry)[-1]["type"] == "incident.closed"
    _, late = report(market, [hit], incident=incident)
    assert late.status_code == 409


def test_each_institution_sees_its_own_and_those_who_watch_over_it_all(market):
    first, _ = report(market)
    second, _ = report(market, caller="birch")
    seen = {
        caller: {one["sha256"] for one in market.call(caller, "GET", "/v1/incidents").json()["items"]}
        for caller in ("aspen", "birch", "coordinator", "auditor", "registry")
    }
    both = {first.sha256, second.sha256}
    assert seen == {
        "aspen": {first.sha256}, "birch": {second.sha256}, "coordinator": set(), "auditor": both, "registry": both,
    }  # fmt: skip
    assert market.call("birch", "GET", f"/v1/incidents/{first.sha256}").status_code == 404
    assert market.call("auditor", "GET", f"/v1/incidents/{first.sha256}").json()["closure"] is None


@pytest.mark.parametrize("caller", ["birch", "coordinator"])
def test_nobody_reports_in_anothers_name(market, caller):
    incident = make_incident("aspen", discovered_at=market.clock())
    _, answer = report(market, caller=caller, incident=incident)
    assert answer.status_code == 403
    future = make_incident("aspen", discovered_at=market.clock() + timedelta(hours=1))
    assert report(market, incident=future)[1].status_code == 409


def test_a_report_that_is_sent_again_under_its_key_is_answered_as_before(market):
    (hit,) = market.enrol("aspen", 1)
    incident = make_incident("aspen", discovered_at=market.clock())
    body = {"token": incident.sign(market.keys["aspen"]), "affected": [hit.pseudonym]}
    first, second = (market.call("aspen", "POST", "/v1/incidents", body, Idempotency_Key="once") for _ in range(2))
    assert first.json() == second.json() and second.headers["Idempotent-Replayed"] == "true"


def test_incidents_are_no_free_log_entries(market):
    body = {"entries": [{"type": "incident.opened", "to": ["auditor"]}]}
    assert market.call("aspen", "POST", "/v1/log/entries", body).status_code == 422
