"""The run, step by step. Each step goes through the same doors that a real party would use."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import pandas as pd

import clients.node
from clients.source import import_book
from consent.audit import Audit, verify_log
from consent.client import RegistryClient
from consent.code import installed_code
from consent.documents import TRAINING_PURPOSE, Campaign, Notice, now
from credit.binning import Embedding, Grid
from credit.features import FeatureRegistry, registry_from
from credit.metrics import Quality, auc, quality
from credit.models import CreditModel, Kind, binning_from
from crypto.errors import ProofError
from crypto.keys import unb64
from crypto.rosters import Roster, verify_absence
from demo.borrowers import Borrower, make_borrowers, make_notice
from demo.consortium import Founded, found
from demo.errors import DemoError
from demo.loans import IDENTITY, Loans, Split, split
from demo.references import pooled_probability, train_alone
from demo.services import CoordinatorProcess, coordinator_process, free_port, registry_process, wait_for_registry
from privacy.accounting import Budget
from server.home import BINNING_FILE, CARD_FILE, MODEL_FILE, Coordinator, load_round
from server.planning import plan_mechanism

DELTA = 1e-5
BATCH = 1000
OTHERS_WHO_WITHDRAW = 100
NAMED = "Wang Xiaomei 王晓梅"
CAMPAIGN_HOURS = 6
T = TypeVar("T")


class View(Protocol):
    """What a run tells whoever watches it."""

    def begin(self, step: str) -> None: ...
    def advance(self, done: int, total: int) -> None: ...
    def end(self, result: str) -> None: ...
    def round(self, number: int, total: int, auc: float, epsilon: float) -> None: ...


@dataclass(frozen=True)
class Settings:
    loans: Loans
    workspace: Path
    lenders: int
    epsilon: float
    seed: int
    model: Kind
    delta: float = DELTA


@dataclass(frozen=True)
class Round:
    number: int
    auc: float
    epsilon: float
    roster: dict[str, int]


@dataclass
class Outcome:
    """Everything a run found out; the report is a rendering of it."""

    settings: Settings
    split: Split
    founded: Founded
    campaign: Campaign
    consent: dict[str, int]
    rounds: list[Round] = field(default_factory=list)
    withdrawn_seen_after: int = 0
    withdrawn: list[Borrower] = field(default_factory=list)
    hold_after: int = 0
    probabilities: dict[str, np.ndarray] = field(default_factory=dict)
    """Hold-out probabilities of bad: 'consortium', 'pooled_reference', and each lender by name."""
    qualities: dict[str, Quality] = field(default_factory=dict)
    audit: Audit | None = None
    model: CreditModel | None = None
    epsilon_spent: float = 0.0
    seconds: float = 0.0

    @property
    def folder(self) -> Path:
        return self.founded.coordinator_home / "campaigns" / self.campaign.sha256

    @property
    def files(self) -> dict[str, Path]:
        return {"model": self.folder / MODEL_FILE, "card": self.folder / CARD_FILE}


def batches(items: Sequence[T], size: int = BATCH) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def run(settings: Settings, view: View) -> Outcome:
    """The whole path. Raises DemoError, and the rooms' own errors, each with one sentence."""
    started = time.monotonic()
    view.begin("Split the loans")
    Budget(settings.epsilon, settings.delta)
    parts = split(settings.loans, settings.lenders, settings.seed)
    view.end(f"{parts.people:,} borrowers at {settings.lenders} lenders, {len(parts.hold_out):,} held out")

    view.begin("Found the consortium")
    founded = found(settings.workspace, list(parts.lenders), settings.epsilon, settings.delta)
    view.end(f"{len(founded.consortium.parties)} parties with keys and signed identities")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    founded.connect(url)
    logs = settings.workspace / "logs"
    logs.mkdir()

    with ExitStack() as stack:
        registry = stack.enter_context(registry_process(founded.registry_home, port, logs / "registry.log"))
        homes = [founded.node_home(name) for name in parts.lenders]
        coordinator = stack.enter_context(
            coordinator_process(founded.coordinator_home, homes, logs / "coordinator.log")
        )
        view.begin("Import the loan books")
        _import_books(founded, parts, settings.loans.registry)
        view.end("identity numbers replaced by pairwise pseudonyms")
        view.begin("Start the consent registry")
        wait_for_registry(url, registry, logs / "registry.log")
        view.end(url)

        asked = bool(settings.loans.registry.sensitive())
        notice, borrowers = _consent(founded, url, parts, settings, asked, view)
        first_checkpoint = founded.auditor(url).checkpoint_note()
        (settings.workspace / "auditor" / "first.checkpoint").write_text(first_checkpoint)

        campaign = _campaign(founded, url, settings, view)
        outcome = Outcome(settings, parts, founded, campaign, _consent_counts(borrowers))
        _train(outcome, coordinator, url, notice, borrowers, asked, view)
        _compare(outcome, borrowers, view)
        _audit(outcome, url, first_checkpoint, view)
        outcome.seconds = time.monotonic() - started
    return outcome


