"""All measurements of lending, in one run, with the machine, the seed and the bars.

    python -m benchmarks.lending --json
    python -m benchmarks.lending --only money --scale 0.01

``over`` and ``under`` list what misses its bar; the exit code is 1 if anything does.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from benchmarks.lending import decisions, http, money, replays, scores
from benchmarks.report import machine, parser, show, versions

PACKAGES = ("pyxirr", "zen-engine", "duckdb", "pydantic")
PARTS = {
    "money": money,
    "scores": scores,
    "decisions": decisions,
    "http": http,
    "replays": replays,
}


def main() -> None:
    options = parser(__doc__)
    option = options.add_argument
    option("--only", choices=sorted(PARTS), action="append", help="these parts; all by default")
    option("--seed", type=int, default=20261127)
    option("--scale", type=float, default=1.0, help="of the numbers of loans and repetitions")
    chosen = options.parse_args()
    if chosen.scale <= 0:
        options.error("--scale is above 0")
    report: dict[str, Any] = {"machine": machine() | versions(PACKAGES), "seed": chosen.seed}
    bars: dict[str, float] = {}
    least: dict[str, float] = {}
    for name in chosen.only or sorted(PARTS):
        report |= PARTS[name].measure(chosen.seed, chosen.scale)
        bars |= PARTS[name].BARS
        least |= getattr(PARTS[name], "LEAST", {})
    report["load_average_at_end"] = os.getloadavg()[0]
    report["bars"], report["least"] = bars, least
    report["over"] = sorted(name for name, most in bars.items() if report[name] > most)
    report["under"] = sorted(name for name, few in least.items() if report[name] < few)
    show(report, chosen.json)
    sys.exit(1 if report["over"] or report["under"] else 0)


if __name__ == "__main__":
    main()
