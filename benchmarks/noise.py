"""Exact noise in bulk beside OpenDP's exact sampler, in one run on one core.

    python -m benchmarks.noise
    python -m benchmarks.noise --json

Draws the discrete Gaussian of a share that is 2^20 grid steps wide, as a release has it.
``noise_s`` is the median over ``--repeat`` runs of ``--size`` coordinates; ``opendp_s`` is one run
of a tenth as many, times ten; ``ratio_to_opendp`` is the one over the other.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from opendp.domains import atom_domain, vector_domain
from opendp.measurements import make_gaussian
from opendp.metrics import l2_distance
from opendp.mod import enable_features

from benchmarks.report import machine, parser, show
from privacy.noise import discrete_gaussian

enable_features("contrib")
SCALE = 2.0**20


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--size", type=int, default=100_000)
    options.add_argument("--repeat", type=int, default=9)
    chosen = options.parse_args()
    theirs = make_gaussian(vector_domain(atom_domain(T="i64")), l2_distance(T="f64"), SCALE)
    tenth = [0] * (chosen.size // 10)
    opendp_s = 10 * seconds(lambda: theirs(tenth))
    runs = [seconds(lambda: discrete_gaussian(chosen.size, SCALE)) for _ in range(chosen.repeat)]
    noise_s = statistics.median(runs)
    report = {
        "machine": machine(),
        "size": chosen.size,
        "scale": SCALE,
        "noise_s": round(noise_s, 4),
        "noise_s_range": [round(min(runs), 4), round(max(runs), 4)],
        "opendp_s": round(opendp_s, 3),
        "ratio_to_opendp": round(noise_s / opendp_s, 4),
    }
    show(report, chosen.json)


if __name__ == "__main__":
    main()
