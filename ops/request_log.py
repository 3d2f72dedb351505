"""What the service writes down about itself: JSON lines on standard error, and nothing about a
person.

A request is named by a random id and by its route's template. Of an exception only its type and the
lines of code it went through are kept: messages of databases and parsers repeat values. What still
looks like a pseudonym, a key or a token, whoever wrote it into a message, is left out.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
import threading
import time
import traceback
from collections.abc import Iterator, MutableMapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ops import metrics
from protocol import tracing

INSTITUTIONS = frozenset({"lender", "coordinator", "auditor", "operator", "naming"})
"""Whose requests may be traced; never a borrower's, nor anybody's who is not known."""
REQUEST_ID, CALLER, PROBLEM = "tahini.request", "tahini.caller", "tahini.problem"
"""Keys of a request's scope: its id, its caller's role, the code of the problem it was answered
with."""
UNMATCHED, LEFT_OUT = "unmatched", "[left out]"
_FIELDS = "tahini_fields"
_OF_A_PERSON = re.compile(r"v[0-9]{1,4}\.[A-Za-z0-9_-]{16,}|[A-Za-z0-9_+=-]{40,}")
"""A pseudonym; a key, hash, signature or part of a token (32 bytes are 43 characters of base64)."""
_MAX_TEXT = 2000
logger = logging.getLogger("tahini.requests")


def harmless(text: str) -> str:
    """``text`` without what looks like an identifier, a key or a token, and not too long."""
    return _OF_A_PERSON.sub(LEFT_OUT, text)[:_MAX_TEXT]


def note_caller(scope: MutableMapping[str, Any], role: str) -> None:
    """Remember a request's caller by role alone. For whoever identifies callers."""
    scope[CALLER] = role


def _raised(error: BaseException) -> Iterator[dict[str, Any]]:
    """An exception and what caused it: types and lines of code, no messages."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        frames = traceback.extract_tb(one.__traceback__)[-20:]
        at = [
            f"{frame.filename.rpartition('site-packages/')[2]}:{frame.lineno} {frame.name}"
            for frame in frames
        ]
        yield {"type": type(one).__qualname__, "at": at}
        one = one.__cause__ or one.__context__


class JsonLines(logging.Formatter):
    """One record, one line: ``time``, ``level``, ``logger``, ``event``, then the record's own
    fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": harmless(record.getMessage()),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["raised"] = list(_raised(record.exc_info[1]))
        return json.dumps(line, ensure_ascii=False)


class _Stream(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """A record that cannot be written is named; its arguments, which Python would print, are
        not."""
        error = sys.exc_info()[1]
        # standard error itself is gone: there is nowhere to say so
        if not isinstance(error, OSError):
            self.stream.write(
                json.dumps({"level": "error", "logger": record.name, "event": "unwritable record"})
                + "\n"
            )


def keep_journal(stream: TextIO | None = None) -> None:
    """All logging, warnings and uncaught exceptions of this process become JSON lines on
    ``stream``."""
    handler = _Stream(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(_told_once)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for noisy in ("httpx", "httpcore", "alembic", "flwr", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def _told_once(record: logging.LogRecord) -> bool:
    """The server says again what a request's own line and ``consent.api.service`` have said."""
    return not (
        record.name == "uvicorn.error"
        and str(record.msg).startswith("Exception in ASGI application")
    )


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("tahini").critical(
        "uncaught %s", kind.__name__, exc_info=(kind, error, trace)
    )


def _uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    error = arguments.exc_value or arguments.exc_type()
    name = arguments.thread.name if arguments.thread else "?"
    trace = (arguments.exc_type, error, arguments.exc_traceback)
    logging.getLogger("tahini").critical("uncaught in thread %s", name, exc_info=trace)


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
            extra={_FIELDS: {name: value for name, value in fields.items() if value is not None}},
        )
