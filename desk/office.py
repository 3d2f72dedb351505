"""A desk at work: what its commands share. Each change is one transaction, with one moment."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Table, bindparam, insert, select, update

from crypto.errors import TahiniError
from desk.assessed import OwnAssessment
from desk.consents import ConsentLost, ConsentsUnavailable, Permission
from desk.errors import RulesMissing
from desk.grouping import Together
from desk.lending_rules import LendingRules
from desk.outbox import Adding, Trouble
from desk.sealing import AtRest
from desk.sources import Sources
from desk.standing import ModelStanding
from desk.statements import Decided
from desk.storage.database import DeskDatabase
from desk.storage.tables import METADATA
from desk.storage.tables import clock as clock_table
from desk.trail import AboutToRead, LoggedUse
from desk.verifying import Verifying
from desk.vouching import Vouching
from desk.wording import Wording
from law.categories import DataCategory
from lending.portraits import Portrait
from protocol.client.desks import UseAnswer
from protocol.errors import ClockWrong, StorageFailed
from protocol.schema import now
from protocol.uses import Blinding, UseStatement, UseStep

CLOCK_SKEW = timedelta(seconds=5)
"""How far the machines of one desk may disagree."""
LOG_PATIENCE_S = 10.0
"""How long a caller waits for the log's index; then it is answered that the decision is pending."""
MACHINE = "machine"
Found = TypeVar("Found")
_NEWEST = select(clock_table.c.newest)
_SET_CLOCK = update(clock_table).values(newest=bindparam("moment"))
_PLACES = {table.name: place for place, table in enumerate(METADATA.sorted_tables)}
_INSERTS = {table.name: insert(table) for table in METADATA.sorted_tables}


class Permits(Protocol):
    """How applicants' consents stand (``desk.consents``)."""

    def check(self, pseudonym: str, categories: Sequence[DataCategory]) -> Permission: ...
    def check_together(
        self, people: Sequence[str], categories: Sequence[DataCategory]
    ) -> Sequence[Permission | ConsentsUnavailable]: ...
    def check_again(self, before: Permission) -> tuple[ConsentLost, ...]: ...


class Stating(Protocol):
    """What is stated in the log (``desk.trail.Trail``)."""

    def read(
        self, blinding: Blinding, permission: Permission, sources: Mapping[str, DataCategory]
    ) -> LoggedUse: ...
    def read_together(self, uses: Sequence[AboutToRead]) -> list[LoggedUse | Exception]: ...
    def keep(self, hand: Adding, logged: LoggedUse) -> None: ...
    def scored(
        self, blinding: Blinding, permission: Permission, decided: Decided
    ) -> UseStatement: ...
    def explained(self, blinding: Blinding, scored: UseStatement, text: str) -> UseStatement: ...
    def state(self, hand: Adding, blinding: Blinding, said: UseStatement) -> None: ...
    def record(self, connection: Connection, blinding: Blinding, said: UseStatement) -> None: ...
    def receipt(self, blinding: Blinding, payload: Mapping[str, Any]) -> str | None: ...


class Sending(Protocol):
    """What takes the outbox to the log (``desk.outbox.Sender``)."""

    @property
    def trouble(self) -> Trouble | None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def hear(self, application: str, step: UseStep) -> Future[UseAnswer]: ...
    def wait(self, application: str, step: UseStep, timeout_s: float) -> int: ...


class InHand:
    """One transaction of a desk and its moment, which is never before that of an earlier one."""

    def __init__(self, connection: Connection, moment: datetime) -> None:
        self.moment = moment
        self._connection = connection
        self._added: dict[tuple[str, tuple[str, ...]], list[dict[str, Any]]] = {}

    @property
    def connection(self) -> Connection:
        """For whatever reads, or changes what is there; what was added is there."""
        self.insert_added()
        return self._connection

    def add(self, table: Table, **row: Any) -> None:
        """Insert a row before the transaction ends: many rows cost one statement for each table."""
        self._added.setdefault((table.name, tuple(row)), []).append(row)

    def insert_added(self) -> None:
        """In an order in which whatever a row refers to goes before it."""
        added, self._added = self._added, {}
        for name, columns in sorted(added, key=lambda one: _PLACES[one[0]]):
            self._connection.execute(_INSERTS[name], added[name, columns])


