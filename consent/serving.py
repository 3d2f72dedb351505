"""Run one of the room's services under uvicorn, in this process or in several: journal, metrics, an orderly end."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from socket import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette

from consent.cli_support import opened
from consent.errors import ConsentError
from consent.journal import keep_journal
from consent.metrics import FOLDER_VARIABLE, Endpoint, expose
from consent.registry import Registry

SWITCH_INTERVAL_S = 0.0005
"""A commit gives up the interpreter at every step that waits for the disk. With Python's five milliseconds it would get
it back only that much later each time, while requests are being parsed."""
FINISH_S = 20
"""How long requests may take to finish after SIGTERM; longer than a request waits for witnesses."""


@dataclass(frozen=True)
class Service:
    """What to serve: the registry with its log, or the log alone."""

    home: Path
    log_only: bool = False
    read_only: bool = False

    def app(self, registry: Registry, started: datetime | None = None) -> FastAPI:
        """The application. ``started``: when this service began, if ``registry`` is one of its workers'."""
        if self.log_only:
            from consent.log_api import create_log_app

            return create_log_app(registry, self.read_only, started)
        from consent.api import create_app

        return create_app(registry, started)


@dataclass(frozen=True)
class Listening:
    """Where, with how many processes, and where the operator's metrics are (nowhere, without an endpoint)."""

    host: str = "127.0.0.1"
    port: int = 8700
    workers: int = 1
    metrics: Endpoint | None = None
    tls: Tls | None = None


@dataclass(frozen=True)
class Tls:
    """PEM files that a service shows and proves itself with."""

    certificate: Path
    key: Path

    @classmethod
    def of(cls, certificate: Path | None, key: Path | None) -> Tls | None:
        """Raises ConsentError for one without the other."""
        if (certificate is None) != (key is None):
            raise ConsentError("a certificate and its key come together: --certificate and --key")
        return None if certificate is None or key is None else cls(certificate, key)


def metrics_at(host: str, port: int | None) -> Endpoint | None:
    """Where metrics are asked for; nowhere without a port."""
    return None if port is None else Endpoint(host, port)


def serve(service: Service, listening: Listening) -> None:
    """Serve until SIGTERM or SIGINT: then accept nothing more, finish what was begun, let go of the log.

    Raises:
        ConsentError: several workers on SQLite; a port that is taken. KeyFileError, StorageFailed: from opening.
    """
    keep_journal()
    if listening.workers > 1:
        _serve_many(service, listening)
        return
    with opened(service.home) as registry:
        if listening.metrics is not None:
            _expose(listening.metrics)
        serve_app(service.app(registry), _config(listening))


def run(app: FastAPI | Starlette, host: str, port: int, tls: Tls | None = None) -> None:
    """Serve one of the smaller services in this process until a signal; raises ConsentError."""
    keep_journal()
    serve_app(app, _config(Listening(host, port, tls=tls)))


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
        ssl_certfile=listening.tls.certificate if listening.tls else None,
        ssl_keyfile=listening.tls.key if listening.tls else None,
    )


def _expose(endpoint: Endpoint, folder: Path | None = None) -> None:
    try:
        expose(endpoint, folder)
    except OSError as error:
        raise ConsentError(f"cannot serve metrics at {endpoint.host}:{endpoint.port}: {error.strerror}") from error


def serve_app(app: FastAPI | Starlette, config: uvicorn.Config, sockets: Sequence[socket] | None = None) -> None:
    """Serve ``app`` until a signal. Returns after an orderly end; the caller then closes what the app used.

    Raises:
        ConsentError: the address cannot be listened on, or the app did not start.
    """
    config.app = app
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    server = uvicorn.Server(config)

    def end(_: int, __: FrameType | None) -> None:
        server.should_exit = True

    for which in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises its signal again when it is done: this outlives it
        signal.signal(which, end)
    try:
        server.run(list(sockets) if sockets is not None else None)
    except SystemExit as error:  # how uvicorn says that it cannot listen
        raise ConsentError(f"cannot listen at {config.host}:{config.port}; is another process there?") from error
    if not server.started:
        raise ConsentError("the service did not start; its log says why")


def _serve_many(service: Service, listening: Listening) -> None:
    """One parent, several workers. The parent opens everything first, so that what is wrong is said once."""
    with opened(service.home) as registry:
        if registry.database.dialect != "postgresql":
            raise ConsentError(
                "several workers need PostgreSQL, and this registry's database is an SQLite file; serve it with one "
                "worker, or move it to a postgresql:// database"
            )
    with tempfile.TemporaryDirectory(prefix="tahini-workers-") as name:
        os.environ[FOLDER_VARIABLE] = name
        folder = Path(name)
        if listening.metrics is not None:
            _expose(listening.metrics, folder)
        from consent.workers import supervise

        supervise(service, _config(listening), folder)
