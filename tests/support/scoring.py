"""A lender's desk in a market: its copy of consents, its outbox, what it states in the log."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine, event
from support.market import Market, _UnderTheClock
from support.world import Person

from clients.consents import Consents
from desk.consents import Permission, ScoringConsents
from desk.office import InHand
from desk.outbox import Sender, UseOutbox, outbox_table
from desk.statements import Decided, decision_payload
from desk.trail import LoggedUse, Trail
from law.categories import DataCategory
from lending.cases import Application, Case, Cost, Decision, Fact, LoanOffer, PrincipalReason, Scored, Step
from protocol.client.desks import DeskClient
from protocol.notices import Notice
from protocol.uses import SCORING_PURPOSE, Blinding, UseStatement

REPAYMENT, BUREAU, INCOME = DataCategory.REPAYMENT, DataCategory.BUREAU, DataCategory.INCOME
ASKED = (REPAYMENT, BUREAU, INCOME)
SOURCES = {"own-book": REPAYMENT, "bureau": BUREAU}


class SignedDesk(_UnderTheClock, DeskClient):
    """The client that desks use."""


class SmallStorage:
    """A database as the desk's is: many readers, one writer at a time."""

    def __init__(self, path: Path) -> None:
        self.engine: Engine = create_engine(f"sqlite:///{path}")

        @event.listens_for(self.engine, "connect")
        def _on_connect(connection: Any, _record: Any) -> None:
            connection.isolation_level = None
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA busy_timeout=10000")

        @event.listens_for(self.engine, "begin")
        def _on_begin(connection: Any) -> None:
            writing = connection.get_execution_options().get("writing", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self.engine.connect().execution_options(writing=True) as connection, connection.begin():
            yield connection


@dataclass
class Desk:
    """One lender's desk."""

    market: Market
    client: SignedDesk
    consents: ScoringConsents
    storage: SmallStorage
    outbox: UseOutbox
    trail: Trail
    sender: Sender

    @classmethod
    def of(cls, market: Market, folder: Path, lender: str = "aspen") -> Desk:
        """A new process over what lies in ``folder``."""
        folder.mkdir(exist_ok=True)
        client = SignedDesk(market, lender)
        storage, metadata = SmallStorage(folder / "desk.db"), MetaData()
        table = outbox_table(metadata)
        metadata.create_all(storage.engine)
        outbox = UseOutbox(storage, table)
        consents = ScoringConsents(Consents(folder, lender), client, clock=market.clock)
        trail = Trail(outbox, client, market.keys[lender], market.clock)
        return cls(market, client, consents, storage, outbox, trail, Sender(outbox, client))

    def permission(self, person: Person, *categories: DataCategory) -> Permission:
        return self.consents.check(person.pseudonym, categories or ASKED)

    def reads(self, person: Person, application: str = "a-1") -> tuple[Blinding, Permission, LoggedUse]:
        """``use.read`` logged and kept."""
        blinding, permission = Blinding.of(application), self.permission(person)
        sources = {name: one for name, one in SOURCES.items() if one in permission.granted}
        logged = self.trail.read(blinding, permission, sources)
        with self.storage.write() as connection:
            hand = InHand(connection, self.market.clock())
            self.trail.keep(hand, logged)
            hand.insert_added()
        return blinding, permission, logged

    def decides(
        self, blinding: Blinding, permission: Permission, automated: bool = True, **changes: Any
    ) -> tuple[UseStatement, Mapping[str, Any]]:
        """A decision recorded with its statement; nothing is delivered."""
        case, decision = decided(blinding.application, self.market, **changes)
        payload = decision_payload(decision)
        sources = {name: one for name, one in SOURCES.items() if one in permission.granted}
        said = self.trail.scored(blinding, permission, Decided(case, payload, sources, automated))
        with self.storage.write() as connection:
            self.trail.record(connection, blinding, said)
        return said, payload


def decided(application: str, market: Market, **changes: Any) -> tuple[Case, Decision]:
    moment = market.clock()
    asked = Application(application, "cash", 1_000_000, 30, "rent", moment)
    scored = Scored(612, "B", 0.0625, 600, ())
    cost = Cost(Decimal("0.1280"), Decimal("0.1205"), Decimal("0.24"), "CN 2025-12", 9_900)
    offer = LoanOffer("cash", 1_000_000, 30, 330, 2_000_000, cost, moment + timedelta(days=1))
    decision = Decision(
        application, "approve", scored, offer, (PrincipalReason("late", "score", 12, {"months": 3}),),
        (Step("knock-outs", "age", False, ("age",)),), "c" * 64, moment,
    )  # fmt: skip
    facts = {"late": Fact("late", "present", 2, "own-book")}
    case = Case(asked, facts, scored, 0, moment, "1" * 64, "2" * 64, "3" * 64, "4" * 64)
    return case, dataclasses.replace(decision, **changes)


def asks_to_score(market: Market, version: int = 1, notice_id: str = "scoring", **terms: Any) -> Notice:
    """A published notice of scoring; the market's latest from now on."""
    fields = {"automated_decision": True, "categories": ASKED} | terms
    notice = market.publish(version, notice_id, purpose=SCORING_PURPOSE, **fields)
    market.checkpoint()  # a state is bound to a published head
    return notice
