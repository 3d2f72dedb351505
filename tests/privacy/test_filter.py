"""Who may still be used."""

import pytest

from privacy.accounting import epsilon_of
from privacy.charges import Budget, Charge
from privacy.filter import affordable

DELTA = 1e-5
CAMPAIGN = Charge(4.0, 0.2, 30)


@pytest.fixture
def cap():
    """Exactly two campaigns."""
    return Budget(epsilon_of([CAMPAIGN, CAMPAIGN], DELTA), DELTA)


def test_somebody_at_the_cap_is_left_out_and_the_others_stay(cap):
    spent = {"new": (), "once": (CAMPAIGN,), "at the cap": (CAMPAIGN, CAMPAIGN)}
    assert affordable(spent, CAMPAIGN, cap) == {"new", "once"}


def test_the_last_release_may_reach_the_cap_exactly_but_not_pass_it(cap):
    spent = {"once": (CAMPAIGN,)}
    assert affordable(spent, CAMPAIGN, cap) == {"once"}
    assert affordable(spent, CAMPAIGN, Budget(cap.epsilon * 0.9999, DELTA)) == set()


def test_steps_count_the_same_however_the_ledger_wrote_them(cap):
    together = Charge(4.0, 0.2, 60)
    spent = {"merged": (together,), "apart": (CAMPAIGN, CAMPAIGN), "single": tuple([Charge(4.0, 0.2)] * 60)}
    assert affordable(spent, Charge(4.0, 0.2), cap) == set()


def test_campaigns_with_different_mechanisms_compose(cap):
    other = Charge(2.0, 0.05, 40)
    alone, both = epsilon_of([other], DELTA), epsilon_of([CAMPAIGN, other], DELTA)
    assert alone < both
    tight = Budget((alone + both) / 2, DELTA)
    assert affordable({"new": (), "once": (CAMPAIGN,)}, other, tight) == {"new"}
    assert affordable({"new": (), "once": (CAMPAIGN,)}, other, Budget(both, DELTA)) == {"new", "once"}


def test_composition_allows_more_than_adding_up_epsilons_would():
    cap = Budget(1.5 * epsilon_of([CAMPAIGN], DELTA), DELTA)
    assert affordable({"once": (CAMPAIGN,)}, CAMPAIGN, cap) == {"once"}


def test_a_release_that_costs_more_than_the_cap_is_for_nobody():
    assert affordable({"new": ()}, Charge(0.5), Budget(1.0, DELTA)) == set()


def test_a_person_runs_out_after_finitely_many_releases_and_never_exceeds_the_cap():
    cap, history = Budget(2.0, DELTA), ()
    while affordable({"person": history}, CAMPAIGN, cap):
        history = (*history, CAMPAIGN)
        assert len(history) < 50
    assert epsilon_of(history, DELTA) <= cap.epsilon < epsilon_of([*history, CAMPAIGN], DELTA)


def test_nobody_asked_nobody_answered(cap):
    assert affordable({}, CAMPAIGN, cap) == set()
