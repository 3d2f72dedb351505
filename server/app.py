"""The Flower ServerApp around :mod:`server.run`, and the words it exchanges with whoever started it.

Progress goes out as JSON lines; commands come in as JSON lines: ``launch`` names a campaign, ``continue`` ends a hold.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp
from numpy.typing import NDArray

from consent.errors import ConsentError
from consent.schema import now
from credit.errors import FeatureError, ModelError
from crypto.errors import CryptoError
from crypto.masks import Words
from server.card import ModelCard
from server.errors import CampaignStopped, CoordinatorError
from server.home import CARD_FILE, MODEL_FILE, Coordinator
from server.run import CampaignRun

NODES_TIMEOUT_S = 120.0
ANSWER_TIMEOUT_S = 300.0
EXPECTED = (CampaignStopped, CoordinatorError, ConsentError, CryptoError, FeatureError, ModelError)

Emit = Callable[[dict[str, Any]], None]
Receive = Callable[[], dict[str, Any]]


@dataclass
class FlowerFleet:
    """The campaign's nodes behind a Flower grid."""

    grid: Grid
    expected_nodes: int

    def _node_ids(self) -> list[int]:
        deadline = time.monotonic() + NODES_TIMEOUT_S
        while len(ids := list(self.grid.get_node_ids())) < self.expected_nodes:
            if time.monotonic() > deadline:
                raise CampaignStopped(
                    f"only {len(ids)} of {self.expected_nodes} nodes connected within {NODES_TIMEOUT_S:.0f} s"
                )
            time.sleep(0.1)
        return ids

    def _ask(self, kind: str, content: Callable[[], RecordDict]) -> list[Message]:
        messages = [Message(content(), dst_node_id=node, message_type=kind) for node in self._node_ids()]
        replies: Iterable[Message] = self.grid.send_and_receive(messages, timeout=ANSWER_TIMEOUT_S)
        answers = []
        for reply in replies:
            if reply.has_error():
                raise CampaignStopped(f"a node failed: {reply.error.reason}")
            refusal = reply.content.config_records["answer"].get("refused")
            if refusal is not None:
                raise CampaignStopped(str(refusal))
            answers.append(reply)
        return answers

    def join(self, campaign_sha256: str) -> Mapping[str, str]:
        replies = self._ask("query.join", lambda: RecordDict({"request": ConfigRecord({"campaign": campaign_sha256})}))
        answers = [reply.content.config_records["answer"] for reply in replies]
        return {str(answer["lender"]): str(answer["mask_key"]) for answer in answers}

    def release(self, token: str, binning_json: str, weights: NDArray[np.float64]) -> Mapping[str, Words]:
        def content() -> RecordDict:
            return RecordDict(
                {
                    "request": ConfigRecord({"token": token, "binning": binning_json}),
                    "parameters": ArrayRecord({"weights": Array(weights)}),
                }
            )

        contributions: dict[str, Words] = {}
        for reply in self._ask("train.release", content):
            lender = str(reply.content.config_records["answer"]["lender"])
            contributions[lender] = np.asarray(
                reply.content.array_records["contribution"]["words"].numpy(), dtype=np.uint64
            )
        return contributions


def release_card(coordinator: Coordinator, run: CampaignRun, population: float, base_rate: float) -> str:
    """Sign the model card, log it, and leave it beside the model; returns its hash."""
    campaign = run.campaign
    folder = coordinator.folder(campaign.sha256)
    card = ModelCard(
        campaign_sha256=campaign.sha256,
        campaign_title=campaign.title,
        model=campaign.model,
        model_sha256=hashlib.sha256((folder / MODEL_FILE).read_bytes()).hexdigest(),
        features=tuple(feature["name"] for feature in campaign.features["features"]),
        purpose=campaign.purpose,
        legal_basis=campaign.legal_basis,
        lenders=campaign.lenders,
        epsilon=campaign.mechanism.epsilon,
        delta=campaign.mechanism.delta,
        mechanism=campaign.mechanism.model_dump(mode="json"),
        releases=campaign.mechanism.rounds + 1,
        population_released=population,
        base_rate_released=base_rate,
        released_at=now(),
    )
    token = card.sign(coordinator.key)
    client = coordinator.registry()
    try:
        client.log_model(campaign.sha256, card.sha256, token)
    finally:
        client.close()
    (folder / CARD_FILE).write_text(token)
    return card.sha256


def make_app(coordinator: Coordinator, nodes: int, emit: Emit, receive: Receive) -> ServerApp:
    """A ServerApp that waits for a launch command, runs that campaign, and says how it went."""
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        emit({"event": "ready"})
        command = receive()
        if command.get("command") != "launch":
            emit({"event": "stopped", "reason": "no campaign was launched"})
            return
        holds = {int(number) for number in command.get("hold_after", [])}
        try:
            client = coordinator.registry()
            try:
                campaign, active = client.campaign(str(command["campaign"]))
            finally:
                client.close()
            if not active:
                raise CampaignStopped(f"campaign {campaign.id!r} lacks approvals; no quorum, no run")

            def between_rounds(number: int) -> None:
                if number in holds:
                    emit({"event": "held", "round": number})
                    receive()

            run = CampaignRun(coordinator, campaign, FlowerFleet(grid, nodes), emit, between_rounds)
            model = run.execute()
            binning = model.embedding.binning
            card = release_card(coordinator, run, binning.population, binning.base_rate)
            emit({"event": "released", "card": card, "folder": str(coordinator.folder(campaign.sha256))})
        except EXPECTED as error:
            emit({"event": "stopped", "reason": str(error)})

    return server
