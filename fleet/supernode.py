"""Flower's SuperNode as a process of its own: ``python -m fleet.supernode SETTINGS.json``.

It is Flower's own, with its pauses and one constant changed. Flower's looks for messages every
three seconds, which would be most of a round; our SuperLink keeps such a look open until there is
one (:mod:`fleet.long_polls`), so this one looks again at once. While a task is at work it waits for
a bell instead of looking twice a second whether the answer is there. And it says every few seconds
that it lives, so that one that was killed is let in again after twenty seconds instead of a minute:
the SuperLink takes no second node of one key until the first has been silent. It holds the fleet
key and reaches out to the SuperLink; nothing reaches in but the executor on this machine, over
loopback and by a secret.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from pydantic import BaseModel, ConfigDict

from fleet.bell import Bell
from ops.processes import die_with

LOOKING_S, WAITING_S = 3.0, 0.5
"""Flower's pauses: until it looks for messages again, and until it looks whether the answer is
there."""
LEAST_S = 1.0
"""From one look to the next where the SuperLink keeps none open."""
HEARTBEAT_S = 10.0
"""The least that the SuperLink takes; a node that is silent for two of these is gone."""


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
    bell: int
    """File descriptor of this process's end of the bell between it and its executor."""


def pauses(bell: Bell, clock: Callable[[], float] = time.monotonic) -> Callable[[float], None]:
    """What the SuperNode's loop calls instead of ``time.sleep``."""
    looked_at = clock()

    def pause(seconds: float) -> None:
        nonlocal looked_at
        if seconds == WAITING_S:  # there is a task, and then its answer
            bell.ring()
            bell.wait(WAITING_S)
        elif seconds == LOOKING_S:
            time.sleep(max(0.0, LEAST_S - (clock() - looked_at)))
        else:
            time.sleep(seconds)
        looked_at = clock()

    return pause


def main() -> None:
    settings = SuperNodeSettings.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    die_with(settings.parent)
    bell = Bell.at(socket.socket(fileno=settings.bell))
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
    start_client_internal.time = SimpleNamespace(**{**vars(time), "sleep": pauses(bell)})
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
