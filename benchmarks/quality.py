"""How good the consortium is beside its references, over several seeds, through the front door.

    python -m benchmarks.quality                                           # the packaged loans
    python -m benchmarks.quality --data taiwan.parquet --target target --lenders 5 --json

Each seed is one whole ``tahini demo``: its own split, its own keys and noise, every release
charged.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.report import mean_and_deviation, parser, show


def run(seed: int, passed_on: list[str]) -> dict[str, Any]:
    """One demo; returns its report."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report.json"
        command = [sys.executable, "-m", "tahini", "demo", "--seed", str(seed), "--json", str(out)]
        command += ["--workspace", str(Path(folder) / "run"), *passed_on]
        done = subprocess.run(command, capture_output=True, check=False, encoding="utf-8")
        if done.returncode:
            sys.exit(done.stderr)
        report: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return report


def figures(report: dict[str, Any]) -> dict[str, float]:
    alone = report["auc"]["alone"].values()
    consortium = report["auc"]["consortium"]
    return {
        "consortium": consortium,
        "pooled_reference": report["auc"]["pooled_reference"],
        "gap": report["auc"]["pooled_reference"] - consortium,
        "over_mean_alone": consortium - statistics.mean(alone),
        "over_best_alone": consortium - max(alone),
        "ece": report["ece"]["consortium"],
        "epsilon_spent": report["epsilon_spent"],
        "withdrawn_seen_after": report["withdrawn_seen_after"],
        "seconds": report["seconds"],
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    chosen, passed_on = options.parse_known_args()
    reports = [run(seed, passed_on) for seed in chosen.seeds]
    rows = [figures(report) for report in reports]
    summary = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        summary[name] = {**mean_and_deviation(values), "median": statistics.median(values)}
    machine = reports[0]["machine"] | {"processor": platform.machine()}
    if chosen.json:
        report = {"seeds": chosen.seeds, "runs": rows, "summary": summary, "machine": machine}
        show(report, as_json=True)
        return
    show({"machine": machine, "seeds": chosen.seeds}, as_json=False)
    print(f"{'':22}" + "".join(f"{head:>10}" for head in (*chosen.seeds, "mean", "median", "std")))
    for name, kinds in summary.items():
        values = [row[name] for row in rows] + [kinds[kind] for kind in ("mean", "median", "std")]
        print(f"{name:22}" + "".join(f"{value:>10.4f}" for value in values))


if __name__ == "__main__":
    main()
