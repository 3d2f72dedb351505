"""How fast people are named: blinded, evaluated by the real naming service over HTTP, proofs
verified, unblinded.

A consortium is founded in a temporary folder; the registry and the naming service run as processes
of their own on this machine. One lender has ``--people`` made-up identity numbers named, both kinds
of name each, which is everything that naming costs at enrolment: quota on the disk and audit log
included. Prints the machine, the versions and every figure; ``--json`` for machines.
``cpu_s_without_workers`` is the processor time of both services and the caller; the client's worker
processes are not in it. Where the load average is above the number of cores, something else was
running and the seconds say little.

    python -m benchmarks.names --json
    python -m benchmarks.names --people 50000 --repeat 3
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.report import parser, show, versions
from clients.home import Node
from clients.naming import naming_client
from demo.consortium import Founded, found
from demo.processes import Process, running, wait_until_ready
from naming.client import BATCH
from naming.keys import NamingHome, NamingSettings, join
from ops.processes import free_port
from privacy.charges import Budget

PACKAGES = ("voprf", "cryptography", "fastapi", "httpx", "sqlalchemy", "uvicorn", "uvloop")
LENDER = "aspen"
BAR_S = 15 * 60


def identities(count: int, seed: int, run: int) -> list[str]:
    """Distinct numbers of 18 digits in the form of Chinese identity numbers; made up."""
    rng = random.Random(f"{seed}/{run}")
    start = rng.randrange(10**6)
    return [
        f"110101{19500101 + (start + i) % 500000:08d}{(start + i) // 500000:03d}X"
        for i in range(count)
    ]


def start(root: Path, people: int, stack: ExitStack) -> Founded:
    """The consortium with both services running."""
    founded = found(root / "consortium", [LENDER, "birch"], Budget(1.0, 1e-5))
    registry, naming = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    founded.connect(registry, naming)
    settings = NamingHome.open(founded.naming_home).settings.model_dump()
    more = NamingSettings.model_validate({**settings, "people_per_day": people})
    join(founded.naming_home, more, founded.token)
    for noun, home, url in (
        ("registry", founded.registry_home, registry),
        ("names", founded.naming_home, naming),
    ):
        arguments = (noun, "serve", "--home", str(home), "--port", url.rpartition(":")[2])
        process = stack.enter_context(running(root, Process(noun, arguments, f"{url}/healthz")))
        wait_until_ready(root, process)
    return founded


def progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done:,} of {total:,}", end="", file=sys.stderr)


def measure(options: argparse.Namespace, root: Path) -> dict[str, Any]:
    seconds = []
    before = os.times()
    with ExitStack() as stack:
        founded = start(root, options.people * (options.repeat + 1), stack)
        node = Node.open(founded.node_home(LENDER))
        for run in range(options.repeat):
            people = identities(options.people, options.seed, run)
            with naming_client(node, options.workers) as naming:
                started = time.perf_counter()
                names = naming.names(people, progress)
                seconds.append(time.perf_counter() - started)
            distinct = len({name.pairwise for name in names}) + len({name.ledger for name in names})
            if distinct != 2 * options.people:
                raise SystemExit("two people got one name")
    median = statistics.median(seconds)
    used = sum(os.times()[:4]) - sum(before[:4])
    return {
        "machine": versions(PACKAGES),
        "seed": options.seed,
        "people": options.people,
        "batch": BATCH,
        "workers": options.workers or os.cpu_count(),
        "seconds": [round(value, 2) for value in seconds],
        "median_s": round(median, 2),
        "cpu_s_without_workers": round(used / options.repeat, 2),
        "load_average_at_end": os.getloadavg()[0],
        "people_per_s": round(options.people / median),
        "names_per_s": round(2 * options.people / median),
        "seconds_for_a_million": round(1_000_000 * median / options.people),
        "bar_s_for_a_million": BAR_S,
    }


def main() -> None:
    options = parser(__doc__)
    option = options.add_argument
    option("--people", type=int, default=1_000_000, help="how many are named, twice each")
    option("--repeat", type=int, default=1, help="how often, with other people each time")
    option("--workers", type=int, help="processes of the lender's client; by default one per core")
    option("--seed", type=int, default=0, help="fixes the made-up identity numbers, never keys")
    option("--folder", type=Path, help="of the consortium; a temporary folder by default")
    chosen = options.parse_args()
    if chosen.people < 1 or chosen.repeat < 1:
        options.error("--people and --repeat are at least 1")
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="tahini-names-bench-") as folder:
        show(measure(chosen, Path(folder)), chosen.json)


if __name__ == "__main__":
    main()
