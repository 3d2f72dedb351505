"""A lender's node at work: Flower's SuperNode beside an executor that runs nothing but what the
operator signed.

Two processes. This one has everything imported, asks the SuperNode for tasks and forks a child for
each; the SuperNode talks to the coordinator. When either dies, the other ends or is started again:
nothing is kept in memory that the node's store does not hold.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import privacy.dpsgd  # noqa: F401 - tasks are forked off what is loaded here, and load no more
from clients.data.description import DATA_FILE, load_description
from clients.data.mapped import reader_of
from clients.errors import NodeError, SourceError
from clients.home import Node
from clients.metrics import LedgerCollector
from crypto.errors import CryptoError, TahiniError
from crypto.keys import replace_file
from fleet.bell import Bell
from fleet.bundle import bundle_sha256, files_of
from fleet.code import holds_installed, installed_code
from fleet.errors import BundleRefused
from fleet.keys import FLEET_KEY_FILE
from fleet.supernode import SuperNodeSettings
from ops.exposition import expose_collector, metrics_at
from ops.logs import keep_journal
from ops.processes import free_port
from protocol import tracing
from protocol.schema import now

STATUS_FILE = "status.json"
RESTART_PAUSE_S, ALIVE_EVERY_S, ALIVE_S = 2.0, 2.0, 15.0
TASKS = ("flwr-clientapp",)
logger = logging.getLogger("tahini.node")


def signed_bundles(node: Node) -> Mapping[str, str]:
    """Hash of every bundle that this node's own operator signed, with the code that must be
    installed for it."""
    found = {}
    for path in (node.home / "approved").glob("*.approval.jws"):
        try:
            campaign, _ = node.campaign(path.name.partition(".")[0])
        except (NodeError, CryptoError) as error:
            logger.warning("an approval in %s cannot be used: %s", path.parent.name, error)
            continue
        if campaign.bundle_sha256 is not None and now() < campaign.expires_at:
            found[campaign.bundle_sha256] = campaign.code_sha256
    return found


def check_bundle(node: Node, bundle: bytes, stated: str) -> None:
    """Whether a task may run. Looks at the bundle as bytes; none of it is loaded, installed or
    executed, ever.

    Raises:
        BundleRefused: the bytes are not those of the stated hash; this operator has not signed that
            hash, whoever else did; or its code is not what is installed here.
    """
    actual = bundle_sha256(bundle)
    if not hmac.compare_digest(actual, stated):
        raise BundleRefused(
            f"{node.lender}: the bundle that came is not the one that the SuperLink states"
        )
    approved = signed_bundles(node)
    if actual not in approved:
        raise BundleRefused(
            f"{node.lender}: the operator has not signed bundle {actual[:12]}…; nothing of it was "
            "loaded"
        )
    if approved[actual] != installed_code() or not holds_installed(files_of(bundle)):
        raise BundleRefused(
            f"{node.lender}: bundle {actual[:12]}… is not the code that is installed here; install "
            "that version first"
        )


def load(home: Path) -> None:
    """Import everything that tasks of this home run, once, before any is forked; then remember the
    hash of the files that those imports came from. Who changes a home from files to a database
    starts its service again."""
    import clients.app  # noqa: F401 - each of these is kept loaded for the tasks
    import fleet.executor  # noqa: F401
    import fleet.tasks  # noqa: F401

    if (home / DATA_FILE).exists():
        try:
            reader_of(load_description(home / DATA_FILE), home)
        except SourceError as error:
            logger.warning("no release can be answered until this is mended: %s", error)
    installed_code()


@dataclass
class NodeService:
    """Everything that ``tahini node serve`` keeps running."""

    node: Node
    _supernode: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _port: int = field(default=0, init=False)
    _restart_at: float = field(default=0.0, init=False)
    _started_at: float = field(default=0.0, init=False)
    _told_at: float = field(default=0.0, init=False)
    _bells: tuple[Bell, Bell] = field(default_factory=Bell.pair, init=False)
    """This process's end and the SuperNode's, which is kept for the next SuperNode."""

    def check(self) -> tuple[str, Path]:
        """SuperLink's address and the authority that it is believed by; raises NodeError when the
        home lacks what a service needs."""
        superlink = self.node.settings.superlink
        authority = self.node.authority
        if superlink is None or authority is None:
            raise NodeError(
                f"the node of {self.node.lender!r} does not know its coordinator; join again with "
                "--superlink and --ca"
            )
        if not (self.node.home / FLEET_KEY_FILE).exists():
            raise NodeError(
                f"{self.node.home} has no {FLEET_KEY_FILE}; make one with: tahini node init"
            )
        return superlink, authority

    def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises NodeError when the home lacks what a service needs."""
        superlink, authority = self.check()
        secret = secrets.token_bytes(32)
        self._port = free_port()
        folder = self.node.home / "run"
        folder.mkdir(mode=0o700, exist_ok=True)
        replace_file(folder / "executor.secret", secret)
        self._settings = folder / "supernode.json"
        settings = SuperNodeSettings(
            superlink=superlink,
            root_certificates=authority,
            fleet_key=self.node.home / FLEET_KEY_FILE,
            runtime_port=self._port,
            executor_secret=folder / "executor.secret",
            parent=os.getpid(),
            bell=self._bells[1].end.fileno(),
        )
        replace_file(self._settings, settings.model_dump_json().encode())

        load(self.node.home)
        from clients.app import HOME_VARIABLE, app
        from fleet.executor import Executor
        from fleet.tasks import answer

        os.environ[HOME_VARIABLE] = str(self.node.home)
        tracing.begin("node", self.node.lender)
        address = f"127.0.0.1:{self._port}"
        bell = self._bells[0]

        def work(token: str) -> None:
            node = Node.open(self.node.home)

            def check(bundle: bytes, stated: str) -> None:
                check_bundle(node, bundle, stated)

            answer(address, token, app, check, bell.ring)

        try:
            Executor(address, secret, TASKS, work, self._look_after, self._give_up, bell.wait).run()
        finally:
            if self._supernode is not None and self._supernode.poll() is None:
                self._supernode.send_signal(signal.SIGTERM)
                try:
                    self._supernode.wait(5)
                except subprocess.TimeoutExpired:
                    self._supernode.kill()

    def _give_up(self, _: str, began: float) -> None:
        """A task's process is gone: the SuperNode that gave it out, one task at a time, would wait
        a minute for it."""
        if self._supernode is not None and began > self._started_at:
            self._supernode.terminate()

    def _look_after(self) -> None:
        """Start the SuperNode, again if it died; say that this process lives."""
        moment = time.monotonic()
        if self._supernode is None or self._supernode.poll() is not None:
            if moment < self._restart_at:
                return
            if self._supernode is not None:
                logger.warning(
                    "the SuperNode ended with %s; it is started again", self._supernode.returncode
                )
            self._restart_at = moment + RESTART_PAUSE_S
            self._started_at = moment
            self._supernode = subprocess.Popen(
                [sys.executable, "-P", "-m", "fleet.supernode", str(self._settings)],
                stdin=subprocess.DEVNULL,
                pass_fds=(self._bells[1].end.fileno(),),
            )
        if moment > self._told_at + ALIVE_EVERY_S:
            self._told_at = moment
            said = {"pid": os.getpid(), "supernode": self._supernode.pid, "at": time.time()}
            (self.node.home / "run" / STATUS_FILE).write_text(json.dumps(said), encoding="utf-8")


def running(home: Path) -> bool:
    """Whether a service of this home said within seconds that it lives."""
    try:
        said = json.loads((home / "run" / STATUS_FILE).read_text(encoding="utf-8"))
        return bool(time.time() - float(said["at"]) < ALIVE_S)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def main() -> None:
    """Serve the home that the environment names, until SIGTERM or SIGINT."""
    from clients.app import HOME_VARIABLE

    keep_journal()
    try:
        node = Node.open(Path(os.environ[HOME_VARIABLE]))
        at = node.settings
        expose_collector(LedgerCollector(node.store), metrics_at(at.metrics_host, at.metrics_port))
        NodeService(node).run()
    except (TahiniError, OSError) as error:
        sys.exit(f"tahini: {' '.join(str(error).split())}")


if __name__ == "__main__":
    main()
