"""Attacks on joint exposure, each by whom it is for: what is seen, and what the attacker learns.

docs/exposure.md says the same in words, and what no test here stops.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from datetime import timedelta

import pytest
from support.exposure import (
    CHECK,
    KEYS,
    MINUTE,
    NAMING_RECIPIENT,
    NOON,
    Somebody,
    TwoServers,
    authorisation,
    lender,
)

from crypto.errors import CryptoError
from crypto.keys import unb64
from crypto.shares import PRIME, AdditiveShare, CheckKey, split
from exposure import book as books
from exposure.amounts import Exposure
from exposure.envelopes import enclosed, opened, sealed
from exposure.errors import AnswersDisagree, ExposureRefused
from exposure.lending import SentParts, open_statement
from exposure.ordering import withdrawn
from protocol.errors import Malformed, NotAllowed
from protocol.exposure import LENGTH, ExposureAnswer, ExposureOrder, ExposureQuestion, ExposureStatement

OWED = {"aspen": Exposure(1, 100_00), "birch": Exposure(2, 30_000_00), "cedar": Exposure(3, 7_000_00, 5_00)}


@pytest.fixture
def somebody() -> Somebody:
    person = Somebody()
    for name, has in OWED.items():
        assert person.states(name, has)
    return person


# --- differencing: an asker that asks again and again


def test_one_authorisation_is_one_answer(somebody: Somebody):
    signed = authorisation(somebody.key, "aspen", somebody.handle)
    somebody.asks("aspen", signed=signed)
    with pytest.raises(ExposureRefused) as refused:
        somebody.asks("aspen", signed=signed)
    assert refused.value.rule == "UsedOnce"


def test_an_answer_that_is_given_again_tells_nothing_of_what_came_since(somebody: Somebody):
    servers, sent = somebody.servers, somebody.question("aspen")
    first = servers.through(sent)
    somebody.states("birch", Exposure(9, 99_000_00))
    parts = servers.read(sent)
    again = (
        servers.registry.repeated(servers.registry_book, parts[0], servers.now),
        servers.naming.repeated(servers.naming_book, parts[1], servers.now),
    )
    asker = somebody.lender("aspen")
    assert asker.answered(sent, *again) == asker.answered(sent, *first)


def test_a_lender_has_so_many_answers_about_a_person_whatever_they_sign(somebody: Somebody):
    for _ in range(3):
        somebody.asks("aspen")
    with pytest.raises(ExposureRefused) as refused:
        somebody.asks("aspen")
    assert refused.value.rule == "WithinQuota"
    somebody.asks("birch")
    somebody.servers.now += timedelta(days=30)
    later = {"issued_at": somebody.servers.now, "expires_at": somebody.servers.now + MINUTE}
    somebody.asks("aspen", signed=authorisation(somebody.key, "aspen", somebody.handle, **later))


def test_an_expired_authorisation_is_not_forgotten_into_use(somebody: Somebody):
    """The servers forget an answer when its authorisation ends; it is refused from the same instant on."""
    signed = authorisation(somebody.key, "aspen", somebody.handle, expires_at=NOON + MINUTE)
    somebody.asks("aspen", signed=signed)
    somebody.servers.now += MINUTE
    with pytest.raises(ExposureRefused) as refused:
        somebody.asks("aspen", signed=signed)
    assert refused.value.rule == "NotOver"


# --- a server that alters, drops, replays, reorders


def _altered(server: str):
    return lambda person: _with_share(person, server, lambda share: share + AdditiveShare((1, 0, 0), (0, 0, 0)))


def _with_share(person: Somebody, server: str, change) -> None:
    """What this server holds of birch, changed."""
    name = f"{server}_book"
    book = getattr(person.servers, name)
    held = book.accounts["birch"]
    changed = replace(book, accounts={**book.accounts, "birch": replace(held, share=change(held.share))})
    setattr(person.servers, name, changed)


def _dropped(server: str):
    def drop(person: Somebody) -> None:
        book = getattr(person.servers, f"{server}_book")
        left = {name: held for name, held in book.accounts.items() if name != "birch"}
        setattr(person.servers, f"{server}_book", replace(book, accounts=left))

    return drop


def _replayed(server: str):
    def replay(person: Somebody) -> None:
        before = getattr(person.servers, f"{server}_book").accounts["birch"].share
        person.states("birch", Exposure(4, 60_000_00))
        _with_share(person, server, lambda _: before)

    return replay


def _other_persons(server: str):
    def swap(person: Somebody) -> None:
        other = Somebody(TwoServers(person.servers.members))
        other.states("birch", Exposure())
        share = getattr(other.servers, f"{server}_book").accounts["birch"].share
        _with_share(person, server, lambda _: share)

    return swap


def _unreserved(server: str):
    def forget(person: Somebody) -> None:
        person.asks("birch", 50_000_00)
        book = getattr(person.servers, f"{server}_book")
        setattr(person.servers, f"{server}_book", replace(book, reservations={}))

    return forget


WRONGS = {
    "alters": _altered, "drops": _dropped, "replays": _replayed, "takes another's": _other_persons,
    "forgets a reservation": _unreserved,
}  # fmt: skip


@pytest.mark.parametrize("server", ["registry", "naming"])
@pytest.mark.parametrize("wrong", WRONGS)
def test_a_server_that_is_wrong_is_not_believed(somebody: Somebody, wrong: str, server: str):
    WRONGS[wrong](server)(somebody)
    with pytest.raises(AnswersDisagree, match="not believed"):
        somebody.asks("aspen")


def test_the_second_server_takes_nothing_out_of_its_order(somebody: Somebody):
    """A registry that replays, leaves out, reorders or misdates: refused, and the books stay."""
    servers = somebody.servers
    sent = somebody.question("aspen")
    first, second = servers.read(sent)
    good = ExposureOrder.claimed(servers.at_registry(first))
    book = servers.naming_book
    for wrong in (
        {"number": good.number + 1},
        {"number": good.number - 1},
        {"operation": "0" * 64},
        {"handle": "0" * 64},
        {"at": good.at + timedelta(seconds=31)},
        {"at": good.at - timedelta(seconds=1)},  # before what was done last
    ):
        order = good.model_copy(update=wrong).sign(KEYS["registry"])
        with pytest.raises(ExposureRefused):
            servers.at_naming(second, order)
        assert servers.naming_book == book
    with pytest.raises(CryptoError):
        servers.at_naming(second, good.sign(KEYS["aspen"]))


def test_a_statement_that_comes_again_or_leaves_one_out_is_refused(somebody: Somebody):
    asker, servers = somebody.lender("aspen"), somebody.servers
    old = asker.state(somebody.handle, 2, Exposure(), somebody.key.public.text)
    servers.through(old)
    somebody.versions["aspen"] = 2
    somebody.states("aspen", Exposure(5, 5))
    for sent in (old, asker.state(somebody.handle, 5, Exposure(), somebody.key.public.text)):
        with pytest.raises(ExposureRefused) as refused:
            servers.through(sent)
        assert refused.value.rule == "NextVersion"
        second = servers.read(sent)[1]
        order = ExposureOrder(
            handle=second.handle, operation=second.operation, number=servers.naming_book.number + 1,
            at=servers.now, seed="0" * 64,
        )  # fmt: skip
        with pytest.raises(ExposureRefused):  # nor by a registry that says nothing of it
            servers.at_naming(second, order.sign(KEYS["registry"]))


def test_two_servers_that_were_told_different_things_are_found_out(somebody: Somebody):
    servers, sent = somebody.servers, somebody.question("aspen")
    first, second = servers.read(sent)
    servers.registry_book = replace(servers.registry_book, chain=secrets.token_bytes(32))
    reply = servers.at_naming(second, servers.at_registry(first))
    with pytest.raises(AnswersDisagree, match="different things"):
        somebody.lender("aspen").answered(sent, servers.settle(first), reply)


def test_an_answer_to_something_else_is_none(somebody: Somebody):
    asker, servers = somebody.lender("aspen"), somebody.servers
    earlier, sent = somebody.question("aspen"), somebody.question("aspen")
    old, new = servers.through(earlier), servers.through(sent)
    for replies in ((old[0], new[1]), (new[0], old[1]), (new[0], new[0])):
        with pytest.raises(AnswersDisagree):
            asker.answered(sent, *replies)
    forged = ExposureAnswer.claimed(new[0]).sign(KEYS["birch"])
    with pytest.raises(AnswersDisagree, match="did not sign"):
        asker.answered(sent, forged, new[1])


def test_without_a_receipt_of_both_nothing_is_held_and_nothing_is_lent(somebody: Somebody):
    asker = somebody.lender("aspen")
    sent = asker.state(somebody.handle, 2, Exposure(2, 200_00), somebody.key.public.text)
    registry, naming = somebody.servers.through(sent)
    assert asker.stated(sent, registry, naming)
    for replies in ((registry, registry), (naming, naming), (naming, registry)):
        with pytest.raises(AnswersDisagree):
            asker.stated(sent, *replies)


# --- one server and the asker, together


@pytest.mark.parametrize("mine, other", [("registry", "naming"), ("naming", "registry")])
def test_asker_and_one_server_know_the_others_answer_before_it_comes(somebody: Somebody, mine: str, other: str):
    """Less the mask, which both servers know, the other server's answer follows from the sum and this server's shares:
    it tells them nothing besides (``tests/crypto/test_shares.py`` counts what else the sum could be of)."""
    servers = somebody.servers
    somebody.asks("birch", 40_000_00)
    told = somebody.asks("aspen")
    a = CHECK.coefficient(somebody.handle)
    whole = AdditiveShare(told.values, tuple(one * a % PRIME for one in told.values))
    follows = whole + -getattr(servers, f"{mine}_book")._owed_elsewhere("aspen")
    assert follows == getattr(servers, f"{other}_book")._owed_elsewhere("aspen")


def test_asker_and_registry_cannot_ask_about_whom_they_have_no_signature_of(somebody: Somebody):
    """The naming service has its own copy of the person's key: a registry that lets anything pass gains nothing."""
    servers = somebody.servers
    sent = somebody.question("aspen", signed=authorisation(KEYS["aspen"], "aspen", somebody.handle))
    _, second = servers.read(sent)
    order = ExposureOrder(
        handle=second.handle, operation=second.operation, number=servers.naming_book.number + 1,
        at=servers.now, seed="0" * 64,
    )  # fmt: skip
    with pytest.raises(ExposureRefused) as refused:
        servers.at_naming(second, order.sign(KEYS["registry"]))
    assert refused.value.rule == "SignedByThePerson"


