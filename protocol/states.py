"""The consent state machine. A status is a fold over events; this table is the only place that
knows what follows what.

>>> state_after([Event.GIVE, Event.WITHDRAW])
<ConsentStatus.WITHDRAWN: 'withdrawn'>
>>> step(ConsentStatus.WITHDRAWN, Event.WITHDRAW)
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


class ConsentStatus(StrEnum):
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


TRANSITIONS: dict[tuple[ConsentStatus, Event], ConsentStatus] = {
    (ConsentStatus.NONE, Event.GIVE): ConsentStatus.GIVEN,
    (ConsentStatus.NONE, Event.REFUSE): ConsentStatus.REFUSED,
    (ConsentStatus.GIVEN, Event.WITHDRAW): ConsentStatus.WITHDRAWN,
    (ConsentStatus.GIVEN, Event.EXPIRE): ConsentStatus.EXPIRED,
    (ConsentStatus.GIVEN, Event.SUSPEND): ConsentStatus.SUSPENDED,
    (ConsentStatus.GIVEN, Event.SUPERSEDE): ConsentStatus.SUPERSEDED,
    (ConsentStatus.SUSPENDED, Event.SUPERSEDE): ConsentStatus.SUPERSEDED,
    (ConsentStatus.REFUSED, Event.GIVE): ConsentStatus.GIVEN,
    (ConsentStatus.WITHDRAWN, Event.GIVE): ConsentStatus.GIVEN,
    (ConsentStatus.WITHDRAWN, Event.REFUSE): ConsentStatus.REFUSED,
    (ConsentStatus.EXPIRED, Event.GIVE): ConsentStatus.GIVEN,
    (ConsentStatus.EXPIRED, Event.REFUSE): ConsentStatus.REFUSED,
    (ConsentStatus.EXPIRED, Event.WITHDRAW): ConsentStatus.WITHDRAWN,
    (ConsentStatus.SUSPENDED, Event.RESUME): ConsentStatus.GIVEN,
    (ConsentStatus.SUSPENDED, Event.WITHDRAW): ConsentStatus.WITHDRAWN,
    (ConsentStatus.SUSPENDED, Event.EXPIRE): ConsentStatus.EXPIRED,
    (ConsentStatus.SUPERSEDED, Event.GIVE): ConsentStatus.GIVEN,
    (ConsentStatus.SUPERSEDED, Event.REFUSE): ConsentStatus.REFUSED,
    (ConsentStatus.SUPERSEDED, Event.WITHDRAW): ConsentStatus.WITHDRAWN,
}


def step(state: ConsentStatus, event: Event) -> ConsentStatus:
    """The state after ``event``; raises IllegalTransition."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        said = f"a consent that is {state} cannot be changed by {event.value!r}"
        raise IllegalTransition(said).because("cannot-change", state=state, event=event) from None


def state_after(events: Iterable[Event]) -> ConsentStatus:
    return reduce(step, events, ConsentStatus.NONE)


def state_at(state: ConsentStatus, expiry_time: datetime | None, moment: datetime) -> ConsentStatus:
    """What a stored state means at ``moment``: expiry is true without anybody doing anything."""
    lasting = state in {ConsentStatus.GIVEN, ConsentStatus.SUSPENDED}
    expired = lasting and expiry_time is not None and expiry_time <= moment
    return step(state, Event.EXPIRE) if expired else state