def _import_books(founded: Founded, parts: Split, registry: FeatureRegistry) -> None:
    for name, loans in parts.lenders.items():
        path = founded.node_home(name) / clients.node.BOOK_FILE
        import_book(path, loans, IDENTITY, registry, founded.lender_keys[name], f"lender {name!r}")


def _consent(
    founded: Founded, url: str, parts: Split, settings: Settings, asked: bool, view: View
) -> tuple[Notice, list[Borrower]]:
    """Publish the notice, enrol everybody, record what they decide."""
    view.begin("Publish the notice")
    notice = make_notice(list(parts.lenders), settings.epsilon)
    founded.operator(url).publish_notice(notice, founded.registry_key)
    view.end("in English and Chinese, hashed and logged")

    view.begin("Enrol the borrowers")
    rng = np.random.default_rng([settings.seed, 1])
    borrowers: list[Borrower] = []
    for name, loans in parts.lenders.items():
        people = make_borrowers(
            name, loans[IDENTITY].astype(str).tolist(), founded.lender_keys[name], founded.consortium_key, rng
        )
        client = clients.node.Node.open(founded.node_home(name)).registry()
        for batch in batches(people):
            client.enrol([person.enrolment for person in batch])
        client.close()
        borrowers += people
        view.advance(len(borrowers), sum(map(len, parts.lenders.values())))
    view.end(f"{len(borrowers):,} accounts by pseudonym")

    view.begin("Borrowers decide")
    speaking = [person for person in borrowers if person.answer != "silent"]
    client = RegistryClient(url, founded.consortium)
    _pipelined(
        batches(speaking),
        lambda people: [person.first_answer(notice, asked) for person in people],
        client.decide,
        lambda done: view.advance(min(done * BATCH, len(speaking)), len(speaking)),
    )
    client.close()
    counts = _consent_counts(borrowers)
    view.end(f"{counts['given']:,} give, {counts['refused']:,} refuse, {counts['silent']:,} say nothing; each signed")
    return notice, borrowers


def _pipelined(
    work: Iterator[T],
    prepare: Callable[[T], list[str]],
    send: Callable[[list[str]], object],
    done: Callable[[int], None],
) -> None:
    """Prepare the next batch while the previous one is being recorded."""
    with ThreadPoolExecutor(1) as sender:
        pending = None
        for number, item in enumerate(work):
            prepared = prepare(item)
            if pending is not None:
                pending.result()
                done(number)
            pending = sender.submit(send, prepared)
        if pending is not None:
            pending.result()


def _consent_counts(borrowers: Sequence[Borrower]) -> dict[str, int]:
    answers = [person.answer for person in borrowers]
    return {
        "enrolled": len(borrowers),
        "given": answers.count("gives"),
        "refused": answers.count("refuses"),
        "silent": answers.count("silent"),
        "withdrawn": 0,
    }


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
        features=settings.loans.registry.model_dump(mode="json"),
        mechanism=plan_mechanism(budget, settings.loans.registry, settings.model, len(lenders)),
        code_sha256=installed_code(),
        seed=settings.seed,
        created_at=moment,
        expires_at=moment + timedelta(hours=CAMPAIGN_HOURS),
    )
    token = campaign.sign(coordinator.key)
    client = coordinator.registry()
    client.propose(token)
    client.close()
    active = False
    for lender in lenders:
        node = clients.node.Node.open(founded.node_home(lender))
        approval = clients.node.approve(node, token)
        client = node.registry()
        active = client.approve(approval, node.key)
        client.close()
    if not active:
        raise DemoError("the campaign did not become active although every lender approved it")
    view.end(f"{len(lenders)} of {len(lenders)} lenders signed campaign {campaign.sha256[:12]}…")
    return campaign


