"""Where Prometheus asks for one collector's figures."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.registry import Collector

from protocol.errors import ConsentError


@dataclass(frozen=True)
class Endpoint:
    """Where the operator's Prometheus asks. Never the public address."""

    host: str
    port: int


def metrics_at(host: str, port: int | None) -> Endpoint | None:
    """Where metrics are asked for; nowhere without a port."""
    return None if port is None else Endpoint(host, port)


def expose_collector(collector: Collector, endpoint: Endpoint | None) -> None:
    """Serve one collector's figures, asked anew each time, in a thread until the process ends;
    nowhere without one.

    Raises:
        ConsentError: the address cannot be listened on.
    """
    if endpoint is None:
        return
    shown = CollectorRegistry()
    shown.register(collector)
    try:
        start_http_server(endpoint.port, endpoint.host, shown)
    except OSError as error:
        raise ConsentError(
            f"cannot serve metrics at {endpoint.host}:{endpoint.port}: {error.strerror}"
        ) from error
