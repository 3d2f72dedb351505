"""Naming of a lender's people: the naming service, as a node's home knows it.

People are named from the command line, before they are enrolled; what trains needs no service for
it and does not load this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from clients.errors import NodeError
from clients.home import SETTINGS_FILE, Node
from naming.client import Effort, KeyListChecks, NamingClient

NAMING_KEYS_FILE = "naming-keys.jws"


@contextmanager
def naming_client(node: Node, workers: int | None = None) -> Iterator[NamingClient]:
    """The naming service, for this lender; its list of keys is pinned in the home and checked
    against the log.

    Raises:
        NodeError: the node does not know a naming service.
    """
    if node.settings.naming_url is None:
        raise NodeError(
            f"the node of {node.lender!r} does not know a naming service; set naming_url in "
            f"{SETTINGS_FILE}"
        )
    with node.registry() as registry:
        yield NamingClient(
            node.settings.naming_url,
            node.consortium,
            node.lender,
            node.key,
            KeyListChecks(node.home / NAMING_KEYS_FILE, registry),
            Effort() if workers is None else Effort(workers),
        )
