"""What was decided in a review, and what the machine had said: for whoever has said their own.

A reviewer who has read the machine's answer tends to give the same (automation bias), so nobody is
shown it here before what they decide is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from desk.office import MACHINE, Desk
from desk.records import StoredDecision, held
from desk.reviewing import STEP, HeldReview, held_review, steps
from desk.states import ReviewEvent, ReviewStatus
from desk.storage.tables import decisions
from lending.cases import Decision
from protocol.errors import NotAllowed

OWN = (ReviewEvent.DECIDE, ReviewEvent.PROPOSE, ReviewEvent.AGREE, ReviewEvent.DISAGREE)
"""What a reviewer says of a case."""


@dataclass(frozen=True)
class SaidInReview:
    """One step in which a person said something of the case."""

    event: ReviewEvent
    by: str
    at: datetime
    content: dict[str, Any]


@dataclass(frozen=True)
class ReviewAnswers:
    """A review as it is recorded, with both answers.

    Args:
        machine: None until the case is decided: where a second person has to agree, whoever
            proposed or disagreed may yet be the one who decides.
        entry_index: of the decision in the log; None while it has none, or nothing is decided yet.
    """

    review: HeldReview
    said: tuple[SaidInReview, ...]
    machine: Decision | None
    entry_index: int | None

    @property
    def decided(self) -> bool:
        return self.review.status is ReviewStatus.DECIDED


def answers(desk: Desk, review: str, staff: str) -> ReviewAnswers:
    """What was said in a review, by people and by the machine.

    Raises:
        NotFound. NotAllowed: this person has not said anything of the case. SealError: forgotten.
    """
    with desk.reading() as hand:
        found = held_review(hand.connection, review)
        own = [one for one in steps(hand.connection, review) if one.event in OWN]
        if staff not in {one.by for one in own}:
            raise NotAllowed("the machine's answer is shown to whoever has recorded their own")
        application = held(hand.connection, found.row.application)
        first = hand.connection.execute(
            select(decisions)
            .where(decisions.c.application == found.row.application, decisions.c.by == MACHINE)
            .order_by(decisions.c.number)
            .limit(1)
        ).one()
    key = application.key(desk)
    said = tuple(
        SaidInReview(ReviewEvent(one.event), one.by, one.at, key.open(STEP, one.sealed))
        for one in own
    )
    if found.status is not ReviewStatus.DECIDED:  # whoever said something may decide it anew
        return ReviewAnswers(found, said, None, None)
    machine = StoredDecision.opened(first, key).decision
    return ReviewAnswers(found, said, machine, application.entry_index)
