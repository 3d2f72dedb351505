"""The coordinator's process: Flower's simulation engine with the ServerApp and every lender's ClientApp.

Usage: ``python -m demo.simulation COORDINATOR_HOME NODES``. Events leave on standard output as JSON lines, commands
come in on standard input; everything that Flower and Ray print goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from flwr.server.superlink.fleet.vce.backend.backend import BackendConfig
from flwr.simulation import run_simulation

from clients.app import app as client_app
from server.app import make_app
from server.home import Coordinator


def main() -> None:
    home, nodes = Path(sys.argv[1]), int(sys.argv[2])
    events = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)

    def emit(event: dict[str, Any]) -> None:
        events.write(json.dumps(event) + "\n")

    def receive() -> dict[str, Any]:
        line = sys.stdin.readline()
        return dict(json.loads(line)) if line else {"command": "end"}

    app = make_app(Coordinator.open(home), emit, receive)
    backend: BackendConfig = {"client_resources": {"num_cpus": 1, "num_gpus": 0}}
    run_simulation(server_app=app, client_app=client_app, num_supernodes=nodes, backend_config=backend)


if __name__ == "__main__":
    main()
