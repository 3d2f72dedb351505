"""Where HTTP comes in, the same for every service: whole bodies up to a limit, problem documents
(RFC 9457), HEAD.

No link or redirect is made of what a request says about its host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Annotated, Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import Field
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crypto.sentences import pointer_to
from ops.request_log import PROBLEM

_MAX_LENGTH_DIGITS = 12
NO_SCRIPTS = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
)


class LimitBody:
    """Hands on whole requests only. A body that is larger than ``most`` bytes is refused: before it
    is read where its length is stated, else (chunked) as soon as it is too long; ``refusal`` makes
    the 413 out of a sentence. Of a caller who hung up before the end nothing is handed on, whether
    or not somebody would have looked at the body, and there is nobody left to answer.
    """

    def __init__(self, app: ASGIApp, most: int, refusal: Callable[[str], Response]) -> None:
        self._app, self._most, self._refusal = app, most, refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        stated = headers.get(b"content-length")
        if b"transfer-encoding" in headers:
            fits = stated is None
        else:
            length = stated or b"0"
            fits = (
                length.isdigit() and len(length) <= _MAX_LENGTH_DIGITS and int(length) <= self._most
            )
            if fits and int(length) == 0:
                await self._app(scope, receive, send)
                return
        try:
            body = await self._read(receive) if fits else None
        except ClientDisconnect:
            return
        if body is None:
            await self._refusal(f"a request body may hold at most {self._most} bytes")(
                scope, receive, send
            )
        else:
            await self._app(scope, _again(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The whole body; None if it is too long. Raises ClientDisconnect where it has no end."""
        body = bytearray()
        while len(body) <= self._most:
            message = await receive()
            if message["type"] != "http.request":
                raise ClientDisconnect
            body += message.get("body", b"")
            if not message.get("more_body", False):
                return bytes(body) if len(body) <= self._most else None
        return None


def _again(body: bytes, receive: Receive) -> Receive:
    """``body`` as the first message, then whatever still comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def heard() -> Message:
        return waiting.pop() if waiting else await receive()

    return heard


class AnswerHead:
    """HEAD is answered as GET is, without the body (RFC 9110 section 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def headers_alone(message: Message) -> None:
            await send(
                {**message, "body": b""} if message["type"] == "http.response.body" else message
            )

        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, headers_alone)
        finally:
            scope.update({name: asked[name] for name in asked.keys() - {"method"}})


def application(title: str, **options: Any) -> FastAPI:
    """An empty application: no redirect to a path with or without a slash (it would be built from
    ``Host``), and ``/docs`` as one page of our own that loads nothing."""
    app = FastAPI(
        title=title, version="1", docs_url=None, redoc_url=None, redirect_slashes=False, **options
    )
    app.add_middleware(AnswerHead)

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(_page(app.openapi()), headers={"Content-Security-Policy": NO_SCRIPTS})

    return app


def _page(schema: dict[str, Any]) -> str:
    """What an OpenAPI document offers, to be read by people."""
    calls = "".join(
        f"<h2><code>{escape(method.upper())} "
        f"{escape(path)}</code></h2><p>{escape(call.get('description', ''))}</p>"
        f"<p>Answers: {', '.join(sorted(call['responses']))}</p>"
        for path, methods in schema["paths"].items()
        for method, call in methods.items()
    )
    title = escape(schema["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>'
        "body{font:1rem/1.5 sans-serif;max-width:50rem;margin:2rem auto;padding:0 "
        "1rem}h2{font-size:1rem;"
        "margin:2rem 0 0}p{margin:.2rem 0;white-space:pre-line}</style></head><body>"
        f"<h1>{title}</h1><p>Bodies, parameters and answers in full: <a "
        'href="openapi.json">openapi.json</a> '
        f"(OpenAPI {escape(schema['openapi'])}), for any client or viewer of "
        f"yours.</p>{calls}</body></html>"
    )


MAX_BODY_BYTES = 16 * 1024 * 1024
Count = Annotated[int, Field(ge=0, lt=1 << 63)]


class Problem(JSONResponse):
    """An RFC 9457 problem document; its code is written into the request's line of the journal."""

    media_type = "application/problem+json"

    def __init__(self, body: dict[str, Any], headers: dict[str, str]) -> None:
        super().__init__(body, body["status"], headers)
        self._code = body["type"].rpartition(":")[2]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[PROBLEM] = self._code
        await super().__call__(scope, receive, send)


def problem(
    status: int, code: str, detail: str, place: Sequence[str | int] = (), **more: Any
) -> JSONResponse:
    """An RFC 9457 problem document with ``more`` members. ``place``: where in the request's body
    the reason stands; told in the form of that RFC's own example,
    ``"errors": [{"pointer": "#/records/3", "detail": …}]``."""
    body: dict[str, Any] = {
        "type": f"urn:tahini:problem:{code}",
        "title": code.replace("-", " "),
        "status": status,
        "detail": detail,
        **more,
    }
    if place:
        body["errors"] = [{"pointer": pointer_to(place), "detail": detail}]
    headers = {"Retry-After": "1"} if status == 503 else {}
    return Problem(body, headers)


def too_large(detail: str) -> JSONResponse:
    return problem(413, "too-large", detail)
