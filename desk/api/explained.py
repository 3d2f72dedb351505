"""What a customer is told of their own application: why, on which values and from whom, what would
have changed it, what it would cost when, and what they can do now.

Reasons are the ones that decided, as they were stored; their words are the letter's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from desk.api.views import application_view, review_view
from desk.commands.letters import wording_of
from desk.lending_rules import declared_by
from desk.office import MACHINE, Desk
from desk.records import Held, StoredDecision
from desk.reviewing import HeldReview, all_reviews
from desk.states import STEPS, ApplicationEvent, ApplicationStatus
from desk.storage.tables import reviews
from desk.wording import TONGUES, Wording
from law.deadlines import due
from lending.cases import Fact, LoanOffer, PrincipalReason

BY_CUSTOMER = (ApplicationEvent.ACCEPT, ApplicationEvent.CONTEST, ApplicationEvent.WITHDRAW)


def explained(desk: Desk, connection: Connection, found: Held) -> dict[str, Any]:
    """As :func:`desk.api.views.application_view`, with all of the above. SealError: forgotten."""
    told = application_view(desk, connection, found)
    decided = told.get("decision")
    if decided is None:
        return told | {"may": _may(told["status"], by_machine=True)}
    made = found.made(desk)
    decided["reasons"] = [_reason(desk, made, one) for one in made.decision.reasons]
    decided["what_if"] = _what_if(wording_of(desk, made.case), made)
    decided["model"] = made.case.model_hash if made.decision.scored is not None else None
    decided["facts"] = _seen(desk, made)
    if (offer := made.decision.offer) is not None:
        decided["plan"] = plan_of(desk, offer, made)
    return told | {
        "may": _may(told["status"], made.by == MACHINE),
        "ask": dict(desk.ways.letter_end),
        "review": _review(desk, connection, found),
        "person_until": _until(desk, desk.now())[0],
    }


def _may(status: str, by_machine: bool) -> list[str]:
    """What the customer can do as it stands."""
    if status not in set(ApplicationStatus):
        return []
    stands = ApplicationStatus(status)
    return [
        one.value
        for one in BY_CUSTOMER
        if (stands, one) in STEPS and (by_machine or one is not ApplicationEvent.CONTEST)
    ]


def _review(desk: Desk, connection: Connection, found: Held) -> dict[str, Any] | None:
    """The last of its reviews, and until when it is answered; nobody of the staff is named."""
    of_it = all_reviews().where(reviews.c.application == found.application.id)
    rows = connection.execute(of_it).all()
    if not rows:
        return None
    shown = review_view(HeldReview(rows[-1]))
    until, law = _until(desk, rows[-1].opened_at)
    return {
        "status": shown["status"],
        "opened_at": shown["opened_at"],
        "until": until,
        "law": law,
    }


def _until(desk: Desk, asked_at: datetime) -> tuple[str | None, str | None]:
    """Until when a person has looked who was asked for then, and by which law; None where our table
    of the place has no day for it."""
    try:
        answered = due("review", desk.wording.jurisdiction, asked_at)
    except (LookupError, KeyError):
        return None, None
    return answered.at.isoformat(), answered.deadline.article


def _reason(desk: Desk, made: StoredDecision, reason: PrincipalReason) -> dict[str, Any]:
    return {
        "code": reason.code,
        "kind": reason.kind,
        "points_below": reason.points_below,
        "words": {tongue: desk.wording.sentence(reason, tongue) for tongue in TONGUES},
        "rests_on": [
            _told(desk, made, one) for one in _rests_on(desk.wording, made.case.facts, reason)
        ],
    }


def _rests_on(
    wording: Wording, facts: Mapping[str, Fact], reason: PrincipalReason
) -> Iterator[Fact]:
    """The facts that were used; of a family the features that are in it. What was worked out here
    has no source."""
    families = {} if wording.glossary is None else wording.glossary.families
    if reason.kind == "score":
        yield from (one for name, one in facts.items() if families.get(name, name) == reason.code)
        return
    for name, value in reason.detail.items():
        yield facts.get(name) or Fact(name, "present", value)


def _seen(desk: Desk, made: StoredDecision) -> list[dict[str, Any]]:
    """What of the facts a person would look at: all but the protected ones and the desk's own."""
    described, facts = made.described(desk.sources), made.case.facts
    kinds = {name: frozenset(described.get(fact.source, ())) for name, fact in facts.items()}
    hidden = desk.lending.hidden(kinds, desk.day(made.case.now))
    return [
        _told(desk, made, fact)
        for name, fact in sorted(facts.items())
        if name not in hidden and fact.source in described
    ]


def _told(desk: Desk, made: StoredDecision, fact: Fact) -> dict[str, Any]:
    """A fact as it was used, what it is called, what it is made of and from whom."""
    glossary = desk.wording.glossary
    declared = declared_by(desk.lending, made.case.policy_hash).get(fact.name)
    words = {} if glossary is None else dict(glossary.words.get(fact.name, {}))
    if not words and declared is not None and declared.about:
        words = {"en": declared.about}
    return {
        "name": fact.name,
        "words": words,
        "kind": None if declared is None else str(declared.kind),
        "data": sorted(one.value for one in made.described(desk.sources).get(fact.source, ())),
        "status": fact.status,
        "value": None if fact.value is None else str(fact.value),
        "source": fact.source or None,
        "observed_on": None if fact.observed_on is None else fact.observed_on.isoformat(),
    }


def _what_if(wording: Wording, made: StoredDecision) -> dict[str, str] | None:
    """What of what a person can change would have reached the cut-off."""
    decision = made.decision
    if decision.scored is None or not any(one.kind == "score" for one in decision.reasons):
        return None
    found = {tongue: wording.what_if(decision.scored, tongue) for tongue in TONGUES}
    return {tongue: said for tongue, said in found.items() if said is not None} or None


def plan_of(desk: Desk, offer: LoanOffer, made: StoredDecision) -> list[dict[str, Any]]:
    """What would fall due when, if it were paid out on the day of the decision; fen."""
    day = desk.day(made.decision.decided_at)
    agreed = desk.lending.agreed(offer, "plan", offer.amount, day)
    return [
        {
            "due": one.day.isoformat(),
            "principal": one.principal,
            "interest": one.interest,
            "fees": one.fees + sum(amount for _, amount in one.others),
        }
        for one in agreed.contract.dues
    ]
