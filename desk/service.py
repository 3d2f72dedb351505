"""Serving a desk: one process, or several over PostgreSQL that share a socket.

Every process commits its own groups and takes the outbox to the log: the database lets one write at
a time, and the log gives a statement that comes twice the index that it has.
"""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from socket import socket

import uvicorn

from crypto.errors import TahiniError
from desk.api.app import create_app
from desk.home import DeskListening, open_database, open_desk, opened_desk
from desk.office import Desk
from ops.certificates import RenewingContext
from ops.logs import keep_journal
from ops.metrics import FOLDER_VARIABLE
from ops.serving import _config, _expose, serve_app
from ops.workers import Supervisor, _beat
from protocol.errors import ConsentError

logger = logging.getLogger("tahini.desk")


def serve(home: Path, listening: DeskListening) -> None:
    """Serve until SIGTERM or SIGINT: then accept nothing more and finish what was begun.

    Raises:
        TahiniError: the home is not in order, the port is taken, several workers on SQLite.
    """
    keep_journal()
    if listening.workers > 1:
        _serve_many(home, listening)
        return
    with opened_desk(home) as desk:
        if listening.metrics is not None:
            _expose(listening.metrics)
        _say_what_is_wanting(desk)
        serve_app(create_app(desk), _config(listening))


def _serve_many(home: Path, listening: DeskListening) -> None:
    """One parent, several workers. The parent opens everything first, so that what is wrong is said
    once."""
    with opened_desk(home) as desk:
        _say_what_is_wanting(desk)
    database = open_database(home)
    dialect = database.engine.dialect.name
    database.close()
    if dialect != "postgresql":
        raise ConsentError(
            "several workers need PostgreSQL, and this desk's database is an SQLite file; serve it "
            "with one worker, or make it on a postgresql:// database"
        )
    if listening.certificate is not None and listening.certificate_key is not None:
        RenewingContext(listening.certificate, listening.certificate_key)
    config = _config(listening)
    with tempfile.TemporaryDirectory(prefix="tahini-desk-") as name:
        os.environ[FOLDER_VARIABLE] = name
        folder = Path(name)
        if listening.metrics is not None:
            _expose(listening.metrics, folder)
        try:
            shared = config.bind_socket()
        except SystemExit as error:
            raise ConsentError(
                f"cannot listen at {config.host}:{config.port}; is another process there?"
            ) from error
        with shared:
            worker = DeskWorker(home, config, folder)
            loaded = (__name__,)
            if not Supervisor(worker, None, shared, config.workers, folder, loaded).run():
                raise ConsentError(
                    "a worker did not finish its requests in time and was killed; what it "
                    "acknowledged is there"
                )


def _say_what_is_wanting(desk: Desk) -> None:
    """What a desk serves without: while it refuses every application, or scores nobody."""
    if why := desk.unassessed():
        logger.warning("%s", why)
    if why := desk.heed_standing():
        logger.warning("%s; nothing is scored, and people decide", why)


@dataclass(frozen=True)
class DeskWorker:
    """What a worker process is told at its start; called in it, with the socket that all share."""

    home: Path
    config: uvicorn.Config
    folder: Path

    def __call__(self, listening: socket) -> None:
        keep_journal()
        try:
            desk = open_desk(self.home)
        except TahiniError as error:
            logger.error("this process cannot start: %s", error)
            raise SystemExit(1) from error
        self.config.callback_notify = partial(_beat, self.folder)
        self.config.timeout_notify = 1
        try:
            serve_app(create_app(desk), self.config, [listening])
        finally:
            desk.close()
