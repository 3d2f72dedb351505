"""What a registry did: the entries of its log, and what its database was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from consent.registry import Registry

IN_BACKGROUND = {"integrate", "publish", "follow", "outbox"}
"""Threads of the registry that work without being asked."""


def entries(registry: Registry) -> list[dict[str, Any]]:
    """Every entry of the log, in order."""
    log = registry.ledger.log
    with registry.ledger.read() as session:
        return [json.loads(leaf) for leaf in log.leaves(session, 0, log.size(session))]


@contextmanager
def statements(registry: Registry) -> Iterator[list[str]]:
    """The statements that the database is asked meanwhile, without their values: the work that is done.

    Not those of sequencer and outbox, which work when they like.
    """
    seen: list[str] = []

    def executed(_connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
        if threading.current_thread().name not in IN_BACKGROUND:
            seen.append(sql)

    engine = registry.ledger.database.engine
    event.listen(engine, "before_cursor_execute", executed)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", executed)
