"""Run one of the room's services under uvicorn, in this process or in several: journal, metrics, an orderly end."""

from __future__ import annotations

import logging
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
from typing import Self

import uvicorn
from fastapi import FastAPI
from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict
from starlette.applications import Starlette

from consent import tracing
from consent.certificates import RenewingContext, keep_renewing
from consent.errors import ConsentError
from consent.journal import keep_journal
from consent.metrics import FOLDER_VARIABLE, Endpoint, expose
from consent.registry import Registry, opened
from consent.settings import MOST_WORKERS, HomeSettings

logger = logging.getLogger("tahini.service")
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


class Listening(HomeSettings):
    """Where a service is, with how many processes, and where the operator's metrics are (nowhere without a port).

    Each service reads them from ``serve.json`` in its home and from variables with a prefix of its own.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8700, ge=1, le=65535)
    workers: int = Field(default=1, ge=1, le=MOST_WORKERS)
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    certificate: Path | None = None
    """PEM file that the service shows; plain HTTP without it. It may be renewed while the service runs."""
    certificate_key: Path | None = None

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.certificate is None) != (self.certificate_key is None):
            raise ValueError("a certificate and its key come together: --certificate and --key")
        return self

    @property
    def metrics(self) -> Endpoint | None:
        return metrics_at(self.metrics_host, self.metrics_port)


class RegistryListening(Listening):
    model_config = SettingsConfigDict(env_prefix="TAHINI_REGISTRY_")


class LogListening(Listening):
    model_config = SettingsConfigDict(env_prefix="TAHINI_LOG_")


class NamesListening(Listening):
    model_config = SettingsConfigDict(env_prefix="TAHINI_NAMES_")
    port: int = Field(default=8720, ge=1, le=65535)


class WitnessListening(Listening):
    model_config = SettingsConfigDict(env_prefix="TAHINI_WITNESS_")
    port: int = Field(default=8710, ge=1, le=65535)


def metrics_at(host: str, port: int | None) -> Endpoint | None:
    """Where metrics are asked for; nowhere without a port."""
    return None if port is None else Endpoint(host, port)


def serve(service: Service, listening: Listening) -> None:
    """Serve until SIGTERM or SIGINT: then accept nothing more, finish what was begun, let go of the log.

    Raises:
        ConsentError: several workers on SQLite; a port that is taken. KeyFileError, StorageFailed: from opening.
    """
    keep_journal()
    tracing.begin("registry")
    if listening.workers > 1:
        _serve_many(service, listening)
        return
    with opened(service.home) as registry:
        if listening.metrics is not None:
            _expose(listening.metrics)
        serve_app(service.app(registry), _config(listening))


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
        ssl_certfile=listening.certificate,
        ssl_keyfile=listening.certificate_key,
    )


def _expose(endpoint: Endpoint, folder: Path | None = None) -> None:
    try:
        expose(endpoint, folder)
    except OSError as error:
        raise ConsentError(f"cannot serve metrics at {endpoint.host}:{endpoint.port}: {error.strerror}") from error


def serve_app(app: FastAPI | Starlette, config: uvicorn.Config, sockets: Sequence[socket] | None = None) -> None:
    """Serve ``app`` until a signal. Returns after an orderly end; the caller then closes what the app used.

    Raises:
        ConsentError: the address cannot be listened on, or the app did not start. CertificateRefused.
    """
    config.app = app
    if config.ssl_certfile is not None and config.ssl_keyfile is not None:
        tls = RenewingContext(Path(config.ssl_certfile), Path(config.ssl_keyfile))
        config.load()
        config.ssl = tls.context
        keep_renewing(tls, logger.info)
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
    if listening.certificate is not None and listening.certificate_key is not None:
        RenewingContext(listening.certificate, listening.certificate_key)
    with tempfile.TemporaryDirectory(prefix="tahini-workers-") as name:
        os.environ[FOLDER_VARIABLE] = name
        folder = Path(name)
        if listening.metrics is not None:
            _expose(listening.metrics, folder)
        from consent.workers import supervise

        supervise(service, _config(listening), folder)
