"""The consent state machine. State is a fold over events; this table is the only place that knows what follows what.

>>> state_after([Event.GIVE, Event.WITHDRAW])
<State.WITHDRAWN: 'withdrawn'>
>>> step(State.WITHDRAWN, Event.WITHDRAW)
Traceback (most recent call last):
    ...
protocol.states.IllegalTransition: a consent that is withdrawn cannot be changed by 'withdraw'
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from functools import reduce

from protocol.errors import Conflict


class State(StrEnum):
    NONE = "none"
    GIVEN = "given"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    SUPERSEDED = "superseded"


class Event(StrEnum):
    GIVE = "give"
    REFUSE = "refuse"
    WITHDRAW = "withdraw"
    EXPIRE = "expire"
    SUSPEND = "suspend"
    RESUME = "resume"
    SUPERSEDE = "supersede"


class IllegalTransition(Conflict):
    """The event cannot happen in the present state; nothing changes."""

    code = "illegal-transition"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.NONE, Event.GIVE): State.GIVEN,
    (State.NONE, Event.REFUSE): State.REFUSED,
    (State.GIVEN, Event.WITHDRAW): State.WITHDRAWN,
    (State.GIVEN, Event.EXPIRE): State.EXPIRED,
    (State.GIVEN, Event.SUSPEND): State.SUSPENDED,
    (State.GIVEN, Event.SUPERSEDE): State.SUPERSEDED,
    (State.SUSPENDED, Event.SUPERSEDE): State.SUPERSEDED,
    (State.REFUSED, Event.GIVE): State.GIVEN,
    (State.WITHDRAWN, Event.GIVE): State.GIVEN,
    (State.WITHDRAWN, Event.REFUSE): State.REFUSED,
    (State.EXPIRED, Event.GIVE): State.GIVEN,
    (State.EXPIRED, Event.REFUSE): State.REFUSED,
    (State.EXPIRED, Event.WITHDRAW): State.WITHDRAWN,
    (State.SUSPENDED, Event.RESUME): State.GIVEN,
    (State.SUSPENDED, Event.WITHDRAW): State.WITHDRAWN,
    (State.SUSPENDED, Event.EXPIRE): State.EXPIRED,
    (State.SUPERSEDED, Event.GIVE): State.GIVEN,
    (State.SUPERSEDED, Event.REFUSE): State.REFUSED,
    (State.SUPERSEDED, Event.WITHDRAW): State.WITHDRAWN,
}


def step(state: State, event: Event) -> State:
    """The state after ``event``; raises IllegalTransition."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"a consent that is {state} cannot be changed by {event.value!r}") from None


def state_after(events: Iterable[Event]) -> State:
    return reduce(step, events, State.NONE)


def state_at(state: State, expiry_time: datetime | None, moment: datetime) -> State:
    """What a stored state means at ``moment``: expiry is true without anybody doing anything."""
    lasting = state in {State.GIVEN, State.SUSPENDED}
    expired = lasting and expiry_time is not None and expiry_time <= moment
    return step(state, Event.EXPIRE) if expired else state
