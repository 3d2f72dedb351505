"""Extension (展期): when a loan may be given more time, and what its whole life then costs. Pure.

Asked for before the due day, agreed to by the lender, all extensions together no longer than law
and product allow, and the all-in cost of the whole life, extension included, within the cap of that
day. What an extension does to a loan is in :mod:`lending.account.restructuring`: it moves present
dues, never the contractual clock.

This is engineering, not legal advice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal, NamedTuple

from lending.account.allocation import Others
from lending.account.balances import Account
from lending.account.events import Extended, LoanEvent, Repaid
from lending.account.fold import happened, opened, resume, state
from lending.account.rows import DueRow
from lending.account.states import next_loan_status
from lending.cases import Cost
from lending.errors import AccountError


class LifeFlow(NamedTuple):
    """What went between a borrower and everybody else on one day, fen."""

    day: date
    received: int = 0
    principal: int = 0
    """Paid back."""
    charges: int = 0
    """Paid beyond it, to whomever; no penalty."""

    @property
    def net(self) -> int:
        return self.received - self.principal - self.charges


CostOf = Callable[[Sequence[LifeFlow]], Cost]
"""The annual cost of cash flows, beside the cap of the day on which a change is booked."""
ExtensionObstacle = Literal[
    "status",
    "overdue",
    "asked-late",
    "no-consent",
    "too-often",
    "law-silent",
    "too-long",
    "above-cap",
]


@dataclass(frozen=True, slots=True)
class ExtensionLimits:
    """What law and product allow."""

    days: int | None
    """All extensions together, the lesser of the two; None where the law says nothing of such a
    loan, and nothing is granted. In China for loans of up to a year the original term (贷款通则 12;
    个人贷款管理办法 2024) [know]."""
    times: int = 1
    asked_before_days: int = 1
    """The latest that one may be asked for, days before what is put off falls due."""


@dataclass(frozen=True, slots=True)
class ExtensionRequest:
    """What a borrower asks for: the same dues, so many days later."""

    id: str
    asked_on: date
    days: int
    fee: int = 0
    """The lender's."""
    others: Others = ()
    in_difficulty: bool = False
    consented: bool = False
    """The lender agreed."""

    @property
    def event(self) -> Extended:
        return Extended(
            id=self.id,
            day=self.asked_on,
            amount=self.fee,
            days=self.days,
            in_difficulty=self.in_difficulty,
            others=self.others,
        )


@dataclass(frozen=True, slots=True)
class ExtensionAnswer:
    """Why it cannot be granted, if it cannot; and the cost of the life with it."""

    obstacles: tuple[ExtensionObstacle, ...]
    cost: Cost | None
    event: Extended | None
    """To book, if nothing stands against it."""


def answer(
    account: Account,
    request: ExtensionRequest,
    limits: ExtensionLimits,
    cost_of: CostOf,
    others: Sequence[LifeFlow] = (),
) -> ExtensionAnswer:
    """Whether this extension may be granted.

    Args:
        account: as of any day up to that of the request.
        limits: of the day.
        cost_of: the cost of cash flows, with the cap of the day.
        others: what the borrower paid to others for this loan (guarantor, insurer, platform), and
            the account does not have.
    """
    now = resume(account, (), request.asked_on)
    found = _obstacles(now, request, limits)
    cost = None
    if any(_put_off(row, now.day) for row in now.rows) and "status" not in found:
        cost = cost_after(now, request.event, cost_of, others)
        if not cost.within:
            found.append("above-cap")
    return ExtensionAnswer(tuple(found), cost, None if found else request.event)


def _obstacles(
    now: Account, request: ExtensionRequest, limits: ExtensionLimits
) -> list[ExtensionObstacle]:
    found: list[ExtensionObstacle] = []
    try:
        next_loan_status(now.status, "extend")
    except AccountError:
        found.append("status")
    if now.past_due_ungraced:
        found.append("overdue")
    ahead = min((row.due for row in now.rows if _put_off(row, now.day)), default=now.day)
    if (ahead - now.day).days < max(limits.asked_before_days, 1):
        found.append("asked-late")
    if not request.consented:
        found.append("no-consent")
    given = [one for one in happened(now.events) if isinstance(one, Extended)]
    if len(given) >= limits.times:
        found.append("too-often")
    if limits.days is None:
        found.append("law-silent")
    elif sum(one.days for one in given) + request.days > limits.days:
        found.append("too-long")
    return found


def _put_off(row: DueRow, day: date) -> bool:
    """Whether an extension of this day would move it."""
    return row.due >= day and row.origin is not None and bool(row.open or row.base)


def cost_after(
    account: Account, change: LoanEvent, cost_of: CostOf, others: Sequence[LifeFlow] = ()
) -> Cost:
    """What the whole life costs if this is booked: an extension, a fee or another plan. None of
    them may lift it above the cap of its day."""
    return cost_of(tuple(sorted((*life(account, change), *others))))


def life(account: Account, change: LoanEvent) -> tuple[LifeFlow, ...]:
    """The cash flows of the whole life, as the borrower sees them: those that were, without
    penalties, and those to come if this is booked and from then on everything is paid on its day.
    Money counts from when it met a claim.

    A penalty is owed for being late, not for the loan: no cap of the cost counts it, and the
    disclosure table names it apart (个人贷款业务明示综合融资成本规定, 2026).
    """
    contract, events = account.contract, happened(account.events)
    flows = [LifeFlow(contract.starts, received=contract.principal)]
    stops = {change.day, *_stops(account), *(one.day for one in events)}
    now = opened(contract)
    for day in sorted(stop for stop in stops if stop <= change.day):
        then, now = now, state(contract, events, day)
        flows.append(_paid_between(then, now))
    then, now = now, resume(replace(now, events=tuple(events)), [change], change.day)
    stops = {change.day, *(stop for stop in _stops(now) if stop > change.day)}
    for number, day in enumerate(sorted(stops)):
        now = resume(now, (), day)
        if now.due.total:
            all_due = Repaid(id=f"projected-{number}", day=day, amount=now.due.total)
            now = resume(now, [all_due], day)
        flows.append(_paid_between(then, now))
        then = now
    return tuple(flow for flow in flows if flow.net)


def _stops(account: Account) -> set[date]:
    """The days on which held money may meet something."""
    return {stop for row in account.rows for stop in (row.asks_on, row.due)}


def _paid_between(then: Account, now: Account) -> LifeFlow:
    before, after = then.paid, now.paid
    charges = [each.interest + each.fees + each.others for each in (before, after)]
    return LifeFlow(now.day, 0, after.principal - before.principal, charges[1] - charges[0])
