"""A desk for tests: the real service and database, and in place of model, policy and registry small ones that a test
sets: who agrees to what, what a source answers, whether the log does."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args
from zoneinfo import ZoneInfo

import httpx
from fastapi.testclient import TestClient
from support.loans import once
from support.waiting import PATIENCE_S
from support.world import Clock, pseudonym

from crypto.documents import document_hash
from crypto.keys import SigningKey
from desk.api.app import create_app
from desk.assessed import OwnAssessment
from desk.callers import CallerRole, DeskCaller, add_caller
from desk.commands.apply import Applying, DecidedApplication, LoanWanted
from desk.consents import ConsentLost, ConsentsUnavailable, Permission
from desk.courses import side_by_side
from desk.lending_rules import Versions
from desk.office import Desk, Transactions, Ways
from desk.outbox import Sender, UseOutbox
from desk.rule_documents import RuleDocument, RuleKind
from desk.sealing import AtRest
from desk.sources import About, Inquiry, Reading, Sources
from desk.storage.database import DeskDatabase
from desk.storage.idempotency import ActsOnce
from desk.storage.tables import outbox
from desk.trail import Trail
from desk.wording import OWN, Wording
from law.categories import DataCategory, consent_for
from lending.account.allocation import STANDARD, Order
from lending.account.balances import Account
from lending.account.early import EarlySettlement
from lending.account.events import ContractDue, LoanContract, Restructured
from lending.account.extension import cost_after
from lending.cases import Case, Cost, Decision, Fact, FeaturePoints, LoanOffer, PrincipalReason, Scored, Step
from lending.law.caps import Cap
from lending.law.rows import LAWS
from lending.policy.pricing import Agreed, ProductPricing
from lending.records import case_json
from lending.score.glossary import Glossary
from lending.terms.cost import CashFlow, cost_of
from lending.terms.disclosure import DisclosureTable
from lending.terms.products import Product
from protocol.client.desks import UseAnswer
from protocol.errors import RegistryUnavailable
from protocol.snapshots import Reason
from protocol.uses import ConsentNamed, UseStatement

RULES = [RuleDocument(kind, kind.encode()) for kind in get_args(RuleKind)[:4]]
HASHES = Versions(*(one.sha256 for one in RULES), "d" * 64)
GOOD, MIDDLING, BAD = 0, 2, 5
"""Late payments of somebody who is approved, of one whom a person looks at, of one who is declined."""


@dataclass
class StandInLog:
    """As a registry answers statements: an index each, the same again for the same statement."""

    key: SigningKey
    entries: list[str] = field(default_factory=list)
    away: bool = False
    refuses: str | None = None
    asked: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def consortium(self) -> Any:
        return SimpleNamespace(lenders=[SimpleNamespace(id="aspen", key=self.key.public)])

    def log_uses(self, tokens: Sequence[str]) -> list[UseAnswer]:
        if self.away:
            raise RegistryUnavailable("the log does not answer")
        with self._lock:
            return [self._logged(token) for token in tokens]

    def _logged(self, token: str) -> UseAnswer:
        step = UseStatement.verify(token, self.key.public).step
        self.asked.append(step)
        if self.refuses == step:
            return UseAnswer(None, "a consent that it names does not hold")
        if token not in self.entries:
            self.entries.append(token)
        return UseAnswer(self.entries.index(token))

    def steps(self) -> list[str]:
        return [UseStatement.verify(token, self.key.public).step for token in self.entries]


@dataclass
class StandInConsents:
    """Everybody agrees to everything, but for what a test says."""

    clock: Callable[[], Any]
    refused: set[DataCategory] = field(default_factory=set)
    automated: bool = True
    checks: int = 0

    def check(self, pseudonym: str, categories: Sequence[DataCategory]) -> Permission:
        self.checks += 1
        given = [one for one in categories if one not in self.refused]
        named = {
            kind: ConsentNamed(
                record_id="0" * 32, sensitivity=kind, categories=tuple(c for c in given if consent_for(c) == kind),
                notice_id="n", notice_version=1, notice_sha256="0" * 64,
            )
            for kind in dict.fromkeys(consent_for(one) for one in given)
        }  # fmt: skip
        if "ordinary" not in named:
            given, named = [], {}
        return Permission(
            pseudonym,
            {one: named[consent_for(one)] for one in given},
            {one: Reason.WITHDRAWN for one in categories if one not in given},
            tuple(named.values()),
            self.automated,
            self.clock(),
            "0" * 64,
        )

    def check_together(
        self, people: Sequence[str], categories: Sequence[DataCategory]
    ) -> list[Permission | ConsentsUnavailable]:
        return [self._told(one, categories) for one in people]

    def _told(self, pseudonym: str, categories: Sequence[DataCategory]) -> Permission | ConsentsUnavailable:
        try:
            return self.check(pseudonym, categories)
        except ConsentsUnavailable as error:
            return error

    def check_again(self, before: Permission) -> tuple[ConsentLost, ...]:
        after = self.check(before.pseudonym, list(before.granted))
        return tuple(ConsentLost(one, reason) for one, reason in after.refused.items())


@dataclass
class StandInSource:
    """Answers what a test sets, or does what it wants."""

    about: About
    values: dict[str, Any]
    wait: threading.Event | None = None
    fails: Exception | None = None
    asked: int = 0
    before: Callable[[], None] = lambda: None

    def ask(self, inquiry: Inquiry) -> Mapping[str, Reading]:
        self.asked += 1
        self.before()
        if self.wait is not None:
            self.wait.wait(PATIENCE_S)
        if self.fails is not None:
            raise self.fails
        return {name: Reading(value) for name, value in self.values.items() if value is not None}


@dataclass
class PlainRules:
    """A score that falls with late payments; whoever is between, or wants a person, is looked at by one."""

    cap: Decimal = Decimal("0.24")
    order: Order = STANDARD
    in_force: Versions = HASHES
    lent_as: Product = field(default_factory=once)
    explored: int | None = None
    """What may be owed in all on loans below the cut-off: every approval is one, if this is said."""

    def versions(self, product: str, day: date) -> Versions:
        return self.in_force

    def documents(self) -> Mapping[str, RuleDocument]:
        return {one.sha256: one for one in RULES}

    def kept(self, facts: Mapping[str, Fact], product: str, day: date) -> dict[str, Fact]:
        return dict(facts)

    def score(self, facts: Mapping[str, Fact]) -> Scored | None:
        late = facts["late"]
        points = -40 * int(late.value) if late.status == "present" else 0  # type: ignore[arg-type]
        neutral = late.status in {"refused", "disputed", "late"}
        return Scored(700 + points, "A", 0.05, 700, (FeaturePoints("late", 0, points, neutral),))

    def decide(self, case: Case) -> Decision:
        assert case.scored is not None
        found = "approve" if case.scored.score >= 660 else "review" if case.scored.score >= 600 else "decline"
        if case.application.wants_person or case.scored.neutral:
            found = "review"
        offer = self.offer(case, case.application.amount, case.application.term_days) if found == "approve" else None
        reasons = () if found == "approve" else (PrincipalReason("late", "score", 700 - case.scored.score),)
        trace = (Step("tiers", found, True, ("score",)), Step("exploration", "chosen", self.explored is not None, ()))
        sha256 = document_hash({"case": repr(case_json(case))})
        return Decision(
            case.application.id, found, case.scored, offer, reasons, trace, sha256, case.now  # type: ignore[arg-type]
        )  # fmt: skip

    @property
    def untried(self) -> PlainRules:
        return self

    def challenger(self, product: str, policy: str, day: date) -> str | None:
        return None

    def silently(self, case: Case, challenger: str) -> Decision:
        raise AssertionError("nobody challenges")

    def offer(self, case: Case, amount: int, term_days: int) -> LoanOffer | None:
        cost = Cost(Decimal("0.2"), Decimal("0.18"), self.cap, "a cap", amount * 450 * term_days // 1_000_000)
        until = case.now + timedelta(days=3)
        return LoanOffer(case.application.product, amount, term_days, 450, 2_000_000, cost, until)

    def most_explored(self, case: Case) -> int:
        return self.explored or 0

    def agreed(self, offer: LoanOffer, loan: str, principal: int, starts: date) -> Agreed:
        interest = principal * offer.rate_ppm_day * offer.term_days // 1_000_000
        dues = (ContractDue(starts + timedelta(days=offer.term_days), principal, interest),)
        contract = LoanContract(loan, principal, starts, dues, offer.rate_ppm_day, 200, order=self.order)
        return Agreed(contract, Cost(Decimal("0.2"), Decimal("0.18"), self.cap, "a cap", 0), 0, self.lent_as)

    def restructuring(self, product: Product, account: Account, event: Restructured) -> Cost:
        cap = Cap(self.cap, ())
        return cost_after(account, event, lambda flows: cost_of([CashFlow(*one) for one in flows], cap))

    def settlement(self, product: Product, account: Account) -> EarlySettlement:
        return ProductPricing({product.name: product}).settlement(product, account)

    def disclosure(self, offer: LoanOffer, day: date) -> DisclosureTable:
        end = day + timedelta(days=offer.term_days)
        name = {"zh": "小额", "en": "Small"}
        return DisclosureTable(name, "e" * 64, offer.amount, day, end, 1, (), offer.cost, ())  # type: ignore[arg-type]

    def hidden(self, held: Mapping[str, Collection[DataCategory]], day: date) -> frozenset[str]:
        return frozenset(name for name, kinds in held.items() if name == "sex" or DataCategory.SEX in kinds)


@dataclass
class Counter:
    """A desk, and everything around it that a test sets."""

    desk: Desk
    clock: Clock
    log: StandInLog
    consents: StandInConsents
    book: StandInSource
    income: StandInSource
    rules: PlainRules
    portrait_consents: StandInConsents
    tokens: dict[str, str] = field(default_factory=dict)
    _http: TestClient | None = None

    @property
    def http(self) -> TestClient:
        if self._http is None:
            self._http = TestClient(create_app(self.desk), raise_server_exceptions=False)
        return self._http

    def token_of(self, who: str) -> str:
        """Of a caller whose name begins with its role."""
        if who not in self.tokens:
            role = CallerRole(who.partition(".")[0])
            self.tokens[who] = self.desk.write(lambda hand: add_caller(hand, DeskCaller(who, role)))
            self.http.app.state.callers._until = 0.0  # type: ignore[attr-defined]
        return self.tokens[who]

    def call(self, who: str, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        sent = {"Authorization": f"Bearer {self.token_of(who)}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        return self.http.request(method, path, json=body, headers=sent)

    def asks(self, late: int | None = GOOD, who: str = "origination", **more: Any) -> httpx.Response:
        """Somebody with so many late payments applies."""
        self.book.values["late"] = late
        headers = more.pop("headers", {})
        body = {"pseudonym": pseudonym(), "product": "small", "amount": 500_000, "term_days": 30, "purpose": "a fridge"}
        return self.call(who, "POST", "/v1/applications", body | more, **headers)

    def offered(self, **more: Any) -> dict[str, Any]:
        answer = self.asks(GOOD, **more)
        assert answer.status_code == 201, answer.text
        assert answer.json()["status"] == "offered"
        return answer.json()  # type: ignore[no-any-return]

    def accepts(self, application: Mapping[str, Any], who: str = "origination", **headers: str) -> httpx.Response:
        path = f"/v1/applications/{application['id']}"
        sha256 = self.call(who, "GET", f"{path}/disclosure").json().get("sha256", "d" * 64)
        body = {"decision": application["decision"]["id"], "disclosure_sha256": sha256}
        return self.call(who, "POST", f"{path}/acceptance", body, **headers)

    def pays(
        self, application: str, payment: str = "pay-1", amount: int = 500_000, who: str = "servicing", **more: Any
    ) -> httpx.Response:
        headers = more.pop("headers", {})
        body = {"payment": payment, "amount": amount, "on": self.today()} | more
        return self.call(who, "POST", f"/v1/applications/{application}/disbursement", body, **headers)

    def lent(self, payment: str = "pay-1", **more: Any) -> dict[str, Any]:
        """A loan that was paid out."""
        application = self.offered(**more)
        assert self.accepts(application).status_code == 201
        paid = self.pays(application["id"], payment)
        assert paid.status_code == 201, paid.text
        return paid.json()  # type: ignore[no-any-return]

    def repays(
        self, loan: str, event: str, amount: int, on: str | None = None, who: str = "servicing", **headers: str
    ) -> httpx.Response:
        body = {"event": event, "amount": amount, "on": on or self.today()}
        return self.call(who, "POST", f"/v1/loans/{loan}/repayments", body, **headers)

    def today(self) -> str:
        return self.desk.day(self.clock()).isoformat()


@contextmanager
def counter(location: Path | str, make: bool = True, log: StandInLog | None = None, **ways: Any) -> Iterator[Counter]:
    """A desk over an SQLite file or a PostgreSQL database."""
    database = DeskDatabase(location)
    if make:
        database.create()
    clock = Clock()
    log = log or StandInLog(SigningKey.generate())
    consents, to_portraits, rules = StandInConsents(clock), StandInConsents(clock), PlainRules()
    held = UseOutbox(database, outbox)
    book = StandInSource(About("book", DataCategory.REPAYMENT, ("late",)), {"late": 0})
    income = StandInSource(About("income", DataCategory.INCOME, ("income",)), {"income": 4000})
    desk = Desk(
        transactions=Transactions(database, clock),
        at_rest=AtRest(b"k" * 32),
        lending=rules,
        wording=Wording(OWN, LAWS, "CN", Glossary({}, {"late": {"en": "late payments", "zh": "逾期"}}, {})),
        sources=Sources([book, income]),
        permits=consents,
        trail=Trail(held, log, log.key, clock),  # type: ignore[arg-type]
        sender=Sender(held, log),  # type: ignore[arg-type]
        verifiers={},
        ways=Ways(ZoneInfo("Asia/Shanghai"), **ways),
        assessed=OwnAssessment("aspen", frozenset({"CN"})),
        portrait_permits=to_portraits,
    )
    found = Counter(desk, clock, log, consents, book, income, rules, to_portraits)
    try:
        with found.http:
            yield found
    finally:
        desk.close()


def apply_together(
    desk: Desk, asked: Sequence[tuple[LoanWanted, ActsOnce | None]]
) -> list[DecidedApplication | Exception]:
    """Applications that come at one moment: what each came to, or what it raised."""
    applying = Applying(desk)
    return side_by_side(applying.course(wanted, once) for wanted, once in asked)


def some_id() -> str:
    return secrets.token_urlsafe(16)
