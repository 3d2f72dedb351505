"""How long a round takes over Flower's deployment engine, TLS and node authentication on; and a
whole campaign.

    python -m benchmarks.rounds --json
    python -m benchmarks.rounds --releases 30 --no-stock

Brings a consortium up (``tahini up``: SuperLink, three nodes, registry, witnesses, all processes of
this machine), runs one campaign of ``--releases`` releases, and takes the times between releases.
Stock Flower beside it: SuperLink and SuperNodes as Flower starts them, with TLS, authentication and
subprocesses, and an app that only echoes, so that all of its time is the engine's.
``ratio_round_to_stock`` is our median round over its, in this run.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import tomli_w
from click.testing import CliRunner
from rich.console import Console

from benchmarks.report import machine, parser, show
from crypto.errors import TahiniError
from demo.deployment import up
from demo.loans import Loans, default_loans
from demo.processes import QUIET, down
from demo.progress import LiveView
from fleet.keys import create_fleet_key, fleet_key_text, superlink_key
from fleet.tls import create_authority, issue
from ops.processes import free_port
from server.desired_state import events
from tahini import main as tahini

LENDERS = 3
START_S, ROUND_S = 120.0, 60.0
"""After this long without a word nothing is slow any more, whatever the load: it hangs."""
TAIL = 15
"""Lines of a log that tell what failed."""
FIXED = 3
"""Histogram, moments and calibration; the rest are steps."""
STOCK_APP = {
    "pyproject.toml": """
[project]
name = "echo"
version = "1.0.0"
description = "Echoes"
license = "Apache-2.0"
dependencies = []
[tool.flwr.app]
publisher = "bench"
fab-include = ["**/*.py"]
[tool.flwr.app.components]
serverapp = "echo.server:app"
clientapp = "echo.client:app"
[tool.flwr.app.config]
rounds = 5
out = ""
""",
    "echo/__init__.py": "",
    "echo/client.py": """
from flwr.app import Message
from flwr.clientapp import ClientApp
app = ClientApp()
@app.query()
def query(message, context):
    return Message(message.content, reply_to=message)
""",
    "echo/server.py": """
import json, os, time
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp
app = ServerApp()
@app.main()
def main(grid, context):
    while len(ids := list(grid.get_node_ids())) < 3:
        time.sleep(0.2)
    times = []
    for _ in range(int(context.run_config["rounds"])):
        began = time.time()
        content = RecordDict({"r": ConfigRecord({"x": 1})})
        messages = [Message(content, dst_node_id=n, message_type="query") for n in ids]
        replies = grid.send_and_receive(messages, timeout=120)
        if len([r for r in replies if not r.has_error()]) == 3:
            times.append(time.time() - began)
    out = str(context.run_config["out"])
    open(out + ".new", "w").write(json.dumps(times))
    os.replace(out + ".new", out)
