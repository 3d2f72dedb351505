"""The coordinator's process: Flower's simulation engine with the ServerApp and every lender's
ClientApp.

Usage: ``python -m demo.simulation COORDINATOR_HOME NODES``. Events leave on standard output as JSON
lines, commands come in on standard input: ``launch`` names a campaign and the releases to hold
after, ``continue`` ends a hold; one campaign after another. Everything that Flower and Ray print
goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.server.superlink.fleet.vce.backend.backend import BackendConfig
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation

from clients.app import app as client_app
from server.desired_state import request_run
from server.fleet_app import conduct_campaign
from server.flower_fleet import ANSWER_TIMEOUT_S, Emit
from server.home import Coordinator

Receive = Callable[[], dict[str, Any]]


def main() -> None:
    home, nodes = Path(sys.argv[1]), int(sys.argv[2])
    events = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)

    def emit(event: dict[str, Any]) -> None:
        events.write(json.dumps(event) + "\n")

    def receive() -> dict[str, Any]:
        line = sys.stdin.readline()
        return dict(json.loads(line)) if line else {"command": "end"}

    coordinator = Coordinator.open(home)
    # all nodes compute on this machine, so an answer may take longer than in a deployment
    patient = coordinator.settings.model_copy(update={"answer_s": ANSWER_TIMEOUT_S})
    app = make_app(replace(coordinator, settings=patient), emit, receive)
    backend: BackendConfig = {"client_resources": {"num_cpus": 1, "num_gpus": 0}}
    run_simulation(
        server_app=app, client_app=client_app, num_supernodes=nodes, backend_config=backend
    )


def make_app(coordinator: Coordinator, emit: Emit, receive: Receive) -> ServerApp:
    """A ServerApp that runs one campaign after another, each at a command to launch it, and says
    how it went; until another command comes, or none."""
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        emit({"event": "ready"})
        while (command := receive()).get("command") == "launch":
            sha256 = str(command["campaign"])
            holds = {int(number) for number in command.get("hold_after", [])}

            def hold(number: int, at: set[int] = holds) -> None:
                if number in at:
                    emit({"event": "held", "release": number})
                    receive()

            request_run(coordinator.folder(sha256), True)
            conduct_campaign(coordinator, grid, sha256, emit, hold)

    return server


if __name__ == "__main__":
    main()
