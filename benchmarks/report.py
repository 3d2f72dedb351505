"""What every benchmark reports: the machine that a figure was measured on, medians and
percentiles, and how they are printed."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

SERVICES = ("cryptography", "fastapi", "psycopg", "sqlalchemy", "uvicorn", "uvloop")
SCIENCE = ("torch", "numpy", "opacus", "opendp", "dp-accounting", "flwr", "cryptography")


def versions(packages: Sequence[str], *more: str) -> dict[str, Any]:
    """System, cores, and the versions of these packages."""
    return {
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: version(name) for name in (*packages, *more)},
    }


def machine() -> dict[str, Any]:
    """Where something is computed: with the load, and how long this core takes for five million
    additions in plain Python."""
    started = time.perf_counter()
    total = 0
    for number in range(5_000_000):
        total += number
    return {
        **versions(SCIENCE),
        "processor": platform.machine(),
        "load_average": os.getloadavg()[0],
        "python_loop_s": round(time.perf_counter() - started, 3),
    }


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def latency(values: Sequence[float], of: str = "", digits: int = 2) -> dict[str, float]:
    """Median and 99th percentile of milliseconds."""
    return {
        f"{of}p50_ms": round(statistics.median(values), digits),
        f"{of}p99_ms": round(percentile(values, 0.99), digits),
    }


def mean_and_deviation(values: Sequence[float]) -> dict[str, float]:
    return {
        "mean": statistics.mean(values),
        "std": statistics.stdev(values) if len(values) > 1 else 0.0,
    }


def parser(description: str | None) -> argparse.ArgumentParser:
    """Options of a benchmark, ``--json`` among them."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def show(report: dict[str, Any], as_json: bool) -> None:
    """One JSON object, or a line for each figure."""
    if as_json:
        print(json.dumps(report, indent=2))
        return
    for name, value in report.items():
        print(f"{name:32} {f'{value:,.6g}' if isinstance(value, float) else json.dumps(value)}")
