"""Which lenders' nodes are connected, as the service sees it: ``connections.json`` in the
coordinator's home, for whoever looks from another process."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from crypto.keys import replace_file
from protocol.schema import now

CONNECTIONS_FILE = "connections.json"
STALE = timedelta(seconds=20)
"""What was not seen again for so long is not known any more: the service ended, or hangs."""


class NodeConnection(BaseModel):
    """Whether a lender's node is connected, and since when it is or is not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connected: bool
    since: datetime


class Connections(BaseModel):
    """Every admitted lender's node, as it was seen at one moment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seen_at: datetime
    nodes: dict[str, NodeConnection]

    def seen(self, connected: Mapping[str, bool], moment: datetime) -> Connections:
        """What is known now; ``since`` stays where nothing changed."""

        def of(lender: str, now_connected: bool) -> NodeConnection:
            before = self.nodes.get(lender)
            if before is not None and before.connected is now_connected:
                return before
            return NodeConnection(connected=now_connected, since=moment)

        nodes = {lender: of(lender, there) for lender, there in connected.items()}
        return Connections(seen_at=moment, nodes=nodes)


def read_connections(home: Path, moment: datetime) -> Connections | None:
    """What the running service saw last; None where none runs that says so."""
    try:
        text = (home / CONNECTIONS_FILE).read_text(encoding="utf-8")
        found = Connections.model_validate_json(text)
    except (OSError, ValidationError):
        return None
    return found if moment - found.seen_at < STALE else None


def keep_connections(home: Path, connected: Mapping[str, bool]) -> None:
    """Note which lenders' nodes are connected now."""
    moment = now()
    before = read_connections(home, moment) or Connections(seen_at=moment, nodes={})
    found = before.seen(connected, moment)
    replace_file(home / CONNECTIONS_FILE, found.model_dump_json().encode())
