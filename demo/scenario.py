"""The run, step by step. Each step goes through the same doors that a real party would use."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

from clients.home import Node, approve
from credit.planning import Training, plan_mechanism
from demo.assessing import assess
from demo.consortium import Founded, found
from demo.coordinator import coordinator_process
from demo.errors import DemoError
from demo.evaluation import audit_log, compare
from demo.lending import can_lend, lend
from demo.loans import split
from demo.population import ask_everybody, categories_of, import_books
from demo.portal import Portal, trusted_issuer
from demo.processes import Process, running, wait_until_ready
from demo.result import Outcome, ProgressView, Scenario, Settings
from demo.training import train
from fleet.code import installed_code
from ops.processes import free_port
from privacy.charges import Budget
from protocol.campaigns import Campaign
from protocol.client.lenders import LenderClient
from protocol.schema import now
from protocol.terms import TRAINING_PURPOSE
from server.assessments import assessed
from server.home import Coordinator

CAMPAIGN_HOURS = 6
HELD_OUT = 0.1
"""Share of each lender's people whom the consortium keeps for its own evaluation."""


def run(
    settings: Settings,
    view: ProgressView,
    beside: Callable[[Scenario, str], None] = lambda scenario, url: None,
) -> Outcome:
    """The whole path. Raises DemoError, and the rooms' own errors, each with one sentence.

    Args:
        beside: called once the model is released and its lender has a desk, while the registry, at
            that URL, and everybody else still run.
    """
    began = time.monotonic()
    root = settings.workspace
    view.begin("Split the loans")
    budget = Budget(settings.epsilon, settings.delta)
    parts = split(settings.loans, settings.lenders, settings.seed)
    view.end(
        f"{parts.people:,} borrowers at {settings.lenders} lenders, {len(parts.hold_out):,} held "
        "out"
    )

    view.begin("Found the consortium")
    port, witness_port, naming_port, issuer_port = (
        free_port(),
        free_port(),
        free_port(),
        free_port(),
    )
    witness_urls = {name: f"http://127.0.0.1:{witness_port}/{name}" for name in parts.lenders}
    founded = found(root, list(parts.lenders), budget, witness_urls)
    view.end(
        f"{len(founded.consortium.parties)} parties with keys and signed identities; every lender "
        "is a witness"
    )
    url = f"http://127.0.0.1:{port}"
    naming_url = f"http://127.0.0.1:{naming_port}"
    founded.connect(url, naming_url)
    portal = Portal(url, f"http://127.0.0.1:{issuer_port}")
    homes = [founded.node_home(name) for name in parts.lenders]
    services = {
        "the registry": _service("registry", "registry", url, "--home", founded.registry_home),
        "the naming service": _service(
            "naming", "names", naming_url, "--home", founded.naming_home
        ),
        "the login issuer": _service("issuer", "issuer", portal.issuer_url),
    }
    named = [argument for home in homes for argument in ("--home", home)]
    witnesses = _service("witnesses", "witness", f"http://127.0.0.1:{witness_port}", *named)

    with ExitStack() as stack:
        stack.enter_context(trusted_issuer(founded.registry_home, portal.issuer_url))
        started = {
            what: stack.enter_context(running(root, service)) for what, service in services.items()
        }
        stack.enter_context(running(root, witnesses))
        log = root / "logs" / "coordinator.log"
        coordinator = stack.enter_context(coordinator_process(founded.coordinator_home, homes, log))
        view.begin("Start the consent registry and the naming service")
        for what, service in started.items():
            wait_until_ready(root, service, what)
        view.end(f"{url} and {naming_url}; borrowers log in at {portal.issuer_url}")
        view.begin("Name the borrowers and import the loan books")
        people = import_books(founded, parts, settings.loans.schema, view)
        view.end("no identity number left its lender, and none is in a book")

        categories = categories_of(settings.loans.schema)
        notice, borrowers = ask_everybody(founded, url, people, settings.seed, categories, view)
        auditor = founded.auditor(url)
        auditor.inclusion(0, wait=True)
        first_checkpoint = auditor.checkpoint_note()
        (root / "auditor" / "first.checkpoint").write_text(first_checkpoint, encoding="utf-8")

        campaign = _campaign(founded, url, settings, view)
        scenario = Scenario(settings, parts, founded, notice, tuple(borrowers), campaign)
        training = train(scenario, coordinator, portal, view)
        lent = lend(scenario, training, url, view) if can_lend(scenario) else None
        beside(scenario, url)
        comparison = compare(scenario, view)
        audited = audit_log(scenario, training, url, first_checkpoint, view)
        seconds = time.monotonic() - began
        return Outcome(scenario, training, comparison, audited, lent, seconds)


def _service(name: str, noun: str, url: str, *options: str | Path) -> Process:
    """``tahini NOUN serve`` on loopback, at ``url``."""
    port = url.rpartition(":")[2]
    return Process(name, (noun, "serve", *map(str, options), "--port", port), f"{url}/healthz")


def _campaign(founded: Founded, url: str, settings: Settings, view: ProgressView) -> Campaign:
    view.begin("Propose and approve the campaign")
    coordinator = Coordinator.open(founded.coordinator_home)
    lenders = tuple(lender.id for lender in founded.consortium.lenders)
    budget = Budget(settings.epsilon, settings.delta)
    training = Training(settings.model, len(lenders), kind=settings.mechanism, hold_out=HELD_OUT)
    moment = now()
    schema = settings.loans.schema.model_dump(mode="json")
    campaign = Campaign(
        id="joint-credit-model-1",
        title="Joint credit model",
        coordinator=coordinator.id,
        lenders=lenders,
        purpose=TRAINING_PURPOSE,
        consortium_sha256=founded.consortium.sha256,
        model=settings.model,
        features=schema,
        mechanism=plan_mechanism(budget, training),
        code_sha256=installed_code(),
        seed=settings.seed,
        created_at=moment,
        expires_at=moment + timedelta(hours=CAMPAIGN_HOURS),
    )
    campaign = assessed(coordinator, campaign, assess(coordinator, schema), now())
    token = campaign.sign(coordinator.key)
    with coordinator.registry() as registry:
        registry.propose(token)
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
