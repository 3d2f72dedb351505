"""After the training, lending: three people apply at one lender, over HTTP, with the model that was
just released.

One is approved, one is looked at by a person, one is declined; each is told why, and keeps a
receipt. They are chosen so that all three can be seen, which only the demo could do: it plays
everybody.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import numpy as np
import pandas as pd

from clients.home import Node
from credit.features import date_columns
from crypto.keys import write_secret
from demo.borrowers import DemoBorrower
from demo.consortium import Founded
from demo.desk_homes import CUT_OFF, TIMEZONE, fill_home, released_scorer
from demo.errors import DemoError
from demo.loans import Loans, Split
from demo.processes import Process, running, wait_until_ready
from demo.result import Lent, LoanApplied, ProgressView, Scenario, Settings, TrainingResult
from demo.scoring_notice import make_scoring_notice
from desk.callers import CallerRole, DeskCaller, add_caller
from desk.home import open_database
from desk.office import Transactions
from law.categories import DataCategory
from lending.score.scorer import Scorer
from ops.processes import free_port
from protocol.client.borrowers import BorrowerClient
from protocol.consents import Action
from protocol.receipts import verify_kept
from protocol.schema import now

CUSTOMERS_FILE = "customers.parquet"
FEATURES = ("rev", "age", "income", "debrate", "due30", "due60", "due90", "loan_num")
"""Of demo/loans.toml."""
PRODUCT, AMOUNT, TERM_DAYS = "monthly-12", 300_000, 365
GREY, CLEAR = 610, 660
LIGHT = 0.3
"""Share of income that goes to other debts, so that affordability decides nothing here."""
CATEGORIES = (
    DataCategory.REPAYMENT,
    DataCategory.BUREAU,
    DataCategory.INCOME,
    DataCategory.AGE,
    DataCategory.IDENTITY,
)
RECEIPT_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class _Customer:
    person: DemoBorrower
    wants_person: bool = False


def is_lendable(settings: Settings) -> bool:
    """Whether there is anything to lend with: the features that the desk's sources have, and a
    model that gives reasons."""
    return is_known_to_sources(settings.loans) and settings.model != "mlp"


def is_known_to_sources(loans: Loans) -> bool:
    """Whether the demo's desk has a source for each of their features."""
    schema = loans.schema
    return set(schema.names) == set(FEATURES) and "late_ended" in date_columns(schema)


def lend(scenario: Scenario, training: TrainingResult, url: str, view: ProgressView) -> Lent:
    """Raises DemoError, and the rooms' own errors."""
    founded, lender = scenario.founded, scenario.campaign.lenders[0]
    view.begin(f"Open a lending desk at {lender}")
    node = Node.open(founded.node_home(lender))
    people, loans = customers_of(scenario, lender)
    home = scenario.settings.workspace / "desk"
    fill_home(home, scenario, node)
    write_secret(home / CUSTOMERS_FILE, facts_of(people, loans).to_parquet())
    scorer = released_scorer(scenario, node)
    tokens = _callers(home)
    view.end("the model of the consortium, a signed policy, two products, five sources")

    applicants = _chosen(people, loans, scorer, {one.pseudonym for one in training.withdrawn})
    publish(founded, lender, url)
    agree(founded, lender, [one.person for one in applicants], url)
    address = f"http://127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    process = Process(
        "desk", ("desk", "serve", "--home", str(home), "--port", port), f"{address}/healthz"
    )
    view.begin("Three people apply")
    with running(scenario.settings.workspace, process) as started:
        wait_until_ready(scenario.settings.workspace, started, "the lending desk")
        with _Counter.at(address, tokens) as counter:
            counter.warm()
            applied = tuple(_apply(counter, one, founded) for one in applicants)
    told = ", ".join(f"{one.status} ({one.seconds * 1000:.0f} ms)" for one in applied)
    view.end(f"{told}; each with reasons and a receipt that verifies")
    return Lent(lender, applied, frozenset(one.person.pseudonym for one in applicants))


def customers_of(scenario: Scenario, lender: str) -> tuple[list[DemoBorrower], pd.DataFrame]:
    """A lender's people and their rows, in one order."""
    return own_customers(scenario.borrowers, scenario.split, lender)


def own_customers(
    borrowers: Iterable[DemoBorrower], split: Split, lender: str
) -> tuple[list[DemoBorrower], pd.DataFrame]:
    """The same of everybody's borrowers, who come lender by lender."""
    people = iter(borrowers)
    for name, loans in split.lenders.items():
        own = list(islice(people, len(loans)))
        if name == lender:
            return own, loans.reset_index(drop=True)
    raise DemoError(f"{lender!r} has no people")


def facts_of(people: list[DemoBorrower], loans: pd.DataFrame) -> pd.DataFrame:
    """What the lender knows of its customers. Arrears, applications elsewhere and what the register
    says are made up: the table has none."""
    table = loans[list(FEATURES)].copy()
    income = (loans["income"] * 100).round().astype("Int64")
    share = loans["debrate"].where(loans["income"].notna())
    return table.assign(
        pseudonym=[one.pseudonym for one in people],
        late_ended=loans["late_ended"].dt.date,
        has_file=True,
        arrears_days=0,
        applications_7d=0,
        identity_verified=True,
        monthly_income=income,
        monthly_obligations=(loans["income"] * 100 * share).round().astype("Int64"),
    )


