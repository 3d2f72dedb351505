"""The run, step by step. Each step goes through the same doors that a real party would use."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from demo.campaigns import budget_of, propose
from demo.consortium import found
from demo.coordinator import coordinator_process
from demo.evaluation import audit_log, compare
from demo.lending import is_lendable, lend
from demo.loans import split
from demo.population import ask_everybody, await_log, categories_of, import_books
from demo.portal import Portal, trusted_issuer
from demo.processes import Process, running, wait_until_ready
from demo.result import Loop, Outcome, ProgressView, Scenario, Settings
from demo.retraining import retrain
from demo.training import train
from demo.two_years import lend_on
from ops.processes import free_port


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
    again = settings.applications > 0 and is_lendable(settings)
    budget = budget_of(settings, 2 if again else 1)
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
        await_log(founded, url)
        with founded.auditor(url) as auditor:
            first_checkpoint = auditor.checkpoint_note()
        (root / "auditor" / "first.checkpoint").write_text(first_checkpoint, encoding="utf-8")

        campaign = propose(founded, settings, view)
        scenario = Scenario(settings, parts, founded, notice, tuple(borrowers), campaign)
        training = train(scenario, coordinator, portal, view)
        lent = lend(scenario, training, url, view) if is_lendable(settings) else None
        beside(scenario, url)
        loop = None
        if again and lent is not None:
            others = lent.people | {one.pseudonym for one in training.withdrawn}
            years = lend_on(scenario, others, url, view)
            loop = Loop(years, retrain(scenario, years, coordinator, view))
        comparison = compare(scenario, view)
        audited = audit_log(scenario, training, url, first_checkpoint, view, loop)
        seconds = time.monotonic() - began
        return Outcome(scenario, training, comparison, audited, lent, loop, seconds)


def _service(name: str, noun: str, url: str, *options: str | Path) -> Process:
    """``tahini NOUN serve`` on loopback, at ``url``."""
    port = url.rpartition(":")[2]
    return Process(name, (noun, "serve", *map(str, options), "--port", port), f"{url}/healthz")
