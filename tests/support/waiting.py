"""Waiting for conditions. How long something takes is never what a test asserts: a machine may be slow or busy."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 300.0
"""After this nothing is slow any more: it hangs."""


def until(holds: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Return as soon as it holds; fail, saying what was waited for, when it never does."""
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)
