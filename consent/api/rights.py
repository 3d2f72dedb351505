"""The rights desk: what people ask of a lender, and what it answers. Each side sees its own
requests; auditor and operator see counts."""

from typing import Annotated, Any

from fastapi import Path, Query
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import Field, model_validator

from consent.api import examples
from consent.api.borrowers import Sha256Path
from consent.api.examples import shown
from consent.api.shared import (
    A_TOKEN,
    Body,
    Commanded,
    Cursor,
    Limit,
    Link,
    Page,
    TheRegistry,
    Token,
    links,
    page,
    problems,
)
from consent.commands import answer_requests, read_requests, receive_requests
from consent.identity import access
from consent.identity.callers import Caller, CallingBorrower
from protocol.cursors import cursor_of, position
from protocol.parties import Party, Role
from protocol.rights import RequestContent
from protocol.schema import Slug

StepNumber = Annotated[int, Path(ge=1, le=1000)]
_MADE = {"sha256": "$response.body#/request_sha256"}
REQUEST = Link("request", "/v1/me/requests/{sha256}", "get", _MADE, "How it stands, and why.")


class NewRequest(Body):
    """What somebody asks: stated by whoever is logged in or signed this call, or as a document of
    its own that they signed."""

    recipient: Slug | None = Field(default=None, examples=["aspen"])
    asked: RequestContent | None = None
    token: str | None = Field(default=None, max_length=32_768, examples=[A_TOKEN])

    @model_validator(mode="after")
    def _one_way(self) -> "NewRequest":
        stated = self.recipient is not None and self.asked is not None
        neither = self.recipient is None and self.asked is None
        if not (stated and self.token is None) and not (neither and self.token is not None):
            raise ValueError("either recipient and asked, or token: one of the two")
        return self


class NewAnswer(Body):
    """A signed answer, and what it attaches."""

    token: str = Field(max_length=32_768, examples=[A_TOKEN])
    attachment: str | None = Field(
        default=None,
        max_length=answer_requests.MAX_ATTACHMENT_TEXT,
        description="Sealed to the person's reply_key, base64url without padding.",
    )


class SealedAttachment(Response):
    media_type = "application/octet-stream"


router = access.endpoints(tags=["rights"])
Subject = Annotated[CallingBorrower, access.subject()]
Lender = Annotated[Party, access.only(Role.LENDER)]
Overseer = Annotated[Party, access.only(Caller.AUDITOR, Caller.OPERATOR)]


# --- a person


@router.post(
    "/v1/me/requests",
    status_code=201,
    responses={**problems(404, 409), **links(201, REQUEST)},
    openapi_extra=shown(examples.REQUEST),
)
def make_request(
    registry: TheRegistry, body: NewRequest, caller: Subject, command: Commanded
) -> Response:
    """Ask a lender of mine: for access, correction, an explanation, a review by a person, and so
    on. An objection marks what it is about at once: it is not used until the request is closed."""

    def made() -> dict[str, Any]:
        if body.token is not None:
            return receive_requests.take_signed_request(registry, caller.subjects, body.token)
        assert body.asked is not None  # noqa: S101 - one of the two, as was validated
        return receive_requests.state_request(
            registry, caller.subjects, body.recipient or "", body.asked, caller.evidence
        )

    return command.run(caller, made)


@router.get("/v1/me/requests", responses=problems())
def my_requests(
    registry: TheRegistry, caller: Subject, cursor: Cursor = None, limit: Limit = 100
) -> Page[dict[str, Any]]:
    """What I asked, newest first: how each request stands, and when an answer is due."""
    return Page(**page(read_requests.list_own_requests(registry, caller.subjects), cursor, limit))


@router.get("/v1/me/requests/{sha256}", responses=problems(404))
def my_request(registry: TheRegistry, sha256: Sha256Path, caller: Subject) -> JSONResponse:
    """One of my requests: everything that was said, by me and by the lender."""
    return JSONResponse(read_requests.read_own_request(registry, caller.subjects, sha256))


