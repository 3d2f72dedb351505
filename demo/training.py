"""The campaign under way: launch it, watch its rounds, let people withdraw half-way, collect the model."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from clients.node import Node
from consent.client import RegistryClient
from consent.documents import Notice
from credit.binning import Embedding, Grid
from credit.features import registry_from
from credit.metrics import auc
from credit.models import CreditModel, binning_from
from demo.borrowers import Borrower
from demo.errors import DemoError
from demo.outcome import NAMED, Outcome, Round, View
from demo.portal import Portal
from demo.services import CoordinatorProcess
from server.home import BINNING_FILE, load_round

OTHERS_WHO_WITHDRAW = 100


def train(
    outcome: Outcome,
    coordinator: CoordinatorProcess,
    portal: Portal,
    notice: Notice,
    borrowers: Sequence[Borrower],
    asked: bool,
    view: View,
) -> None:
    """Launch the campaign, withdraw people half-way, collect the model."""
    mechanism = outcome.campaign.mechanism
    outcome.hold_after = max(1, mechanism.rounds // 2)
    view.begin("Start Flower")
    scorer: _Scorer | None = None
    for event in coordinator.events():
        match event["event"]:
            case "ready":
                coordinator.send(
                    {"command": "launch", "campaign": outcome.campaign.sha256, "hold_after": [outcome.hold_after]}
                )
            case "joined":
                view.end(f"{len(event['lenders'])} nodes joined with signed mask keys")
                view.begin("Agree on bins")
            case "binned":
                view.end(f"{event['bins']} bins from one noisy histogram")
                scorer = _Scorer(outcome)
                view.begin("Train")
            case "round":
                if scorer is None:
                    raise DemoError("the coordinator reported a round before there were bins")
                auc = scorer.auc(int(event["round"]))
                outcome.rounds.append(Round(int(event["round"]), auc, float(event["epsilon"]), {}))
                outcome.epsilon_spent = float(event["epsilon"])
                view.round(int(event["round"]), mechanism.rounds, auc, float(event["epsilon"]))
            case "held":
                view.end(f"held after round {outcome.hold_after} of {mechanism.rounds}")
                _withdraw(outcome, portal, notice, borrowers, asked, view)
                view.begin("Train on without them")
                coordinator.send({"command": "continue"})
            case "stopped":
                raise DemoError(f"the campaign stopped: {event['reason']}")
            case "released":
                view.end("model averaged over the last half of the rounds; card signed and logged")


class _Scorer:
    """Measures each round's shared model on the hold-out, which belongs to nobody in the consortium."""

    def __init__(self, outcome: Outcome) -> None:
        registry = registry_from(outcome.campaign.features, "the campaign")
        binning = binning_from(json.loads((outcome.folder / BINNING_FILE).read_text()))
        self._embedding = Embedding(Grid(registry), binning)
        self._outcome = outcome
        self._labels = outcome.split.hold_out[registry.target].to_numpy(dtype=np.int64)

    def auc(self, number: int) -> float:
        weights = load_round(self._outcome.folder, number)
        model = CreditModel(self._outcome.campaign.model, self._embedding, weights)
        return auc(self._labels, model.probability(self._outcome.split.hold_out))


def _withdraw(
    outcome: Outcome, portal: Portal, notice: Notice, borrowers: Sequence[Borrower], asked: bool, view: View
) -> None:
    """One named borrower and a hundred others, all of whom were in the last round, change their mind."""
    view.begin("Borrowers withdraw")
    by_name = {person.pseudonym: person for person in borrowers}
    in_use: list[Borrower] = []
    for lender in outcome.campaign.lenders:
        store = Node.open(outcome.founded.node_home(lender)).store
        number, _ = store.releases(outcome.campaign.sha256)[-1]
        in_use += [by_name[name] for name in store.members(number)]
    order = np.random.default_rng([outcome.settings.seed, 2]).permutation(len(in_use))
    leaving = [in_use[i] for i in order[: 1 + min(OTHERS_WHO_WITHDRAW, len(in_use) // 10)]]
    portal.withdraw_all(leaving[0], Node.open(outcome.founded.node_home(leaving[0].lender)))
    client = RegistryClient(portal.registry_url, outcome.founded.consortium)
    for done, person in enumerate(leaving[1:], 2):
        receipts = client.decide([person.withdrawal(notice, asked)])
        if set(receipts[0].states.values()) - {"withdrawn"}:
            raise DemoError("the registry acknowledged a withdrawal that it did not record")
        view.advance(done, len(leaving))
    client.close()
    outcome.withdrawn = leaving
    outcome.consent["withdrawn"] = len(leaving)
    view.end(f"{NAMED} and {len(leaving) - 1} others, each with a signed receipt; {NAMED} did it in the portal")
