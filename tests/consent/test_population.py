"""Noisy counts: the same question has one answer a day, few questions are answered, and the noise is what it says."""

from __future__ import annotations

import json
from math import exp

import pytest
from scipy.stats import binom
from sqlalchemy import select
from support.effort import effort
from support.market import open_market, pseudonym

from consent.commands.count_population import EPSILON, MOST_A_DAY, count_population
from consent.errors import Malformed, TooManyRequests
from consent.storage.tables import PopulationRow
from consent.terms import TRAINING_PURPOSE

UNLIKELY = 1e-7


@pytest.fixture
def market(tmp_path):
    with open_market(tmp_path) as opened:
        yield opened


def ask(market, lenders=("aspen", "birch"), sensitivity="ordinary", purpose=TRAINING_PURPOSE):
    body = {"purpose": purpose, "lenders": list(lenders), "sensitivity": sensitivity}
    return market.call("coordinator", "POST", "/v1/populations", body)


def test_the_same_question_has_the_same_answer_all_day(market):
    first = ask(market, ("aspen", "birch")).json()
    assert first["epsilon"] == EPSILON
    assert all(ask(market, order).json() == first for order in (("birch", "aspen"), ("aspen", "birch", "aspen")))
    with market.registry.database.read() as session:
        assert len(session.scalars(select(PopulationRow)).all()) == 1


def test_a_day_has_few_answers_and_the_next_day_new_ones(market):
    for number in range(MOST_A_DAY):
        assert ask(market, purpose=f"https://w3id.org/dpv#P{number}").status_code == 200
    refused = ask(market)
    assert (refused.status_code, refused.json()["type"]) == (429, "urn:tahini:problem:too-many-requests")
    assert ask(market, purpose="https://w3id.org/dpv#P0").status_code == 200, "what was answered stays answered"
    market.clock.move(days=1)
    assert ask(market).status_code == 200


def test_every_answer_is_logged_without_its_count_in_clear(market):
    size = market.log_size()
    ask(market)
    ask(market)
    assert market.log_size() == size + 1
    with market.registry.database.read() as session:
        leaf = json.loads(market.registry.log.entry(session, size).leaf)
    assert (leaf["type"], leaf["actor"], leaf["epsilon"]) == ("population.counted", "coordinator", EPSILON)
    assert "count" not in leaf


def test_strangers_and_others_are_refused(market):
    assert ask(market, ("zelkova",)).status_code == 422
    body = {"purpose": TRAINING_PURPOSE, "lenders": ["aspen"]}
    assert market.call("aspen", "POST", "/v1/populations", body).status_code == 403
    with pytest.raises(Malformed):
        count_population(market.registry, market.party("coordinator"), TRAINING_PURPOSE, (), "ordinary")


def test_a_person_is_one_person_and_only_live_consents_count(market, monkeypatch):
    """The exact count, with the noise taken out."""
    monkeypatch.setattr("consent.commands.count_population.discrete_laplace", lambda *_: [0])
    shared = [pseudonym() for _ in range(4)]
    aspen, birch = (
        market.enrol("aspen", ledgers=[*shared, pseudonym(), pseudonym()]),
        market.enrol("birch", ledgers=shared),
    )
    for person in (*aspen, *birch):
        market.says(person, "give")
    assert ask(market).json()["people"] == 6
    assert ask(market, ("birch",)).json()["people"] == 4
    market.says(aspen[4], "suspend")
    market.says(aspen[5], "withdraw")
    for person in aspen[:2]:
        market.says(person, "give", ("sensitive",))
    market.says(aspen[0], "withdraw")
    market.clock.move(days=1)
    assert ask(market).json()["people"] == 4
    assert ask(market, sensitivity="sensitive").json()["people"] == 1, (
        "sensitive data only of whom ordinary may be used"
    )
    market.publish(2, material_change=True)
    market.clock.move(days=1)
    assert ask(market).json()["people"] == 0


def test_the_noise_is_discrete_laplace_and_centred_on_the_truth(market):
    """P(noise <= k) for scale 1/epsilon, at many thresholds, each within exact binomial bounds."""
    people = market.enrol("aspen", 40)
    market.clock.move(seconds=1)
    assert market.decide(*(market.decision(p, {"ordinary": "give"}) for p in people)).status_code == 201
    coordinator, tries = market.party("coordinator"), effort(1500, 200)
    found = []
    while len(found) < tries:
        market.clock.move(days=1)
        for some in (("aspen",), ("aspen", "birch"), ("aspen", "cedar"), ("aspen", "birch", "cedar")):
            answer = count_population(market.registry, coordinator, TRAINING_PURPOSE, some, "ordinary")
            found.append(answer.count - len(people))
    assert min(found) >= -len(people), "never below zero"
    q = exp(-EPSILON)
    for threshold in (-30, -20, -10, -5, -1, 0, 5, 10, 20, 30):
        below = q ** (-threshold) / (1 + q) if threshold < 0 else 1 - q ** (threshold + 1) / (1 + q)
        low, high = binom.ppf([UNLIKELY, 1 - UNLIKELY], len(found), below)
        assert low <= sum(noise <= threshold for noise in found) <= high, threshold


def test_too_many_requests_is_an_error_of_its_own(market):
    coordinator = market.party("coordinator")
    with pytest.raises(TooManyRequests, match="ask again tomorrow"):
        for number in range(MOST_A_DAY + 1):
            purpose = f"https://w3id.org/dpv#Q{number}"
            count_population(market.registry, coordinator, purpose, ("aspen",), "ordinary")
