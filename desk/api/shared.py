"""What endpoints have in common: who calls, commands that act once, pages, preconditions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from desk.callers import CallerRole, DeskCaller, KnownCallers
from desk.office import Desk
from desk.storage.idempotency import ActsOnce
from ops.request_log import note_caller
from protocol.errors import NotAllowed, NotAuthenticated

Fen = Annotated[int, Field(strict=True, gt=0, le=10**13, examples=[500_000])]
"""Whole fen, never a number with a point in it."""
DeskId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{22}$")]
EventId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]
_MEANINGS = {
    401: "The caller is not known.",
    403: "The caller may not do this, or the person has not agreed to it.",
    404: "There is no such thing.",
    409: "The present state does not allow it; nothing was changed.",
    412: "What the caller read has changed since; nothing was changed.",
    413: "The body is too large.",
    422: "The request does not fit its schema.",
    503: "The desk cannot do this now; nothing was acknowledged.",
}


class DeskProblem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(examples=["urn:tahini:problem:consent-missing"])
    title: str
    status: int
    detail: str


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of an endpoint."""
    return {
        status: {
            "description": _MEANINGS[status],
            "content": {"application/problem+json": {"schema": DeskProblem.model_json_schema()}},
        }
        for status in sorted({*statuses, 401, 403, 413, 422, 503})
    }


class DeskBody(BaseModel):
    """Base of every request body."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WholeList(BaseModel):
    """A part of a list. ``next`` is the cursor of the part after it; null at the end."""

    items: list[dict[str, Any]]
    next: str | None = None


Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many items.")]
Cursor = Annotated[
    str | None,
    Query(
        max_length=64, pattern=r"^[0-9a-zA-Z_-]+$", description="What the page before said is next."
    ),
]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="The ETag that the caller read: if it has changed since, nothing is done.",
        max_length=100,
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="1 to 64 visible ASCII characters: the same request again makes nothing new.",
    ),
]


async def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


TheDesk = Annotated[Desk, Depends(_desk)]


def only(*roles: CallerRole) -> Any:
    """Who may call an endpoint; the dependency gives the caller."""

    async def admitted(request: Request) -> DeskCaller:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticated("this call needs a token in the Authorization header")
        known: KnownCallers = request.app.state.callers
        if not known.fresh:
            await run_in_threadpool(known.read)
        caller = known.who(token)
        note_caller(request.scope, caller.role.value)
        if caller.role not in roles:
            raise NotAllowed(
                f"this call is for {' or '.join(sorted(roles))}; the caller is {caller.role}"
            )
        return caller

    return Depends(admitted)


@dataclass(frozen=True)
class DeskCommand:
    """A request that changes something, with the caller's Idempotency-Key if there is one."""

    key: str | None
    method: str
    target: str
    body: bytes

    def once(self, caller: DeskCaller) -> ActsOnce | None:
        """Raises Malformed."""
        if self.key is None:
            return None
        return ActsOnce.of(caller.name, self.key, self.method, self.target, self.body)


async def _command(request: Request, key: IdempotencyKey = None) -> DeskCommand:
    return DeskCommand(key, request.method, request.url.path, await request.body())


Commanded = Annotated[DeskCommand, Depends(_command)]


def shown(
    body: dict[str, Any], status: int = 200, etag: str | None = None, again: bool = False
) -> Response:
    """An answer about somebody: nothing on the way keeps it."""
    headers = {"Cache-Control": "no-store"}
    if etag is not None:
        headers["ETag"] = etag
    if again:
        headers["Idempotent-Replayed"] = "true"
    return JSONResponse(body, status, headers)


def paged(
    items: Sequence[Any], limit: int, number: Callable[[Any], int]
) -> tuple[Sequence[Any], int | None]:
    """The items of a page out of one more than it holds, and where the next begins."""
    return items[:limit], number(items[limit - 1]) if len(items) > limit else None
