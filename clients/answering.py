"""Requests of a lender's borrowers, as its staff answers them: the connection, and what is due."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from clients.home import HEAD_FILE, Node
from crypto.keys import load_recipient_key
from protocol.client.rights import RECIPIENT_KEY_FILE, LenderRightsClient
from protocol.heads import HeadStore
from protocol.log_client import http_client


@contextmanager
def rights_client(node: Node) -> Iterator[LenderRightsClient]:
    """The lender at the registry, for requests; with the key that opens them, if the home has
    one."""
    url, key = node.settings.registry_url, node.home / RECIPIENT_KEY_FILE
    heads, http = HeadStore(node.home / HEAD_FILE), http_client(url, node.authority)
    with LenderRightsClient(url, node.consortium, node.lender, node.auth_key, heads, http) as found:
        found.recipient = load_recipient_key(key) if key.exists() else None
        yield found


def waiting_requests(node: Node) -> list[dict[str, Any]]:
    """What nobody has answered yet, what is due first on top. Raises ConsentError."""
    with rights_client(node) as client:
        found = [one for one in client.requests() if not one["answered_at"]]
    return sorted(found, key=lambda one: str(one["due_at"]))


def days_left(one: dict[str, Any], moment: datetime) -> int | None:
    """Whole days until an answer is late; negative if it is, None if there is one."""
    if one["answered_at"] or one["closed_at"]:
        return None
    return (datetime.fromisoformat(one["due_at"]) - moment).days
