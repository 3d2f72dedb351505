"""A collector of OpenTelemetry traces (OTLP over HTTP, protobuf) in a thread of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.wire import plain_server


@dataclass(frozen=True)
class Seen:
    """One span, and who sent it."""

    service: str
    instance: str
    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, str]
    status: str


@dataclass
class Collector:
    url: str
    spans: list[Seen] = field(default_factory=list)
    raw: bytearray = field(default_factory=bytearray)

    def take(self, body: bytes) -> None:
        self.raw += body
        for batch in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = {item.key: item.value.string_value for item in batch.resource.attributes}
            for scope in batch.scope_spans:
                self.spans += [
                    Seen(
                        about["service.name"], about["service.instance.id"], span.name, span.trace_id.hex(),
                        span.span_id.hex(), span.parent_span_id.hex(),
                        {i.key: i.value.string_value or str(i.value.int_value) for i in span.attributes},
                        span.status.message,
                    )
                    for span in scope.spans
                ]  # fmt: skip


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector("")

    def take(path: str, body: bytes) -> tuple[int, bytes]:
        assert path == "/v1/traces"
        collector.take(body)
        return 200, b""

    with plain_server(take) as collector.url:
        yield collector