def test_who_states_another_key_for_a_person_does_not_get_to_sign_for_them(somebody: Somebody):
    asker = somebody.lender("aspen")
    somebody.servers.through(asker.state(somebody.handle, 2, Exposure(), KEYS["aspen"].public.text))
    with pytest.raises(ExposureRefused) as refused:
        somebody.asks("aspen", signed=authorisation(KEYS["aspen"], "aspen", somebody.handle))
    assert refused.value.rule == "SignedByThePerson"
    somebody.asks("birch")


def test_the_registry_hands_on_what_it_cannot_read(somebody: Somebody):
    servers, sent = somebody.servers, somebody.question("aspen", 12_34)
    first, second = servers.read(sent)
    reply = servers.at_naming(second, servers.at_registry(first))
    assert second.share not in str(unb64(sent.naming)) and b"tahini" not in unb64(reply)
    with pytest.raises(CryptoError):
        opened(sent.naming, NAMING_RECIPIENT, "0" * 64)
    with pytest.raises(AnswersDisagree, match="cannot be opened"):
        somebody.lender("aspen").answered(sent, servers.settle(first), enclosed("x", "0" * 64, sent.operation))
    assert first.answer_key is None and second.answer_key not in sent.registry


def test_a_part_is_for_one_server_only(somebody: Somebody):
    servers = somebody.servers
    sent = somebody.lender("aspen").state(somebody.handle, 2, Exposure(), somebody.key.public.text)
    with pytest.raises(Malformed, match="other server"):
        servers.naming.read(sent.registry, ExposureStatement, NOON)
    with pytest.raises(Malformed, match="other server"):
        servers.registry.read(opened(sent.naming, NAMING_RECIPIENT, sent.operation), ExposureStatement, NOON)


