"""What a child does with its task: a node's answer to one message, or a coordinator's whole run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import httpx
from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode, SubStatus
from flwr.common.serde import context_from_proto, context_to_proto, fab_from_proto, run_from_proto
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    PullAppMessagesRequest,
    PullTaskInputRequest,
    PushTaskOutputRequest,
)
from flwr.serverapp import Grid
from flwr.supercore.error import FlowerError
from flwr.supercore.fab import Fab
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import (
    pull_and_inflate_object_from_tree,
    pull_objects,
)
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import http_grid
from flwr.supernode.runtime.run_clientapp import push_message, push_task_output

from fleet.errors import BundleRefused
from fleet.executor import runtime_client

logger = logging.getLogger("tahini.executor")
FIRST_PAUSE_S, MAX_PAUSE_S = 0.05, 0.5
"""Seconds between two looks for an object that is still on its way; Flower's own begin at one."""
Check = Callable[[bytes, str], None]
"""Raises BundleRefused; gets the bundle's bytes and the hash that the SuperLink stated."""


def answer(
    address: str,
    token: str,
    app: ClientApp,
    check: Check,
    answered: Callable[[], None] = lambda: None,
) -> None:
    """Answer one message, and call ``answered``. A bundle that ``check`` refuses is answered with
    its one sentence; ``app`` never runs."""
    client = runtime_client(address, token)
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
    heartbeat.start()
    try:
        message, context, fab = _task_input(client)
        status = SubStatus.COMPLETED
        details = ""
        try:
            check(fab.content, fab.hash_str)
            reply = app(message=message, context=context)
        except BundleRefused as refused:
            logger.warning("refused: %s", refused)
            status = SubStatus.FAILED
            details = str(refused)
            reply = Message(
                Error(code=ErrorCode.INVALID_FAB, reason=str(refused)), reply_to=message
            )
        push_message(client, reply, context)
        answered()
        push_task_output(client, context, status, details)
    finally:
        heartbeat.stop()
        client.close()


def _task_input(client: RuntimeHttpClient) -> tuple[Message, Context, Fab]:
    """What Flower's ``pull_task_input`` does, but for its pauses: a task is there before its
    message is whole."""
    found = client.PullTaskInput(PullTaskInputRequest())
    context, run = context_from_proto(found.context), run_from_proto(found.run)
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = (
        found.task_id,
        run.run_id,
        context.node_id,
    )
    tree = client.PullMessages(PullAppMessagesRequest()).message_object_trees[0]
    node = Node(node_id=context.node_id)
    message = pull_and_inflate_object_from_tree(
        tree,
        make_pull_object_fn_protobuf(client.PullObject, node, run.run_id),
        make_confirm_message_received_fn_protobuf(client.ConfirmMessageReceived, node, run.run_id),
        return_type=Message,
        initial_backoff=FIRST_PAUSE_S,
        backoff_cap=MAX_PAUSE_S,
    )
    message.metadata.__dict__["_message_id"] = tree.object_id
    return message, context, fab_from_proto(found.fab)


def give_up(address: str, token: str) -> None:
    """Say that a task failed whose process is gone: otherwise the runtime waits for minutes until
    it believes so.

    One that had said so itself has no token any more, and is left alone.
    """
    client = runtime_client(address, token, patient=False)
    try:
        client.PushTaskOutput(
            PushTaskOutputRequest(sub_status=SubStatus.FAILED, details="its process ended")
        )
    except (httpx.HTTPError, FlowerError) as error:
        logger.info("a task that ended was not given up (%s)", type(error).__name__)
    finally:
        client.close()


def conduct(address: str, token: str, main: Callable[[Grid, Context], None]) -> None:
    """Run the coordinator's side of a run to its end."""
    vars(http_grid)["pull_objects"] = partial(
        pull_objects, initial_backoff=FIRST_PAUSE_S, backoff_cap=MAX_PAUSE_S
    )
    grid = http_grid.HttpGrid(runtime_api_address=address, insecure=True, token=token)
    client = grid._runtime_client
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
    heartbeat.start()
    status = SubStatus.FAILED
    details = "the run ended unexpectedly"
    context: Context | None = None
    try:
        found = client.PullTaskInput(PullTaskInputRequest())
        context, run = context_from_proto(found.context), run_from_proto(found.run)
        context.run_config = run.override_config
        TaskIdentity.task_id, TaskIdentity.run_id = found.task_id, run.run_id
        TaskIdentity.node_id = context.node_id
        grid.set_run(run)
        main(grid, context)
        status = SubStatus.COMPLETED
        details = ""
    finally:
        stated = context_to_proto(context) if context else None
        client.PushTaskOutput(
            PushTaskOutputRequest(context=stated, sub_status=status, details=details)
        )
        heartbeat.stop()
        grid.close()
