"""How good the consortium is beside its references, over several seeds, through the front door.

    python -m benchmarks.quality                                           # the packaged loans
    python -m benchmarks.quality --data taiwan.parquet --target target --lenders 5 --json

Each seed is one whole ``tahini demo``: its own split, its own keys and noise, every release
charged.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def run(seed: int, passed_on: list[str]) -> dict[str, object]:
    """One demo; returns its report."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report.json"
        command = [sys.executable, "-m", "tahini", "demo", "--seed", str(seed), "--json", str(out)]
        done = subprocess.run(
            [*command, "--workspace", str(Path(folder) / "run"), *passed_on],
            capture_output=True,
            text=True,
            check=False,
            encoding="utf-8",
        )
        if done.returncode:
            sys.exit(done.stderr)
        report: dict[str, object] = json.loads(out.read_text(encoding="utf-8"))
        return report


def figures(report: dict) -> dict[str, float]:
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options, passed_on = parser.parse_known_args()
    reports = [run(seed, passed_on) for seed in options.seeds]
    rows = [figures(report) for report in reports]
    summary = {
        name: {
            "mean": statistics.mean(row[name] for row in rows),
            "median": statistics.median(row[name] for row in rows),
            "std": statistics.stdev(row[name] for row in rows) if len(rows) > 1 else 0.0,
        }
        for name in rows[0]
    }
    machine = reports[0]["machine"] | {"processor": platform.machine()}
    if options.json:
        print(
            json.dumps(
                {"seeds": options.seeds, "runs": rows, "summary": summary, "machine": machine},
                indent=2,
            )
        )
        return
    print(f"{json.dumps(machine)}\nseeds {options.seeds}\n")
    print(
        f"{'':22}"
        + "".join(f"{seed:>10}" for seed in options.seeds)
        + f"{'mean':>10}{'median':>10}{'std':>10}"
    )
    for name in rows[0]:
        values = "".join(f"{row[name]:>10.4f}" for row in rows)
        print(
            f"{name:22}{values}"
            + "".join(f"{summary[name][key]:>10.4f}" for key in ("mean", "median", "std"))
        )


if __name__ == "__main__":
    main()
