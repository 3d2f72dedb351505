"""What a reviewer sees of a case: what it rested on when it was decided, as it was kept, and apart
from that what is new since, with its time. No source is asked again.

Protected attributes are not shown, whatever kind of data their source was described as then or is
now, by the law of that day and of this; nor is a fact that a notice lets nobody use any more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select

from desk.accounts import outstanding
from desk.commands.apply import within_notices
from desk.consents import Permission
from desk.office import Desk
from desk.records import Held
from desk.reviewing import STEP, steps
from desk.sealing import ApplicationKey
from desk.states import ReviewEvent
from desk.storage.tables import verifications
from lending.records import case_json, decision_json


def case_shown(desk: Desk, found: Held, review: str, permission: Permission) -> dict[str, Any]:
    """For a reviewer.

    Args:
        permission: how the person stands now.
    """
    made = found.made(desk)
    moment = desk.now()
    then, today = desk.day(made.case.now), moment.date()
    described = made.described(desk.sources)
    now_of = desk.sources.kinds
    kinds = {
        name: frozenset(described.get(fact.source, ())) | now_of.get(name, frozenset())
        for name, fact in made.case.facts.items()
    }
    hidden = desk.lending.hidden(kinds, then) | desk.lending.hidden(kinds, today)
    case = case_json(
        replace(made.case, facts=within_notices(made.case.facts, kinds, permission, today))
    )
    case["facts"] = {name: fact for name, fact in case["facts"].items() if name not in hidden}
    decision = decision_json(made.decision)
    for scored in (case["scored"], decision["scored"]):
        if scored is not None:
            scored["points"] = [one for one in scored["points"] if one[0] not in hidden]
    with desk.reading() as hand:
        owed = outstanding(hand.connection, found.application.pseudonym, today)
        told = _told(hand.connection, found.application.id, review, found.key(desk))
    return {
        "review": review,
        "application": found.application.id,
        "read_at": case["now"],
        "case": case,
        "machine": decision,
        "owes_now": {"amount": owed, "at": moment.isoformat()},
        **told,
    }


def _told(
    connection: Connection, application: str, review: str, key: ApplicationKey
) -> dict[str, Any]:
    """What was said since the machine decided: by third parties, the applicant, a colleague."""
    since = connection.execute(
        select(verifications)
        .where(verifications.c.application == application)
        .order_by(verifications.c.asked_at)
    ).all()
    earlier = steps(connection, review)

    def said(event: ReviewEvent) -> list[dict[str, Any]]:
        return [
            {**key.open(STEP, step.sealed), "by": step.by, "at": step.at.isoformat()}
            for step in earlier
            if step.event == event
        ]

    return {
        "verifications": [
            {
                "kind": one.kind,
                "provider": one.provider,
                "result": one.result,
                "asked_at": one.asked_at.isoformat(),
            }
            for one in since
        ],
        "person_says": [{"view": one["view"], "at": one["at"]} for one in said(ReviewEvent.SAY)],
        "proposed": said(ReviewEvent.PROPOSE),
    }
