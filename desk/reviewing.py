"""The queue of what waits for a person, as it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    exists,
    func,
    insert,
    select,
    update,
)

from desk.office import InHand, new_id
from desk.sealing import ApplicationKey
from desk.states import ApplicationStatus, ReviewEvent, ReviewStatus, review_following
from desk.storage.tables import applications, decisions, outbox, review_steps, reviews
from protocol.errors import NotFound, PreconditionFailed

STEP = "review-step"


@dataclass(frozen=True)
class HeldReview:
    """A review as it stands."""

    row: Row[Any]
    """Of :func:`all_reviews`."""

    @property
    def status(self) -> ReviewStatus:
        return ReviewStatus(self.row.stands)

    @property
    def etag(self) -> str:
        return f'"{self.row.version}"'

    def require(self, if_match: str | None) -> None:
        """Raises PreconditionFailed."""
        if if_match not in {None, "*", self.etag}:
            raise PreconditionFailed("the review has changed since it was read; read it again")


def open_review(hand: InHand, application: str) -> str:
    """Put an application into the queue; returns the review's id."""
    made = new_id()
    hand.add(
        reviews,
        id=made,
        application=application,
        opened_at=hand.moment,
        status=ReviewStatus.WAITING.value,
        version=1,
    )
    return made


def _void() -> ColumnElement[bool]:
    """Of a row of ``reviews``: the log has refused the decision of its application, or nobody wants
    the loan any more."""
    gone = exists(
        select(applications.c.number).where(
            applications.c.id == reviews.c.application,
            applications.c.status == ApplicationStatus.WITHDRAWN.value,
        )
    )
    return gone | exists(
        select(outbox.c.number)
        .join(decisions, decisions.c.id == outbox.c.application)
        .where(
            decisions.c.application == reviews.c.application,
            outbox.c.step == "use.scored",
            outbox.c.refused.is_not(None),
        )
    )


def _stands() -> ColumnElement[str]:
    undone = reviews.c.status != ReviewStatus.DECIDED.value
    void = ReviewStatus.VOID.value
    return case((and_(undone, _void()), void), else_=reviews.c.status)


def all_reviews(*statuses: ReviewStatus) -> Select[Any]:
    """The queue, the longest waiting first; only of these statuses if any is named. ``stands`` is
    the status, ``void`` too."""
    stands = _stands()
    query = select(reviews, stands.label("stands")).order_by(reviews.c.number)
    return query.where(stands.in_([one.value for one in statuses])) if statuses else query


OPEN = (ReviewStatus.WAITING, ReviewStatus.TAKEN, ReviewStatus.PROPOSED)
"""What waits for a person."""


def held_review(connection: Connection, review: str) -> HeldReview:
    """Raises NotFound."""
    row = connection.execute(all_reviews().where(reviews.c.id == review)).one_or_none()
    if row is None:
        raise NotFound("there is no such review")
    return HeldReview(row)


def steps(connection: Connection, review: str) -> list[Row[Any]]:
    """What was done in a review, in order."""
    statement = select(review_steps).where(review_steps.c.review == review)
    return list(connection.execute(statement.order_by(review_steps.c.number)).all())


def readers(connection: Connection, review: str) -> set[str]:
    """Who has read the case, and what is proposed, since it was."""
    found: set[str] = set()
    for step in steps(connection, review):
        if step.event == ReviewEvent.PROPOSE:
            found = set()
        elif step.event == ReviewEvent.READ:
            found.add(step.by)
    return found


def write_step(
    hand: InHand,
    found: HeldReview,
    event: ReviewEvent,
    by: str,
    said: tuple[ApplicationKey, Any],
) -> ReviewStatus:
    """Let the event happen to the review; raises Conflict where it may not.

    Args:
        said: what is kept of it, and the key that seals it.
    """
    status = review_following(found.status, event)
    taken = event is ReviewEvent.TAKE
    kept = status is not ReviewStatus.WAITING
    hand.connection.execute(
        update(reviews)
        .where(reviews.c.id == found.row.id)
        .values(
            status=status.value,
            taken_by=by if taken else found.row.taken_by if kept else None,
            taken_at=hand.moment if taken else found.row.taken_at if kept else None,
            version=found.row.version + 1,
        )
    )
    last = hand.connection.scalar(
        select(func.max(review_steps.c.number)).where(review_steps.c.review == found.row.id)
    )
    key, content = said
    hand.connection.execute(
        insert(review_steps).values(
            review=found.row.id,
            number=(last or 0) + 1,
            event=event.value,
            by=by,
            at=hand.moment,
            sealed=key.seal(STEP, content),
        )
    )
    return status
