"""How an application stands, and a review: explicit tables of what may follow what.

An event that is not in the table is refused; nothing else decides what is legal.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from lending.cases import Outcome
from protocol.errors import Conflict


class ApplicationStatus(StrEnum):
    OFFERED = "offered"
    IN_REVIEW = "in-review"
    DECLINED = "declined"
    ACCEPTED = "accepted"
    DISBURSED = "disbursed"
    EXPIRED = "expired"
    """An offer that was not accepted in time: never stored, it follows from the moment."""
    LAPSED = "lapsed"
    """An offer that was accepted and not paid out in time (``desk.lapsing``)."""
    WITHDRAWN = "withdrawn"
    """By the applicant: they do not want the loan any more."""


class ApplicationEvent(StrEnum):
    OFFER = "offer"
    """A person approved what waited for them."""
    REFUSE = "refuse"
    CONTEST = "contest"
    """The applicant wants a person to look at a machine's decision (PIPL 24; GDPR 22(3))."""
    ACCEPT = "accept"
    DISBURSE = "disburse"
    LAPSE = "lapse"
    """Its time to be paid out is over."""
    WITHDRAW = "withdraw"


_A, _E = ApplicationStatus, ApplicationEvent
FIRST: Mapping[Outcome, ApplicationStatus] = MappingProxyType(
    {
        "approve": _A.OFFERED,
        "counter": _A.OFFERED,
        "review": _A.IN_REVIEW,
        "decline": _A.DECLINED,
    }
)
"""How an application stands after its first decision."""
STEPS: Mapping[tuple[ApplicationStatus, ApplicationEvent], ApplicationStatus] = MappingProxyType(
    {
        (_A.IN_REVIEW, _E.OFFER): _A.OFFERED,
        (_A.IN_REVIEW, _E.REFUSE): _A.DECLINED,
        (_A.IN_REVIEW, _E.WITHDRAW): _A.WITHDRAWN,
        (_A.DECLINED, _E.CONTEST): _A.IN_REVIEW,
        (_A.OFFERED, _E.CONTEST): _A.IN_REVIEW,
        (_A.OFFERED, _E.ACCEPT): _A.ACCEPTED,
        (_A.OFFERED, _E.WITHDRAW): _A.WITHDRAWN,
        (_A.ACCEPTED, _E.DISBURSE): _A.DISBURSED,
        (_A.ACCEPTED, _E.LAPSE): _A.LAPSED,
        (_A.ACCEPTED, _E.WITHDRAW): _A.WITHDRAWN,
    }
)


def following(status: ApplicationStatus, event: ApplicationEvent) -> ApplicationStatus:
    """How it stands after the event; raises Conflict where the event is not legal."""
    found = STEPS.get((status, event))
    if found is None:
        raise Conflict(f"an application that is {status} cannot be changed by {event.value!r}")
    return found


class ReviewStatus(StrEnum):
    WAITING = "waiting"
    TAKEN = "taken"
    PROPOSED = "proposed"
    """One person has decided; a second one has to agree (four eyes)."""
    DECIDED = "decided"
    VOID = "void"
    """The machine's decision has no effect, or the loan is not wanted any more, so nobody decides
    on its case: never stored, it follows from the log's refusal or how the application stands."""


class ReviewEvent(StrEnum):
    TAKE = "take"
    PUT_BACK = "put-back"
    PROPOSE = "propose"
    AGREE = "agree"
    DISAGREE = "disagree"
    DECIDE = "decide"
    SAY = "say"
    """The applicant says what they think of it (GDPR 22(3): their point of view)."""
    READ = "read"
    """The second pair of eyes has read the case and what is proposed."""


_R, _V = ReviewStatus, ReviewEvent
REVIEW_STEPS: Mapping[tuple[ReviewStatus, ReviewEvent], ReviewStatus] = MappingProxyType(
    {
        (_R.WAITING, _V.SAY): _R.WAITING,
        (_R.WAITING, _V.TAKE): _R.TAKEN,
        (_R.TAKEN, _V.PUT_BACK): _R.WAITING,
        (_R.TAKEN, _V.PROPOSE): _R.PROPOSED,
        (_R.TAKEN, _V.DECIDE): _R.DECIDED,
        (_R.PROPOSED, _V.READ): _R.PROPOSED,
        (_R.PROPOSED, _V.AGREE): _R.DECIDED,
        (_R.PROPOSED, _V.DISAGREE): _R.WAITING,
    }
)


def review_following(status: ReviewStatus, event: ReviewEvent) -> ReviewStatus:
    """Raises Conflict where the event is not legal."""
    found = REVIEW_STEPS.get((status, event))
    if found is None:
        raise Conflict(f"a review that is {status} cannot be changed by {event.value!r}")
    return found
