"""The campaign under way: launch it, watch its rounds, let people withdraw half-way, collect the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clients.home import Node
from credit.metrics import auc
from credit.tasks import DESCENT
from demo.borrowers import Borrower
from demo.errors import DemoError
from demo.portal import Portal
from demo.result import NAMED, Outcome, Round, View
from demo.services import CoordinatorProcess
from protocol.client.borrowers import BorrowerClient
from protocol.consents import Notice
from server.home import load_release
from server.run import learner_of

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
    plan = outcome.campaign.mechanism.releases
    descent = [number for number, release in enumerate(plan) if release.kind in DESCENT]
    outcome.hold_after = descent[(len(descent) - 1) // 2]
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
                view.begin("Agree on bins and coordinates")
                scorer = _Scorer(outcome)
            case "lost":
                view.lost(", ".join(event["lenders"]), str(event["reason"]))
            case "release":
                if scorer is None:
                    raise DemoError("the coordinator reported a release before any node had joined")
                number, epsilon = int(event["release"]), float(event["epsilon"])
                auc, outcome.epsilon_spent = scorer.auc(number), epsilon
                if number in descent:
                    outcome.rounds.append(Round(number, auc, epsilon, {}))
                    view.round(descent.index(number) + 1, len(descent), auc, epsilon)
                elif number == descent[0] - 1:
                    view.end(f"{scorer.bins} bins and their second moments, from two noisy sums")
                    view.begin("Train")
            case "held":
                view.end(f"held after step {descent.index(outcome.hold_after) + 1} of {len(descent)}")
                _withdraw(outcome, portal, notice, borrowers, asked, view)
                view.begin("Train on without them")
                coordinator.send({"command": "continue"})
            case "stopped":
                raise DemoError(f"the campaign stopped: {event['reason']}")
            case "released":
                view.end(
                    "averaged over the last half, calibrated, evaluated on people held out; card signed and logged"
                )
                if scorer is None:
                    raise DemoError("the coordinator released a model before any node had joined")
                scorer.tell()


class _Scorer:
    """Measures the shared model after each release on the hold-out, which belongs to nobody in the consortium.

    The model is computed from the released sums in the coordinator's folder, as anybody could who has them.
    """

    def __init__(self, outcome: Outcome) -> None:
        self._learner = learner_of(outcome.campaign)
        self._outcome = outcome
        self._labels = outcome.split.hold_out[outcome.settings.loans.schema.target].to_numpy(dtype=np.int64)

    @property
    def bins(self) -> int:
        return sum(len(bins.frequency) for bins in self._learner.embedding.binning.features)

    def tell(self) -> None:
        """What the released sums say of the model, beside its scores."""
        outcome, learner = self._outcome, self._learner
        outcome.evaluation, outcome.level, outcome.remarks = learner.evaluation, learner.level, learner.remarks

    def auc(self, number: int) -> float:
        kept = load_release(self._outcome.folder, number)
        if kept is None:
            raise DemoError(f"the coordinator reported release {number} but did not keep it")
        self._learner.absorb(kept.total, kept.contributors)
        return auc(self._labels, self._learner.model().probability(self._outcome.split.hold_out))


def _withdraw(
    outcome: Outcome, portal: Portal, notice: Notice, borrowers: Sequence[Borrower], asked: bool, view: View
) -> None:
    """One named borrower and a hundred others, all of whom were in the last round, change their mind."""
    view.begin("Borrowers withdraw")
    by_name = {person.pseudonym: person for person in borrowers}
    in_use: list[Borrower] = []
    for lender in outcome.campaign.lenders:
        store = Node.open(outcome.founded.node_home(lender)).store
        last = store.releases(outcome.campaign.sha256)[-1]
        in_use += [by_name[name] for name in store.members(last.number)]
    order = np.random.default_rng([outcome.settings.seed, 2]).permutation(len(in_use))
    leaving = [in_use[i] for i in order[: 1 + min(OTHERS_WHO_WITHDRAW, len(in_use) // 10)]]
    portal.withdraw_all(leaving[0], Node.open(outcome.founded.node_home(leaving[0].lender)))
    with BorrowerClient(portal.registry_url, outcome.founded.consortium) as client:
        for done, person in enumerate(leaving[1:], 2):
            receipts = client.decide([person.withdrawal(notice, asked)])
            if set(receipts[0].states.values()) - {"withdrawn"}:
                raise DemoError("the registry acknowledged a withdrawal that it did not record")
            view.advance(done, len(leaving))
    outcome.withdrawn = leaving
    outcome.consent["withdrawn"] = len(leaving)
    view.end(f"{NAMED} and {len(leaving) - 1} others, each with a signed receipt; {NAMED} did it in the portal")
