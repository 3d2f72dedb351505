"""Two years of lending over a calendar that the demo controls: a real desk, its real commands, a
real log.

The calendar is that of the desk's books: it says when loans are asked for, paid out, due and paid
back. Consents are given, checked and stated in the log by the clock on the wall, which is the only
one that the registry believes: only the loans grow old.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from sqlalchemy import select

from clients.home import Node
from demo.borrowers import DemoBorrower
from demo.branches import make_branch
from demo.errors import DemoError
from demo.lending import agree, customers_of, facts_of
from demo.population import BATCH
from demo.repaying import EXTENSION_DAYS, Act, course
from demo.result import ProgressView, Scenario, YearsLived
from desk.accounts import account_of, held_loan
from desk.commands.accept import Acceptance, accept
from desk.commands.apply import LoanWanted, apply
from desk.commands.book import book_standing
from desk.commands.disburse import Payment, disburse
from desk.commands.export_book import export_book
from desk.commands.extend import extend
from desk.commands.letters import disclosure
from desk.commands.repay import Booking, Received, happen, repay
from desk.commands.review import Verdict, decide_review
from desk.commands.review import take as take_case
from desk.home import open_desk
from desk.office import Desk, Transactions
from desk.own_tables import FileSource
from desk.records import Held
from desk.records import held as held_application
from desk.sources import About, Inquiry, Reading, Sources
from desk.states import ApplicationStatus
from desk.storage.tables import reviews
from lending.account.balances import Account
from lending.account.default import Definition
from lending.account.events import ChargedOff, Recovered
from lending.policy.pricing import Extending
from protocol.errors import Conflict
from protocol.schema import now

WEEK, WEEKS, STEPS = timedelta(weeks=1), 4, 26
"""People apply every fourth week; what happens to loans is booked every week, with its own day."""
WINDOW_DAYS = 180
"""Of the labels: thirty days and three months, and ninety days late after them."""
YEARS_FOLDER, BOOK = "two-years", "own-loans.parquet"
DIFFERENT = 0.85
"""Of so many applications, so many people: the others come back."""
MOST_LOANS, LEAST_INCOME, MOST_DEBT = 12, 1000, 0.45
AT = time(10)
"""When a day's business is done, by the lender's clock."""
AT_ONCE = 64
"""Clerks, so to say: applications that are worked on at a time."""
BY = Booking("demo")
REVIEWER = "demo-reviewer"
LOOKED = Verdict("approve", ("income and payments were looked at: they leave enough to live on",))
SHORT = 0.75
"""Share of wishes for thirty days; the others want three months."""


@dataclass
class Calendar:
    """A clock that stands still until it is moved on."""

    moment: datetime

    def __call__(self) -> datetime:
        return self.moment

    def move_to(self, day: date, zone: ZoneInfo) -> None:
        self.moment = datetime.combine(day, AT, zone)


@dataclass(frozen=True)
class Remembered:
    """A source of a desk's, answered from memory: what a lender knows of its customers stays, but
    their last late payment is always as long ago as it was on the first day.

    Args:
        described: the file that it stands for.
        rows: by pseudonym; dates as of the first day.
    """

    described: FileSource
    rows: Mapping[str, Mapping[str, Any]]
    today: Callable[[], date]
    first: date

    @property
    def about(self) -> About:
        return self.described.about

    def ask(self, inquiry: Inquiry) -> Mapping[str, Reading]:
        row = self.rows[inquiry.pseudonym]
        day = row[self.described.observed_on] if self.described.observed_on else None
        moved = None if day is None else day + (self.today() - self.first)
        return {
            name: Reading(row[column], moved)
            for name, column in self.described.columns.items()
            if row[column] is not None
        }


@contextmanager
def desk_under(home: Path, calendar: Calendar, customers: pd.DataFrame) -> Iterator[Desk]:
    """The desk in ``home`` at work, its books under this calendar, its sources these rows."""
    desk = open_desk(home)
    desk.transactions = Transactions(desk.transactions.database, calendar)
    known = customers.astype(object).where(customers.notna(), None)
    columns = [str(name) for name in known.columns]
    values = known.itertuples(index=False, name=None)
    rows = {
        row["pseudonym"]: row for row in (dict(zip(columns, one, strict=True)) for one in values)
    }
    first, described = desk.now().date(), desk.sources
    desk.sources = Sources(
        [
            Remembered(one, rows, lambda: desk.now().date(), first)
            for one in described.sources
            if isinstance(one, FileSource)
        ]
    )
    described.close()
    desk.start()
    try:
        yield desk
    finally:
        desk.stop()
        desk.close()


@dataclass(frozen=True)
class Wish:
    """What somebody comes for, and how it will end for them, which no desk knows."""

    asked: LoanWanted
    bad: bool
    fate: Sequence[int]
    """Seed of what they will do."""


@dataclass
class Branch:
    """What goes on at a desk.

    Args:
        customers: ``pseudonym``, ``income`` (a month's, in yuan) and ``bad``.
        seed: fixes who comes, what for, and what becomes of it.
        decided: applications by what they led to first.
    """

    desk: Desk
    customers: pd.DataFrame
    seed: int
    decided: Counter[str] = field(default_factory=Counter)
    beside: Counter[str] = field(default_factory=Counter)
    """What else happened: extensions that were refused, cases left with a person."""
    _agenda: dict[date, list[tuple[str, Act]]] = field(default_factory=lambda: defaultdict(list))
    _busy: dict[str, date] = field(default_factory=dict)
    """Until when somebody who has a loan does not come again."""
    _rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng([self.seed, 5])

    @property
    def today(self) -> date:
        return self.desk.now().date()

    def wishes(self, count: int) -> list[Wish]:
        """Of so many of those who owe nothing here."""
        today = self.today
        free = [
            at
            for at, name in enumerate(self.customers["pseudonym"])
            if self._busy.get(name, date.min) < today
        ]
        chosen = self._rng.permutation(free)[:count]
        return [self._wish(self.customers.iloc[int(at)]) for at in chosen]

    def _wish(self, row: pd.Series) -> Wish:
        product, days = ("daily-30", 30) if self._rng.random() < SHORT else ("monthly-12", 90)
        wanted = float(np.clip(row["income"] * self._rng.uniform(0.05, 0.2), 500, 8000))
        asked = LoanWanted(
            str(row["pseudonym"]), product, round(wanted / 100) * 10_000, days, "shopping"
        )
        return Wish(asked, bool(row["bad"]), (self.seed, 6, int(self._rng.integers(2**31))))

    def decide(self, wish: Wish) -> Held | None:
        """Decide an application, a person where the machine should not; what was offered, if
        anything was."""
        application = apply(self.desk, wish.asked).application
        found = self._held(application)
        self.decided[found.status.value] += 1
        if found.status is ApplicationStatus.IN_REVIEW:
            found = self._looked_at(application)
        return found if found.status is ApplicationStatus.OFFERED else None

    def take(self, offered: Held) -> None:
        """The borrower reads what it costs, and accepts."""
        application = str(offered.application.id)
        table = disclosure(self.desk, application, to_show=True)
        accept(self.desk, application, Acceptance(offered.decision.id, table.hash))

    def pay_out(self, wish: Wish, offered: Held) -> None:
        """Pay out what was accepted, and plan what becomes of it."""
        application = str(offered.application.id)
        offer = offered.made(self.desk).decision.offer
        if offer is None:
            raise DemoError("an application was offered nothing")
        payment = Payment(f"out-{application}", offer.amount, self.today)
        loan, _ = disburse(self.desk, application, payment, BY.by)
        dues = [one.day for one in self._account(loan, self.today).contract.dues]
        acts = course(dues, wish.bad, np.random.default_rng(wish.fate))
        self._busy[wish.asked.pseudonym] = acts[-1].day + timedelta(weeks=1)
        for act in acts:
            self._agenda[act.day].append((loan, act))

    def _looked_at(self, application: str) -> Held:
        """A person approves what can be lent under the cap, and leaves the rest."""
        with self.desk.reading() as hand:
            of_it = reviews.c.application == application
            review = str(hand.connection.scalar(select(reviews.c.id).where(of_it)))
        take_case(self.desk, review, REVIEWER)
        try:
            decide_review(self.desk, review, REVIEWER, LOOKED)
        except Conflict:
            self.beside["left with a person"] += 1
        return self._held(application)

    def due(self) -> list[tuple[str, list[Act]]]:
        """What is to be done by today, by loan, in order."""
        found: dict[str, list[Act]] = defaultdict(list)
        for day in sorted(day for day in self._agenda if day <= self.today):
            for loan, act in self._agenda.pop(day):
                found[loan].append(act)
        return list(found.items())

    def do(self, loan: str, acts: Sequence[Act]) -> None:
        """Do this with a loan, each on its own day."""
        for act in acts:
            self._do(loan, act)

    def _do(self, loan: str, act: Act) -> None:
        event, desk = f"{act.kind}-{act.day}-{loan}", self.desk
        if act.kind == "extends":
            try:
                extend(desk, loan, Extending(event, act.day, EXTENSION_DAYS), BY)
            except Conflict:  # product, law or arrears: then it is due when it was
                self.beside["not extended"] += 1
            return
        if act.kind == "written-off":
            happen(desk, loan, act.day, lambda _: ChargedOff(id=event, day=act.day), BY)
            return
        account = self._account(loan, act.day)
        if act.kind == "recovers":
            part = max(1, round(account.outstanding.total * act.share))
            recovered = Recovered(id=event, day=act.day, amount=part)
            happen(desk, loan, act.day, lambda _: recovered, BY)
        elif account.due.total:
            repay(desk, loan, Received(event, account.due.total, act.day), BY)

    def _held(self, application: str) -> Held:
        with self.desk.reading() as hand:
            return held_application(hand.connection, application)

    def _account(self, loan: str, day: date) -> Account:
        with self.desk.reading() as hand:
            return account_of(hand.connection, held_loan(hand.connection, loan), day)


def lend_on(
    scenario: Scenario, others: Collection[str], url: str, view: ProgressView
) -> YearsLived:
    """Two years of the first lender's desk, from today on, and the book that they leave.

    Args:
        others: who is asked nothing any more: who withdrew, who has applied.

    Raises:
        DemoError, and what desks and the registry refuse with.
    """
    settings, lender = scenario.settings, scenario.campaign.lenders[0]
    view.begin(f"Lend for two years at {lender}, over a calendar of its own")
    node = Node.open(scenario.founded.node_home(lender))
    home = settings.workspace / YEARS_FOLDER
    make_branch(home, scenario, node)
    people, table = customers(scenario, others, lender)
    for first in range(0, len(people), BATCH):
        agree(scenario.founded, lender, people[first : first + BATCH], url)
    calendar = Calendar(now())
    with desk_under(home, calendar, table) as desk:
        branch = Branch(desk, table, settings.seed)
        began = branch.today
        live(branch, calendar, settings.applications, lambda done: view.advance(done, STEPS))
        standing = book_standing(desk, branch.today)
        book = home / BOOK
        schema = settings.loans.schema
        written = export_book(desk, schema, Definition(WINDOW_DAYS), branch.today, book)
    asked = branch.decided.total()
    view.end(
        f"{asked:,} applications, {standing.loans:,} loans; a book of {written.rows:,} with mature "
        f"labels ({written.left_out.get('immature', 0):,} are too young)"
    )
    return YearsLived(
        lender=lender,
        first=began,
        last=branch.today,
        decided=dict(branch.decided),
        beside=dict(branch.beside),
        standing=standing,
        book=book,
        written=written,
    )


def customers(
    scenario: Scenario, others: Collection[str], lender: str
) -> tuple[list[DemoBorrower], pd.DataFrame]:
    """People who may come in these years, and what their lender knows of them. To be done in time,
    the demo leaves out who agreed to no training, for their loans would teach nothing, and most of
    those whom the policy would not lend to whatever their score."""
    people, loans = customers_of(scenario, lender)
    come = [one.answer == "gives" and one.pseudonym not in others for one in people]
    fits = (loans["loan_num"] <= MOST_LOANS) & loans["income"].gt(LEAST_INCOME)
    fits &= loans["debrate"] <= MOST_DEBT
    chosen = np.flatnonzero(np.array(come) & fits.to_numpy())
    rng = np.random.default_rng([scenario.settings.seed, 4])
    count = round(DIFFERENT * scenario.settings.applications)
    chosen = np.sort(rng.permutation(chosen)[:count])
    table = facts_of(people, loans).assign(bad=loans[scenario.settings.loans.schema.target])
    return [people[at] for at in chosen], table.iloc[chosen].reset_index(drop=True)


def live(
    branch: Branch,
    calendar: Calendar,
    applications: int,
    told: Callable[[int], None] = lambda _: None,
    steps: int = STEPS,
) -> None:
    """So many applications, as evenly over so many steps as whole ones can be, all of a step
    together; everything else on its own day.

    All are decided before the first is accepted, and accepted before one is paid out: who asks the
    registry at one time is given one answer.

    Args:
        told: how many steps are over.
    """
    zone, first = branch.desk.ways.timezone, branch.today
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="clerk") as clerks:
        for step in range(1, steps + 1):
            for week in range((step - 1) * WEEKS + 1, step * WEEKS + 1):
                calendar.move_to(first + week * WEEK, zone)
                list(clerks.map(lambda one: branch.do(*one), branch.due()))
            count = applications * step // steps - applications * (step - 1) // steps
            wishes = branch.wishes(count)
            found = zip(wishes, clerks.map(branch.decide, wishes), strict=True)
            offered = [(wish, held) for wish, held in found if held is not None]
            list(clerks.map(lambda one: branch.take(one[1]), offered))
            list(clerks.map(lambda one: branch.pay_out(*one), offered))
            told(step)
