"""One lender's contributions over more rows than it would like to have in memory, and the most
memory that they took.

    python -m benchmarks.large
    python -m benchmarks.large --rows 10000000 --json

A Parquet file of 40 features (30 numbers, 8 whole numbers, 2 categories; four are sensitive) is
made in a temporary folder and described by a ``data.toml``. A child process then does what a node
does for a histogram, a second-moments and a gradient release once the gate has let it: look for
each person's one row, read chunk by chunk, mask sensitive features where there is no consent, add
up, add the noise. Everybody is used; nine in ten consent to sensitive features. Not counted: the
registry's part of the gate, which has benchmarks of its own (``benchmarks.registry``).

``duckdb_s`` is the yardstick: DuckDB reads the same columns of the same file once, on two threads,
and adds them up by outcome. ``peak_rss_gib`` is the child's most resident memory, Python and
libraries included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
import pandas as pd

from benchmarks.report import machine, parser, show
from clients.admission import Admission, UseLimits
from clients.data.mapped import MappedSource
from credit.cutting import make_binning
from credit.embedding import Embedding
from credit.features import FeatureSchema, schema_from
from credit.grid import Grid
from credit.models import size
from credit.questions import Question
from credit.tasks import task_of
from credit.whitening import coordinates
from law.bases import LegalBasis
from privacy.mechanism import Mechanism, PlannedRelease, ReleaseKind
from privacy.moments import second_moments
from protocol.coverage import needs_of

NUMBERS, WHOLE, CATEGORIES, SENSITIVE, CONTRIBUTORS = 30, 8, 2, 4, 5
DESCRIPTION = (
    'kind = "parquet"\npath = "loans.parquet"\nperson = "customer"\n\n[columns]\nbad = "dpd90"\n'
)
T = TypeVar("T")


def schema() -> FeatureSchema:
    number: dict[str, Any] = {"kind": "number", "low": 0}
    sensitive = {"category": "income", "sensitivity": "sensitive"}
    whole = {"kind": "integer", "category": "repayment", "low": 0}
    code = {"kind": "category", "category": "bureau", "values": ["a", "b", "c", "d", "e"]}
    features: list[dict[str, Any]] = [
        *({"name": f"n{i}", **number, **sensitive} for i in range(SENSITIVE)),
        *({"name": f"n{i}", **number, "category": "bureau"} for i in range(SENSITIVE, NUMBERS)),
        *({"name": f"w{i}", **whole} for i in range(WHOLE)),
        *({"name": f"c{i}", **code} for i in range(CATEGORIES)),
    ]
    stated = [{**one, "source": one["name"], "relevance": "made up"} for one in features]
    about: dict[str, Any] = {"name": "large", "target": "bad", "outcomes_since": date.today()}
    return schema_from(about | {"features": stated}, "benchmark")


def make(home: Path, rows: int) -> None:
    """A file of ``rows`` people and its description."""
    columns = [
        "'v1.' || left(sha256(CAST(i AS VARCHAR)), 43) AS customer",
        "CAST(random() < 1 / (1 + exp(2.2 - late / 2)) AS INTEGER) AS dpd90",
        (
            "CASE WHEN random() < 0.05 THEN NULL ELSE round(exp(7 + 2 * random() + late / 9), 0) "
            "END AS n0"
        ),
        *(f"round(exp({2 + i / 5} + 3 * random()), 1) AS n{i}" for i in range(1, NUMBERS)),
        "late AS w0",
        *(f"CAST(floor(-{1 + i} * ln(1 - random())) AS INTEGER) AS w{i}" for i in range(1, WHOLE)),
        *(
            f"substr('aabbcde', CAST(1 + floor(7 * random()) AS INTEGER), 1) AS c{i}"
            for i in range(CATEGORIES)
        ),
    ]
    late = "CAST(floor(-2 * ln(1 - random())) AS INTEGER)"
    people = f"SELECT i, {late} AS late FROM range({rows}) AS r(i)"
    loans = f"SELECT {', '.join(columns)} FROM ({people})"
    duckdb.execute("SET threads = 2")
    duckdb.execute(f"COPY ({loans}) TO '{home / 'loans.parquet'}' (FORMAT parquet)")
    (home / "data.toml").write_text(DESCRIPTION, encoding="utf-8")


def timed(report: dict[str, float], name: str, work: Callable[[], T]) -> T:
    started = time.perf_counter()
    result = work()
    seconds = report[f"{name}_s"] = round(time.perf_counter() - started, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gib = report[f"{name}_rss_gib"] = round(peak / 2**20, 2)
    print(f"{name}: {seconds} s, {gib} GiB", file=sys.stderr, flush=True)
    return result


def child(home: Path, moments: bool) -> dict[str, float]:
    """Seconds of each step, and the most memory at its end."""
    report: dict[str, float] = {}
    features = schema()
    source = MappedSource.load(home)
    members = timed(report, "people", lambda: sorted(source.people()))
    needs = needs_of(features.model_dump(mode="json"), False, LegalBasis.PIPL_CONSENT)
    patterns = (frozenset(needs.of("sensitive")), frozenset[str]())
    hidden = (np.arange(len(members)) % 10 != 0).astype(np.int32)  # a tenth hides the sensitive
    limits = dict.fromkeys(needs.consents, UseLimits.of(members, {}))
    admission = Admission(features, datetime.now(UTC), needs, hidden, patterns, limits)
    kinds = (ReleaseKind.HISTOGRAM, ReleaseKind.GRAM, ReleaseKind.GRADIENT)
    plan = Mechanism(
        kind="distributed",
        epsilon=1.0,
        delta=1e-5,
        clip_norm=2.0,
        bins=10,
        collusion_bound=1,
        threshold=4,
        hold_out=0.0,
        releases=tuple(PlannedRelease(kind=kind, noise_multiplier=10.0) for kind in kinds),
    )

    def tables() -> Iterator[pd.DataFrame]:
        return map(admission.admitted, source.rows(members, features))

    def released(number: int, asked: Question) -> np.ndarray:
        task = task_of(features, "scorecard", plan, number, asked)
        name = kinds[number].value
        made = timed(report, name, lambda: task.contribution(tables(), CONTRIBUTORS))
        return task.decode(made, CONTRIBUTORS)

    counted = task_of(features, "scorecard", plan, 0, Question(kinds[0]))
    histogram = released(0, Question(kinds[0]))
    binning = make_binning(Grid(features), histogram, counted.noise_std(CONTRIBUTORS), plan.bins)
    width = sum(len(bins.frequency) for bins in binning.features) + 1
    matrix = np.eye(width)
    if moments:
        gram = second_moments(released(1, Question(kinds[1], binning)), width)
        own = Embedding(Grid(features), binning).own_moments
        matrix = coordinates(gram, own, 1.0, binning.population).matrix
    asked = Question(kinds[2], binning, matrix, np.zeros(size("scorecard", matrix.shape[1])))
    released(2, asked)
    report |= {"people": len(members), "width": width, "directions": matrix.shape[1]}
    return report


def one_pass(home: Path) -> float:
    """Seconds that DuckDB needs to read the same columns once and add them up in two groups."""
    numbers = [f"n{i}" for i in range(NUMBERS)] + [f"w{i}" for i in range(WHOLE)]
    words = ["customer", *(f"c{i}" for i in range(CATEGORIES))]
    sums = ", ".join([f"sum({one})" for one in numbers] + [f"max({one})" for one in words])
    started = time.perf_counter()
    duckdb.execute(
        f"SELECT dpd90, count(*), {sums} FROM '{home / 'loans.parquet'}' GROUP BY dpd90"
    ).fetchall()
    return time.perf_counter() - started


def main() -> None:
    options = parser(__doc__)
    option = options.add_argument
    option("--rows", type=int, default=1_000_000)
    option("--folder", type=Path, help="where the file is made; a temporary folder by default")
    option(
        "--without-moments",
        action="store_true",
        help="leave out the longest release; then the gradient has as many directions as inputs",
    )
    option("--child", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.child:
        print(json.dumps(child(chosen.child, not chosen.without_moments)))
        return
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        home = Path(folder)
        make(home, chosen.rows)
        command = [sys.executable, "-m", "benchmarks.large", "--child", str(home)]
        command += ["--without-moments"] * chosen.without_moments
        environment = {"OMP_NUM_THREADS": "1", **os.environ}
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
        found = json.loads(done.stdout)
        duckdb_s = statistics.median(one_pass(home) for _ in range(3))
        file_gib = (home / "loans.parquet").stat().st_size / 2**30
    report = {
        "machine": machine(),
        "rows": chosen.rows,
        "file_gib": round(file_gib, 2),
        **found,
        "duckdb_s": round(duckdb_s, 2),
        "ratio_gradient_to_duckdb": round(found["gradient_s"] / duckdb_s, 2),
        "peak_rss_gib": max(value for name, value in found.items() if name.endswith("_rss_gib")),
    }
    show(report, chosen.json)


if __name__ == "__main__":
    main()