""",
}


def command(*arguments: str) -> str:
    done = CliRunner().invoke(tahini, list(arguments))
    if done.exit_code:
        sys.exit(done.output)
    return done.stdout


@contextmanager
def brought_up(root: Path) -> Iterator[Loans]:
    """A consortium of three lenders at work, and the loans they have."""
    loans = default_loans()
    few = replace(loans, table=loans.table.head(2400))
    up(root, few, LENDERS, 8, LiveView(Console(stderr=True)))
    try:
        yield loans
    finally:
        down(root)


def proposed(root: Path, loans: Loans, releases: int) -> str:
    """The hash of a campaign of so many releases that every lender has approved."""
    features = root / "features.toml"
    schema = loans.schema.model_dump(mode="json", exclude_none=True)
    features.write_text(tomli_w.dumps(schema), encoding="utf-8")
    propose = ["--home", str(root / "coordinator"), "--id", "rounds", "--title", "Rounds"]
    propose += ["--hold-out", "0", "--features", str(features)]
    propose += ["--steps", str(releases - FIXED), "--json"]
    campaign = str(json.loads(command("campaign", "propose", *propose))["campaign"])
    for node in sorted((root / "lenders").iterdir()):
        command("campaign", "approve", campaign[:12], "--home", str(node), "--yes", "--json")
    return campaign


def ours(root: Path, releases: int) -> dict[str, Any]:
    home = str(root / "coordinator")
    with brought_up(root) as loans:
        campaign = proposed(root, loans, releases)
        began = time.time()
        command("campaign", "launch", campaign[:12], "--home", home)
        command("campaign", "watch", campaign[:12], "--home", home, "--timeout", "900")
        ended = time.time()
        folder = root / "coordinator" / "campaigns" / campaign
        made = [e for e in events(folder) if e["event"] in ("joined", "release")]
        at = [datetime.fromisoformat(e["at"]).timestamp() for e in made]
        saved = [(folder / f"release-{n:03d}.npz").stat().st_mtime for n in range(releases)]
        times = [later - earlier for earlier, later in pairwise(saved)]
        return {
            "median_round_s": statistics.median(times),
            "slowest_round_s": max(times),
            "campaign_s": ended - began,
            "releases": releases,
            "started_after_s": at[0] - began,
        }


def stock(root: Path, rounds: int) -> dict[str, Any]:
    """The median round of Flower as it comes."""
    from flwr.cli.build import build_fab_from_files
    from flwr.common.constant import NOOP_ACCOUNT_NAME, NOOP_FLWR_AID
    from flwr.proto.control_pb2 import RegisterNodeRequest, StartRunRequest
    from flwr.proto.fab_pb2 import Fab
    from flwr.server.superlink.linkstate import LinkStateFactory
    from flwr.supercore.auth.typing import AccountInfo
    from flwr.supercore.object_store import ObjectStoreFactory
    from flwr.superlink.federation import NoOpFederationManager
    from flwr.superlink.servicer.control import control_handlers

    print("Stock Flower", file=sys.stderr, flush=True)
    root.mkdir()
    create_authority(root / "ca", "stock")
    issue(root / "ca", root, "superlink", ["127.0.0.1", "localhost"])
    port = free_port()
    database = root / "state.db"
    out = root / "times.json"
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **QUIET, "FLWR_HOME": str(root / "flwr"), "PATH": programs}
    authority = str(root / "ca" / "ca.crt")
    log = (root / "log").open("w", encoding="utf-8")

    started: dict[str, subprocess.Popen[bytes]] = {}

    def run(what: str, name: str, *arguments: str, **options: object) -> None:
        """One of Flower's programs; its options as it has them, with underscores."""
        program = [str(Path(sys.executable).parent / name), *arguments]
        for option, value in options.items():
            program += [f"--{option.replace('_', '-')}", str(value)]
        started[what] = subprocess.Popen(
            program, env=environment, stdout=log, stderr=log, start_new_session=True
        )

    def fail(what: str, why: str) -> NoReturn:
        told = (root / "log").read_text(encoding="utf-8", errors="replace").splitlines()
        sys.exit("\n".join([f"stock Flower: {what} failed ({why}):", *told[-TAIL:]]))

    def wait(holds: Callable[[], bool], what: str, seconds: float) -> None:
        """Until it holds; ends this process with the end of the log where it never will."""
        deadline = time.monotonic() + seconds
        while not holds():
            if ended := [who for who, process in started.items() if process.poll() is not None]:
                fail(what, f"{', '.join(ended)} ended")
            if time.monotonic() > deadline:
                fail(what, f"nothing for {seconds:.0f} s")
            time.sleep(0.2)

    try:
        run(
            "the SuperLink",
            "flower-superlink",
            "--enable-supernode-auth",
            "--disable-runtime-dependency-installation",
            ssl_certfile=root / "superlink.crt",
            ssl_keyfile=root / "superlink.key",
            ssl_ca_certfile=authority,
            host="127.0.0.1",
            port=port,
            database=database,
        )
        wait(lambda: _listens(port), "starting the SuperLink", START_S)
        objects = ObjectStoreFactory(str(database))
        state = LinkStateFactory(str(database), NoOpFederationManager(), objects).state()
        account = AccountInfo(flwr_aid=NOOP_FLWR_AID, account_name=NOOP_ACCOUNT_NAME)
        for number in range(LENDERS):
            home = root / f"node{number}"
            home.mkdir()
            create_fleet_key(home)
            key = superlink_key(fleet_key_text(home))
            control_handlers.register_node(RegisterNodeRequest(public_key=key), account, state)
            run(
                f"SuperNode {number}",
                "flower-supernode",
                superlink=f"127.0.0.1:{port}",
                root_certificates=authority,
                auth_supernode_private_key=home / "fleet.key",
                port=free_port(),
            )
        fab, _ = build_fab_from_files({name: text.encode() for name, text in STOCK_APP.items()})
        request = StartRunRequest(fab=Fab(content=fab))
        request.override_config["rounds"].sint64 = rounds
        request.override_config["out"].string = str(out)
        run_id = int(control_handlers.start_run(request, account, state, None).run_id)

        def over() -> bool:
            return str(state.get_run_info(run_ids=[run_id])[0].status.status) == "finished"

        what = f"a run of {rounds} rounds"
        wait(lambda: out.exists() or over(), what, START_S + ROUND_S * rounds)
        if not out.exists():
            fail(what, "it ended without a result")
        times = json.loads(out.read_text(encoding="utf-8"))
        if not times:
            fail(what, f"no round was answered by {LENDERS} nodes")
        return {"stock_median_round_s": statistics.median(times), "stock_rounds": len(times)}
    finally:
        log.close()
        for process in started.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in started.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--releases", type=int, default=30)
    options.add_argument("--stock-rounds", type=int, default=6)
    options.add_argument("--no-stock", action="store_true", help="leave stock Flower out")
    chosen = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="rounds-"))
    try:
        figures = ours(folder / "ours", chosen.releases)
        if not chosen.no_stock:
            figures |= stock(folder / "stock", chosen.stock_rounds)
            figures["ratio_round_to_stock"] = (
                figures["median_round_s"] / figures["stock_median_round_s"]
            )
    except (TahiniError, OSError) as error:
        sys.exit(f"the benchmark could not be run: {' '.join(str(error).split())}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show({"machine": machine(), **figures}, chosen.json)


if __name__ == "__main__":
    main()
