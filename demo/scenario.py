"""The run, step by step. Each step goes through the same doors that a real party would use."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import timedelta

from clients.home import Node, approve
from credit.planning import plan_mechanism
from demo.consortium import Founded, found
from demo.errors import DemoError
from demo.evaluation import audit_log, compare
from demo.loans import split
from demo.population import ask_everybody, consent_counts, import_books
from demo.portal import Portal, trusted_issuer
from demo.result import Outcome, Settings, View
from demo.services import (
    coordinator_process,
    free_port,
    issuer_process,
    naming_process,
    registry_process,
    wait_for,
    witness_process,
)
from demo.training import train
from fleet.code import installed_code
from privacy.charges import Budget
from protocol.campaigns import Campaign
from protocol.schema import now
from protocol.terms import TRAINING_PURPOSE
from server.home import Coordinator

CAMPAIGN_HOURS = 6
HELD_OUT = 0.1
"""Share of each lender's people whom the consortium keeps for its own evaluation."""


def run(settings: Settings, view: View) -> Outcome:
    """The whole path. Raises DemoError, and the rooms' own errors, each with one sentence."""
    started = time.monotonic()
    view.begin("Split the loans")
    Budget(settings.epsilon, settings.delta)
    parts = split(settings.loans, settings.lenders, settings.seed)
    view.end(f"{parts.people:,} borrowers at {settings.lenders} lenders, {len(parts.hold_out):,} held out")

    view.begin("Found the consortium")
    port, witness_port, naming_port, issuer_port = free_port(), free_port(), free_port(), free_port()
    witness_urls = {name: f"http://127.0.0.1:{witness_port}/{name}" for name in parts.lenders}
    founded = found(settings.workspace, list(parts.lenders), settings.epsilon, settings.delta, witness_urls)
    view.end(f"{len(founded.consortium.parties)} parties with keys and signed identities; every lender is a witness")
    url = f"http://127.0.0.1:{port}"
    naming_url = f"http://127.0.0.1:{naming_port}"
    founded.connect(url, naming_url)
    portal = Portal(url, f"http://127.0.0.1:{issuer_port}")
    logs = settings.workspace / "logs"
    logs.mkdir()

    with ExitStack() as stack:
        stack.enter_context(trusted_issuer(founded.registry_home, portal.issuer_url))
        registry = stack.enter_context(registry_process(founded.registry_home, port, logs / "registry.log"))
        homes = [founded.node_home(name) for name in parts.lenders]
        stack.enter_context(witness_process(homes, witness_port, logs / "witnesses.log"))
        coordinator = stack.enter_context(
            coordinator_process(founded.coordinator_home, homes, logs / "coordinator.log")
        )
        naming = stack.enter_context(naming_process(founded.naming_home, naming_port, logs / "naming.log"))
        issuer = stack.enter_context(issuer_process(issuer_port, logs / "issuer.log"))
        view.begin("Start the consent registry and the naming service")
        wait_for("the registry", url, registry, logs / "registry.log")
        wait_for("the naming service", naming_url, naming, logs / "naming.log")
        wait_for("the login issuer", portal.issuer_url, issuer, logs / "issuer.log")
        view.end(f"{url} and {naming_url}; borrowers log in at {portal.issuer_url}")
        view.begin("Name the borrowers and import the loan books")
        people = import_books(founded, parts, settings.loans.schema, view)
        view.end("no identity number left its lender, and none is in a book")

        asked = bool(settings.loans.schema.sensitive())
        notice, borrowers = ask_everybody(founded, url, people, settings.epsilon, settings.seed, asked, view)
        auditor = founded.auditor(url)
        auditor.inclusion(0, wait=True)
        first_checkpoint = auditor.checkpoint_note()
        (settings.workspace / "auditor" / "first.checkpoint").write_text(first_checkpoint, encoding="utf-8")

        campaign = _campaign(founded, url, settings, view)
        outcome = Outcome(settings, parts, founded, campaign, consent_counts(borrowers))
        train(outcome, coordinator, portal, notice, borrowers, asked, view)
        compare(outcome, borrowers, view)
        audit_log(outcome, url, first_checkpoint, view)
        outcome.seconds = time.monotonic() - started
    return outcome


def _campaign(founded: Founded, url: str, settings: Settings, view: View) -> Campaign:
    view.begin("Propose and approve the campaign")
    coordinator = Coordinator.open(founded.coordinator_home)
    lenders = tuple(lender.id for lender in founded.consortium.lenders)
    budget = Budget(settings.epsilon, settings.delta)
    moment = now()
    campaign = Campaign(
        id="joint-credit-model-1",
        title="Joint credit model",
        coordinator=coordinator.id,
        lenders=lenders,
        purpose=TRAINING_PURPOSE,
        model=settings.model,
        features=settings.loans.schema.model_dump(mode="json"),
        mechanism=plan_mechanism(budget, settings.model, len(lenders), kind=settings.mechanism, hold_out=HELD_OUT),
        code_sha256=installed_code(),
        seed=settings.seed,
        created_at=moment,
        expires_at=moment + timedelta(hours=CAMPAIGN_HOURS),
    )
    token = campaign.sign(coordinator.key)
    with coordinator.registry() as registry:
        registry.propose(token)
    active = False
    for lender in lenders:
        node = Node.open(founded.node_home(lender))
        approval = approve(node, token)
        with node.registry() as client:
            active = client.approve(approval, node.key)
    if not active:
        raise DemoError("the campaign did not become active although every lender approved it")
    view.end(f"{len(lenders)} of {len(lenders)} lenders signed campaign {campaign.sha256[:12]}…")
    return campaign
