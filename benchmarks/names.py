"""How fast people are named: blinded, evaluated by the real naming service over HTTP, proofs
verified, unblinded.

A consortium is founded in a temporary folder; the registry and the naming service run as processes
of their own on this machine. One lender has ``--people`` made-up identity numbers named, both kinds
of name each, which is everything that naming costs at enrolment: quota on the disk and audit log
included. Prints the machine, the versions and every figure; ``--json`` for machines. Where the load
average is above the number of cores, something else was running and the seconds say little.

The yardstick is the cryptography alone, by its processor time, before and after, on all cores at
once: blinding, both evaluations, both verified openings, eleven scalar multiplications a person,
and nothing else.
``floor_s_for_a_million`` is what a million would take if all the rest cost nothing and no core ever
waited; ``ratio_to_floor`` is how far from that we are.

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
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.report import parser, show, versions
from clients.home import Node
from clients.naming import naming_client
from crypto.pseudonyms import SEED_SIZE, Kind, Scope, blind, evaluate, finish, public_key
from demo.consortium import Founded, found
from demo.processes import Process, running, wait_until_ready
from naming.client import BATCH, Effort
from naming.keys import NamingHome, NamingSettings, join
from ops.processes import free_port
from privacy.charges import Budget

PACKAGES = ("voprf", "cryptography", "fastapi", "httpx", "sqlalchemy", "uvicorn", "uvloop")
LENDER = "aspen"
BAR_S = 400
SCOPES = (Scope("sesame", Kind.PAIRWISE, LENDER, 1), Scope("sesame", Kind.LEDGER, "", 1))


def cryptography_alone(people: int) -> tuple[float, float, float]:
    """Seconds of processor time per person for blinding, both evaluations, and both openings."""
    seed = os.urandom(SEED_SIZE)
    numbers = identities(people, os.getpid(), 0)
    started = time.process_time()
    blinded = blind(numbers)
    sent = time.process_time()
    answers = evaluate([(seed, scope) for scope in SCOPES], blinded.elements)
    came = time.process_time()
    for scope, answer in zip(SCOPES, answers, strict=True):
        finish(blinded, answer, public_key(seed, scope), scope)
    ended = time.process_time()
    return (sent - started) / people, (came - sent) / people, (ended - came) / people


def yardstick() -> list[float]:
    """:func:`cryptography_alone` on every core at once: the mean of them."""
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
        for _ in range(2):  # the first only starts them
            found = list(pool.map(cryptography_alone, [BATCH] * cores))
    return [statistics.mean(part) for part in zip(*found, strict=True)]


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
    load = os.getloadavg()[0]
    yards = [yardstick()]
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
    yards.append(yardstick())
    alone = [statistics.mean(part) for part in zip(*yards, strict=True)]
    floor = sum(alone) / (os.cpu_count() or 1)
    median = statistics.median(seconds)
    return {
        "machine": versions(PACKAGES),
        "seed": options.seed,
        "people": options.people,
        "batch": BATCH,
        "workers": options.workers or Effort().workers,
        "seconds": [round(value, 2) for value in seconds],
        "median_s": round(median, 2),
        "load_average_at_start": load,
        "load_average_at_end": os.getloadavg()[0],
        "people_per_s": round(options.people / median),
        "names_per_s": round(2 * options.people / median),
        "seconds_for_a_million": round(1_000_000 * median / options.people),
        "bar_s_for_a_million": BAR_S,
        "blinding_us": round(1e6 * alone[0], 1),
        "two_evaluations_us": round(1e6 * alone[1], 1),
        "two_openings_us": round(1e6 * alone[2], 1),
        "floor_s_for_a_million": round(1_000_000 * floor),
        "ratio_to_floor": round(median / options.people / floor, 2),
    }


def main() -> None:
    options = parser(__doc__)
    option = options.add_argument
    option("--people", type=int, default=1_000_000, help="how many are named, twice each")
    option("--repeat", type=int, default=1, help="how often, with other people each time")
    option("--workers", type=int, help="processes of the lender's client; by default cores + 1")
    option("--seed", type=int, default=0, help="fixes the made-up identity numbers, never keys")
    option("--folder", type=Path, help="of the consortium; a temporary folder by default")
    chosen = options.parse_args()
    if chosen.people < 1 or chosen.repeat < 1:
        options.error("--people and --repeat are at least 1")
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="tahini-names-bench-") as folder:
        show(measure(chosen, Path(folder)), chosen.json)


if __name__ == "__main__":
    main()
