"""Requests that share a transaction: what is wrong with one is nothing to the others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from consent.commands import record_decisions
from consent.commands.forget_subject import forget_subject
from consent.commands.record_decisions import Done, Request, record_requests
from crypto.keys import SigningKey
from protocol.errors import NotAuthenticated

WITHDRAW = {"ordinary": "withdraw"}


@pytest.fixture
def renamed(market):
    """Somebody who has a new name, under both."""
    person = market.consenting("aspen", 1)[0]
    former = replace(person)
    assert market.rename([person], [person.ledger.replace("v1.", "v2.")]).is_success
    market.clock.move(seconds=1)
    return former, person


def test_a_stranger_who_claims_both_names_of_somebody_stops_nobody(market, renamed):
    """Names are claimed before any signature is checked, so anybody may put them into anybody's group."""
    stranger = SigningKey.generate()
    claimed = [market.decision(replace(one, key=stranger), WITHDRAW) for one in renamed]
    victims = market.consenting("birch", 5)
    market.clock.move(seconds=1)
    requests = [Request(signed=[market.decision(victim, WITHDRAW)]) for victim in victims]
    *done, refused = record_requests(market.registry, [*requests, Request(signed=claimed)])
    assert all(isinstance(one, Done) for one in done)
    assert isinstance(refused, NotAuthenticated)


def test_nor_over_http_where_groups_form_by_themselves(market, renamed):
    stranger = SigningKey.generate()
    victims = market.consenting("birch", 12)
    market.clock.move(seconds=1)

    def attack(_: object) -> int:
        return market.decide(*(market.decision(replace(one, key=stranger), WITHDRAW) for one in renamed)).status_code

    def withdraw(token: str) -> int:
        return market.decide(token).status_code

    tokens = [market.decision(victim, WITHDRAW) for victim in victims]
    with ThreadPoolExecutor(8) as pool:
        jobs = [(pool.submit(withdraw, token), pool.submit(attack, None)) for token in tokens]
        assert [(mine.result(), theirs.result()) for mine, theirs in jobs] == [(201, 401)] * len(victims)


def test_whoever_is_forgotten_while_a_group_forms_takes_nobody_along(market, monkeypatch):
    gone, other = market.consenting("aspen", 1)[0], market.consenting("birch", 1)[0]
    market.clock.move(seconds=1)
    requests = [Request(signed=[market.decision(person, WITHDRAW)]) for person in (gone, other)]
    find = record_decisions.find_subjects

    def then_forgotten(view, names):
        found = find(view, names)
        view.session.close()
        forget_subject(market.registry, gone.pseudonym)
        return found

    monkeypatch.setattr(record_decisions, "find_subjects", then_forgotten)
    refused, done = record_requests(market.registry, requests)
    assert isinstance(refused, NotAuthenticated)
    assert isinstance(done, Done)
