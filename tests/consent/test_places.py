"""Contribution bounding (invariant 5): one lender per person in every campaign, and what a lender can see of it.

And what becomes of places, consents and keys when people get new names.
"""

from __future__ import annotations

import random

import pytest
from scipy.stats import binom
from sqlalchemy import select
from support.effort import effort
from support.market import SignedBorrower, open_market
from support.world import pseudonym

from clients.consents import Consents
from consent.storage.tables import AssignmentRow, PlacesRow
from protocol.consents import ConsentDecision, Receipt
from protocol.terms import TRAINING_PURPOSE

UNLIKELY = 1e-6
"""How rarely a test of chance may fail."""


def expect_share(hits: int, tries: int, rate: float) -> None:
    low, high = binom.ppf([UNLIKELY / 2, 1 - UNLIKELY / 2], tries, rate)
    assert low <= hits <= high, f"{hits} of {tries} at {rate}"


def where(market, campaign) -> dict[str, list[str]]:
    """Lenders where each person is counted, by ledger name."""
    found: dict[str, list[str]] = {}
    for lender in campaign.lenders:
        people = market.people.get(lender, [])
        for number in market.placed(campaign, lender):
            found.setdefault(people[number].ledger, []).append(lender)
    return found


def test_each_person_is_counted_at_one_lender_in_every_campaign(market):
    rng = random.Random(7)
    ledgers = [pseudonym() for _ in range(60)]
    for lender in ("aspen", "birch", "cedar"):
        for person in market.enrol(lender, ledgers=rng.sample(ledgers, 30)):
            if rng.random() < 0.7:
                market.clock.move(seconds=1)
                body = market.statement([(lender, "ordinary", rng.choice(["give", "give", "refuse"]))])
                assert market.call(person.pseudonym, "POST", "/v1/me/consents", body).is_success
    first = where(market, market.campaign())
    live = {p.ledger for people in market.people.values() for p in people if market.rule(p) == "given"}
    assert set(first) == live, "who consents anywhere is counted somewhere, and nobody else"
    assert all(len(lenders) == 1 for lenders in first.values())
    for person in market.people["aspen"][:10]:
        if market.rule(person) == "given":
            for action in ("suspend", "resume"):
                assert market.says(person, action).is_success
    assert where(market, market.campaign()) == first, "whatever happens since, the place stays"
    fewer = where(market, market.campaign(("aspen", "birch")))
    assert fewer == {person: lenders for person, lenders in first.items() if lenders != ["cedar"]}


def test_who_said_yes_at_one_lender_is_counted_there(market):
    ledgers = [pseudonym() for _ in range(20)]
    for lender in ("aspen", "birch"):
        market.enrol(lender, ledgers=ledgers)
    market.clock.move(seconds=1)
    market.decide(*(market.decision(p, {"ordinary": "give"}) for p in market.people["birch"]))
    found = where(market, market.campaign())
    assert all(found[ledger] == ["birch"] for ledger in ledgers)


def test_between_lenders_the_draw_is_fair(market):
    count = effort(1000)
    ledgers = [pseudonym() for _ in range(count)]
    for lender in ("aspen", "birch"):
        market.consenting(lender, ledgers=ledgers)
    found = where(market, market.campaign())
    expect_share(sum(lenders == ["aspen"] for lenders in found.values()), count, 0.5)


