"""One line and one count for every request.

A request is named by a random id and by its route's template, its caller by role alone.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ops import metrics
from ops.logs import FIELDS
from protocol import tracing

INSTITUTIONS = frozenset({"lender", "coordinator", "auditor", "operator", "naming"})
"""Whose requests may be traced; never a borrower's, nor anybody's who is not known."""
REQUEST_ID, CALLER, PROBLEM = "tahini.request", "tahini.caller", "tahini.problem"
"""Keys of a request's scope: its id, its caller's role, the code of the problem it was answered
with."""
UNMATCHED = "unmatched"
logger = logging.getLogger("tahini.requests")


def note_caller(scope: MutableMapping[str, Any], role: str) -> None:
    """Remember a request's caller by role alone. For whoever identifies callers."""
    scope[CALLER] = role


def _route(scope: Scope) -> str:
    """A template of ours, never what was sent."""
    return getattr(scope.get("route"), "path", None) or UNMATCHED


class Journal:
    """One line and one count for every request, and an id that the caller is told in
    ``X-Request-Id``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0
        scope[REQUEST_ID] = secrets.token_hex(8)

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = scope[REQUEST_ID]
            await send(message)

        began_ns = time.time_ns()
        try:
            await self._app(scope, receive, told)
        except Exception:
            status, scope[PROBLEM] = status or 500, "internal"
            raise
        finally:
            self._write(scope, status, time.perf_counter() - started)
            if scope.get(CALLER) in INSTITUTIONS:
                above = tracing.accepted(MutableHeaders(scope=scope).get(tracing.HEADER))
                tracing.record(f"{scope['method']} {_route(scope)}", above, began_ns)

    def _write(self, scope: Scope, status: int, seconds: float) -> None:
        """Status 0: the request was given up before anything was answered."""
        route = _route(scope)
        method = scope["method"] if scope["method"] in metrics.METHODS else "OTHER"
        metrics.requested(method, route, status, seconds)
        fields = {
            "request": scope[REQUEST_ID],
            "method": method,
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 2),
            "caller": scope.get(CALLER),
            "problem": scope.get(PROBLEM),
        }
        level = logging.WARNING if status >= 500 or status == 0 else logging.INFO
        logger.log(
            level,
            "request",
            extra={FIELDS: {name: value for name, value in fields.items() if value is not None}},
        )
