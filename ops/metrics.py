"""What the service counts, for Prometheus. No label holds anything about a person: routes are
templates, never paths.

With several workers each writes its figures into a folder that the parent names in
``PROMETHEUS_MULTIPROC_DIR`` before they start; the parent adds them up when it is asked.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from ops.exposition import Endpoint

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""A method is the caller's word: any other is counted as OTHER."""
_BY_ROUTE = ("method", "route")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ENTRIES = tuple(float(2**power) for power in range(14))

disable_created_metrics()  # type: ignore[no-untyped-call]
EVERYTHING = CollectorRegistry()
"""Our own, so that what other packages register does not appear beside it."""

_requests = Counter(
    "tahini_requests", "Requests answered.", (*_BY_ROUTE, "status"), registry=EVERYTHING
)
_latency = Histogram(
    "tahini_request_seconds",
    "From request to end of answer.",
    _BY_ROUTE,
    buckets=_SECONDS,
    registry=EVERYTHING,
)
_entries = Gauge(
    "tahini_log_entries",
    "Entries of the log that are appended, integrated (under a signed head), published (under a "
    "cosigned one).",
    ("stage",),
    multiprocess_mode="max",
    registry=EVERYTHING,
)
_troubled = Gauge(
    "tahini_log_troubled",
    "1 while the process that signs the log has halted, or fails and tries again.",
    ("how",),
    multiprocess_mode="livemax",
    registry=EVERYTHING,
)
_witness = Gauge(
    "tahini_witness_entries",
    "Entries under the newest head that a witness is known to have cosigned.",
    ("witness",),
    multiprocess_mode="max",
    registry=EVERYTHING,
)
_publications = Counter(
    "tahini_log_publications",
    "Attempts to have a head cosigned.",
    ("outcome",),
    registry=EVERYTHING,
)
_commits = Histogram(
    "tahini_log_commit_entries", "Entries per group commit.", buckets=_ENTRIES, registry=EVERYTHING
)
_database = Counter(
    "tahini_database_failures",
    "Times the database did not do what it was asked.",
    registry=EVERYTHING,
)


_challengers = Counter(
    "tahini_challenger_failures",
    "Times a challenger could not say what it would have decided.",
    registry=EVERYTHING,
)


@cache
def _worker_ends() -> Counter:
    """Made where it is counted, in the parent alone: what workers make, each of them reports."""
    return Counter("tahini_worker_ends", "Workers that ended and were replaced.", registry=None)


def requested(method: str, route: str, status: int, seconds: float) -> None:
    """A request was answered. ``route`` is a template of ours, never what was sent."""
    named = method if method in METHODS else "OTHER"
    _requests.labels(named, route, str(status)).inc()
    _latency.labels(named, route).observe(seconds)


def stage(name: str, entries: int) -> None:
    """How far the log is: ``name`` is appended, integrated or published."""
    _entries.labels(name).set(entries)


def troubled(halted: bool, failing: bool) -> None:
    """How the process fares that signs the log."""
    _troubled.labels("halted").set(halted)
    _troubled.labels("failing").set(failing)


def witnessed(witness: str, entries: int) -> None:
    """How far a witness of the policy has cosigned."""
    _witness.labels(witness).set(entries)


def asked_witnesses(outcome: str) -> None:
    """A head was offered to the witnesses: ``outcome`` is cosigned or refused."""
    _publications.labels(outcome).inc()


def challenger_failed() -> None:
    """A policy that is tried beside another could not decide; the decision stood."""
    _challengers.inc()


def committed(entries: int) -> None:
    """A group of requests was committed in one transaction."""
    _commits.observe(entries)


def database_failed() -> None:
    _database.inc()


def worker_ended(pid: int | None, folder: Path) -> None:
    """A worker ended: what it said of itself no longer counts, what it counted does."""
    _worker_ends().inc()
    if pid is not None:
        mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


def expose(endpoint: Endpoint, folder: Path | None = None) -> None:
    """Serve the metrics in a thread until the process ends: this process's, or those of all who
    write to ``folder``.

    Raises:
        OSError: the address cannot be listened on.
    """
    shown = EVERYTHING
    if folder is not None:
        shown = CollectorRegistry()
        shown.register(_Service(str(folder)))
    start_http_server(endpoint.port, endpoint.host, shown)


class _Service(MultiProcessCollector):
    """All workers' figures, and the parent's own beside them."""

    def __init__(self, folder: str) -> None:
        super().__init__(None, folder)  # type: ignore[no-untyped-call]

    def collect(self):  # type: ignore[no-untyped-def]
        yield from super().collect()  # type: ignore[no-untyped-call]
        yield from _worker_ends().collect()
