"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version

PACKAGES = ("torch", "numpy", "opacus", "opendp", "dp-accounting", "flwr", "cryptography")


def machine() -> dict[str, object]:
    """System, cores, versions, load, and how long this core takes for five million additions in
    plain Python."""
    started = time.perf_counter()
    total = 0
    for number in range(5_000_000):
        total += number
    return {
        "system": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "load_average": os.getloadavg()[0],
        "python_loop_s": round(time.perf_counter() - started, 3),
    }
