"""Noisy counts: the same question has one answer a day, every answer is charged, and the noise is what it says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from math import exp

import pytest
from pydantic import ValidationError
from scipy.stats import binom
from sqlalchemy import select
from support.effort import effort
from support.market import open_market
from support.observed import entries
from support.world import pseudonym

from consent.commands.count_population import EPSILON, count_population
from consent.home import open_registry
from consent.storage.tables import PopulationRow
from privacy.accounting import epsilon_of
from privacy.filter import TOLERANCE
from privacy.mechanism import Audience
from protocol.errors import Conflict, Malformed
from protocol.parties import Consortium
from protocol.terms import TRAINING_PURPOSE

UNLIKELY = 1e-7


def ask(market, lenders=("aspen", "birch"), sensitivity="ordinary", purpose=TRAINING_PURPOSE):
    body = {"purpose": purpose, "lenders": list(lenders), "sensitivity": sensitivity}
    return market.call("coordinator", "POST", "/v1/populations", body)


def answered(market) -> int:
    with market.registry.ledger.read() as session:
        return len(session.scalars(select(PopulationRow)).all())


def test_the_same_question_has_the_same_answer_all_day(market):
    first = ask(market, ("aspen", "birch")).json()
    assert first["epsilon"] == EPSILON
    assert all(ask(market, order).json() == first for order in (("birch", "aspen"), ("aspen", "birch", "aspen")))
    assert answered(market) == 1


def test_another_day_is_another_answer_and_is_charged_again(market):
    asked = [ask(market).status_code for _ in range(3)]
    market.clock.move(days=1)
    assert {*asked, ask(market).status_code} == {200}
    assert answered(market) == 2


def test_every_answer_is_logged_without_its_count_in_clear(market):
    before = entries(market.registry)
    ask(market)
    ask(market)
    (leaf,) = entries(market.registry)[len(before) :]
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


def test_the_noise_of_an_answer_is_as_wide_as_what_is_charged_for_it_needs(market, monkeypatch):
    """One person changes the count by one: the scale is 1 / epsilon, whoever is there."""
    drawn = []

    def draw(size: int, scale: float) -> list[int]:
        drawn.append((size, scale))
        return [3] * size

    monkeypatch.setattr("consent.commands.count_population.discrete_laplace", draw)
    market.consenting("aspen", 5)
    assert ask(market).json() == {"people": 8, "epsilon": EPSILON}
    assert drawn == [(1, pytest.approx(1 / EPSILON))]


def test_the_noise_is_discrete_laplace_and_centred_on_the_truth(tmp_path):
    """P(noise <= k) for scale 1/epsilon, at many thresholds, each within exact binomial bounds."""
    tries, found = effort(1500, 200), []
    with open_market(tmp_path, max_epsilon=1000.0, count_epsilon=500.0) as market:
        people = market.consenting("aspen", 40)
        coordinator = market.party("coordinator")
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


# --- what it costs


def asked_until_refused(market, days=1) -> int:
    """As many different questions as there are, day after day; returns how many were answered."""
    for number in range(200):
        answer = ask(market, ("aspen", "birch", "cedar")[: 1 + number % 3], purpose=f"https://w3id.org/dpv#P{number}")
        if answer.status_code != 200:
            assert answer.status_code == 409
            assert "sets aside for counts" in answer.json()["detail"]
            return number
        market.clock.move(days=days)
    raise AssertionError("nobody ever refused")


def run_whole(market):
    """A campaign in which a lender commits every release."""
    campaign = market.campaign()
    for release in range(len(campaign.mechanism.releases)):
        market.commit(campaign, "aspen", release)
    return campaign


@pytest.mark.parametrize(("aside", "expected"), [(0.0, 0), (0.05, 0), (0.1, 1), (0.3, 3), (0.7, 7)])
def test_nobody_is_charged_past_the_cap_by_counts_and_campaigns_together(tmp_path, aside, expected):
    """Asking until refusal, over years, with a campaign before and another after, for whoever is in both."""
    with open_market(tmp_path, max_epsilon=2.0, count_epsilon=aside) as market:
        people = market.consenting("aspen", 3)
        campaigns = [run_whole(market)]
        assert asked_until_refused(market, days=0) == expected
        campaigns.append(run_whole(market))
        market.clock.move(days=800)
        assert asked_until_refused(market, days=400) == 0, "what was spent once is spent for ever"
        campaigns += [run_whole(market) for _ in range(2)]
        for number in range(len(people)):
            held = [campaign for campaign in campaigns if number in market.placed(campaign, "aspen")]
            charges = [c for one in held for c in one.mechanism.charges(Audience.TRAINING)]
            spent = epsilon_of(charges, 1e-5) + answered(market) * EPSILON
            assert spent <= 2.0 * (1 + TOLERANCE)
            assert held, "the rest is for campaigns"


def test_the_answer_to_a_spent_budget_is_the_same_whoever_consented(tmp_path):
    refusals = []
    for consenting in (False, True):
        with open_market(tmp_path, max_epsilon=2.0, count_epsilon=EPSILON) as market:
            if consenting:
                market.consenting("aspen", 3)
                market.campaign()
            else:
                market.enrol("aspen", 3)
            assert ask(market).status_code == 200
            refusals.append((ask(market, ("cedar",)).status_code, ask(market, ("cedar",)).json()["detail"]))
    assert refusals[0] == refusals[1]


def test_a_campaign_cannot_have_what_is_set_aside_for_counts(tmp_path):
    with open_market(tmp_path, max_epsilon=1.0, count_epsilon=0.2) as market, pytest.raises(AssertionError):
        market.campaign()  # of epsilon 1
    with pytest.raises(ValidationError, match="nothing is left for campaigns"):
        Consortium.model_validate(market.registry.consortium.payload() | {"count_epsilon": 1.0})
    with pytest.raises(ValidationError, match="nothing is left for campaigns"):
        Consortium.model_validate(market.registry.consortium.payload() | {"max_epsilon_per_year": 0.2})


def test_an_answer_that_a_crash_kept_back_was_not_charged_and_one_that_left_was(tmp_path, monkeypatch):
    """The charge, its log entry and the answer are one transaction; a registry opened anew goes on counting."""
    with open_market(tmp_path, max_epsilon=2.0, count_epsilon=2 * EPSILON) as market:

        def crash(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr("auditlog.log.AuditLog.append", crash)
        with pytest.raises(KeyboardInterrupt):
            count_population(market.registry, market.party("coordinator"), TRAINING_PURPOSE, ("aspen",), "ordinary")
        monkeypatch.undo()
        assert answered(market) == 0
        assert ask(market).status_code == 200
        market.clock.move(days=1)
        assert asked_until_refused(market) == 1
        assert answered(market) == 2


def test_two_processes_that_ask_at_once_do_not_spend_more_together(tmp_path):
    with open_market(tmp_path, max_epsilon=2.0, count_epsilon=3 * EPSILON) as market:
        coordinator = market.party("coordinator")
        home = market.registry.home
        market.registry.ledger.catch_up()
        others = [open_registry(home, lease=market.registry.ledger.log.lease).at(market.clock) for _ in range(3)]

        def asks(registry, number):
            try:
                count_population(registry, coordinator, f"https://w3id.org/dpv#P{number}", ("aspen",), "ordinary")
            except Conflict:
                return 0
            return 1

        with ThreadPoolExecutor(8) as pool:
            found = [pool.submit(asks, others[number % 3], number) for number in range(24)]
        assert sum(one.result() for one in found) == 3 == answered(market)
        for other in others:
            other.close()


def test_nobody_is_counted_under_two_names_at_once(market):
    people = market.enrol("aspen", 2)
    market.enrol("birch", 2)
    assert market.rename(people, [pseudonym(2), pseudonym(2)]).status_code == 201
    refused = ask(market)
    assert refused.status_code == 409
    assert "renamed" in refused.json()["detail"]
