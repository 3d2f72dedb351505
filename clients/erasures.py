"""Revocations acted on: who is to be erased, and what of the node's own copies is to be renewed."""

from __future__ import annotations

from collections.abc import Sequence

from clients.home import Node
from protocol.client.nodes import NodeClient
from protocol.revocations import Revocation


def act_on(node: Node, client: NodeClient, revoked: Sequence[Revocation]) -> None:
    """Erase whom the registry orders to erase, in ledger and roll, and bring the copy up to
    date for every purpose that was revoked. The loan book is the lender's own, and stays."""
    for one in revoked:
        if one.event_type == "erase" and one.tombstone is not None and one.place is not None:
            node.store.erase(one.pii_principal_id)
            node.consents.replace(one.place, one.tombstone)
    for purpose in {one.purpose for one in revoked}:
        node.consents.sync(client, purpose)
