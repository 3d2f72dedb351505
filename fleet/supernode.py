"""Flower's SuperNode as a process of its own: ``python -m fleet.supernode SETTINGS.json``.

It is Flower's own, with two constants changed. While a campaign runs it looks for messages five
times a second instead of every three seconds, which would be most of a round. And it says every few
seconds that it lives, so that one that was killed is let in again after twenty seconds instead of a
minute: the SuperLink takes no second node of one key until the first has been silent. It holds the
fleet key and reaches out to the SuperLink; nothing reaches in but the executor on this machine,
over loopback and by a secret.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace

from pydantic import BaseModel, ConfigDict

from fleet.pace import Pace
from ops.processes import die_with

LOOKING_S, WAITING_S = 3.0, 0.5
"""Flower's pauses: until it looks for messages again, and until it looks whether the answer is
there."""
WAITED_S = 0.05
HEARTBEAT_S = 10.0
"""The least that the SuperLink takes; a node that is silent for two of these is gone."""
pace = Pace(quick=0.2, idle=1.0)


class SuperNodeSettings(BaseModel):
    """What the process is told, in a file that only its owner reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    superlink: str
    """host:port"""
    root_certificates: Path
    fleet_key: Path
    runtime_port: int
    executor_secret: Path
    parent: int
    """The process that this one ends with."""


def _often(seconds: float) -> None:
    if seconds == WAITING_S:
        pace.worked()
        time.sleep(WAITED_S)
    else:
        time.sleep(pace.pause if seconds == LOOKING_S else seconds)


def main() -> None:
    settings = SuperNodeSettings.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    die_with(settings.parent)
    from flwr.supercore import heartbeat
    from flwr.supernode import fleet_http_connection, start_client_internal
    from flwr.supernode.cli.flower_supernode import flower_supernode

    if not hasattr(start_client_internal, "time"):
        sys.exit("tahini: this Flower keeps time differently; fleet/supernode.py must be looked at")
    for module in (heartbeat, fleet_http_connection):
        if not hasattr(module, "HEARTBEAT_DEFAULT_INTERVAL"):
            sys.exit(
                "tahini: this Flower says otherwise that it lives; fleet/supernode.py must be "
                "looked at"
            )
        vars(module)["HEARTBEAT_DEFAULT_INTERVAL"] = HEARTBEAT_S
    start_client_internal.time = SimpleNamespace(**{**vars(time), "sleep": _often})
    sys.argv = [
        "flower-supernode",
        "--superlink",
        settings.superlink,
        "--root-certificates",
        str(settings.root_certificates),
        "--auth-supernode-private-key",
        str(settings.fleet_key),
        "--isolation",
        "process",
        "--host",
        "127.0.0.1",
        "--port",
        str(settings.runtime_port),
        "--superexec-auth-secret-file",
        str(settings.executor_secret),
    ]
    flower_supernode()


if __name__ == "__main__":
    main()
