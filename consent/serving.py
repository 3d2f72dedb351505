"""Serving a registry: which application, in this process or in several workers that look like one
writer."""

from __future__ import annotations

import os
import tempfile
import threading
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from socket import socket

import uvicorn
from fastapi import FastAPI
from pydantic_settings import SettingsConfigDict

from auditlog.leadership import SharedTurn
from auditlog.lease import Lease, holder_name, let_go
from consent.home import open_database, open_registry, opened
from consent.registry import Registry
from crypto.errors import CryptoError
from ops.certificates import RenewingContext
from ops.metrics import FOLDER_VARIABLE
from ops.request_log import keep_journal
from ops.serving import Listening, _config, _expose, serve_app
from ops.workers import Supervisor, _beat, _end_with_parent, logger
from protocol import tracing
from protocol.errors import ConsentError, StorageFailed
from protocol.schema import now


@dataclass(frozen=True)
class Service:
    """What to serve: the registry with its log, or the log alone."""

    home: Path
    log_only: bool = False
    read_only: bool = False

    def app(self, registry: Registry, started: datetime | None = None) -> FastAPI:
        """The application. ``started``: when this service began, if ``registry`` is one of its
        workers'."""
        if self.log_only:
            from consent.api.log import create_log_app

            return create_log_app(registry, self.read_only, started)
        from consent.api.app import create_app

        return create_app(registry, started)


class RegistryListening(Listening):
    model_config = SettingsConfigDict(env_prefix="TAHINI_REGISTRY_")


class LogListening(Listening):
    model_config = SettingsConfigDict(env_prefix="TAHINI_LOG_")


def serve(service: Service, listening: Listening) -> None:
    """Serve until SIGTERM or SIGINT: then accept nothing more, finish what was begun, let go of the
    log.

    Raises:
        ConsentError: several workers on SQLite; a port that is taken. KeyFileError, StorageFailed:
            from opening.
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


def _serve_many(service: Service, listening: Listening) -> None:
    """One parent, several workers. The parent opens everything first, so that what is wrong is said
    once."""
    with opened(service.home) as registry:
        if registry.ledger.database.dialect != "postgresql":
            raise ConsentError(
                "several workers need PostgreSQL, and this registry's database is an SQLite file; "
                "serve it with one worker, or move it to a postgresql:// database"
            )
    if listening.certificate is not None and listening.certificate_key is not None:
        RenewingContext(listening.certificate, listening.certificate_key)
    with tempfile.TemporaryDirectory(prefix="tahini-workers-") as name:
        os.environ[FOLDER_VARIABLE] = name
        folder = Path(name)
        if listening.metrics is not None:
            _expose(listening.metrics, folder)
        from consent.serving import supervise

        supervise(service, _config(listening), folder)


_TURN_FILE = "turn"


@dataclass(frozen=True)
class Worker:
    """What a worker process is told at its start; called in it, with the socket that all share."""

    service: Service
    config: uvicorn.Config
    holder: str
    folder: Path
    started: datetime
    """When the service began: what was made before is refused by every worker, and nothing else for
    being old."""

    def __call__(self, listening: socket) -> None:
        keep_journal()
        tracing.begin("registry")
        threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
        try:
            registry = open_registry(self.service.home, Lease(self.holder, shared=True))
        except (ConsentError, CryptoError) as error:
            logger.error("this worker cannot start: %s", error)
            raise SystemExit(1) from error
        registry.ledger.sequencer.turn = SharedTurn(self.folder / _TURN_FILE)
        self.config.callback_notify = partial(_beat, self.folder)
        self.config.timeout_notify = 1
        try:
            serve_app(self.service.app(registry, self.started), self.config, [listening])
        finally:
            registry.close()


def supervise(service: Service, config: uvicorn.Config, folder: Path) -> None:
    """Serve with ``config.workers`` processes until SIGTERM or SIGINT; ``folder`` is what they
    share.

    Raises:
        ConsentError: the address cannot be listened on; a worker had to be killed at the end.
    """
    holder = holder_name()
    try:
        listening = config.bind_socket()
    except SystemExit as error:
        raise ConsentError(
            f"cannot listen at {config.host}:{config.port}; is another process there?"
        ) from error
    try:
        orderly = Supervisor(
            Worker(service, config, holder, folder, now()), listening, config.workers, folder
        ).run()
    finally:
        listening.close()
        _let_go(service.home, holder)
    if not orderly:
        raise ConsentError(
            "a worker did not finish its requests in time and was killed; what it acknowledged is "
            "there"
        )


def _let_go(home: Path, holder: str) -> None:
    database = open_database(home)
    try:
        with database.write() as session:
            let_go(session, holder)
    except StorageFailed as error:
        logger.info("whoever writes next waits until the lease is over: %s", error)
    finally:
        database.close()
