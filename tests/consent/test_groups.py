"""Requests that share a transaction: what is wrong with one is nothing to the others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import text

from consent.commands import record_decisions
from consent.commands.forget_subject import forget_subject
from consent.commands.record_decisions import Done, Request, record_requests
from consent.commands.withdraw_consents import WithdrawalOfAll
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


def entry_of(market, person) -> int:
    """Index of the log entry of this person's newest decision."""
    receipts = market.call(person.pseudonym, "GET", "/v1/me/receipts").json()["items"]
    return receipts[0]["entry_index"]


@pytest.mark.parametrize("damage", ["lost", "no JSON", "another's"])
def test_somebody_whose_decision_cannot_be_read_any_more_withdraws_and_stops_nobody(market, damage):
    """What it was shown in is asked for each, and is only about each."""
    hurt, *others = market.consenting("aspen", 3)
    at = entry_of(market, hurt)
    with market.registry.ledger.write() as session:
        for (name,) in session.execute(
            text("SELECT name FROM sqlite_master WHERE tbl_name = 'log_entries' AND type = 'trigger'")
        ).all():
            session.execute(text(f"DROP TRIGGER {name}"))
        change = {
            "lost": "DELETE FROM log_entries WHERE idx = :at",
            "no JSON": "UPDATE log_entries SET leaf = CAST('{' AS BLOB) WHERE idx = :at",
            "another's": "UPDATE log_entries SET body = (SELECT body FROM log_entries WHERE idx = :at - 1)"
            " WHERE idx = :at",
        }[damage]
        session.execute(text(change), {"at": at})
    market.clock.move(seconds=1)
    requests = [Request(subjects=(one.pseudonym,), intent=WithdrawalOfAll((), "")) for one in (hurt, *others)]
    done = record_requests(market.registry, requests)
    assert [isinstance(one, Done) for one in done] == [True] * 3, done
    assert all(one.recorded[0].states == {"aspen/ordinary": "withdrawn"} for one in done)


def test_a_withdrawal_knows_what_its_own_group_was_shown(market):
    person, notice = market.consenting("aspen", 1)[0], market.notices[-1]
    market.clock.move(seconds=1)
    market.decide(market.decision(person, WITHDRAW))
    market.clock.move(seconds=1)
    zh = {"notice_language": "zh", "notice_sha256": notice.text_sha256("zh")}
    given = Request(signed=[market.decision(person, {"ordinary": "give"}, **zh)])
    taken = Request(subjects=(person.pseudonym,), intent=WithdrawalOfAll(("en",), ""))
    assert all(isinstance(one, Done) for one in record_requests(market.registry, [given, taken]))
    (record,) = market.call(person.pseudonym, "GET", "/v1/me/consents").json()["items"]
    assert (record["event"]["event_state"], record["served"]["language"]) == ("withdrawn", "zh")
