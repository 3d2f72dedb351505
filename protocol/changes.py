"""The fold of answers over a consent: one answer in, the next consent and its events out. Pure.

>>> from datetime import UTC, datetime, timedelta
>>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
>>> given, events = apply_answer(CurrentConsent(), Answer(Event.GIVE, 1, noon), noon)
>>> given.state, given.version, [event for event, _ in events]
(<ConsentStatus.GIVEN: 'given'>, 1, [<Event.GIVE: 'give'>])
>>> apply_answer(given, Answer(Event.GIVE, 1, noon + timedelta(1)), noon + timedelta(1))
Traceback (most recent call last):
    ...
protocol.states.IllegalTransition: a consent that is given cannot be changed by 'give'
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from protocol.errors import Conflict
from protocol.states import ConsentStatus, Event, state_at, step

CLOCK_SKEW = timedelta(minutes=5)
"""How far a clock elsewhere may be from the registry's. Within it nobody can tell which of two
answers came first."""
REVOKING = frozenset({Event.WITHDRAW, Event.SUSPEND})
"""What a recipient must be told of, and must acknowledge."""
YES = frozenset({Event.GIVE, Event.RESUME})
LASTING = frozenset({ConsentStatus.GIVEN, ConsentStatus.SUSPENDED})


@dataclass(frozen=True, slots=True)
class CurrentConsent:
    """Where a consent stands."""

    state: ConsentStatus = ConsentStatus.NONE
    version: int = 0
    """How often it was changed."""
    notice: int = 0
    """The notice that was answered last, by number."""
    event_time: datetime | None = None
    """When the borrower last decided."""
    expiry_time: datetime | None = None

    def at(self, moment: datetime) -> ConsentStatus:
        return state_at(self.state, self.expiry_time, moment)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to one notice."""

    event: Event
    notice: int
    event_time: datetime
    expiry_time: datetime | None = None


def heard_at(event_time: datetime, moment: datetime) -> datetime:
    """When an answer counts as given: when its maker's clock says, but never after the registry's
    own clock, which counts whole seconds. A clock that is ahead must not outlast what the borrower
    says next."""
    if event_time <= moment:
        return event_time
    return min(event_time, moment.replace(microsecond=999_999))


def apply_answer(
    present: CurrentConsent, answer: Answer, moment: datetime
) -> tuple[CurrentConsent, list[tuple[Event, datetime]]]:
    """The consent after ``answer``, and what happened to it, in order, each with its time.

    An expiry that came due is an event of its own. Giving again in answer to a newer notice
    supersedes what was given; refusing what was given withdraws it first.

    Order: a yes counts only if it is later than whatever was decided last. A no counts, unless it
        is older than that
    by more than clocks may differ (``CLOCK_SKEW``): where clocks cannot tell which came first, it
    was the no that came last. The time of a consent never goes back.

    Raises:
        IllegalTransition: the answer does not apply to the present state.
        Conflict: the borrower has decided since. A decision that was held back must not undo a
            later one.
    """
    said_at = heard_at(answer.event_time, moment)
    if present.event_time is not None:
        # one that was recorded before times were capped may be ahead
        last = heard_at(present.event_time, moment)
        too_old = said_at <= last if answer.event in YES else said_at < last - CLOCK_SKEW
        if too_old:
            said = "the borrower has decided since; a decision that is older changes nothing"
            raise Conflict(said).because("decided-since")
        said_at = max(said_at, last)
    events: list[tuple[Event, datetime]] = []
    state = present.at(moment)
    if state is not present.state and present.expiry_time is not None:
        events.append((Event.EXPIRE, present.expiry_time))
    if answer.event is Event.GIVE and state in LASTING and answer.notice > present.notice:
        state = step(state, Event.SUPERSEDE)
        events.append((Event.SUPERSEDE, said_at))
    if answer.event is Event.REFUSE and state in LASTING:  # a no to what was given takes it back
        state = step(state, Event.WITHDRAW)
        events.append((Event.WITHDRAW, said_at))
    state = step(state, answer.event)
    events.append((answer.event, said_at))
    kept = answer.event in {Event.SUSPEND, Event.RESUME}
    return (
        CurrentConsent(
            state=state,
            version=present.version + 1,
            notice=present.notice if kept else answer.notice,
            event_time=said_at,
            expiry_time=(present.expiry_time if kept else answer.expiry_time)
            if state in LASTING
            else None,
        ),
        events,
    )


def latest_expiry(
    event_time: datetime, validity_days: int | None, wished: datetime | None
) -> datetime | None:
    """When a consent ends, to the second: as the borrower wished, but never later than the notice
    says."""
    ends = wished
    if validity_days is not None:
        noticed = event_time + timedelta(days=validity_days)
        ends = noticed if wished is None else min(noticed, wished)
    return None if ends is None else ends.replace(microsecond=0)
