"""What one answer does to one consent. Pure: the present in, the next present and its events out.

>>> from datetime import UTC, datetime, timedelta
>>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
>>> given, events = change(Present(), Answer(Event.GIVE, 1, noon), noon)
>>> given.state, given.version, [event for event, _ in events]
(<State.GIVEN: 'given'>, 1, [<Event.GIVE: 'give'>])
>>> change(given, Answer(Event.GIVE, 1, noon + timedelta(1)), noon + timedelta(1))
Traceback (most recent call last):
    ...
consent.states.IllegalTransition: a consent that is given cannot be changed by 'give'
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from consent.errors import Conflict
from consent.states import Event, State, state_at, step

REVOKING = frozenset({Event.WITHDRAW, Event.SUSPEND})
"""What a recipient must be told of, and must acknowledge."""
LASTING = frozenset({State.GIVEN, State.SUSPENDED})


@dataclass(frozen=True, slots=True)
class Present:
    """Where a consent stands."""

    state: State = State.NONE
    version: int = 0
    """How often it was changed."""
    notice: int = 0
    """The notice that was answered last, by number."""
    event_time: datetime | None = None
    """When the borrower last decided."""
    expiry_time: datetime | None = None

    def at(self, moment: datetime) -> State:
        return state_at(self.state, self.expiry_time, moment)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to one notice."""

    event: Event
    notice: int
    event_time: datetime
    expiry_time: datetime | None = None


def change(present: Present, answer: Answer, moment: datetime) -> tuple[Present, list[tuple[Event, datetime]]]:
    """The consent after ``answer``, and what happened to it, in order, each with its time.

    An expiry that came due is an event of its own. Giving again in answer to a newer notice supersedes what was given;
    refusing what was given withdraws it first.

    Raises:
        IllegalTransition: the answer does not apply to the present state.
        Conflict: the borrower has decided since. A decision that was held back must not undo a later one; of two at
            the same instant only a no counts.
    """
    last = present.event_time
    tie_allowed = answer.event not in {Event.GIVE, Event.RESUME}
    if last is not None and (answer.event_time < last or (answer.event_time == last and not tie_allowed)):
        raise Conflict("the borrower has decided since; a decision that is older changes nothing")
    events: list[tuple[Event, datetime]] = []
    state = present.at(moment)
    if state is not present.state and present.expiry_time is not None:
        events.append((Event.EXPIRE, present.expiry_time))
    if answer.event is Event.GIVE and state in LASTING and answer.notice > present.notice:
        state = step(state, Event.SUPERSEDE)
        events.append((Event.SUPERSEDE, answer.event_time))
    if answer.event is Event.REFUSE and state in LASTING:  # a no to what was given takes it back
        state = step(state, Event.WITHDRAW)
        events.append((Event.WITHDRAW, answer.event_time))
    state = step(state, answer.event)
    events.append((answer.event, answer.event_time))
    kept = answer.event in {Event.SUSPEND, Event.RESUME}
    return (
        Present(
            state=state,
            version=present.version + 1,
            notice=present.notice if kept else answer.notice,
            event_time=answer.event_time,
            expiry_time=(present.expiry_time if kept else answer.expiry_time) if state in LASTING else None,
        ),
        events,
    )


def latest_expiry(event_time: datetime, validity_days: int | None, wished: datetime | None) -> datetime | None:
    """When a consent ends, to the second: as the borrower wished, but never later than the notice says."""
    ends = None if validity_days is None else event_time + timedelta(days=validity_days)
    first = min((moment for moment in (ends, wished) if moment is not None), default=None)
    return None if first is None else first.replace(microsecond=0)
