"""The registry's own ledger: one person, one budget, across campaigns and lenders."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.effort import effort
from support.market import open_market
from support.plans import DELTA, small_plan
from support.world import pseudonym

from consent.budgets import YEAR, Caps, Spending, cannot_pay, price
from privacy.accounting import epsilon_of
from privacy.charges import Charge
from privacy.mechanism import Audience

NOW = datetime(2026, 6, 1, tzinfo=UTC)
WANTED = (Charge(5.0),)


# --- who can pay


@st.composite
def ledgers(draw):
    """People at two lenders, some at both, and what they spent on earlier campaigns."""
    people = {
        name: np.array(draw(st.lists(st.integers(1, 6), max_size=6, unique=True)), dtype=np.int64) for name in "ab"
    }
    spendings = []
    for _ in range(draw(st.integers(0, 4))):
        lender = draw(st.sampled_from("ab"))
        bits = draw(st.lists(st.booleans(), min_size=len(people[lender]), max_size=len(people[lender])))
        charges = tuple(Charge(noise) for noise in draw(st.lists(st.sampled_from([2.0, 4.0, 8.0]), max_size=3)))
        ends = NOW + draw(st.sampled_from([-2, -1, 1])) * (YEAR - timedelta(days=1))
        spendings.append(Spending(lender, np.array(bits, dtype=bool), charges, ends))
    caps = Caps(draw(st.sampled_from([1.5, 3.0])), draw(st.sampled_from([1.2, 3.0])), DELTA)
    return people, spendings, caps


@settings(max_examples=effort(200, 60))
@given(ledgers())
def test_a_person_pays_for_every_campaign_at_whichever_lender(ledger):
    people, spendings, caps = ledger
    found = cannot_pay(people, spendings, WANTED, caps, NOW)
    for lender, persons in people.items():
        for number, person in enumerate(persons):
            paid = [s for s in spendings if person in people[s.lender][s.flags]]
            ever = [c for s in paid for c in s.charges]
            year = [c for s in paid if s.ends > NOW - YEAR for c in s.charges]
            over = (
                epsilon_of([*ever, *WANTED], DELTA) > caps.ever or epsilon_of([*year, *WANTED], DELTA) > caps.per_year
            )
            assert found[lender][number] == over


def test_who_enrolled_since_and_who_had_not_yet_are_told_apart():
    """A bitmap is as long as the roll was, rounded up to bytes; the roll only grows."""
    long = Spending("a", np.array([True, True, False, False, False, False, False, False]), (Charge(0.5),), NOW)
    caps = Caps(1.0, 1.0, DELTA)
    assert cannot_pay({"a": np.array([1, 2, 3])}, [long], WANTED, caps, NOW)["a"].tolist() == [True, True, False]
    ten = np.arange(1, 11)
    assert cannot_pay({"a": ten}, [long], WANTED, caps, NOW)["a"].tolist() == [True, True] + [False] * 8


# --- what a campaign costs


@pytest.fixture
def market(tmp_path):
    with open_market(tmp_path, max_epsilon=1.3) as opened:
        yield opened


def test_a_campaign_costs_its_whole_plan_until_it_has_ended_and_then_what_was_attempted(market):
    campaign = market.campaign()
    mechanism, last = campaign.mechanism, campaign.expires_at - timedelta(seconds=1)
    for attempts in ((), (0,), (0, 0, 1)):
        assert price(campaign, attempts, last) == mechanism.charges(Audience.TRAINING)
        made = tuple(mechanism.releases[release].charge for release in attempts)
        assert price(campaign, attempts, campaign.expires_at) == made


def test_whoever_is_held_out_costs_no_more_than_is_reserved_of_everybody(market):
    plan = small_plan(lenders=2, hold_out=0.2)
    campaign = market.campaign(mechanism=plan)
    reserved = epsilon_of(price(campaign, (), NOW), DELTA)
    assert reserved == max(epsilon_of(plan.charges(audience), DELTA) for audience in Audience)
    evaluation = len(plan.releases) - 1
    assert price(campaign, (0, evaluation), campaign.expires_at) == (plan.releases[evaluation].charge,)


# --- in the registry


def test_whoever_could_not_pay_for_another_campaign_gets_no_place_in_it(market):
    market.consenting("aspen", 3)
    assert market.placed(market.campaign(), "aspen") == {0, 1, 2}
    market.consenting("aspen")
    assert market.placed(market.campaign(), "aspen") == {3}, "an epsilon of 1 is reserved of a budget of 1.3"


def test_what_a_campaign_did_not_use_is_free_again_once_it_has_ended(market):
    market.consenting("aspen")
    market.campaign(hours=1)
    market.clock.move(hours=1)
    assert market.placed(market.campaign(hours=1), "aspen") == {0}, "nobody committed anything"


def test_what_a_lender_committed_stays_spent(market):
    market.consenting("aspen")
    market.consenting("birch")
    first = market.campaign(hours=1)
    for release in range(len(first.mechanism.releases)):
        market.commit(first, "aspen", release)
    market.clock.move(hours=1)
    second = market.campaign(hours=1)
    assert market.placed(second, "aspen") == set()
    assert market.placed(second, "birch") == {0}, "birch committed nothing in the first"


def test_a_year_later_the_years_cap_leaves_room_and_the_cap_for_ever_does_not(tmp_path):
    for ever, expected in ((3.0, {0}), (1.3, set())):
        with open_market(tmp_path, max_epsilon=ever, max_epsilon_per_year=1.2) as market:
            market.consenting("aspen")
            first = market.campaign(hours=1)
            for release in range(len(first.mechanism.releases)):
                market.commit(first, "aspen", release)
            market.clock.move(hours=1)
            assert market.placed(market.campaign(hours=1), "aspen") == set()
            market.clock.move(hours=24 * 366)
            assert market.placed(market.campaign(hours=1), "aspen") == expected


def test_a_person_spends_one_budget_at_all_lenders_under_every_name(market):
    """Two lenders, one person: whichever holds the place, the other gives them none, then or later."""
    name = pseudonym()
    market.consenting("aspen", ledgers=[name])
    market.consenting("birch", ledgers=[name])
    first = market.campaign()
    assert len(market.placed(first, "aspen") | {n + 10 for n in market.placed(first, "birch")}) == 1
    for later in (market.campaign(("aspen", "cedar")), market.campaign(("birch", "cedar"))):
        assert [market.placed(later, lender) for lender in later.lenders] == [set(), set()]


def test_whoever_was_two_people_until_a_renaming_has_paid_for_both(tmp_path):
    """Two campaigns fit into the budget of either name, and not three into that of the one person."""
    with open_market(tmp_path, max_epsilon=1.6) as market:
        for lender in ("aspen", "birch"):
            market.consenting(lender)
        first = market.campaign()
        assert [market.placed(first, lender) for lender in ("aspen", "birch")] == [{0}, {0}]
        one = pseudonym(2)
        for lender in ("aspen", "birch"):
            assert market.rename(market.people[lender], [one]).status_code == 201
        assert [market.placed(market.campaign(), lender) for lender in ("aspen", "birch")] == [set(), set()]
    with open_market(tmp_path, max_epsilon=1.6) as market:
        market.consenting("aspen")
        assert [market.placed(market.campaign(), "aspen") for _ in range(3)] == [{0}, {0}, set()]


def test_a_campaign_that_a_year_could_not_pay_for_is_refused_at_once(tmp_path):
    with open_market(tmp_path, max_epsilon=3.0, max_epsilon_per_year=0.5) as market:
        with pytest.raises(AssertionError):
            market.campaign()
        assert replace(Caps.of(market.registry.consortium), ever=0).per_year == 0.5
