"""Flower's SuperLink in this process, behind two doors.

Outside, with TLS, stands the fleet interface and nothing else: nodes of the roster, by key, ask for
messages and bring answers. On loopback stands the runtime interface, for this machine's executor,
by a secret. The control interface, which starts, stops and reads runs, has no door at all: it is
called as functions, by whoever holds this object. So neither a node's credentials nor anything else
on the network can start, stop or read a run.

Runs, messages and nodes are kept in memory and end with it. What must not be lost stands in the
campaigns' folders, nodes are let in by the roster, and runs are started anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import uvicorn
from flwr.common.constant import (
    ISOLATION_MODE_PROCESS,
    NOOP_ACCOUNT_NAME,
    NOOP_FLWR_AID,
    TRANSPORT_TYPE_GRPC_RERE,
)
from flwr.proto.control_pb2 import RegisterNodeRequest, StartRunRequest, StopRunRequest
from flwr.proto.fab_pb2 import Fab as FabProto
from flwr.supercore.auth.typing import AccountInfo
from flwr.supercore.constant import FLWR_IN_MEMORY_DB_NAME, NodeStatus
from flwr.supercore.error import FlowerError
from flwr.superlink.auth_plugin import NoOpControlAuthnPlugin
from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
from flwr.superlink.config_loader import SuperLinkLifespanConfig
from flwr.superlink.main import create_app
from flwr.superlink.servicer.control import control_handlers

from fleet.errors import FleetError
from fleet.keys import superlink_key
from fleet.long_polls import Asgi, LongPolls, News
from ops.certificates import RenewingContext

FLEET, RUNTIME = "/v1/fleet/", "/v1/runtime/"
START_S = 20.0
INSIDE_S = 1.0
"""How long a run's look is kept open: an operator's stop is heard between two."""
logger = logging.getLogger("tahini.superlink")
ACCOUNT = AccountInfo(flwr_aid=NOOP_FLWR_AID, account_name=NOOP_ACCOUNT_NAME)

Scope = MutableMapping[str, Any]


@dataclass(frozen=True)
class Door:
    """Lets requests for paths under ``prefix`` through, and answers every other with 404."""

    app: Asgi
    prefix: str

    async def __call__(
        self, scope: Scope, receive: Callable[[], Awaitable[Any]], send: Any
    ) -> None:
        if scope["type"] == "lifespan" or (
            scope["type"] == "http" and self._admits(str(scope["path"]))
        ):
            await self.app(scope, receive, send)
            return
        if scope["type"] == "http":
            await send(
                {
                    "type": "http.response.start",
                    "status": 404,
                    "headers": [(b"content-length", b"0")],
                }
            )
            await send({"type": "http.response.body", "body": b""})

    def _admits(self, path: str) -> bool:
        return path.startswith(self.prefix) and ".." not in path and "//" not in path


@dataclass
class SuperLink:
    """The engine of one coordinator.

    Args:
        certificate, key: for the outer door.
        outside: host and port of the outer door.
    """

    certificate: Path
    key: Path
    outside: tuple[str, int]
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    """What the executor on this machine authenticates with."""
    runtime_port: int = field(init=False)
    _servers: list[uvicorn.Server] = field(default_factory=list, init=False)
    _runs: News = field(default_factory=News, init=False)
    """That a run was launched, and wants an executor."""

    def start(self) -> None:
        """Open both doors; raises FleetError when a port is taken, CertificateRefused for the
        certificate."""
        self._tls = RenewingContext(self.certificate, self.key)
        inner = _listening("127.0.0.1", 0)
        self.runtime_port = int(inner.getsockname()[1])
        outer = _listening(*self.outside)
        app = create_app(self._config(), SuperLinkLifespan)
        self._links = app.state.linkstate_factory
        outside, inside = self._patient(app)
        self._servers = [_server(inside, None, "on"), _server(outside, self._tls, "off")]
        self._thread = threading.Thread(
            target=self._serve, args=((inner, outer),), name="superlink", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + START_S
        while not all(server.started for server in self._servers):
            if time.monotonic() > deadline:
                raise FleetError(f"the SuperLink did not start within {START_S:.0f} s")
            time.sleep(0.02)

    def _patient(self, app: Asgi) -> tuple[Asgi, Asgi]:
        """The application behind both doors, outer and inner: nodes and runs need not come again
        and again for what the other sends."""
        questions, answers = News(), News()
        looking, sending = "pull-messages", "push-messages"
        outside = LongPolls(
            app,
            looks={FLEET + looking: questions},
            sends={FLEET + sending: answers},
            tells={FLEET + looking: answers},
        )
        inside = LongPolls(
            app,
            looks={RUNTIME + looking: answers, RUNTIME + "acquire-task": self._runs},
            sends={RUNTIME + sending: questions},
            tells={RUNTIME + looking: questions},
            hold_s=INSIDE_S,
        )
        return Door(outside, FLEET), Door(inside, RUNTIME)

    def _config(self) -> SuperLinkLifespanConfig:
        return SuperLinkLifespanConfig(
            control_address="127.0.0.1:0",
            health_server_address=None,
            host="127.0.0.1",
            port=self.runtime_port,
            insecure=False,
            certificates=None,
            superexec_auth_secret=self.secret,
            authn_plugin=NoOpControlAuthnPlugin(),
            event_log_plugin=None,
            fleet_event_log_plugin=None,
            enable_event_log=False,
            artifact_provider=None,
            enable_supernode_auth=True,
            fleet_api_type=TRANSPORT_TYPE_GRPC_RERE,
            fleet_api_address=None,
            simulation=False,
            ssl_ca_certfile=None,
            ssl_certfile=None,
            ssl_keyfile=None,
            database=FLWR_IN_MEMORY_DB_NAME,
            isolation=ISOLATION_MODE_PROCESS,
            runtime_dependency_install=False,
        )

    def _serve(self, sockets: tuple[socket.socket, ...]) -> None:
        """Both doors in one event loop, so that one can tell the other."""
        with asyncio.Runner(loop_factory=self._servers[0].config.get_loop_factory()) as runner:
            self._loop = runner.get_loop()
            runner.run(_together(self._servers, sockets))

    def stop(self) -> None:
        """Close both doors."""
        for server in self._servers:
            server.should_exit = True
        self._thread.join(START_S)

    def refresh(self) -> bool:
        """Whether a renewed certificate was taken; raises CertificateRefused."""
        return self._tls.refresh()

    # --- who may connect

    def admit(self, roster: Mapping[str, str]) -> dict[str, int]:
        """Let exactly these lenders' nodes connect, by their keys; returns their node ids.

        A lender whose key cannot be used is left out, and said in the log: the others must not wait
        for it. A key that was taken from the roster is not taken again; its lender makes a new one.

        Args:
            roster: fleet keys by lender, as they stand in the consortium document.
        """
        state = self._links.state()
        found: dict[str, int] = {}
        for lender, text in roster.items():
            try:
                pem = superlink_key(text)
                known = state.get_node_id_by_public_key(pem)
                if known is None:
                    request = RegisterNodeRequest(public_key=pem, name=lender)
                    known = int(control_handlers.register_node(request, ACCOUNT, state).node_id)
                found[lender] = known
            except (FleetError, FlowerError) as error:
                logger.warning(
                    "%s's node is not let in (%s); a new key may help: node rotate-fleet-key",
                    lender,
                    error,
                )
        for node in state.get_node_info(owner_aids=[NOOP_FLWR_AID]):
            if node.node_id not in found.values() and node.status != NodeStatus.UNREGISTERED:
                state.delete_node(NOOP_FLWR_AID, node.node_id)
        return found

    def connected(self) -> dict[str, bool]:
        """Whether each admitted lender's node is connected now."""
        known = self._links.state().get_node_info(owner_aids=[NOOP_FLWR_AID])
        return {
            node.name: node.status == NodeStatus.ONLINE
            for node in known
            if node.status != NodeStatus.UNREGISTERED
        }

    # --- runs

    def launch(self, bundle: bytes, campaign: str) -> int:
        """Start a run of a campaign; returns its id. Raises FleetError."""
        request = StartRunRequest(fab=FabProto(content=bundle))
        request.override_config["campaign"].string = campaign
        try:
            answer = control_handlers.start_run(request, ACCOUNT, self._links.state(), None)
        except FlowerError as error:
            raise FleetError(f"the SuperLink did not start the run ({error})") from error
        if not answer.run_id:
            raise FleetError("the SuperLink did not start the run; its log says why")
        self._loop.call_soon_threadsafe(self._runs.tell)
        return int(answer.run_id)

    def over(self, run: int) -> bool:
        """Whether a run has ended, however it did."""
        found = self._links.state().get_run_info(run_ids=[run])
        return not found or str(found[0].status.status) == "finished"

    def end(self, run: int) -> None:
        """Stop a run; nodes ignore its messages from then on. Raises FleetError."""
        if not self.over(run):
            try:
                control_handlers.stop_run(StopRunRequest(run_id=run), ACCOUNT, self._links.state())
            except FlowerError as error:
                raise FleetError(
                    f"run {run} could not be ended; it may have ended by itself ({error})"
                ) from error


def _server(
    app: Asgi, tls: RenewingContext | None, lifespan: Literal["on", "off"]
) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan=lifespan,
        timeout_graceful_shutdown=2,
        server_header=False,
    )
    config.load()
    if tls is not None:
        config.ssl = tls.context
    return uvicorn.Server(config)


async def _together(servers: Iterable[uvicorn.Server], sockets: Iterable[socket.socket]) -> None:
    pairs = zip(servers, sockets, strict=True)
    await asyncio.gather(*(server.serve(sockets=[listening]) for server, listening in pairs))


def _listening(host: str, port: int) -> socket.socket:
    try:
        listening = socket.create_server((host, port), backlog=256)
    except OSError as error:
        raise FleetError(
            f"cannot listen at {host}:{port} ({os.strerror(error.errno or 0)}); is another one "
            "running?"
        ) from error
    listening.set_inheritable(False)
    return listening
