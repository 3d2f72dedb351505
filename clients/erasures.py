"""Revocations acted on: who is to be erased, and what of the node's own copies is to be renewed.

A lending desk that works beside the node erases by itself. It has a folder in the node's home, the
orders to it stand there, and it empties each that it has obeyed; nothing is acknowledged before. A
desk that is gone is waited for until somebody removes its folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from clients.home import Node
from crypto.keys import replace_file
from protocol.client.nodes import NodeClient
from protocol.revocations import Revocation
from protocol.schema import now

ORDERS = "erasures"
ANSWERED_FILE = "consents/acknowledged.jsonl"
BY_NODE, BY_INBOX, BY_HAND = "node", "inbox", "hand"


@dataclass(frozen=True)
class AnsweredRevocations:
    """That every revocation up to a number was acknowledged: when, and by what."""

    number: int
    at: str
    way: str
    """:data:`BY_NODE` before a release, :data:`BY_INBOX` at a delivery, or :data:`BY_HAND`, with
    who did it after a colon."""


def obey(node: Node, client: NodeClient, revoked: Sequence[Revocation], way: str = BY_NODE) -> bool:
    """Act on these, and acknowledge them, on the record, as far as that is done; returns whether it
    is all of them."""
    done = act_on(node, client, revoked)
    if revoked and done >= revoked[0].number:
        client.acknowledge(done, node.key)
        keep_answered(node, done, way)
    return not revoked or done == revoked[-1].number


def keep_answered(node: Node, number: int, way: str) -> None:
    """Write down, for the lender's own operator, that these were acknowledged now."""
    path = node.home / ANSWERED_FILE
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        line = AnsweredRevocations(number, now().isoformat(), way)
        file.write(json.dumps(asdict(line)) + "\n")


def answered(node: Node) -> list[AnsweredRevocations]:
    """What was written down, the oldest first."""
    path = node.home / ANSWERED_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [AnsweredRevocations(**json.loads(line)) for line in lines]


def act_on(node: Node, client: NodeClient, revoked: Sequence[Revocation]) -> int:
    """Erase whom the registry orders to erase, in ledger and roll, and bring the copy up to
    date for every purpose that was revoked; returns up to which number desks have, too. The loan
    book is the lender's own, and stays."""
    waiting: list[int] = []
    for one in revoked:
        if one.event_type == "erase" and one.tombstone is not None and one.place is not None:
            node.store.erase(one.pii_principal_id)
            node.consents.replace(one.place, one.tombstone)
            waiting += [] if _erased_by_desks(node.home / ORDERS, one) else [one.number]
    for purpose in {one.purpose for one in revoked}:
        node.consents.sync(client, purpose)
    return min(waiting) - 1 if waiting else revoked[-1].number if revoked else 0


def _erased_by_desks(orders: Path, one: Revocation) -> bool:
    """Whether each desk has erased this person; whoever has not been told is told now."""
    desks = sorted(orders.iterdir()) if orders.is_dir() else []
    files = [desk / str(one.number) for desk in desks]
    for order in files:
        if not order.exists():
            replace_file(order, one.model_dump_json().encode())
    return all(order.stat().st_size == 0 for order in files)
