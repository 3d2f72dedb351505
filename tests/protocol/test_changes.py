"""One answer to one consent: every (state, answer) pair, and what must hold whatever a borrower says and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.effort import effort

from protocol.changes import REVOKING, Answer, CurrentConsent, apply_answer, heard_at, latest_expiry
from protocol.errors import Conflict
from protocol.states import TRANSITIONS, ConsentStatus, Event, IllegalTransition, state_after, step

START = datetime(2026, 1, 1, tzinfo=UTC)
ANSWERS = (Event.GIVE, Event.REFUSE, Event.WITHDRAW, Event.SUSPEND, Event.RESUME)
"""What a borrower can say; EXPIRE and SUPERSEDE happen."""
NO, YES = (Event.WITHDRAW, Event.SUSPEND), (Event.GIVE, Event.RESUME)
LEGAL = {
    # present: answers to the same notice -> state after it
    ConsentStatus.NONE: {Event.GIVE: ConsentStatus.GIVEN, Event.REFUSE: ConsentStatus.REFUSED},
    ConsentStatus.GIVEN: {
        Event.REFUSE: ConsentStatus.REFUSED,
        Event.WITHDRAW: ConsentStatus.WITHDRAWN,
        Event.SUSPEND: ConsentStatus.SUSPENDED,
    },
    ConsentStatus.REFUSED: {Event.GIVE: ConsentStatus.GIVEN},
    ConsentStatus.WITHDRAWN: {Event.GIVE: ConsentStatus.GIVEN, Event.REFUSE: ConsentStatus.REFUSED},
    ConsentStatus.EXPIRED: {
        Event.GIVE: ConsentStatus.GIVEN,
        Event.REFUSE: ConsentStatus.REFUSED,
        Event.WITHDRAW: ConsentStatus.WITHDRAWN,
    },
    ConsentStatus.SUSPENDED: {
        Event.REFUSE: ConsentStatus.REFUSED,
        Event.RESUME: ConsentStatus.GIVEN,
        Event.WITHDRAW: ConsentStatus.WITHDRAWN,
    },
    ConsentStatus.SUPERSEDED: {
        Event.GIVE: ConsentStatus.GIVEN,
        Event.REFUSE: ConsentStatus.REFUSED,
        Event.WITHDRAW: ConsentStatus.WITHDRAWN,
    },
}


def present(state: ConsentStatus, expiry: datetime | None = None) -> CurrentConsent:
    return CurrentConsent() if state is ConsentStatus.NONE else CurrentConsent(state, 3, 5, START, expiry)


@pytest.mark.parametrize("state", list(ConsentStatus))
@pytest.mark.parametrize("event", ANSWERS)
@pytest.mark.parametrize("newer", [False, True], ids=["same notice", "newer notice"])
def test_every_answer_in_every_state(state, event, newer):
    moment = START + timedelta(seconds=1)
    answer = Answer(event, 6 if newer else 5, moment, moment + timedelta(days=1))
    expected = LEGAL[state].get(event)
    superseding = newer and event is Event.GIVE and state in {ConsentStatus.GIVEN, ConsentStatus.SUSPENDED}
    if expected is None and not superseding:
        with pytest.raises(IllegalTransition, match=f"is {state} cannot be changed by '{event}'"):
            apply_answer(present(state), answer, moment)
        return
    after, events = apply_answer(present(state), answer, moment)
    assert after.state is (ConsentStatus.GIVEN if superseding else expected)
    taken_back = event is Event.REFUSE and state in {ConsentStatus.GIVEN, ConsentStatus.SUSPENDED}
    before = [(Event.SUPERSEDE, moment)] * superseding + [(Event.WITHDRAW, moment)] * taken_back
    assert events == [*before, (event, moment)]
    assert after.version == present(state).version + 1
    assert after.event_time == moment


def test_the_table_of_transitions_is_the_one_in_the_design():
    said = {(state, event): after for state, row in LEGAL.items() for event, after in row.items()}
    happens = {
        (ConsentStatus.GIVEN, Event.EXPIRE): ConsentStatus.EXPIRED,
        (ConsentStatus.SUSPENDED, Event.EXPIRE): ConsentStatus.EXPIRED,
        (ConsentStatus.GIVEN, Event.SUPERSEDE): ConsentStatus.SUPERSEDED,
        (ConsentStatus.SUSPENDED, Event.SUPERSEDE): ConsentStatus.SUPERSEDED,
    }
    for lasting in (ConsentStatus.GIVEN, ConsentStatus.SUSPENDED):
        assert said.pop((lasting, Event.REFUSE)) is ConsentStatus.REFUSED, "in two steps: withdrawn, then refused"
    assert said | happens == TRANSITIONS


@pytest.mark.parametrize("state", [ConsentStatus.GIVEN, ConsentStatus.SUSPENDED])
@pytest.mark.parametrize("event", ANSWERS)
def test_what_has_expired_is_answered_as_expired_and_the_expiry_is_on_record(state, event):
    ends = START + timedelta(seconds=10)
    moment = ends
    answer = Answer(event, 5, moment)
    if event not in LEGAL[ConsentStatus.EXPIRED]:
        with pytest.raises(IllegalTransition, match="expired"):
            apply_answer(present(state, ends), answer, moment)
        return
    after, events = apply_answer(present(state, ends), answer, moment)
    assert events == [(Event.EXPIRE, ends), (event, moment)]
    assert after.state is LEGAL[ConsentStatus.EXPIRED][event]


# --- whatever is said, and when

steps = st.lists(
    st.tuples(
        st.sampled_from(ANSWERS),
        st.integers(1, 4),  # notice
        st.integers(-30, 90),  # seconds since the answer before: some were held back
        st.one_of(st.none(), st.integers(1, 120)),  # seconds until it expires
    ),
    max_size=25,
)


def played(history):
    """Every present along the way, with the moment, the answer, and the events it added (None: refused)."""
    now, moment = CurrentConsent(), START
    for event, notice, passed, lasts in history:
        said_at = moment + timedelta(seconds=passed)
        moment = max(moment, said_at)
        ends = None if lasts is None else said_at + timedelta(seconds=lasts)
        answer = Answer(event, notice, said_at, ends)
        try:
            after, events = apply_answer(now, answer, moment)
        except Conflict:
            yield now, moment, answer, None, now
            continue
        yield now, moment, answer, events, after
        now = after


@settings(max_examples=effort(300))
@given(steps)
def test_the_present_is_the_fold_over_the_events(history):
    events: list[Event] = []
    for before, moment, answer, added, after in played(history):
        if added is None:
            assert after == before
            continue
        assert after.event_time == max(heard_at(answer.event_time, moment), before.event_time or after.event_time)
        events += [event for event, _ in added]
        assert state_after(events) is after.state
        assert added[-1] == (answer.event, after.event_time)
        assert {event for event, _ in added[:-1]} <= {Event.EXPIRE, Event.SUPERSEDE, Event.WITHDRAW}


@settings(max_examples=effort(300))
@given(steps)
def test_versions_count_up_by_one_and_times_never_go_back(history):
    for before, _, _, added, after in played(history):
        assert after.version == before.version + (added is not None)
        if before.event_time is not None:
            assert after.event_time >= before.event_time


@settings(max_examples=effort(300))
@given(steps)
def test_nothing_is_given_without_a_give_or_a_resume(history):
    for before, _, answer, added, after in played(history):
        if after.state is ConsentStatus.GIVEN and before.state is not ConsentStatus.GIVEN:
            assert added and answer.event in YES
        if added and answer.event in NO:
            assert after.state is not ConsentStatus.GIVEN


def said(now: CurrentConsent, event: Event, moment: datetime) -> tuple[CurrentConsent, datetime]:
    """What stands once this is said, and a second later: so that there is something to take back, or to give."""
    after, _ = apply_answer(now, Answer(event, 9, moment), moment)
    return after, moment + timedelta(seconds=1)


@settings(max_examples=effort(300))
@given(steps, st.sampled_from(YES), st.integers(-90, 0), st.integers(0, 59))
def test_a_yes_that_is_no_later_than_a_no_changes_nothing(history, yes, earlier, pick):
    """Somebody who keeps a signed yes back cannot undo what was said since."""
    *_, last = [(CurrentConsent(), START, None, None, CurrentConsent()), *played(history)]
    now, moment = last[4], last[1] + timedelta(seconds=1)
    if not any((now.at(moment), no) in TRANSITIONS for no in NO):
        now, moment = said(now, Event.GIVE, moment)
    legal = [no for no in NO if (now.at(moment), no) in TRANSITIONS]
    after, _ = apply_answer(now, Answer(legal[pick % len(legal)], now.notice, moment), moment)
    held_back = Answer(yes, 9, moment + timedelta(seconds=earlier))
    with pytest.raises(Conflict):
        apply_answer(after, held_back, moment + timedelta(seconds=5))


@settings(max_examples=effort(300))
@given(steps, st.sampled_from(NO))
def test_a_no_at_the_same_instant_as_a_yes_counts(history, no):
    *_, last = [(CurrentConsent(), START, None, None, CurrentConsent()), *played(history)]
    now, moment = last[4], last[1] + timedelta(seconds=1)
    if (now.at(moment), Event.GIVE) not in TRANSITIONS:
        now, moment = said(now, Event.WITHDRAW, moment)
    given_now, _ = apply_answer(now, Answer(Event.GIVE, 9, moment), moment)
    after, _ = apply_answer(given_now, Answer(no, 9, moment), moment)
    assert after.at(moment) is step(ConsentStatus.GIVEN, no)


@settings(max_examples=effort(300))
@given(steps, st.sampled_from(NO), st.integers(-240, 300), st.integers(0, 240))
def test_a_no_wins_whatever_the_clocks_of_yes_and_no_say(history, no, ahead, behind):
    """The yes of a clock that is up to four minutes ahead or behind; the no of one that is up to four behind."""
    *_, last = [(CurrentConsent(), START, None, None, CurrentConsent()), *played(history)]
    now, moment = last[4], last[1] + timedelta(seconds=600)
    if (now.at(moment), Event.GIVE) not in TRANSITIONS:
        now, _ = said(now, Event.WITHDRAW, last[1] + timedelta(seconds=1))
    given_now, _ = apply_answer(now, Answer(Event.GIVE, 9, moment + timedelta(seconds=ahead)), moment)
    later = moment + timedelta(seconds=1)
    after, events = apply_answer(given_now, Answer(no, 9, later - timedelta(seconds=behind)), later)
    assert after.at(later) is step(ConsentStatus.GIVEN, no)
    assert all(when <= later + timedelta(seconds=1) for _, when in events)


def test_a_yes_that_was_recorded_ahead_of_the_clock_does_not_block_a_no():
    """Recorded before times were capped."""
    ahead = CurrentConsent(ConsentStatus.GIVEN, 1, 1, START + timedelta(minutes=4))
    after, _ = apply_answer(ahead, Answer(Event.WITHDRAW, 1, START), START)
    assert after.state is ConsentStatus.WITHDRAWN
    assert after.event_time <= START + timedelta(seconds=1)


def test_a_no_from_long_before_a_yes_changes_nothing():
    given_now = CurrentConsent(ConsentStatus.GIVEN, 1, 1, START)
    with pytest.raises(Conflict, match="decided since"):
        apply_answer(given_now, Answer(Event.WITHDRAW, 1, START - timedelta(minutes=6)), START + timedelta(minutes=1))


@settings(max_examples=effort(300))
@given(steps)
def test_expiry_is_true_at_its_second_without_any_event(history):
    for _, _, _, _, after in played(history):
        ends = after.expiry_time
        if ends is None:
            assert after.at(START + timedelta(days=9999)) is after.state
            continue
        assert after.state in {ConsentStatus.GIVEN, ConsentStatus.SUSPENDED}
        assert after.at(ends - timedelta(microseconds=1)) is after.state
        assert after.at(ends) is after.at(ends + timedelta(days=9999)) is ConsentStatus.EXPIRED


@settings(max_examples=effort(300))
@given(steps)
def test_suspending_and_resuming_keep_notice_and_expiry(history):
    for before, _, answer, added, after in played(history):
        if added and answer.event in {Event.SUSPEND, Event.RESUME}:
            assert (after.notice, after.expiry_time) == (before.notice, before.expiry_time)
        elif added:
            assert after.notice == answer.notice


@settings(max_examples=effort(300))
@given(steps)
def test_only_giving_to_a_newer_notice_supersedes(history):
    for before, moment, answer, added, _ in played(history):
        superseded = bool(added) and any(event is Event.SUPERSEDE for event, _ in added)
        if added is not None:
            lasting = before.at(moment) in {ConsentStatus.GIVEN, ConsentStatus.SUSPENDED}
            assert superseded == (lasting and answer.event is Event.GIVE and answer.notice > before.notice)


def test_what_recipients_are_told_of_is_what_takes_a_yes_away():
    taken = {
        event for (state, event), after in TRANSITIONS.items() if state is ConsentStatus.GIVEN and event in ANSWERS
    }
    assert taken == REVOKING


# --- when it ends


@given(
    st.one_of(st.none(), st.integers(1, 4000)),
    st.one_of(st.none(), st.integers(1, 10**9)),
    st.integers(0, 999_999),
)
def test_a_consent_ends_when_the_borrower_wishes_but_no_later_than_the_notice_says(days, seconds, micro):
    said_at = START + timedelta(microseconds=micro)
    wished = None if seconds is None else said_at + timedelta(seconds=seconds)
    ends = latest_expiry(said_at, days, wished)
    limits = [] if days is None else [said_at + timedelta(days=days)]
    limits += [] if wished is None else [wished]
    if not limits:
        assert ends is None
        return
    assert ends is not None
    assert timedelta() <= min(limits) - ends < timedelta(seconds=1)
    assert ends.microsecond == 0
