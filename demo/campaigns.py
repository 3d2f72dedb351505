"""A campaign of the demo: proposed by the coordinator, approved by every lender; and what several
may cost a person together."""

from __future__ import annotations

import math
from datetime import timedelta

from clients.home import Node, approve
from credit.planning import Training, plan_mechanism
from crypto.keys import replace_file
from demo.assessing import assess
from demo.consortium import Founded
from demo.errors import DemoError
from demo.result import ProgressView, Settings
from fleet.code import installed_code
from privacy.accounting import epsilon_of
from privacy.charges import Budget
from privacy.mechanism import Audience, Mechanism
from protocol.campaigns import Campaign
from protocol.client.lenders import LenderClient
from protocol.schema import now
from protocol.terms import TRAINING_PURPOSE
from server.assessments import assessed
from server.folders import CAMPAIGN_FILE
from server.home import Coordinator

CAMPAIGN_HOURS = 6
HELD_OUT = 0.1
"""Share of each lender's people whom the consortium keeps for its own evaluation."""
AGAIN = "joint-credit-model-2"
"""The campaign that trains once more, on what was lent since."""


def planned(settings: Settings) -> Mechanism:
    """What every campaign of a run does to a person."""
    training = Training(
        settings.model, settings.lenders, kind=settings.mechanism, hold_out=HELD_OUT
    )
    return plan_mechanism(Budget(settings.epsilon, settings.delta), training)


def budget_of(settings: Settings, campaigns: int) -> Budget:
    """What a consortium allows each borrower, so that so many campaigns fit and no further one."""
    if campaigns == 1:
        return Budget(settings.epsilon, settings.delta)
    plan = planned(settings)
    dearest = max(
        epsilon_of(campaigns * plan.charges(audience), settings.delta) for audience in Audience
    )
    return Budget(math.ceil(1000 * dearest) / 1000, settings.delta)


def propose(
    founded: Founded,
    settings: Settings,
    view: ProgressView,
    campaign_id: str = "joint-credit-model-1",
) -> Campaign:
    """Active when this returns. Raises DemoError, and what a registry or a node refuses with."""
    view.begin("Propose and approve the campaign")
    coordinator = Coordinator.open(founded.coordinator_home)
    lenders = tuple(lender.id for lender in founded.consortium.lenders)
    moment = now()
    schema = settings.loans.schema.model_dump(mode="json")
    campaign = Campaign(
        id=campaign_id,
        title="Joint credit model",
        coordinator=coordinator.id,
        lenders=lenders,
        purpose=TRAINING_PURPOSE,
        consortium_sha256=founded.consortium.sha256,
        model=settings.model,
        features=schema,
        mechanism=planned(settings),
        code_sha256=installed_code(),
        seed=settings.seed,
        created_at=moment,
        expires_at=moment + timedelta(hours=CAMPAIGN_HOURS),
    )
    campaign = assessed(coordinator, campaign, assess(coordinator, schema), now())
    token = campaign.sign(coordinator.key)
    with coordinator.registry() as registry:
        registry.propose(token)
    replace_file(coordinator.folder(campaign.sha256) / CAMPAIGN_FILE, token.encode())
    active = False
    for lender in lenders:
        node = Node.open(founded.node_home(lender))
        approval = approve(node, token)
        with node.connected(LenderClient) as client:
            active = client.approve(approval, node.key)
    if not active:
        raise DemoError("the campaign did not become active although every lender approved it")
    view.end(f"{len(lenders)} of {len(lenders)} lenders signed campaign {campaign.sha256[:12]}…")
    return campaign
