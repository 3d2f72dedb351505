"""Runs the coordinator's side of runs: ``python -m server.executor HOME PORT PARENT``, started by
the service."""

from __future__ import annotations

import sys
from pathlib import Path

from fleet.executor import Executor
from fleet.tasks import conduct, give_up
from ops.logs import keep_journal
from ops.processes import die_with
from protocol import tracing
from server.fleet_app import app
from server.home import SECRET_FILE


def main() -> None:
    home = Path(sys.argv[1])
    port = sys.argv[2]
    parent = int(sys.argv[3])
    die_with(parent)
    keep_journal()
    tracing.begin("coordinator")
    address = f"127.0.0.1:{port}"
    secret = (home / SECRET_FILE).read_bytes()
    Executor(
        address,
        secret,
        ("flwr-serverapp",),
        lambda token: conduct(address, token, app),
        failed=lambda token, _: give_up(address, token),
    ).run()


if __name__ == "__main__":
    main()
