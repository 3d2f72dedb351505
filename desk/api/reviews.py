"""The queue of what waits for a person. Who reviews is who the token says."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field

from desk.api.shared import (
    Commanded,
    Cursor,
    DeskBody,
    DeskId,
    Fen,
    IfMatch,
    Limit,
    TheDesk,
    WholeList,
    only,
    paged,
    refusals,
    shown,
)
from desk.api.views import review_view
from desk.callers import CallerRole, DeskCaller
from desk.commands.review import Verdict, decide_review, put_back, second, take
from desk.reviewing import HeldReview, all_reviews, held_review
from desk.states import ReviewStatus
from desk.storage.tables import reviews
from protocol.cursors import cursor_of, position

router = APIRouter(tags=["reviews"])
Reviewer = Annotated[DeskCaller, only(CallerRole.REVIEWER)]
Watcher = Annotated[DeskCaller, only(CallerRole.REVIEWER, CallerRole.READER)]


class ReviewDecision(DeskBody):
    """What a person decides, with one to four reasons of their own."""

    outcome: Literal["approve", "decline"]
    reasons: list[Annotated[str, Field(min_length=3, max_length=400)]] = Field(
        min_length=1, max_length=4
    )
    amount: Fen | None = None
    term_days: int | None = Field(default=None, strict=True, ge=1, le=36_500)


class SecondOpinion(DeskBody):
    agrees: bool


@router.get("/v1/reviews", responses=refusals())
def get_reviews(
    desk: TheDesk,
    caller: Watcher,
    status: ReviewStatus | None = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> WholeList:
    """The queue, the longest waiting first."""
    asked = all_reviews() if status is None else all_reviews(status)
    statement = asked.where(reviews.c.number > position(cursor)).limit(limit + 1)
    with desk.reading() as hand:
        rows = hand.connection.execute(statement).all()
    page, following = paged(rows, limit, lambda row: int(row.number))
    return WholeList(
        items=[review_view(HeldReview(row)) for row in page],
        next=None if following is None else cursor_of(following),
    )


def _shown(desk: TheDesk, review: str, status: int = 200) -> Response:
    with desk.reading() as hand:
        found = held_review(hand.connection, review)
    return shown(review_view(found), status, found.etag)


@router.get("/v1/reviews/{review}", responses=refusals(404))
def get_review(review: DeskId, desk: TheDesk, caller: Watcher) -> Response:
    """How a review stands; what the case rested on is shown to whoever takes it."""
    return _shown(desk, review)


@router.post("/v1/reviews/{review}/taking", responses=refusals(404, 409, 412))
def post_taking(
    review: DeskId, desk: TheDesk, caller: Reviewer, if_match: IfMatch = None
) -> Response:
    """Take the case, or as the second pair of eyes read what is proposed; see what it rested on,
    but for protected attributes."""
    return shown(take(desk, review, caller.name, if_match))


@router.delete("/v1/reviews/{review}/taking", responses=refusals(404, 409))
def delete_taking(review: DeskId, desk: TheDesk, caller: Reviewer) -> Response:
    """Put it back into the queue."""
    put_back(desk, review, caller.name)
    return _shown(desk, review)


@router.post("/v1/reviews/{review}/decision", responses=refusals(404, 409), status_code=201)
def post_decision(
    review: DeskId, body: ReviewDecision, desk: TheDesk, caller: Reviewer, command: Commanded
) -> Response:
    """Decide; with four eyes, propose."""
    verdict = Verdict(body.outcome, tuple(body.reasons), body.amount, body.term_days)
    decide_review(desk, review, caller.name, verdict, command.once(caller))
    return _shown(desk, review, 201)


@router.post("/v1/reviews/{review}/second", responses=refusals(404, 409), status_code=201)
def post_second(
    review: DeskId, body: SecondOpinion, desk: TheDesk, caller: Reviewer, command: Commanded
) -> Response:
    """The second pair of eyes."""
    second(desk, review, caller.name, body.agrees, command.once(caller))
    return _shown(desk, review, 201)
