"""What a process writes down about itself: JSON lines on standard error, nothing about a person.

Of an exception only its type and the lines of code it went through are kept: messages of databases
and parsers repeat values. What still looks like a pseudonym, a key or a token, whoever wrote it
into a message, is left out.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

LEFT_OUT = "[left out]"
FIELDS = "tahini_fields"
"""Where a record carries fields of its own."""
_OF_A_PERSON = re.compile(r"v[0-9]{1,4}\.[A-Za-z0-9_-]{16,}|[A-Za-z0-9_+=-]{40,}")
"""A pseudonym; a key, hash, signature or part of a token (32 bytes are 43 characters of base64)."""
_MAX_TEXT = 2000


def harmless(text: str) -> str:
    """``text`` without what looks like an identifier, a key or a token, and not too long."""
    return _OF_A_PERSON.sub(LEFT_OUT, text)[:_MAX_TEXT]


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
            **getattr(record, FIELDS, {}),
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
