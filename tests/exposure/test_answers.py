"""What an asker learns, and when it learns nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.exposure import LENDERS, MINUTE, NOON, Somebody, authorisation

from crypto.keys import SigningKey
from exposure.amounts import MAX_FEN, MAX_LOANS, Exposure, may_lend
from exposure.book import RULES
from exposure.errors import ExposureBusy, ExposureRefused
from protocol.errors import Malformed

OWED = {"aspen": Exposure(1, 100_00), "birch": Exposure(2, 30_000_00), "cedar": Exposure(0, 0, 5_00)}


@pytest.fixture
def somebody() -> Somebody:
    person = Somebody()
    for name, has in OWED.items():
        assert person.states(name, has)
    return person


@pytest.mark.parametrize("asker", LENDERS)
def test_an_asker_learns_the_sum_less_its_own(somebody: Somebody, asker: str):
    others = [has for name, has in OWED.items() if name != asker]
    assert somebody.asks(asker) == others[0] + others[1]


def test_a_statement_takes_the_place_of_the_one_before(somebody: Somebody):
    somebody.states("birch", Exposure(1, 700))
    assert somebody.asks("aspen") == Exposure(1, 700, 5_00)


def test_who_asks_later_sees_what_was_reserved_before(somebody: Somebody):
    somebody.asks("aspen", 40_000_00)
    assert somebody.asks("birch") == Exposure(1, 100_00, 40_005_00)
    assert somebody.asks("aspen", 0) == Exposure(2, 30_000_00, 5_00), "one's own reservation is one's own"


def test_a_reservation_ends_by_itself(somebody: Somebody):
    somebody.asks("aspen", 40_000_00, minutes=10)
    somebody.servers.now += 9 * MINUTE
    assert somebody.asks("birch").reserved_fen == 40_005_00
    somebody.servers.now += MINUTE
    assert somebody.asks("cedar").reserved_fen == 0


def test_a_loan_takes_the_place_of_its_reservation(somebody: Somebody):
    sent = somebody.question("aspen", 40_000_00)
    somebody.servers.through(sent)
    assert somebody.states("aspen", Exposure(2, 40_100_00), (sent.operation,))
    assert somebody.asks("birch") == Exposure(2, 40_100_00, 5_00)


def test_a_loan_whose_reservation_ended_is_not_made(somebody: Somebody):
    sent = somebody.question("aspen", 40_000_00, minutes=10)
    somebody.servers.through(sent)
    somebody.servers.now += 10 * MINUTE
    assert not somebody.states("aspen", Exposure(2, 40_100_00), (sent.operation,))


def test_nobody_releases_what_another_reserved(somebody: Somebody):
    sent = somebody.question("aspen", 40_000_00)
    somebody.servers.through(sent)
    assert not somebody.states("birch", OWED["birch"], (sent.operation,))
    assert somebody.asks("cedar").reserved_fen == 40_000_00


def test_who_says_it_again_is_told_the_same_and_nothing_is_done_twice(somebody: Somebody):
    servers, asker = somebody.servers, somebody.lender("aspen")
    sent = somebody.question("aspen", 40_000_00)
    first, second = servers.read(sent)
    order = servers.at_registry(first)
    assert servers.at_naming(second, order)
    books = servers.naming_book
    again = servers.at_naming(second, servers.at_registry(first))
    assert servers.naming_book == books
    assert asker.answered(sent, servers.settle(first), again) == OWED["birch"] + OWED["cedar"]
    told = (
        servers.registry.repeated(servers.registry_book, first, servers.now),
        servers.naming.repeated(books, second, servers.now),
    )
    assert asker.answered(sent, *told) == OWED["birch"] + OWED["cedar"]


def test_one_thing_at_a_time(somebody: Somebody):
    servers = somebody.servers
    first, _ = servers.read(somebody.question("aspen", 1_00))
    servers.at_registry(first)
    other, _ = servers.read(somebody.question("birch", 1_00))
    with pytest.raises(ExposureBusy):
        servers.at_registry(other)
    with pytest.raises(ExposureRefused):
        servers.settle(other)


# --- each rule is red once

STRANGER = SigningKey.generate()
BROKEN = {
    "ForThisQuestion": lambda person: {"signed": authorisation(person.key, "birch", person.handle)},
    "NotOver": lambda person: {
        "signed": authorisation(
            person.key, "aspen", person.handle, issued_at=NOON - timedelta(hours=2), expires_at=NOON
        )
    },
    "ReservedForMinutes": lambda person: {"minutes": 31},
    "SignedByThePerson": lambda person: {"signed": authorisation(STRANGER, "aspen", person.handle)},
}


@pytest.mark.parametrize("rule", BROKEN)
def test_what_may_not_be_asked(somebody: Somebody, rule: str):
    books = somebody.servers.registry_book, somebody.servers.naming_book
    with pytest.raises(ExposureRefused) as refused:
        somebody.asks("aspen", **BROKEN[rule](somebody))
    assert refused.value.rule == rule
    assert (somebody.servers.registry_book, somebody.servers.naming_book) == books


@pytest.mark.parametrize("issued, expires", [(1, 5), (-5, -1), (-5, 0)])
def test_an_authorisation_is_good_from_its_beginning_to_before_its_end(somebody: Somebody, issued, expires):
    told = {"issued_at": NOON + issued * MINUTE, "expires_at": NOON + expires * MINUTE}
    with pytest.raises(ExposureRefused, match="not in force"):
        somebody.asks("aspen", signed=authorisation(somebody.key, "aspen", somebody.handle, **told))


def test_an_authorisation_about_somebody_else(somebody: Somebody):
    with pytest.raises(ExposureRefused) as refused:
        somebody.asks("aspen", signed=authorisation(somebody.key, "aspen", "0" * 64))
    assert refused.value.rule == "ForThisQuestion"


def test_an_authorisation_is_for_a_day_at_most(somebody: Somebody):
    with pytest.raises(ValueError, match="24 hours"):
        authorisation(somebody.key, "aspen", somebody.handle, expires_at=NOON + timedelta(hours=24, seconds=1))


def test_who_states_nothing_asks_nothing():
    with pytest.raises(ExposureRefused) as refused:
        Somebody().asks("aspen")
    assert refused.value.rule == "StatesBeforeAsking"


def test_every_rule_was_red_once():
    tried = {*BROKEN, "UsedOnce", "WithinQuota"}  # those two in test_attacks.py
    assert {rule.__name__.title().replace("_", "") for rule in RULES} <= tried


# --- amounts


@pytest.mark.parametrize("amounts", [(-1,), (0, -1), (0, 0, -1), (MAX_LOANS + 1,), (0, MAX_FEN + 1)])
def test_an_exposure_has_bounds(amounts):
    with pytest.raises(Malformed):
        Exposure(*amounts)


@pytest.mark.parametrize("amount, allowed", [(40, True), (41, False)])
def test_more_is_lent_up_to_the_limit(amount, allowed):
    assert may_lend(amount, 100, Exposure(1, 10, 5), Exposure(2, 20, 25)) is allowed


def test_what_is_no_statement_is_refused_in_a_sentence(somebody: Somebody):
    with pytest.raises(Malformed, match="version"):
        somebody.lender("aspen").state(somebody.handle, 0, Exposure(), somebody.key.public.text)
