"""Notices: published by the operator, readable by everybody."""

from typing import Annotated, Any

from fastapi import Header, Path
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from consent import arrangement
from consent.api.shared import (
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
from consent.commands import publish_notice
from consent.identity import access
from law.vocabulary import LANGUAGES
from protocol.languages import chosen
from protocol.notices import Notice
from protocol.parties import Party, Role

NoticeId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
NOTICE = Link(
    "notice",
    "/v1/notices/{notice_id}/{version}",
    "get",
    {"notice_id": "$response.body#/id", "version": "$response.body#/version"},
    "It, word for word.",
)
Accept = Annotated[
    str, Header(max_length=1000, description="text/plain for the text alone, as people read it.")
]
Languages = Annotated[
    str, Header(max_length=1000, description="Which language of the text, as in zh-CN, en;q=0.5.")
]
Version = Annotated[int, Path(ge=1, le=1_000_000)]


router = access.endpoints(tags=["notices"])
Operator = Annotated[Party, access.only(Role.REGISTRY)]


@router.get("/v1/consortium", response_class=PlainTextResponse, responses=problems())
def consortium(
    registry: TheRegistry,
) -> str:
    """Who belongs, with which keys, and which checkpoints of the log are believed; signed by the
    registry."""
    return registry.consortium_token


@router.get("/v1/arrangement", response_model=None, responses=problems())
def joint_arrangement(
    registry: TheRegistry, accept: Accept = "", accept_language: Languages = ""
) -> Response:
    """The essence of what the parties agreed: who does what, who answers which right and how soon,
    who succeeded whom, and what is collected for what. As ``text/plain``, in words; in English or
    Chinese."""
    language = chosen(accept_language, LANGUAGES)
    told = {"Vary": "Accept, Accept-Language", "Content-Language": language}
    found = publish_notice.read_arrangement(registry, language)
    if accept.partition(";")[0].strip().lower() == "text/plain":
        return PlainTextResponse(arrangement.in_words(found, language), headers=told)
    return JSONResponse(found, headers=told)


@router.post("/v1/notices", status_code=201, responses={**problems(409), **links(201, NOTICE)})
def post_notice(
    registry: TheRegistry, body: Token, caller: Operator, command: Commanded
) -> Response:
    """Publish a version of a notice, signed by the registry's operator."""

    def publish() -> dict[str, Any]:
        notice = publish_notice.publish_notice(registry, body.token)
        return {"id": notice.id, "version": notice.version}

    return command.run(caller, publish)


@router.get("/v1/notices", responses=problems())
def list_notices(
    registry: TheRegistry, cursor: Cursor = None, limit: Limit = 100
) -> Page[dict[str, Any]]:
    """Every published version of every notice."""
    return Page(**page(publish_notice.list_notices(registry), cursor, limit))


@router.get(
    "/v1/notices/{notice_id}/{version}", response_class=PlainTextResponse, responses=problems(404)
)
def get_notice(
    registry: TheRegistry,
    notice_id: NoticeId,
    version: Version,
    accept: Accept = "",
    accept_language: Languages = "",
) -> Response:
    """One version of a notice, signed, word for word.

    Who asks for ``text/plain`` and nothing else gets the text alone, as it is shown to a borrower,
    in the first language that they accept: the SHA-256 of these bytes is what a consent names as
    its notice.
    """
    token = publish_notice.read_notice(registry, notice_id, version)
    varied = {"Vary": "Accept, Accept-Language"}
    if accept.partition(";")[0].strip().lower() != "text/plain":
        return PlainTextResponse(token, headers=varied)
    notice = Notice.claimed(token)
    language = chosen(accept_language, list(notice.texts))
    return PlainTextResponse(
        notice.texts[language], headers={**varied, "Content-Language": language}
    )