@router.get(
    "/v1/me/requests/{sha256}/receipts/{number}",
    response_class=PlainTextResponse,
    responses=problems(404),
)
def my_request_receipt(
    registry: TheRegistry, sha256: Sha256Path, number: StepNumber, caller: Subject
) -> str:
    """The signed receipt of one step, with its proof under the newest checkpoint: it verifies
    offline, years later."""
    return read_requests.read_receipt(registry, caller.subjects, sha256, number)


@router.get(
    "/v1/me/requests/{sha256}/attachment", response_class=SealedAttachment, responses=problems(404)
)
def my_attachment(registry: TheRegistry, sha256: Sha256Path, caller: Subject) -> Response:
    """What the lender attached to its answer, sealed by it to the key in my request; the registry
    cannot read it."""
    return SealedAttachment(read_requests.read_attachment(registry, caller.subjects, sha256))


@router.post("/v1/me/requests/{sha256}/closings", status_code=201, responses=problems(404, 409))
def close_mine(
    registry: TheRegistry, sha256: Sha256Path, caller: Subject, command: Commanded
) -> Response:
    """End one of my requests, answered or not: what it marked may be used again, what it refused is
    refused no more."""
    return command.run(
        caller, lambda: answer_requests.close_own_request(registry, caller.subjects, sha256)
    )


# --- a lender


@router.post("/v1/requests", status_code=201, responses=problems(404, 409))
def hand_in(registry: TheRegistry, body: Token, caller: Lender, command: Commanded) -> Response:
    """Hand in, signed, what a borrower of the lender's, their guardian or heir asked at a branch,
    by phone or on paper."""
    return command.run(
        caller, lambda: receive_requests.hand_in_request(registry, caller, body.token)
    )


@router.get("/v1/requests", responses=problems())
def lenders_requests(
    registry: TheRegistry,
    caller: Lender,
    closed: Annotated[bool, Query(description="Those that are closed, too.")] = False,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[dict[str, Any]]:
    """What the lender's borrowers ask, in the order in which they asked it."""
    found, following = read_requests.list_lenders_requests(
        registry, caller, closed, position(cursor), limit
    )
    return Page(items=found, next=None if following is None else cursor_of(following))


@router.get("/v1/requests/statistics", responses=problems())
def statistics(registry: TheRegistry, caller: Overseer) -> Page[dict[str, Any]]:
    """How many requests of each kind each lender was sent, and how many it answered in time."""
    return Page(items=read_requests.request_statistics(registry))


@router.get("/v1/requests/{sha256}", responses=problems(404))
def lenders_request(registry: TheRegistry, sha256: Sha256Path, caller: Lender) -> JSONResponse:
    """One request, with the lender's copy of every step, sealed to its recipient key."""
    return JSONResponse(read_requests.read_lenders_request(registry, caller, sha256))


@router.post("/v1/requests/{sha256}/marks", status_code=201, responses=problems(404, 409))
def post_mark(
    registry: TheRegistry, sha256: Sha256Path, caller: Lender, command: Commanded
) -> Response:
    """Say that what the request is about is marked in the lender's own systems."""
    return command.run(caller, lambda: answer_requests.mark_request(registry, caller, sha256))


@router.post("/v1/requests/{sha256}/answers", status_code=201, responses=problems(404, 409))
def post_answer(
    registry: TheRegistry, sha256: Sha256Path, body: NewAnswer, caller: Lender, command: Commanded
) -> Response:
    """Answer a request in writing, signed: granted, in part, or refused with a reason."""
    return command.run(
        caller,
        lambda: answer_requests.answer_request(
            registry, caller, sha256, body.token, body.attachment
        ),
    )


@router.post("/v1/requests/{sha256}/closings", status_code=201, responses=problems(404, 409))
def close_answered(
    registry: TheRegistry, sha256: Sha256Path, caller: Lender, command: Commanded
) -> Response:
    """End a request that was answered a while ago and that its person did not end."""
    return command.run(
        caller, lambda: answer_requests.close_answered_request(registry, caller, sha256)
    )