def test_only_lenders_state_and_each_under_its_own_signature(somebody: Somebody):
    servers = somebody.servers
    part, _ = servers.read(somebody.question("aspen"))
    with pytest.raises(CryptoError):
        servers.registry.read(part.sign(KEYS["birch"]), ExposureQuestion, NOON)
    auditor = part.model_copy(update={"lender": "auditor"})
    with pytest.raises(NotAllowed, match="no lender"):
        servers.registry.read(auditor.sign(KEYS["auditor"]), ExposureQuestion, NOON)


def test_parts_that_differ_in_what_both_must_know_have_different_names(somebody: Somebody):
    """A lender cannot tell the servers two things so that they part ways."""
    servers = somebody.servers
    first, second = servers.read(
        somebody.lender("aspen").state(somebody.handle, 2, Exposure(), KEYS["aspen"].public.text)
    )
    for change in ({"version": 3}, {"releases": ("0" * 64,)}, {"lender": "birch"}, {"handle": "1" * 64}):
        other = second.model_copy(update=change)
        assert ExposureStatement.model_validate(other.payload()).operation != first.operation


@pytest.mark.parametrize("spoilt", ["share", "answer key"])
def test_what_only_the_second_server_can_refuse_changes_nothing_and_holds_nobody_up(somebody: Somebody, spoilt: str):
    servers, sent = somebody.servers, somebody.question("aspen")
    first, second = servers.read(sent)
    if spoilt == "share":
        second = second.model_copy(update={"share": "_" * 128})
    else:
        second = second.model_copy(update={"answer_key": None})
    order, books_before = servers.at_registry(first), (servers.naming_book, servers.registry_book.accounts)
    with pytest.raises((CryptoError, Malformed)):
        servers.at_naming(second, order)
    servers.registry_book = withdrawn(servers.registry_book)
    assert (servers.naming_book, servers.registry_book.accounts) == books_before
    assert somebody.asks("birch") == OWED["aspen"] + OWED["cedar"]


