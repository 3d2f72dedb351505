"""Notices: published by the operator, readable by everybody."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import PlainTextResponse, Response

from consent.access import Access
from consent.commands import publish_notice
from consent.documents import Party, Role
from consent.endpoints.shared import Commanded, Cursor, Limit, Link, Page, Token, links, page, problems, run
from consent.registry import Registry

NoticeId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
NOTICE = Link(
    "notice", "/v1/notices/{notice_id}/{version}", "get",
    {"notice_id": "$response.body#/id", "version": "$response.body#/version"}, "It, word for word.",
)  # fmt: skip
Version = Annotated[int, Path(ge=1, le=1_000_000)]


def notice_routes(registry: Registry, access: Access) -> APIRouter:
    """The endpoints around notices, and the consortium document."""
    app = APIRouter(tags=["notices"], dependencies=[access.limit_public()])
    Operator = Annotated[Party, access.only(Role.REGISTRY)]

    @app.get("/v1/consortium", response_class=PlainTextResponse, responses=problems())
    def consortium() -> str:
        """Who belongs, with which keys, and which checkpoints of the log are believed; signed by the registry."""
        return registry.consortium_token

    @app.post("/v1/notices", status_code=201, responses={**problems(409), **links(201, NOTICE)})
    def post_notice(body: Token, caller: Operator, command: Commanded) -> Response:
        """Publish a version of a notice, signed by the registry's operator."""

        def publish() -> dict[str, Any]:
            notice = publish_notice.publish_notice(registry, body.token)
            return {"id": notice.id, "version": notice.version}

        return run(registry, caller, command, publish)

    @app.get("/v1/notices", responses=problems())
    def list_notices(cursor: Cursor = None, limit: Limit = 100) -> Page[dict[str, Any]]:
        """Every published version of every notice."""
        with registry.database.read() as session:
            known = registry.catalogue.load(session)
        found = [
            {
                "id": notice.id,
                "version": notice.version,
                "purpose": notice.purpose,
                "recipients": list(notice.recipients),
                "languages": {language: notice.text_sha256(language) for language in sorted(notice.texts)},
                "material_change": notice.terms.material_change,
                "published_at": notice.published_at.isoformat(),
            }
            for _, notice in sorted(known.notices.items())
        ]
        return Page(**page(found, cursor, limit))

    @app.get("/v1/notices/{notice_id}/{version}", response_class=PlainTextResponse, responses=problems(404))
    def get_notice(notice_id: NoticeId, version: Version) -> str:
        """One version of a notice, signed, word for word."""
        return publish_notice.read_notice(registry, notice_id, version)

    return app
