"""What a child does with its task: a node's answer to one message, or a coordinator's whole run."""

from __future__ import annotations

import logging
from collections.abc import Callable

from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode, SubStatus
from flwr.common.serde import context_from_proto, context_to_proto, run_from_proto
from flwr.proto.runtime_pb2 import PullTaskInputRequest, PushTaskOutputRequest
from flwr.serverapp import Grid
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid.http_grid import HttpGrid
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

from fleet.errors import BundleRefused
from fleet.executor import runtime_client

logger = logging.getLogger("tahini.executor")
Check = Callable[[bytes, str], None]
"""Raises BundleRefused; gets the bundle's bytes and the hash that the SuperLink stated."""


def answer(address: str, token: str, app: ClientApp, check: Check) -> None:
    """Answer one message. A bundle that ``check`` refuses is answered with its one sentence; ``app`` never runs."""
    client = runtime_client(address, token)
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
    heartbeat.start()
    try:
        message, context, _, fab = pull_task_input(client)
        status, details = SubStatus.COMPLETED, ""
        try:
            check(fab.content, fab.hash_str)
            reply = app(message=message, context=context)
        except BundleRefused as refused:
            logger.warning("refused: %s", refused)
            status, details = SubStatus.FAILED, str(refused)
            reply = Message(Error(code=ErrorCode.INVALID_FAB, reason=str(refused)), reply_to=message)
        push_message(client, reply, context)
        push_task_output(client, context, status, details)
    finally:
        heartbeat.stop()
        client.close()


def conduct(address: str, token: str, main: Callable[[Grid, Context], None]) -> None:
    """Run the coordinator's side of a run to its end."""
    grid = HttpGrid(runtime_api_address=address, insecure=True, token=token)
    client = grid._runtime_client
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
    heartbeat.start()
    status, details = SubStatus.FAILED, "the run ended unexpectedly"
    context: Context | None = None
    try:
        found = client.PullTaskInput(PullTaskInputRequest())
        context, run = context_from_proto(found.context), run_from_proto(found.run)
        context.run_config = run.override_config
        TaskIdentity.task_id, TaskIdentity.run_id = found.task_id, run.run_id
        TaskIdentity.node_id = context.node_id
        grid.set_run(run)
        main(grid, context)
        status, details = SubStatus.COMPLETED, ""
    finally:
        stated = context_to_proto(context) if context else None
        client.PushTaskOutput(PushTaskOutputRequest(context=stated, sub_status=status, details=details))
        heartbeat.stop()
        grid.close()