# --- a lender that lies


def test_a_lie_below_zero_that_shows_is_not_believed(somebody: Somebody):
    _state_anything(somebody, "birch", (-50, 0, 0))
    with pytest.raises(AnswersDisagree):
        somebody.asks("aspen")


def test_a_lie_about_ones_own_loans_is_believed_and_stands_under_ones_signature(somebody: Somebody):
    """Nothing can stop it: nobody else knows what is true. Who hands both parts to an arbiter shows who lied."""
    sent = _state_anything(somebody, "birch", (0, 0, 0))
    assert somebody.asks("aspen") == OWED["cedar"]
    assert open_statement(*somebody.servers.read(sent), CHECK) == Exposure()
    hiding = _state_anything(somebody, "birch", (-1, 0, 0))  # hides one of cedar's
    assert somebody.asks("aspen").loans == OWED["cedar"].loans - 1
    with pytest.raises(AnswersDisagree):
        open_statement(*somebody.servers.read(hiding), CHECK)


def test_parts_that_do_not_belong_together_stop_answers_and_say_whose_they_are(somebody: Somebody):
    sent = _state_anything(somebody, "birch", (1, 1, 1), check=CheckKey.generate())
    with pytest.raises(AnswersDisagree):
        somebody.asks("aspen")
    with pytest.raises(AnswersDisagree, match="the lender's two parts"):
        open_statement(*somebody.servers.read(sent), CHECK)


@pytest.mark.parametrize("owed, least", [(0, 1), (1, 1), (500_00, 500_01), (500_00, 500_00)])
def test_a_server_that_has_the_common_key_sees_whether_a_sum_reaches_what_it_takes_off(owed: int, least: int):
    """No test stops it, and docs/exposure.md says so: a sum below zero is refused, and the server sees that the asker
    does not go on. One bit of a sum for each question that somebody answered in good faith."""
    person = Somebody()
    person.states("aspen", Exposure())
    person.states("birch", Exposure(1, owed))
    a, taken = CHECK.coefficient(person.handle), (0, -least % PRIME, 0)
    off = AdditiveShare(taken, tuple(one * a % PRIME for one in taken))
    _with_share(person, "registry", lambda share: share + off)
    if owed >= least:
        assert person.asks("aspen").outstanding_fen == owed - least
    else:
        with pytest.raises(AnswersDisagree):
            person.asks("aspen")


def _state_anything(person: Somebody, name: str, values, check: CheckKey = CHECK) -> SentParts:
    """A signed statement of numbers that no honest program would share."""
    person.versions[name] += 1
    sent = lender(name).state(person.handle, person.versions[name], Exposure(), person.key.public.text)
    a = check.coefficient(person.handle)
    shares = split(tuple(one % PRIME for one in values), a)
    changed = [
        part.model_copy(update={"share": share.text()})
        for part, share in zip(person.servers.read(sent), shares, strict=True)
    ]
    first, second = (part.sign(KEYS[name]) for part in changed)
    lies = replace(sent, registry=first, naming=sealed(second, NAMING_RECIPIENT.public, sent.operation))
    person.servers.through(lies)
    return lies


# --- a lender that watches whether anybody asked


def _everything_seen(person: Somebody, between) -> list[object]:
    """All that birch can do and see without a signature of the person, while ``between`` happens."""
    seen = []
    for step in range(2):
        sent = person.lender("birch").state(person.handle, 2 + step, OWED["birch"], person.key.public.text)
        receipts = person.servers.through(sent)
        for token in receipts:
            said = json.loads(unb64(token.split(".")[1]))
            seen.append({name: value for name, value in said.items() if name != "operation"})
        if step == 0:
            between()
    return seen


