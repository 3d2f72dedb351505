"""Keys that borrowers register and end themselves: what they sign counts until they have ended, and for nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from support.market import Market
from support.world import Person

from consent.commands.forget_subject import forget_subject
from consent.commands.register_keys import MAX_LIVE, BorrowerKey
from consent.storage.own_keys import all_keys
from consent.storage.subjects import find_subjects
from consent.transaction import reading
from crypto.keys import SigningKey

KEYS = "/v1/me/keys"


@pytest.fixture
def person(market: Market) -> Person:
    return market.enrol("aspen", 2)[0]


def statement(market: Market, person: Person, key: SigningKey, signer: SigningKey | None = None, **changes: Any):
    said = {
        "pseudonym": person.pseudonym, "log_origin": market.registry.consortium.log_origin,
        "public_key": key.public.text, "issued_at": market.clock(),
    }  # fmt: skip
    return {"token": BorrowerKey(**said | changes).sign(signer or key)}


def add(market: Market, person: Person, login: dict[str, str] | None = None) -> SigningKey:
    key = SigningKey.generate()
    answer = market.call(login or market.login(person), "POST", KEYS, statement(market, person, key))
    assert answer.status_code == 201, answer.text
    assert answer.json()["named_by"] == "borrower"
    return key


def keys(market: Market, person: Person) -> list[tuple[str, bool]]:
    found = market.call(market.login(person), "GET", KEYS).json()["items"]
    return [(one["named_by"], one["ended_at"] is None) for one in found]


def signed_by(market: Market, person: Person, key: SigningKey, action: str) -> int:
    market.clock.move(seconds=1)
    mine = Person(person.lender, person.ledger, person.pseudonym, key, person.number)
    return market.decide(market.decision(mine, {"ordinary": action})).status_code


def test_a_key_of_ones_own_signs_decisions_and_requests_beside_the_lenders(market, person):
    assert signed_by(market, person, SigningKey.generate(), "give") == 401
    key = add(market, person)
    assert keys(market, person) == [("lender", True), ("borrower", True)]
    assert signed_by(market, person, key, "give") == 201
    assert signed_by(market, person, person.key, "withdraw") == 201
    for one in (key, person.key):
        assert market.call(person.pseudonym, "GET", "/v1/me/consents", key=one).status_code == 200
    newest, oldest = market.call(person.pseudonym, "GET", "/v1/me/receipts", key=key).json()["items"]
    assert [one["decided"]["stated_by"] for one in (newest, oldest)] == ["signature", "signature"]
    other = market.people["aspen"][1]
    assert signed_by(market, other, key, "give") == 401, "it is nobody else's"
    assert market.call(other.pseudonym, "GET", "/v1/me/consents", key=key).status_code == 401


def test_what_has_ended_signs_nothing_any_more_the_lenders_choice_among_it(market, person):
    key = add(market, person)
    login = market.login(person)
    for ended in (person.key, key):
        target = f"{KEYS}/{ended.public.thumbprint}"
        assert market.call(login, "DELETE", target).status_code == 204
        assert market.call(login, "DELETE", target).status_code == 404
        assert signed_by(market, person, ended, "give") == 401
        assert market.call(person.pseudonym, "GET", "/v1/me/consents", key=ended).status_code == 401
    assert sorted(keys(market, person)) == [("borrower", False), ("lender", False)]
    with reading(market.registry) as view:
        mine = find_subjects(view, [person.pseudonym])[person.pseudonym]
        assert set(all_keys(view.session, mine)) == {person.key.public.text, key.public.text}, "evidence needs them"
    again = market.call(market.login(person), "POST", KEYS, statement(market, person, key))
    assert (again.status_code, again.json()["reason"]) == (409, "key-known"), "what has ended does not come back"
    assert signed_by(market, person, add(market, person), "give") == 201


def test_a_key_is_added_in_a_fresh_login_by_whom_it_is_of_with_the_key_itself(market, person):
    other, key = market.people["aspen"][1], SigningKey.generate()
    login = market.login(person)

    def refused(body, caller=login):
        answer = market.call(caller, "POST", KEYS, body)
        assert answer.status_code in {401, 403, 422}, answer.text
        assert keys(market, person) == [("lender", True)]
        return answer.json()

    refused(statement(market, person, key, SigningKey.generate()))
    refused(statement(market, other, key))
    refused(statement(market, person, key, log_origin="another.example/log"))
    refused({"token": market.decision(person, {"ordinary": "give"})})
    old = statement(market, person, key)
    by_key = refused(statement(market, person, key), person.pseudonym)
    assert by_key["reason"] == "fresh-login-needed", "a device alone makes no other device"
    market.clock.move(minutes=2, seconds=1)
    assert refused(statement(market, person, key))["parameters"] == {"seconds": 120}
    market.clock.move(minutes=4)
    login = market.login(person)
    refused(old, login)
    refused(statement(market, person, key, issued_at=market.clock.move(seconds=0).replace(year=2099)), login)


def test_there_is_a_limit_and_a_sending_that_was_lost_acts_once(market, person):
    key = SigningKey.generate()
    body, login = statement(market, person, key), market.login(person)
    first, second = (market.call(login, "POST", KEYS, body, Idempotency_Key="k-1") for _ in range(2))
    assert (first.status_code, second.json()) == (201, first.json())
    for _ in range(MAX_LIVE - 2):
        add(market, person, login)
    full = market.call(login, "POST", KEYS, statement(market, person, SigningKey.generate()))
    assert (full.status_code, full.json()["parameters"]) == (409, {"most": MAX_LIVE})


def test_anothers_key_cannot_be_ended_nor_told_from_none(market, person):
    other = market.people["aspen"][1]
    theirs = add(market, other)
    login = market.login(person)
    for thumbprint in (theirs.public.thumbprint, other.key.public.thumbprint):
        real, made_up = (market.call(login, "DELETE", f"{KEYS}/{name}") for name in (thumbprint, "x" * 43))
        assert real.status_code == made_up.status_code == 404
        assert real.json() == made_up.json()
    assert keys(market, other) == [("lender", True), ("borrower", True)]


def test_it_is_logged_for_its_owner_exported_and_gone_with_them(market, person):
    key = add(market, person)
    login = market.login(person)
    assert market.call(login, "DELETE", f"{KEYS}/{key.public.thumbprint}").status_code == 204
    mine = market.call(login, "GET", "/v1/me/export").json()
    logged = [(one["entry"]["type"], one["entry"]["body"]["sealed_to"]) for one in mine["log_entries"]]
    assert ("key.added", ["subject"]) in logged
    assert ("key.ended", ["subject"]) in logged
    assert [one["thumbprint"] for one in mine["accounts"][0]["signing_keys"]] == [
        person.key.public.thumbprint, key.public.thumbprint,
    ]  # fmt: skip
    forget_subject(market.registry, person.pseudonym)
    with market.registry.ledger.read() as session:
        assert session.execute(text("SELECT count(*) FROM own_keys")).scalar() == 0


ONLY = "/v1/me/only-keys"


def only(market: Market, person: Person, wanted: bool, login: dict[str, str] | None = None, lender: str = "aspen"):
    body = {"recipient": lender, "only_keys": wanted}
    return market.call(login or market.login(person), "PUT", ONLY, body)


def states_in_a_login(market: Market, person: Person, action: str):
    market.clock.move(seconds=1)
    body = market.statement([("aspen", "ordinary", action)])
    return market.call(market.login(person), "POST", "/v1/me/consents", body)


def test_who_wants_only_keys_to_say_yes_is_said_yes_for_by_nothing_else(market, person):
    """Neither by whoever has their login nor by their lender; and a no is heard from everywhere."""
    assert only(market, person, True).status_code == 204
    (told,) = market.call(market.login(person), "GET", ONLY).json()["items"]
    assert (told["recipient"], told["only_keys"]) == ("aspen", True) and told["since"]
    refused = states_in_a_login(market, person, "give")
    assert (refused.status_code, refused.json()["reason"]) == (409, "key-needed")
    handed_in = market.hands_in("give", "ordinary", person.number)
    assert (handed_in.status_code, handed_in.json()["reason"]) == (409, "key-needed")
    assert signed_by(market, person, person.key, "give") == 201
    assert states_in_a_login(market, person, "suspend").status_code == 201, "a no needs no key"
    assert states_in_a_login(market, person, "resume").json()["reason"] == "key-needed"
    assert signed_by(market, person, person.key, "resume") == 201
    assert states_in_a_login(market, person, "withdraw").status_code == 201
    other = market.people["aspen"][1]
    assert states_in_a_login(market, other, "give").status_code == 201, "it binds nobody else"


def test_it_takes_a_key_to_begin_and_a_fresh_login_to_end(market, person):
    login = market.login(person)
    assert only(market, person, True, login, "birch").status_code == 404
    assert market.call(login, "DELETE", f"{KEYS}/{person.key.public.thumbprint}").status_code == 204
    without = only(market, person, True, login)
    assert (without.status_code, without.json()["reason"]) == (409, "no-key-there")
    key = add(market, person, login)
    for _ in range(2):
        assert only(market, person, True, login).status_code == 204
    by_key = market.call(person.pseudonym, "PUT", ONLY, {"recipient": "aspen", "only_keys": False}, key=key)
    assert by_key.json()["reason"] == "fresh-login-needed"
    market.clock.move(minutes=2, seconds=1)
    late = only(market, person, False, login)
    assert (late.status_code, late.json()["reason"]) == (403, "fresh-login-needed")
    assert states_in_a_login(market, person, "give").status_code == 409
    assert only(market, person, False).status_code == 204
    assert states_in_a_login(market, person, "give").status_code == 201


def test_that_only_keys_count_is_logged_exported_and_gone_with_them(market, person):
    login = market.login(person)
    for wanted in (True, False, True):
        assert only(market, person, wanted, login).status_code == 204
    mine = market.call(login, "GET", "/v1/me/export").json()
    logged = [one["entry"]["type"] for one in mine["log_entries"]]
    assert (logged.count("key.demanded"), logged.count("key.waived")) == (2, 1)
    assert mine["accounts"][0]["only_keys_say_yes"]["only_keys"] is True
    forget_subject(market.registry, person.pseudonym)
    with market.registry.ledger.read() as session:
        assert session.execute(text("SELECT count(*) FROM signed_only")).scalar() == 0


def test_a_renaming_keeps_the_keys(market, person):
    key = add(market, person)
    before = person.pseudonym
    assert market.rename(
        market.people["aspen"], [p.ledger.replace("v1", "v2") for p in market.people["aspen"]]
    ).is_success
    assert person.pseudonym != before
    assert signed_by(market, person, key, "give") == 201
    assert market.call(person.pseudonym, "GET", "/v1/me/consents", key=key).status_code == 200
