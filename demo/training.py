"""The campaign under way: launch it, watch its rounds, let people withdraw half-way, collect the
model."""

from __future__ import annotations

import numpy as np

from clients.home import Node
from credit.metrics import auc
from credit.tasks import DESCENT
from demo.borrowers import DemoBorrower
from demo.coordinator import CoordinatorProcess
from demo.errors import DemoError
from demo.portal import Portal
from demo.result import NAMED, ProgressView, Round, Scenario, TrainingResult
from protocol.client.borrowers import BorrowerClient
from server.home import load_release
from server.run import learner_of

OTHERS_WHO_WITHDRAW = 100


def train(
    scenario: Scenario, coordinator: CoordinatorProcess, portal: Portal, view: ProgressView
) -> TrainingResult:
    """Launch the campaign, withdraw people half-way, collect the model."""
    plan = scenario.campaign.mechanism.releases
    descent = [number for number, release in enumerate(plan) if release.kind in DESCENT]
    hold_after = descent[(len(descent) - 1) // 2]
    rounds: list[Round] = []
    withdrawn: list[DemoBorrower] = []
    epsilon = 0.0
    scorer: _Scorer | None = None
    view.begin("Start Flower")
    for event in coordinator.events():
        match event["event"]:
            case "ready":
                coordinator.send(
                    {
                        "command": "launch",
                        "campaign": scenario.campaign.sha256,
                        "hold_after": [hold_after],
                    }
                )
            case "joined":
                view.end(f"{len(event['lenders'])} nodes joined with signed mask keys")
                view.begin("Agree on bins and coordinates")
                scorer = _Scorer(scenario)
            case "lost":
                view.lost(", ".join(event["lenders"]), str(event["reason"]))
            case "release":
                if scorer is None:
                    raise DemoError("the coordinator reported a release before any node had joined")
                number, epsilon = int(event["release"]), float(event["epsilon"])
                score = scorer.auc(number)
                if number in descent:
                    rounds.append(Round(number, score, epsilon))
                    view.round(descent.index(number) + 1, len(descent), score, epsilon)
                elif number == descent[0] - 1:
                    view.end(f"{scorer.bins} bins and their second moments, from two noisy sums")
                    view.begin("Train")
            case "held":
                view.end(f"held after step {descent.index(hold_after) + 1} of {len(descent)}")
                withdrawn = _withdraw(scenario, portal, view)
                view.begin("Train on without them")
                coordinator.send({"command": "continue"})
            case "stopped":
                raise DemoError(f"the campaign stopped: {event['reason']}")
            case "released":
                view.end(
                    "averaged over the last half, calibrated, evaluated on people held out; card "
                    "signed and logged"
                )
                if scorer is None:
                    raise DemoError("the coordinator released a model before any node had joined")
                learner = scorer.learner
                return TrainingResult(
                    rounds=tuple(rounds),
                    hold_after=hold_after,
                    withdrawn=tuple(withdrawn),
                    epsilon_spent=epsilon,
                    evaluation=learner.evaluation,
                    level=learner.level,
                    remarks=learner.remarks,
                )
    raise DemoError("the coordinator ended without a result")


class _Scorer:
    """Measures the shared model after each release on the hold-out, which belongs to nobody in the
    consortium.

    The model is computed from the released sums in the coordinator's folder, as anybody could who
    has them.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.learner = learner_of(scenario.campaign, scenario.folder.parent)
        self._scenario = scenario
        self._labels = scenario.labels

    @property
    def bins(self) -> int:
        return sum(len(bins.frequency) for bins in self.learner.embedding.binning.features)

    def auc(self, number: int) -> float:
        kept = load_release(self._scenario.folder, number)
        if kept is None:
            raise DemoError(f"the coordinator reported release {number} but did not keep it")
        self.learner.absorb(kept.total, kept.contributors)
        return auc(self._labels, self.learner.model().probability(self._scenario.split.hold_out))


def _withdraw(scenario: Scenario, portal: Portal, view: ProgressView) -> list[DemoBorrower]:
    """One named borrower and a hundred others, all of whom were in the last round, change their
    mind."""
    view.begin("Borrowers withdraw")
    founded, notice = scenario.founded, scenario.notice
    by_name = {person.pseudonym: person for person in scenario.borrowers}
    in_use: list[DemoBorrower] = []
    for lender in scenario.campaign.lenders:
        store = Node.open(founded.node_home(lender)).store
        last = store.releases(scenario.campaign.sha256)[-1]
        in_use += [by_name[name] for name in store.members(last.number)]
    order = np.random.default_rng([scenario.settings.seed, 2]).permutation(len(in_use))
    leaving = [in_use[i] for i in order[: 1 + min(OTHERS_WHO_WITHDRAW, len(in_use) // 10)]]
    portal.withdraw_all(leaving[0], Node.open(founded.node_home(leaving[0].lender)))
    with BorrowerClient(portal.registry_url, founded.consortium) as client:
        for done, person in enumerate(leaving[1:], 2):
            receipts = client.decide([person.withdrawal(notice)])
            if set(receipts[0].states.values()) - {"withdrawn"}:
                raise DemoError("the registry acknowledged a withdrawal that it did not record")
            view.advance(done, len(leaving))
    view.end(
        f"{NAMED} and {len(leaving) - 1} others, each with a signed receipt; {NAMED} did it in the "
        "portal"
    )
    return leaving
