"""The Flower ClientApp of a lender's node. It translates messages; the rules are in :mod:`clients.gate`.

A refusal is an answer, not a crash: the reply carries one sentence for the coordinator's operator.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from clients.errors import NodeError
from clients.node import Node
from clients.releases import join, release
from consent.errors import ConsentError
from credit.errors import FeatureError, ModelError
from crypto.errors import CryptoError
from privacy.errors import PrivacyError

SIMULATED_HOMES = "TAHINI_SIMULATED_NODE_HOMES"
"""In a simulation, the JSON list of node homes by partition. A real node names its own in ``--node-config home=…``."""
EXPECTED = (NodeError, ConsentError, CryptoError, FeatureError, ModelError, PrivacyError)

app = ClientApp()


def _open_node(context: Context) -> Node:
    home = context.node_config.get("home")
    if home is None and SIMULATED_HOMES in os.environ:
        home = json.loads(os.environ[SIMULATED_HOMES])[int(context.node_config["partition-id"])]
    if home is None:
        raise NodeError("this node does not know its home; start it with --node-config 'home=\"…\"'")
    return Node.open(Path(str(home)))


def _refuse(message: Message, error: Exception) -> Message:
    refusal = ConfigRecord({"refused": str(error), "kind": type(error).__name__})
    return Message(RecordDict({"answer": refusal}), reply_to=message)


@app.query("join")
def on_join(message: Message, context: Context) -> Message:
    """Answer with this lender's name and signed mask key for the campaign."""
    try:
        node = _open_node(context)
        token = join(node, str(message.content.config_records["request"]["campaign"]))
    except EXPECTED as error:
        return _refuse(message, error)
    answer = ConfigRecord({"lender": node.lender, "mask_key": token})
    return Message(RecordDict({"answer": answer}), reply_to=message)


@app.train("release")
def on_release(message: Message, context: Context) -> Message:
    """Answer a release request with this lender's masked contribution."""
    request = message.content.config_records["request"]
    weights = message.content.array_records["parameters"]["weights"].numpy()
    try:
        node = _open_node(context)
        words = release(node, str(request["token"]), str(request["binning"]), np.asarray(weights, dtype=np.float64))
    except EXPECTED as error:
        return _refuse(message, error)
    content = RecordDict(
        {
            "answer": ConfigRecord({"lender": node.lender}),
            "contribution": ArrayRecord({"words": Array(words)}),
        }
    )
    return Message(content, reply_to=message)