Job = Callable[[InHand], Any]


@dataclass(frozen=True)
class Ways:
    """How a lender wants its desk to work."""

    timezone: ZoneInfo
    """Whose calendar days count: of due dates, value dates, days past due."""
    four_eyes: bool = False
    """A second person has to agree to what a reviewer decides."""
    accept_within: timedelta = timedelta(days=3)
    """How long an offer that a person made is good for."""
    letter_end: Mapping[str, str] = field(default_factory=dict)
    """What stands under every letter, by language: who the lender is, and where it is found."""
    reading: timedelta = timedelta()
    """How long the table of what a loan costs is shown before it can be accepted."""


@dataclass
class Transactions:
    """The desk's database, a moment for each transaction. Until it is started each caller commits
    in its own thread."""

    database: DeskDatabase
    clock: Callable[[], datetime] = now
    _writer: Together[Job, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._writer = Together(self._commit, "desk-writer")

    def start(self) -> None:
        self._writer.start()

    def stop(self) -> None:
        self._writer.stop()

    def write(self, job: Callable[[InHand], Found]) -> Found:
        """Do ``job`` in a transaction, together with whatever else waits; durable when this
        returns. It may be done twice, so it does nothing but read and write there.

        Raises:
            ClockWrong, StorageFailed, and whatever the job raises: nothing was recorded.
        """
        found: Found = self._writer.submit(job).result()
        return found

    def write_together(self, jobs: Sequence[Job]) -> list[Any]:
        """As :meth:`write`, for several: what each found, or what it raised."""
        waiting = [self._submitted(job) for job in jobs]
        return [one.result() if (failed := one.exception()) is None else failed for one in waiting]

    def _submitted(self, job: Job) -> Future[Any]:
        """That too many wait is the answer to this one: those before it are being done."""
        try:
            return self._writer.submit(job)
        except StorageFailed as error:
            refused: Future[Any] = Future()
            refused.set_exception(error)
            return refused

    @contextmanager
    def reading(self) -> Iterator[InHand]:
        """One consistent view."""
        with self.database.read() as connection:
            yield InHand(connection, self.clock())

    def _commit(self, jobs: Sequence[Job]) -> list[Any]:
        with self.database.write() as connection:
            hand = InHand(connection, self._moment(connection))
            found = [job(hand) for job in jobs]
            hand.insert_added()
            return found

    @property
    def ended(self) -> bool:
        """Whoever commits is gone, though nobody stopped it: nothing can be recorded."""
        return self._writer.ended

    def check_clock(self) -> None:
        """Raises ClockWrong, as every change would."""
        with self.reading() as hand:
            _require_no_step_back(hand.moment, hand.connection.scalar(_NEWEST))

    def _moment(self, connection: Connection) -> datetime:
        """Now, as this transaction has it. Raises ClockWrong where the machine's clock went back:
        no offer lives longer, and no day passes twice, because somebody set it."""
        moment = self.clock()
        newest: datetime | None = connection.scalar(_NEWEST)
        if newest is None:
            connection.execute(insert(clock_table).values(id=1, newest=moment))
            return moment
        _require_no_step_back(moment, newest)
        if moment <= newest:
            return newest
        connection.execute(_SET_CLOCK, {"moment": moment})
        return moment


@dataclass
class Desk:
    """Everything that a command works on."""

    transactions: Transactions
    at_rest: AtRest
    lending: LendingRules
    wording: Wording
    sources: Sources
    permits: Permits
    trail: Stating
    sender: Sending
    verifiers: Mapping[str, Verifying]
    ways: Ways
    assessed: OwnAssessment
    portraits: Sequence[Portrait] = ()
    """All that the lender ever signed (``desk.portraying``)."""
    portrait_permits: Permits | None = None
    """How customers' consents to portraits stand; where nobody says, nobody is in one."""
    vouch: Vouching | None = None
    """Who a customer is who logged in; where nobody says, no customer calls."""
    standing: ModelStanding | None = None
    """Whether the model that scores may be used; None where none scores."""
    trying: ModelStanding | None = None
    """Whether the one may that is tried in shadow beside it; None where none is."""
    unfit: str | None = None
    """Why the one that was to be tried cannot be: the desk decides on without it."""
    _set_aside: LendingRules | None = None
    """What is decided by as soon as the model may be used again."""
    _turning: threading.Lock = field(default_factory=threading.Lock)
    kept_rules: set[str] = field(default_factory=set)
    """Hashes of what is known to be kept (``desk.rulebook``)."""

    def start(self) -> None:
        self.transactions.start()
        self.sender.start()
        for one in self.standings:
            one.start()

    @property
    def standings(self) -> list[ModelStanding]:
        """How each model stands that scores here."""
        return [one for one in (self.standing, self.trying) if one is not None]

    def stop(self) -> None:
        for one in self.standings:
            one.stop()
        self.sender.stop()
        self.transactions.stop()

    def heed_standing(self) -> str | None:
        """Decide without the model for as long as it may not be used; says why, if so.

        Raises:
            RulesMissing: whether it may cannot be told, so nothing is decided by it.
        """
        with self._turning:
            try:
                why = None if self.standing is None else self.standing.stops()
            except TahiniError as error:
                raise RulesMissing(f"{error}; nothing is decided by that model") from error
            aside = self._set_aside
            if why is not None and aside is None:
                self._set_aside, self.lending = self.lending, self.lending.by_hand()
            elif why is None and aside is not None:
                self.lending, self._set_aside = aside, None
        return why

    def tried_by(self, rules: LendingRules) -> LendingRules:
        """These rules, without the model in shadow for as long as nobody may be scored by it."""
        barred = self.trying is not None and self.trying.barred() is not None
        return rules.untried if barred else rules

    @property
    def released(self) -> LendingRules:
        """What was released to this desk, its model included, whether it may be used or not."""
        with self._turning:
            return self._set_aside or self.lending

    def close(self) -> None:
        self.sources.close()
        self.transactions.database.close()

    def write(self, job: Callable[[InHand], Found]) -> Found:
        """As :meth:`Transactions.write`."""
        return self.transactions.write(job)

    def reading(self) -> AbstractContextManager[InHand]:
        """One consistent view."""
        return self.transactions.reading()

    def now(self) -> datetime:
        """This instant, by the lender's own clock on the wall: its date is the lender's day."""
        return self.transactions.clock().astimezone(self.ways.timezone)

    @property
    def reads(self) -> frozenset[DataCategory]:
        """Every kind of data that a source or a verifier is asked for."""
        return frozenset(self.sources.categories).union(
            *(one.about.categories for one in self.verifiers.values())
        )

    def unassessed(self) -> str | None:
        """Why nothing may be decided now, for want of the lender's own assessment; None where it
        may."""
        return self.assessed.missing(self.reads, self.now())

    def day(self, moment: datetime) -> date:
        """The lender's calendar day."""
        return moment.astimezone(self.ways.timezone).date()


def _require_no_step_back(moment: datetime, newest: datetime | None) -> None:
    if newest is not None and moment < newest - CLOCK_SKEW:
        raise ClockWrong(
            f"this machine's clock says {moment:%Y-%m-%d %H:%M:%S} UTC, but something was "
            f"recorded at {newest:%Y-%m-%d %H:%M:%S} UTC already; set it right"
        )


def new_id() -> str:
    """128 random bits, base64url."""
    return secrets.token_urlsafe(16)