def test_no_lender_learns_that_anybody_asked():
    worlds = []
    for asks in (False, True):
        person = Somebody(handle="5" * 64)
        for name, has in OWED.items():
            person.states(name, has)
        worlds.append(
            _everything_seen(person, lambda p=person, a=asks: a and (p.asks("aspen", 40_00), p.asks("cedar")))
        )
    assert worlds[0] == worlds[1]


@pytest.mark.parametrize("minutes, again", [(0, True), (2, False)])
def test_who_repeats_a_question_does_not_learn_whether_anybody_did_anything_since(minutes: int, again: bool):
    """The next operation takes ended answers out of the books; until then they are not given, either."""
    for asks in (False, True):
        person = Somebody()
        for name, has in OWED.items():
            person.states(name, has)
        signed = authorisation(person.key, "aspen", person.handle, expires_at=NOON + 2 * MINUTE)
        servers, sent = person.servers, person.question("aspen", signed=signed)
        servers.through(sent)
        servers.now += minutes * MINUTE
        if asks:
            person.asks("cedar")
        told = servers.registry.repeated(servers.registry_book, servers.read(sent)[0], servers.now)
        assert (told is not None) is again


def test_answers_are_fresh_whether_or_not_anything_happened_between(somebody: Somebody):
    """Two answers of one server have nothing in common, the view included, though nobody did anything between; nor does
    an answer show that nobody else has an account."""
    alone = Somebody(TwoServers(somebody.servers.members))
    alone.states("aspen", Exposure(1, 1))
    for person in (somebody, alone):
        told = [ExposureAnswer.claimed(person.servers.through(person.question("aspen"))[0]) for _ in range(2)]
        shares = [AdditiveShare.of_text(one.share, LENGTH) for one in told]
        assert not set(shares[0].values + shares[0].tags) & set(shares[1].values + shares[1].tags)
        assert 0 not in shares[0].values + shares[1].values
        assert told[0].view != told[1].view
    assert alone.asks("aspen") == Exposure()


def test_an_answer_says_no_number_of_operations_or_lenders(somebody: Somebody):
    replies = somebody.servers.through(somebody.question("aspen"))
    said = json.loads(unb64(replies[0].split(".")[1]))
    assert set(said) == {"server", "lender", "handle", "operation", "share", "view", "at"}
    few = Somebody()
    few.states("aspen", Exposure())
    assert [len(one) for one in replies] == [len(one) for one in few.servers.through(few.question("aspen"))]


def test_no_lender_can_tell_a_view_from_its_own_operations():
    """The asker knows every operation that there was, all its own, and still cannot compute the view: each order has a
    seed that no lender sees."""
    person = Somebody()
    person.states("aspen", Exposure())
    sent = person.question("aspen")
    replies = person.servers.through(sent)
    view = ExposureAnswer.claimed(replies[0]).view
    guessed = books.PersonBook()
    for operation in (sent.operation,):
        order = ExposureOrder(handle=person.handle, operation=operation, number=2, at=NOON, seed="0" * 64)
        guessed = replace(guessed, chain=books._chained(guessed, order))
    assert guessed.chain.hex() != view and person.servers.registry_book.chain.hex() not in "".join(replies)


# --- amounts in what is written down


def test_no_amount_is_printed_or_said(somebody: Somebody):
    """Neither by objects that hold one, nor by any refusal."""
    secret = 987_654_32
    has = Exposure(1, secret)
    sent = somebody.question("aspen", secret)
    told = [repr(has), str(has), f"{[has]}", repr(sent), repr(somebody.lender("aspen")), repr(CHECK)]
    for wrong in (
        lambda: Exposure(0, -secret),
        lambda: somebody.asks("aspen", secret, minutes=99),
        lambda: (_altered("registry")(somebody), somebody.asks("aspen", secret)),
        lambda: somebody.lender("aspen").state(somebody.handle, 0, has, somebody.key.public.text),
        lambda: split((secret, -1), 1),
    ):
        with pytest.raises(Exception) as refused:
            wrong()
        error = refused.value
        while error is not None:
            told.append(f"{error!r} {error}")
            error = error.__cause__ or error.__context__
    assert not [one for one in told if "98765432" in one.replace(",", "").replace("_", "")]
