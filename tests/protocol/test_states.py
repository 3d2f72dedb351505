"""The consent state machine against a model, by hypothesis."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protocol.schema import now
from protocol.states import TRANSITIONS, ConsentStatus, Event, IllegalTransition, state_after, state_at, step


@given(st.lists(st.sampled_from(Event), max_size=30))
def test_no_sequence_of_events_reaches_use_without_a_live_yes(events):
    """Whatever happens, a consent is in force only if the last thing that changed it was a give or a resume."""
    state, last = ConsentStatus.NONE, None
    for event in events:
        try:
            state = step(state, event)
            last = event
        except IllegalTransition:
            continue
    assert (state is ConsentStatus.GIVEN) == (last in {Event.GIVE, Event.RESUME})


@pytest.mark.parametrize("state", list(ConsentStatus))
@pytest.mark.parametrize("event", list(Event))
def test_every_pair_is_either_in_the_table_or_refused(state, event):
    if (state, event) in TRANSITIONS:
        assert step(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalTransition, match=state):
            step(state, event)


def test_every_state_is_reachable_and_no_state_is_a_trap():
    assert {ConsentStatus.NONE, *TRANSITIONS.values()} == set(ConsentStatus)
    assert {state for state, _ in TRANSITIONS} == set(ConsentStatus)


def test_expiry_needs_no_cron_to_be_true():
    moment = now()
    assert state_at(ConsentStatus.GIVEN, moment, moment) is ConsentStatus.EXPIRED
    assert state_at(ConsentStatus.GIVEN, moment + timedelta(seconds=1), moment) is ConsentStatus.GIVEN
    assert state_at(ConsentStatus.GIVEN, None, moment) is ConsentStatus.GIVEN
    assert state_at(ConsentStatus.REFUSED, moment, moment) is ConsentStatus.REFUSED


class ConsentMachine(RuleBasedStateMachine):
    """Random borrowers against the obvious model: is there a yes in force?"""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.yes = False
        self.suspended = False

    def attempt(self, event: Event, legal: bool) -> None:
        before = state_after(self.events)
        try:
            step(before, event)
        except IllegalTransition:
            assert not legal
            return
        assert legal
        self.events.append(event)

    @rule()
    def give(self) -> None:
        self.attempt(Event.GIVE, not self.yes and not self.suspended)
        if not self.suspended:
            self.yes = True

    @precondition(lambda self: self.yes)
    @rule()
    def withdraw(self) -> None:
        self.attempt(Event.WITHDRAW, True)
        self.yes = False

    @precondition(lambda self: self.yes)
    @rule()
    def suspend(self) -> None:
        self.attempt(Event.SUSPEND, True)
        self.yes, self.suspended = False, True

    @precondition(lambda self: self.suspended)
    @rule(back=st.booleans())
    def end_suspension(self, back: bool) -> None:
        self.attempt(Event.RESUME if back else Event.WITHDRAW, True)
        self.yes, self.suspended = back, False

    @invariant()
    def in_force_exactly_when_the_borrower_said_yes(self) -> None:
        assert (state_after(self.events) is ConsentStatus.GIVEN) == self.yes


TestConsentMachine = ConsentMachine.TestCase
