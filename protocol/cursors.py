"""Cursors of pages: opaque to the caller, a number to us."""

from __future__ import annotations

import base64
import re

from protocol.errors import Malformed


def cursor_of(number: int) -> str:
    return base64.urlsafe_b64encode(str(number).encode()).decode().rstrip("=")


def position(cursor: str | None) -> int:
    """Where a page begins; raises Malformed."""
    if cursor is None:
        return 0
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (ValueError, UnicodeDecodeError):
        text = ""
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise Malformed("this is not a cursor that the registry gave")
    return int(text)
