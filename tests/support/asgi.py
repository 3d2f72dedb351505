"""An ASGI application, called as a server would call it, without a server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote


@dataclass(frozen=True)
class Sent:
    """One request; ``caller`` signs it, or nobody."""

    method: str
    target: str
    body: bytes = b""
    caller: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes


async def call(app: Any, sent: Sent, authorization: str) -> Answered:
    """One request to an ASGI application, as a server would hand it over."""
    path, _, query = sent.target.partition("?")
    headers = [(b"host", b"registry.test"), (b"content-length", str(len(sent.body)).encode())]
    names = {name.lower() for name, _ in sent.headers}
    headers += [(b"content-type", b"application/json")] if sent.body and "content-type" not in names else []
    headers += [(b"authorization", authorization.encode("latin-1"))] if authorization else []
    headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in sent.headers]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": sent.method, "scheme": "http",
        "path": unquote(path), "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    waiting = [{"type": "http.request", "body": sent.body, "more_body": False}]
    heard: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop()
        await asyncio.sleep(3600)  # the caller stays on the line
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        heard.append(message)

    try:
        await app(scope, receive, send)
    except Exception:
        if not heard:
            raise
    stated = {name.decode(): value.decode("latin-1") for name, value in heard[0]["headers"]}
    return Answered(heard[0]["status"], stated, b"".join(m.get("body", b"") for m in heard[1:]))
