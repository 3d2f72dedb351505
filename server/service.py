"""The coordinator's service: Flower's SuperLink in this process, an executor for runs beside it, a
reconciling loop.

``tahini campaign launch|stop|resume`` write the desired state; this process starts and ends runs
accordingly. After a crash of any of it, starting it again goes on: the sums that were released are
kept, and attempts are counted before they are made.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from crypto.errors import CryptoError
from crypto.keys import replace_file
from fleet.errors import FleetError
from fleet.superlink import SuperLink
from ops.health import Heartbeat, serve_health
from protocol.errors import ConsentError
from server.connections import keep_connections
from server.desired_state import BUNDLE_FILE, Stage, read_state, run_requested, write_state
from server.errors import CoordinatorError
from server.fleet_app import HOME_VARIABLE
from server.home import SECRET_FILE, Coordinator, load_releases

TICK_S, SLOW_TICK_S, RESTART_PAUSE_S, MAX_ENDS = 0.2, 5.0, 2.0, 5
CERTIFICATE, KEY = "coordinator.crt", "coordinator.tls.key"
logger = logging.getLogger("tahini.coordinator")


@dataclass
class CoordinatorService:
    """Everything that ``tahini coordinator serve`` keeps running."""

    coordinator: Coordinator
    _heart: Heartbeat = field(default_factory=Heartbeat, init=False)
    _runs: dict[str, int] = field(default_factory=dict, init=False)
    _ends: dict[str, tuple[int, int]] = field(default_factory=dict, init=False)
    """By campaign: releases kept when its run ended without a word, and how often it did at that
    number."""
    _again_at: dict[str, float] = field(default_factory=dict, init=False)
    _executor: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _restart_at: float = field(default=0.0, init=False)
    _stopping: Event = field(default_factory=Event, init=False)

    def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises FleetError, CoordinatorError when it cannot start."""
        home, settings = self.coordinator.home, self.coordinator.settings
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: self._stopping.set())
        if settings.health_port is not None:
            serve_health(self._heart, settings.health_port)
        link = SuperLink(home / CERTIFICATE, home / KEY, (settings.host, settings.port))
        link.start()
        replace_file(home / SECRET_FILE, link.secret)
        self._admit(link)
        logger.info("listening for nodes at %s:%d", settings.host, settings.port)
        slow_at = time.monotonic() + SLOW_TICK_S
        try:
            while not self._stopping.wait(TICK_S):
                self._heart.beat()
                self._keep_executor(link)
                for folder in sorted((home / "campaigns").iterdir()):
                    try:
                        self._reconcile(link, folder)
                    except CoordinatorError as error:  # one campaign's damage is not the others'
                        logger.error("campaign %s: %s", folder.name[:12], error)
                        self._again_at[folder.name] = time.monotonic() + SLOW_TICK_S
                if time.monotonic() > slow_at:
                    slow_at = time.monotonic() + SLOW_TICK_S
                    self._renew(link)
                    keep_connections(home, link.connected())
        finally:
            if self._executor is not None and self._executor.poll() is None:
                self._executor.kill()
            link.stop()

    def _admit(self, link: SuperLink) -> None:
        roster = {
            party.id: party.fleet_key
            for party in self.coordinator.consortium.lenders
            if party.fleet_key
        }
        link.admit(roster)

    def _renew(self, link: SuperLink) -> None:
        """Take renewed certificates, and a consortium document that was signed anew (rotated keys,
        new lenders)."""
        try:
            if link.refresh():
                logger.info("took a renewed certificate")
            fresh = Coordinator.open(self.coordinator.home)
            if fresh.consortium != self.coordinator.consortium:
                self.coordinator = fresh
                self._admit(link)
                logger.info("took a new roster of %d lenders", len(fresh.consortium.lenders))
        except (ConsentError, FleetError, CoordinatorError, CryptoError) as error:
            logger.warning("what was renewed cannot be used, the old stays: %s", error)

    def _keep_executor(self, link: SuperLink) -> None:
        if self._executor is not None and self._executor.poll() is None:
            return
        if time.monotonic() < self._restart_at:
            return
        self._restart_at = time.monotonic() + RESTART_PAUSE_S
        for run in self._runs.values():
            self._end(link, run)  # it went with its executor
        home = self.coordinator.home
        command = [
            sys.executable,
            "-m",
            "server.executor",
            str(home),
            str(link.runtime_port),
            str(os.getpid()),
        ]
        environment = {**os.environ, HOME_VARIABLE: str(home)}
        self._executor = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)

    def _end(self, link: SuperLink, run: int) -> None:
        try:
            link.end(run)
        except FleetError as error:
            logger.info("%s", error)

    def _reconcile(self, link: SuperLink, folder: Path) -> None:
        """Start what should run and does not; end what runs and should not."""
        sha256 = folder.name
        run = self._runs.get(folder.name)
        if run is not None and link.over(run):
            del self._runs[sha256]
            if (state := read_state(folder)).stage is Stage.RUNNING:
                self._ended_without_a_word(folder)
            elif state.stage is Stage.STOPPED:
                logger.warning("campaign %s stopped: %s", sha256[:12], state.reason)
            run = None
        state = read_state(folder)
        go = run_requested(folder) and state.stage in (Stage.PROPOSED, Stage.RUNNING)
        if run is None and go and time.monotonic() > self._again_at.get(sha256, 0.0):
            try:
                bundle = (folder / BUNDLE_FILE).read_bytes()
                self._runs[sha256] = link.launch(bundle, sha256)
            except (OSError, FleetError) as error:
                write_state(folder, Stage.STOPPED, f"it cannot be launched: {error}")

    def _ended_without_a_word(self, folder: Path) -> None:
        """A run was killed, or failed in a way nobody foresaw: try again, but not for ever at the
        same release."""
        kept = len(load_releases(folder).releases)
        before, times = self._ends.get(folder.name, (kept, 0))
        times = times + 1 if before == kept else 1
        self._ends[folder.name] = (kept, times)
        self._again_at[folder.name] = time.monotonic() + RESTART_PAUSE_S * times
        if times < MAX_ENDS:
            logger.warning(
                "the run of campaign %s ended without a word; it is started again", folder.name[:12]
            )
            return
        reason = (
            f"its run ended {times} times at release {kept} without saying why; the "
            "coordinator's log may tell"
        )
        write_state(folder, Stage.STOPPED, reason)
