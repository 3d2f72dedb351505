"""Serving one ASGI application under uvicorn: where it listens, TLS, metrics, an orderly end."""

from __future__ import annotations

import gc
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from socket import socket
from types import FrameType
from typing import Self

import uvicorn
from fastapi import FastAPI
from pydantic import Field, model_validator
from starlette.applications import Starlette

from ops.certificates import RenewingContext, keep_renewing
from ops.exposition import Endpoint, metrics_at
from ops.logs import keep_journal
from ops.metrics import expose
from ops.settings import MAX_WORKERS, HomeSettings
from protocol.errors import ConsentError

logger = logging.getLogger("tahini.service")
SWITCH_INTERVAL_S = 0.0005
"""A commit gives up the interpreter at every step that waits for the disk. With Python's five
milliseconds it would get it back only that much later each time, while requests are being
parsed."""
KEEP_S = 15
"""How long a connection that rests is kept: far longer than our clients do
(``protocol.bounded.KEPT_S``), and than a busy machine takes to send what they ask."""
FINISH_S = 20
"""How long requests may take to finish after SIGTERM; longer than a request waits for witnesses."""


class Listening(HomeSettings):
    """Where a service is, with how many processes, and where the operator's metrics are (nowhere
    without a port).

    Each service reads them from ``serve.json`` in its home and from variables with a prefix of its
    own.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8700, ge=1, le=65535)
    workers: int = Field(default=1, ge=1, le=MAX_WORKERS)
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    certificate: Path | None = None
    """PEM file that the service shows; plain HTTP without it. It may be renewed while the service
    runs."""
    certificate_key: Path | None = None

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.certificate is None) != (self.certificate_key is None):
            raise ValueError("a certificate and its key come together: --certificate and --key")
        return self

    @property
    def metrics(self) -> Endpoint | None:
        return metrics_at(self.metrics_host, self.metrics_port)


def run(app: FastAPI | Starlette, listening: Listening) -> None:
    """Serve one of the smaller services in this process until a signal; raises ConsentError."""
    keep_journal()
    serve_app(app, _config(listening))


def _config(listening: Listening) -> uvicorn.Config:
    return uvicorn.Config(
        "",
        host=listening.host,
        port=listening.port,
        workers=listening.workers,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=FINISH_S,
        timeout_keep_alive=KEEP_S,
        ssl_certfile=listening.certificate,
        ssl_keyfile=listening.certificate_key,
    )


def _expose(endpoint: Endpoint, folder: Path | None = None) -> None:
    try:
        expose(endpoint, folder)
    except OSError as error:
        raise ConsentError(
            f"cannot serve metrics at {endpoint.host}:{endpoint.port}: {error.strerror}"
        ) from error


def serve_app(
    app: FastAPI | Starlette, config: uvicorn.Config, sockets: Sequence[socket] | None = None
) -> None:
    """Serve ``app`` until a signal. Returns after an orderly end; the caller then closes what the
    app used.

    Raises:
        ConsentError: the address cannot be listened on, or the app did not start.
            CertificateRefused.
    """
    config.app = app
    if config.ssl_certfile is not None and config.ssl_keyfile is not None:
        tls = RenewingContext(Path(config.ssl_certfile), Path(config.ssl_keyfile))
        config.load()
        config.ssl = tls.context
        keep_renewing(tls, logger.info)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # What is there now stays: half a million objects, which the collector would look through every
    # second or two, for a tenth of a second in which nobody is answered.
    gc.collect()
    gc.freeze()
    server = uvicorn.Server(config)

    def end(_: int, __: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn raises its signal again when it is done: this outlives it
    for which in (
        signal.SIGTERM,
        signal.SIGINT,
    ):
        signal.signal(which, end)
    try:
        server.run(list(sockets) if sockets is not None else None)
    except SystemExit as error:  # how uvicorn says that it cannot listen
        raise ConsentError(
            f"cannot listen at {config.host}:{config.port}; is another process there?"
        ) from error
    if not server.started:
        raise ConsentError("the service did not start; its log says why")