def _callers(home: Path) -> dict[CallerRole, str]:
    """A token for each system of the lender's that calls its desk."""
    database = open_database(home)
    try:
        desk = Transactions(database)
        systems = [
            DeskCaller(f"{role}-1", role) for role in (CallerRole.ORIGINATION, CallerRole.SERVICING)
        ]
        return {one.role: desk.write(partial(add_caller, caller=one)) for one in systems}
    finally:
        database.close()


def _chosen(
    people: list[DemoBorrower], loans: pd.DataFrame, scorer: Scorer, gone: set[str]
) -> list[_Customer]:
    """Somebody well above the cut-off, somebody just above it, and the lowest score there is. Where
    nobody is just above it, the second asks for a person."""
    scores = scorer.scores(loans)
    there = np.array([one.answer == "gives" and one.pseudonym not in gone for one in people])
    light = ((loans["debrate"] <= LIGHT) & (loans["loan_num"] <= 12)).to_numpy()
    able = np.flatnonzero(there & light & loans["income"].between(2000, 20_000).to_numpy())
    if not len(able):
        raise DemoError("nobody at this lender can be shown applying; take another --seed")
    high = [at for at in able if scores[at] >= CLEAR] or [able[scores[able].argmax()]]
    grey = [at for at in able if CUT_OFF <= scores[at] < GREY]
    between = grey or [able[np.abs(scores[able] - CUT_OFF).argmin()]]
    low = able[scores[able].argmin()]
    return [
        _Customer(people[high[0]]),
        _Customer(people[between[0]], wants_person=not grey),
        _Customer(people[low]),
    ]


def publish(founded: Founded, lender: str, url: str) -> None:
    """The notice of scoring, which is another than that of training."""
    with founded.operator(url) as registry:
        notice = make_scoring_notice(founded.consortium, [lender], CATEGORIES)
        registry.publish_notice(notice, founded.registry_key)


def agree(founded: Founded, lender: str, people: list[DemoBorrower], url: str) -> None:
    """They were shown the notice of scoring, and agree."""
    notice = make_scoring_notice(founded.consortium, [lender], CATEGORIES)
    answers = dict.fromkeys(notice.terms.asked(), Action.GIVE)
    with BorrowerClient(url, founded.consortium) as client:
        client.decide([person.decide(notice, answers) for person in people])


@dataclass(frozen=True)
class _Counter:
    """The lender's own systems, as they call its desk."""

    http: httpx.Client
    tokens: dict[CallerRole, str]

    @classmethod
    @contextmanager
    def at(cls, address: str, tokens: dict[CallerRole, str]) -> Iterator[_Counter]:
        with httpx.Client(base_url=address, timeout=60.0) as http:
            yield cls(http, tokens)

    def warm(self) -> None:
        """The first call of a service loads what later ones have."""
        self.call("GET", "/v1/applications")

    def call(
        self, method: str, path: str, body: Any = None, role: CallerRole = CallerRole.ORIGINATION
    ) -> Any:
        answer = self.http.request(
            method, path, json=body, headers={"Authorization": f"Bearer {self.tokens[role]}"}
        )
        if not answer.is_success:
            raise DemoError(f"the desk refused {method} {path}: {answer.text}")
        return answer.json()


def _apply(counter: _Counter, customer: _Customer, founded: Founded) -> LoanApplied:
    person = customer.person
    wanted = {
        "pseudonym": person.pseudonym,
        "product": PRODUCT,
        "amount": AMOUNT,
        "term_days": TERM_DAYS,
        "purpose": "home",
        "wants_person": customer.wants_person,
    }
    began = time.monotonic()
    shown = counter.call("POST", "/v1/applications", wanted)
    seconds = time.monotonic() - began
    path = f"/v1/applications/{shown['id']}"
    decision = shown["decision"]
    letter = counter.call("GET", f"{path}/letter")
    if decision["offer"] is not None:
        table = counter.call("GET", f"{path}/disclosure")
        agreed = {"decision": decision["id"], "disclosure_sha256": table["sha256"]}
        counter.call("POST", f"{path}/acceptance", agreed)
        paid = {"payment": f"demo-{shown['id']}", "amount": AMOUNT, "on": _today()}
        counter.call("POST", f"{path}/disbursement", paid, CallerRole.SERVICING)
    verified = verify_kept(
        _receipt(counter, decision["id"]), founded.consortium, [person.pseudonym]
    )
    return LoanApplied(
        status=counter.call("GET", path)["status"],
        seconds=seconds,
        score=decision["score"],
        offer=decision["offer"],
        reasons=tuple(decision["reasons"]),
        letter={tongue: letter[tongue] for tongue in ("zh", "en")},
        entry_index=decision["entry_index"],
        receipt=verified.sentence,
    )


def _today() -> str:
    """The lender's day."""
    return now().astimezone(ZoneInfo(TIMEZONE)).date().isoformat()


def _receipt(counter: _Counter, decision: str) -> str:
    """Once the log's witnesses have signed what it rests on."""
    deadline = time.monotonic() + RECEIPT_TIMEOUT_S
    while True:
        token = {"Authorization": f"Bearer {counter.tokens[CallerRole.ORIGINATION]}"}
        answer = counter.http.get(f"/v1/decisions/{decision}/receipt", headers=token)
        if answer.is_success:
            return str(answer.json()["receipt"])
        if time.monotonic() > deadline:
            raise DemoError(f"the desk gave no receipt: {answer.text}")
        time.sleep(0.2)