def _train(
    outcome: Outcome,
    coordinator: CoordinatorProcess,
    url: str,
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
                _withdraw(outcome, url, notice, borrowers, asked, view)
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
    outcome: Outcome, url: str, notice: Notice, borrowers: Sequence[Borrower], asked: bool, view: View
) -> None:
    """One named borrower and a hundred others, all of whom were in the last round, change their mind."""
    view.begin("Borrowers withdraw")
    by_name = {person.pseudonym: person for person in borrowers}
    in_use: list[Borrower] = []
    for lender in outcome.campaign.lenders:
        store = clients.node.Node.open(outcome.founded.node_home(lender)).store
        number, _ = store.releases(outcome.campaign.sha256)[-1]
        in_use += [by_name[name] for name in store.members(number)]
    order = np.random.default_rng([outcome.settings.seed, 2]).permutation(len(in_use))
    leaving = [in_use[i] for i in order[: 1 + min(OTHERS_WHO_WITHDRAW, len(in_use) // 10)]]
    client = RegistryClient(url, outcome.founded.consortium)
    for done, person in enumerate(leaving, 1):
        receipts = client.decide([person.withdrawal(notice, asked)])
        if set(receipts[0].states.values()) - {"withdrawn"}:
            raise DemoError("the registry acknowledged a withdrawal that it did not record")
        view.advance(done, len(leaving))
    client.close()
    outcome.withdrawn = leaving
    outcome.consent["withdrawn"] = len(leaving)
    view.end(f"{NAMED} and {len(leaving) - 1} others, each with a signed receipt")


def _compare(outcome: Outcome, borrowers: Sequence[Borrower], view: View) -> None:
    """Consortium, each lender alone at the same epsilon, and the pooled model that nobody may train."""
    view.begin("Compare with each lender alone and with the pooled ceiling")
    parts, registry = outcome.split, outcome.settings.loans.registry
    model = CreditModel.load(outcome.files["model"])
    outcome.model = model
    outcome.probabilities["consortium"] = model.probability(parts.hold_out)
    outcome.probabilities["pooled_reference"] = pooled_probability(parts.train, parts.hold_out, registry)
    view.advance(1, len(parts.lenders) + 1)
    people = iter(borrowers)
    for done, (name, loans) in enumerate(parts.lenders.items(), 2):
        own = list(islice(people, len(loans)))
        table = _consented(loans, own, registry)
        alone = train_alone(table, registry, outcome.settings.model, outcome.campaign.mechanism, outcome.settings.seed)
        outcome.probabilities[name] = alone.probability(parts.hold_out)
        view.advance(done, len(parts.lenders) + 1)
    labels = parts.hold_out[registry.target].to_numpy(dtype=np.int64)
    outcome.qualities = {name: quality(labels, p) for name, p in outcome.probabilities.items()}
    view.end(f"consortium AUC {outcome.qualities['consortium'].auc:.4f}")


def _consented(loans: pd.DataFrame, own: Sequence[Borrower], registry: FeatureRegistry) -> pd.DataFrame:
    """A lender's rows with consent, sensitive features masked where that consent is missing."""
    gives = np.array([person.answer == "gives" for person in own])
    sensitive = np.array([person.sensitive for person in own])
    table = loans[gives]
    hidden = {name: table[name].mask(~sensitive[gives]) for name in registry.sensitive()}
    return table.assign(**hidden)


def _audit(outcome: Outcome, url: str, first_checkpoint: str, view: View) -> None:
    """Verify the log as the auditor, then that nobody who withdrew stands in a later roster."""
    view.begin("Audit the log from the outside")
    founded = outcome.founded
    auditor = founded.auditor(url)
    audit = verify_log(auditor, first_checkpoint, founded.auditor_recipient)
    auditor.close()
    outcome.audit = audit
    expected = len(outcome.campaign.lenders) * (outcome.campaign.mechanism.rounds + 1)
    if len(audit.commitments) != expected:
        raise DemoError(f"the log holds {len(audit.commitments)} roster commitments, expected {expected}")
    sizes: dict[int, dict[str, int]] = {}
    for logged in audit.commitments:
        if logged.opened is not None:
            sizes.setdefault(logged.opened.release, {})[logged.opened.lender] = logged.opened.size
    outcome.rounds = [replace(r, roster=sizes[r.number]) for r in outcome.rounds]
    outcome.withdrawn_seen_after = _seen_after(outcome, audit)
    view.end(
        f"{audit.entries:,} entries, {len(audit.commitments)} rosters, consistent from the first checkpoint to the last"
    )


def _seen_after(outcome: Outcome, audit: Audit) -> int:
    """How often somebody who withdrew stands in a later roster; absence is proved against the logged roots."""
    seen = 0
    for logged in audit.commitments:
        commitment = logged.opened
        if commitment is None or commitment.release <= outcome.hold_after:
            continue
        store = clients.node.Node.open(outcome.founded.node_home(commitment.lender)).store
        number = next(n for n, r in store.releases(outcome.campaign.sha256) if r.release == commitment.release)
        roster = Roster.of(store.members(number), unb64(commitment.salt))
        if roster.root.hex() != logged.leaf["root"]:
            raise DemoError(
                f"{commitment.lender}'s own roster of release {commitment.release} is not the one it logged"
            )
        for person in outcome.withdrawn:
            if person.lender == commitment.lender:
                try:
                    proof = roster.prove_absence(person.pseudonym)
                    verify_absence(proof, person.pseudonym, roster.salt, roster.root)
                except ProofError:
                    seen += 1
    return seen
