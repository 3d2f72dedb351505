"""Which nodes a campaign begins with: those of its own lenders, whoever else is connected; it says whom it awaits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

from server import flower_fleet
from server.errors import CampaignStopped
from server.flower_fleet import FlowerFleet

NODES = {1: "aspen", 2: "birch", 3: "cedar"}


@dataclass
class Desktop(Grid):
    """A grid whose nodes are functions of this process. ``connected`` says who is there each time it is looked."""

    connected: Callable[[int], list[int]]
    refusing: set[int] = field(default_factory=set)
    silent: set[int] = field(default_factory=set)
    looked: int = 0
    sent: dict[str, Message] = field(default_factory=dict)

    def get_node_ids(self) -> list[int]:
        self.looked += 1
        return self.connected(self.looked)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        found = []
        for message in messages:
            name = f"m{len(self.sent)}"
            message.metadata.__dict__["_message_id"] = name
            self.sent[name] = message
            found.append(name)
        return found

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        return [self._answer(self.sent[name]) for name in list(message_ids) if self._node(name) not in self.silent]

    def _node(self, name: str) -> int:
        return self.sent[name].metadata.dst_node_id

    def _answer(self, asked: Message) -> Message:
        node = asked.metadata.dst_node_id
        said = {"refused": f"{NODES[node]}: takes no part"} if node in self.refusing else {}
        content = said or {"lender": NODES[node], "mask_key": f"key of {NODES[node]}"}
        return Message(RecordDict({"answer": ConfigRecord(content)}), reply_to=asked)

    @property
    def run(self) -> Any: ...
    def set_run(self, run_id: int) -> None: ...
    def create_message(self, *args: Any, **kwargs: Any) -> Any: ...
    def send_and_receive(self, *args: Any, **kwargs: Any) -> Any: ...


@pytest.fixture(autouse=True)
def within_a_run(monkeypatch):
    for name in ("_run_id", "_node_id", "_task_id"):
        if hasattr(TaskIdentity, name):
            monkeypatch.setattr(TaskIdentity, name, 1)


def fleet(grid: Grid, *wanted: str, told: list[dict] | None = None, **options: Any) -> FlowerFleet:
    return FlowerFleet(grid, frozenset(wanted), tell=([] if told is None else told).append, **options)


@pytest.mark.parametrize("refusing", [{3}, set()])
def test_a_connected_node_of_another_lender_stops_no_campaign_that_goes_on_without_it(refusing):
    """The command that was suggested after a rejection stopped at once: cedar's node was counted, and refused."""
    late = Desktop(lambda look: [1, 3] if look < 4 else [1, 2, 3], refusing)
    keys = fleet(late, "aspen", "birch", others=1).join("0" * 64)
    assert dict(keys) == {"aspen": "key of aspen", "birch": "key of birch"}


def test_a_lender_of_the_campaign_that_refuses_stops_it_with_its_words():
    grid = Desktop(lambda _: [1, 2], {2})
    with pytest.raises(CampaignStopped, match="the node of birch is missing; birch: takes no part"):
        fleet(grid, "aspen", "birch").join("0" * 64)


def test_it_says_how_many_nodes_and_then_whose_node_it_waits_for():
    told: list[dict] = []
    grid = Desktop(lambda look: [1] if look < 3 else [1, 3] if look < 6 else [1, 2, 3])
    fleet(grid, "aspen", "birch", told=told, others=1).join("0" * 64)
    assert [event["reason"] for event in told] == ["nodes: 1 of 2 are connected", "the node of birch"]


def test_a_stop_is_heard_while_it_waits_for_a_node():
    def stopped() -> None:
        raise CampaignStopped("the coordinator's operator stopped it")

    with pytest.raises(CampaignStopped, match="operator stopped it"):
        fleet(Desktop(lambda _: [1]), "aspen", "birch", check=stopped).join("0" * 64)


def test_whoever_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(flower_fleet, "SLOW_S", 0.0)
    told: list[dict] = []
    grid = Desktop(lambda _: [1, 2])
    asking = fleet(grid, "aspen", "birch", told=told, answer_s=0.5)
    asking.join("0" * 64)
    grid.silent = {2}
    assert [node for node, _ in asking._ask("train.release", [1, 2], RecordDict)] == [1]
    assert told[-1]["reason"] == "the answer of birch"