def test_cover_leaves_out_its_share_for_good(tmp_path):
    rate, count = 0.2, effort(2000)
    with open_market(tmp_path, cover_rate=rate) as market:
        shared = [pseudonym() for _ in range(count // 4)]
        market.consenting("aspen", ledgers=[*(pseudonym() for _ in range(count)), *shared])
        market.consenting("birch", ledgers=shared)
        campaign = market.campaign()
        placed = market.placed(campaign, "aspen")
        expect_share(count - len({n for n in placed if n < count}), count, rate)
        found = where(market, campaign)
        assert all(len(found[ledger]) == 1 for ledger in shared), "who borrows at two lenders is at one of them"
        for _ in range(3):
            assert market.placed(market.campaign(), "aspen") == placed, "another campaign tells nothing more"


def test_who_enrols_later_has_no_place_and_gets_one_in_the_next(market):
    market.consenting("aspen", 3)
    first = market.campaign()
    assert market.placed(first, "aspen") == {0, 1, 2}
    market.consenting("aspen", 2)
    assert market.placed(first, "aspen") == {0, 1, 2}
    assert market.placed(market.campaign(), "aspen") == {0, 1, 2, 3, 4}


def test_a_lender_sees_its_own_places_and_no_campaign_of_others(market):
    market.enrol("aspen", 3)
    market.enrol("birch", 9)
    campaign = market.campaign(("aspen", "birch"))
    target = f"/v1/campaigns/{campaign.sha256}/places"
    places = market.client("aspen").places(campaign.sha256)
    assert (places.lender, places.people) == ("aspen", 3)
    assert market.call("cedar", "GET", target).status_code == 403
    assert market.call("coordinator", "GET", target).status_code == 403
    assert market.call("aspen", "GET", f"/v1/campaigns/{'0' * 64}/places").status_code == 404


def test_a_place_and_its_bitmap_are_written_once(market):
    market.enrol("aspen", 3)
    market.campaign()
    market.campaign()
    with market.registry.ledger.read() as session:
        assert len(session.scalars(select(AssignmentRow)).all()) == 3
        assert len(session.scalars(select(PlacesRow)).all()) == 6


# --- new names


def test_everything_of_theirs_stays_theirs_under_a_new_name(market, tmp_path):
    person, other = market.enrol("aspen", 2)
    login = market.login(person)
    token = market.decision(person, dict.fromkeys(("ordinary", "sensitive"), "give"))
    assert market.decide(token).status_code == 201
    campaign = market.campaign()
    before = market.call(person.pseudonym, "GET", "/v1/me/export").json()
    consents = Consents(tmp_path, "aspen")
    consents.sync(market.client("aspen"), TRAINING_PURPOSE)
    old = person.pseudonym
    assert market.rename([person, other], [pseudonym(2), pseudonym(2)]).status_code == 201
    market.keys[old] = person.key
    assert market.call(old, "GET", "/v1/me/consents").status_code == 200, "the old name goes on meaning them"
    snapshot = consents.sync(market.client("aspen"), TRAINING_PURPOSE)
    assert snapshot.names == (person.pseudonym, other.pseudonym)
    usable = snapshot.usable(market.client("aspen").places(campaign.sha256), campaign.needs(market.registry.consortium))
    assert usable.members == [person.pseudonym]
    assert market.check("aspen", subjects=[old])["decisions"][0]["rule"] == "not-enrolled"
    after = market.call(person.pseudonym, "GET", "/v1/me/export").json()
    assert after["events"] == before["events"]
    assert [e["body"] for e in after["log_entries"][:1]] == [e["body"] for e in before["log_entries"][:1]]
    assert all(e["body"] is not None for e in after["log_entries"]), "the data key opens what it opened"
    assert market.call(login, "GET", "/v1/me/consents").json()["items"], "the login still speaks for them"
    assert market.placed(market.campaign(), "aspen") == {0}
    for action in ("suspend", "resume", "withdraw"):
        assert market.says(person, action).status_code == 201


def test_a_receipt_of_before_is_issued_again_under_the_name_of_its_day(market):
    (person,) = market.enrol("aspen", 1)
    token = market.decision(person, {"ordinary": "give"})
    market.decide(token)
    old = person.pseudonym
    market.rename([person], [pseudonym(2)])
    receipt = SignedBorrower(market, person.pseudonym).my_receipt(token)
    assert isinstance(receipt, Receipt)
    assert (receipt.pii_principal_id, receipt.decision_sha256) == (old, ConsentDecision.claimed(token).sha256)


@pytest.mark.parametrize("first", ["aspen", "birch"])
def test_lenders_that_rename_at_different_times_never_make_two_of_one_person(market, first):
    ledgers = [pseudonym() for _ in range(12)]
    for lender in ("aspen", "birch"):
        market.consenting(lender, ledgers=ledgers)
    before = where(market, market.campaign())
    new = {ledger: pseudonym(2) for ledger in ledgers}
    for lender in sorted(("aspen", "birch"), key=lambda name: name != first):
        people = market.people[lender]
        assert market.rename(people, [new[person.ledger] for person in people]).status_code == 201
        counted: dict[str, list[str]] = {}
        names = {new.get(ledger, ledger): ledger for ledger in ledgers}
        for ledger, lenders in where(market, market.campaign()).items():
            counted.setdefault(new.get(ledger, ledger), []).extend(lenders)
        assert {names[ledger]: lenders for ledger, lenders in counted.items()} == before


@pytest.mark.parametrize("first", ["aspen", "birch"])
def test_who_was_two_people_until_a_renaming_is_counted_once_from_then_on(market, first):
    """An identity number mistyped at one lender, say. The place of the second name stays behind, and counts no more."""
    for lender in ("aspen", "birch"):
        market.consenting(lender)
    assert sorted(lender for lenders in where(market, market.campaign()).values() for lender in lenders) == [
        "aspen", "birch",
    ]  # fmt: skip
    one = pseudonym(2)
    for lender in sorted(("aspen", "birch"), key=lambda name: name != first):
        assert market.rename(market.people[lender], [one]).status_code == 201
    assert [len(lenders) for lenders in where(market, market.campaign()).values()] == [1]


def test_between_two_versions_of_names_no_campaign_becomes_active(market):
    """Somebody of aspen's enrols at cedar when names are new already: until aspen renames nobody can know."""
    old, new = pseudonym(), pseudonym(2)
    people = market.consenting("aspen", ledgers=[old])
    market.campaign()
    market.consenting("cedar", ledgers=[new])
    with pytest.raises(AssertionError, match="have not renamed their people"):
        market.campaign()
    assert market.rename(people, [new]).status_code == 201
    assert len(where(market, market.campaign())[new]) == 1


def test_names_that_are_taken_strange_or_another_lender_s_rename_nobody(market):
    here, other = market.enrol("aspen", 2)
    (there,) = market.enrol("birch", 1)
    size = market.log_size()

    def wish(person, fresh, ledger=None):
        new = ledger or pseudonym(2)
        return {"pseudonym": person.pseudonym, "new_pseudonym": fresh, "new_ledger_pseudonym": new}

    fresh, shared = pseudonym(2), pseudonym(2)
    for wishes, status in (
        ([wish(here, fresh), wish(other, fresh)], 409),
        ([wish(here, fresh), wish(here, pseudonym(2))], 409),
        ([wish(here, fresh, shared), wish(other, pseudonym(2), shared)], 409),
        ([wish(here, fresh), wish(there, pseudonym(2))], 409),
        ([wish(here, other.pseudonym), wish(other, pseudonym(2))], 422),
        ([wish(here, pseudonym(1)), wish(other, pseudonym(1))], 422),
        ([wish(here, fresh)], 422),
    ):
        answer = market.call("aspen", "POST", "/v1/subjects/renamings", {"renamings": wishes})
        assert answer.status_code == status, answer.text
    assert market.log_size() == size
    assert market.rule(here) == "never-asked"


def test_nobody_is_enrolled_twice_under_one_ledger_name(market):
    """Whoever withdrew does not come back as somebody else."""
    (person,) = market.consenting("aspen", ledgers=[pseudonym()])
    with pytest.raises(AssertionError, match="enrolled already"):
        market.enrol("aspen", ledgers=[person.ledger])
