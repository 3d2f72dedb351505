"""Serving a registry: which application, in this process or in several workers that look like one
writer."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from contextlib import AsyncExitStack, suppress
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
from consent.api.service import Running
from consent.groups import Groups, OwnGroups
from consent.home import open_database, open_registry, opened
from consent.outbox import Outbox, load_inboxes
from consent.registry import Registry
from consent.retention import Retainer
from crypto.errors import CryptoError
from ops.certificates import RenewingContext
from ops.logs import keep_journal
from ops.metrics import FOLDER_VARIABLE
from ops.serving import SWITCH_INTERVAL_S, Listening, _config, _expose, serve_app
from ops.workers import Supervisor, _beat, logger
from protocol import tracing
from protocol.errors import ConsentError, StorageFailed
from protocol.schema import now


@dataclass(frozen=True)
class Service:
    """What to serve: the registry with its log, or the log alone."""

    home: Path
    log_only: bool = False
    read_only: bool = False

    def app(
        self, registry: Registry, started: datetime | None = None, groups: Groups | None = None
    ) -> FastAPI:
        """The application. ``started``: when this service began, and ``groups``: what its writer
        commits, if ``registry`` is one of its workers'."""
        if self.log_only:
            from consent.api.log import create_log_app

            return create_log_app(registry, self.read_only, started, groups)
        from consent.api.app import create_app

        return create_app(registry, started, groups)


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
        registry = _opened_in_child(self.service.home, self.holder)
        registry.ledger.sequencer.turn = SharedTurn(self.folder / _TURN_FILE, may_lead=False)
        self.config.callback_notify = partial(_beat, self.folder)
        self.config.timeout_notify = 1
        groups = OwnGroups.of(registry).handed_over(self.folder)
        try:
            app = self.service.app(registry, self.started, groups)
            serve_app(app, self.config, [listening])
        finally:
            registry.close()


@dataclass(frozen=True)
class Writer:
    """The process to which the workers of a service hand what is committed in groups. It signs the
    log, delivers revocations and deletes what was kept long enough, too, and serves nobody else."""

    service: Service
    holder: str
    folder: Path

    def __call__(self) -> None:
        registry = _opened_in_child(self.service.home, self.holder)
        registry.ledger.sequencer.turn = SharedTurn(self.folder / _TURN_FILE)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        # of a terminal; the parent ends this process when the workers have ended
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            asyncio.run(self._write(registry))
        finally:
            registry.close()

    async def _write(self, registry: Registry) -> None:
        """Until SIGTERM; then what was taken is finished."""
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        while not registry.ledger.sequencer.turn.is_leader() and not ended.is_set():
            await self._pause(ended)
        if ended.is_set():
            return
        groups = OwnGroups.of(registry)
        outbox = Outbox(registry, {} if self.service.log_only else load_inboxes(registry.home))
        async with AsyncExitStack() as running:
            parts: list[Running] = [registry.ledger.sequencer, groups.appends, groups.decisions]
            parts += [outbox] if self.service.log_only else [outbox, Retainer(registry)]
            for part in parts:
                part.start()
                running.push_async_callback(asyncio.to_thread, part.stop)
            for intake in groups.intakes(self.folder):
                await intake.open()
                running.push_async_callback(intake.close)
            while not ended.is_set():
                await self._pause(ended)

    async def _pause(self, ended: asyncio.Event) -> None:
        await _beat(self.folder)
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), 1)


def _opened_in_child(home: Path, holder: str) -> Registry:
    """The registry, in a process of a service of several."""
    keep_journal()
    tracing.begin("registry")
    try:
        return open_registry(home, Lease(holder, shared=True))
    except (ConsentError, CryptoError) as error:
        logger.error("this process cannot start: %s", error)
        raise SystemExit(1) from error


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
            Worker(service, config, holder, folder, now()),
            None if service.read_only else Writer(service, holder, folder),
            listening,
            config.workers,
            folder,
            (__name__, f"consent.api.{'log' if service.log_only else 'app'}"),
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
