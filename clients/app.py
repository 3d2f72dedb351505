"""The Flower ClientApp of a lender's node. It translates messages; the rules are in
:mod:`clients.gate`.

A refusal is an answer, not a crash: the reply carries one sentence for the coordinator's operator.
"""

from __future__ import annotations

import json
import logging
import os
import traceback
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from clients.errors import GateClosed, NodeError, NotApproved, StoreFailed
from clients.home import Node
from clients.releases import join, release
from credit.errors import FeatureError, ModelError
from credit.questions import Packed, arrays_from_bytes
from crypto.errors import CryptoError
from protocol import tracing
from protocol.errors import ConsentError
from protocol.log_client import RESTART_PATIENCE_S

SIMULATED_HOMES = "TAHINI_SIMULATED_NODE_HOMES"
"""In a simulation, the JSON list of node homes by partition."""
HOME_VARIABLE = "TAHINI_NODE_HOME"
"""The home of the one node that this process serves."""
SAYABLE = (
    GateClosed,
    NotApproved,
    ConsentError,
    CryptoError,
    FeatureError,
    ModelError,
    StoreFailed,
)
UNSAID = (
    "a lender's node cannot take part in this release; its operator finds the reason in the node's "
    "log"
)
logger = logging.getLogger("tahini.node")

app = ClientApp()


def _open_node(context: Context) -> Node:
    home = context.node_config.get("home") or os.environ.get(HOME_VARIABLE)
    if home is None and SIMULATED_HOMES in os.environ:
        home = json.loads(os.environ[SIMULATED_HOMES])[int(context.node_config["partition-id"])]
    if home is None:
        raise NodeError("this node does not know its home; start it with: tahini node serve")
    return Node.open(Path(str(home)))


def _above(message: Message) -> str:
    """The coordinator's span, if it sent one."""
    return tracing.accepted(message.content.config_records["request"].get("traceparent"))


def _refuse(message: Message, error: Exception) -> Message:
    """One sentence for the coordinator's operator; the details stay in this node's log.

    What can depend on a borrower's row is said in the same words whatever it was.
    """
    # whatever else it is may quote a value of somebody's
    ours = isinstance(error, (*SAYABLE, NodeError))
    said = str(error) if ours else "".join(traceback.format_tb(error.__traceback__)[-1:])
    logger.warning("%s refused: %s: %s", message.metadata.message_type, type(error).__name__, said)
    sentence = str(error) if isinstance(error, SAYABLE) else UNSAID
    return Message(RecordDict({"answer": ConfigRecord({"refused": sentence})}), reply_to=message)


@app.query("join")
def on_join(message: Message, context: Context) -> Message:
    """Answer with this lender's name and signed mask key for the campaign."""
    try:
        node = _open_node(context)
        with tracing.span("node.join", _above(message), lender=node.lender):
            token = join(node, str(message.content.config_records["request"]["campaign"]))
    except (
        Exception
    ) as error:  # Flower would send the bare text of anything else to the coordinator
        return _refuse(message, error)
    answer = ConfigRecord({"lender": node.lender, "mask_key": token})
    return Message(RecordDict({"answer": answer}), reply_to=message)


@app.train("release")
def on_release(message: Message, context: Context) -> Message:
    """Answer a release request with this lender's masked contribution."""
    try:
        request = message.content.config_records["request"]
        arrays = arrays_from_bytes(bytes(request["arrays"]))  # type: ignore[arg-type]
        node = _open_node(context)
        packed = Packed(str(request["binning"]), str(request["pairs"]), arrays)
        with tracing.span("node.release", _above(message), lender=node.lender):
            words = release(node, str(request["token"]), packed, RESTART_PATIENCE_S)
    except (
        Exception
    ) as error:  # Flower would send the bare text of anything else to the coordinator
        return _refuse(message, error)
    answer = ConfigRecord({"lender": node.lender, "words": words.astype("<u8").tobytes()})
    return Message(RecordDict({"answer": answer}), reply_to=message)
