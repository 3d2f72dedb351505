"""Traces of campaigns across coordinator, nodes and registry (OpenTelemetry), for whoever runs a
collector.

On where ``OTEL_EXPORTER_OTLP_ENDPOINT`` (or ``…_TRACES_ENDPOINT``) names one; the SDK's other
variables hold as well. Without it nothing is imported, sent or measured. One campaign is one trace:
its id is the beginning of the campaign's hash, so that whoever is killed goes on in the same one.
Within it the context travels as W3C Trace Context (https://www.w3.org/TR/trace-context/): in a
header to the registry, beside a request to a node. Only what belongs to a campaign is traced, and
at the registry only what institutions ask, whatever header comes with a request. Spans hold routes,
kinds, lenders' ids and the numbers of releases, never anything of a person's, and each party sends
its own to a collector of its own choice.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
HEADER = "traceparent"
FLUSH_S = 3.0
_FORM = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")
_current: ContextVar[str] = ContextVar("tahini_traceparent", default="")
logger = logging.getLogger("tahini.tracing")


class _Tracing:
    """This process's provider: a forked child makes its own, for threads do not survive a fork."""

    service, instance, pid, broken = "tahini", "", 0, False
    provider: TracerProvider | None = None


def begin(service: str, instance: str = "") -> None:
    """Say who this process and its children are: ``registry``, ``coordinator``, ``node`` of which
    lender."""
    _Tracing.service = f"tahini-{service}"
    _Tracing.instance = instance


def enabled() -> bool:
    return any(os.environ.get(name) for name in ENDPOINTS)


def traceparent() -> str:
    """What a request that is made now should carry; "" where nothing is traced."""
    return _current.get()


def of_campaign(sha256: str) -> str:
    """The root of a campaign's trace."""
    return f"00-{sha256[:32]}-{sha256[32:48]}-01"


def accepted(text: object) -> str:
    """A traceparent as it came from outside; "" if it is none."""
    return text if isinstance(text, str) and _FORM.fullmatch(text) else ""


@contextmanager
def span(name: str, parent: str = "", **attributes: str | int) -> Iterator[None]:
    """A span around what is done here; below ``parent``, or else below the span that is open.
    Without both: nothing."""
    above = parent or _current.get()
    provider = _provider() if above else None
    if provider is None:
        yield
        return
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator as W3c

    told = {f"tahini.{key}": value for key, value in attributes.items()}
    context = W3c().extract({HEADER: above})
    with provider.get_tracer("tahini").start_as_current_span(
        name, context, attributes=told, record_exception=False, set_status_on_exception=False
    ) as opened:
        carrier: dict[str, str] = {}
        W3c().inject(carrier)
        token = _current.set(carrier.get(HEADER, ""))
        try:
            yield
        except (
            BaseException
        ) as error:  # its kind alone: a message may hold more than a collector may know
            opened.set_status(trace.StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            _current.reset(token)


def record(name: str, parent: str, began_ns: int) -> None:
    """A span that is over: for those who know only at its end whether it may be traced."""
    provider = _provider() if parent else None
    if provider is not None:
        from opentelemetry.trace.propagation.tracecontext import (
            TraceContextTextMapPropagator as W3c,
        )

        provider.get_tracer("tahini").start_span(
            name, W3c().extract({HEADER: parent}), start_time=began_ns
        ).end()


def _provider() -> TracerProvider | None:
    """This process's; none without a collector, or where the SDK refuses its settings: tracing
    stops nothing."""
    if not enabled() or _Tracing.broken:
        return None
    try:
        if _Tracing.provider is None or _Tracing.pid != os.getpid():
            _Tracing.provider = _made()
            _Tracing.pid = os.getpid()
    except Exception as error:
        _Tracing.broken = True
        logger.warning("nothing is traced: %s", type(error).__name__)
        return None
    return _Tracing.provider


def _made() -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    about = {
        "service.name": _Tracing.service,
        "service.instance.id": _Tracing.instance or _Tracing.service,
    }
    provider = TracerProvider(resource=Resource.create(about))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def flush() -> None:
    """Send what is not sent yet, before a process ends without ceremony; gives up after a few
    seconds."""
    provider = _Tracing.provider
    if provider is not None and _Tracing.pid == os.getpid():
        # its own limit is not kept
        sending = threading.Thread(target=provider.force_flush, daemon=True)
        sending.start()
        sending.join(FLUSH_S)
