"""Extension (展期): when a loan may be given more time, and what its whole life then costs. Pure.

Asked for before the due day, agreed to by the lender, all extensions together no longer than the
law of the day allows, and the all-in cost of the whole life, extension included, within the cap of
that day. What an extension does to a loan is in :mod:`lending.restructuring`: it moves present
dues, never the contractual clock.

This is engineering, not legal advice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from typing import Literal

from lending.account import Account
from lending.cases import Cost
from lending.cost import CashFlow
from lending.errors import AccountError
from lending.fold import happened, resume, state
from lending.ledger_rows import DueRow
from lending.loan_events import Extended, LoanEvent, Repaid
from lending.loan_states import LoanStatus, next_loan_status

Flow = tuple[date, int]
"""Fen that the borrower receives (above 0) or pays (below 0) on a day."""
CostOf = Callable[[Sequence[Flow]], Cost]
"""The annual cost of cash flows, beside the cap of the day on which the extension is asked for."""
ExtensionObstacle = Literal[
    "status", "overdue", "asked-late", "no-consent", "law-silent", "too-long", "above-cap"
]
_PROJECTED = "projected"


@dataclass(frozen=True, slots=True)
class ExtensionRule:
    """What a law says of the length of extensions."""

    term_days: int
    """For loans of up to so many days; of longer ones it says nothing."""
    share: Fraction
    """All extensions together are at most this share of the original term."""
    source: str
    verified: bool


SHORT_LOANS = ExtensionRule(
    365, Fraction(1), "贷款通则 12; 个人贷款管理办法 (2024): not read, see docs", verified=False
)
"""Up to a year: no longer than the original term."""


@dataclass(frozen=True, slots=True)
class ExtensionRequest:
    """What a borrower asks for, at the end of which the same dues come later."""

    id: str
    asked_on: date
    days: int
    fee: int = 0
    in_difficulty: bool = False

    @property
    def event(self) -> Extended:
        return Extended(
            id=self.id,
            day=self.asked_on,
            amount=self.fee,
            days=self.days,
            in_difficulty=self.in_difficulty,
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
    consented: bool,
    rule: ExtensionRule,
    cost_of: CostOf,
    others: Sequence[Flow] = (),
) -> ExtensionAnswer:
    """Whether this extension may be granted.

    Args:
        account: as of any day up to that of the request.
        consented: the lender agreed.
        rule: the law of the day.
        cost_of: the cost of cash flows, with the cap of the day.
        others: what the borrower pays to others for this loan (guarantor, insurer, platform).
    """
    now = resume(account, (), request.asked_on)
    found = list(_obstacles(now, request, consented, rule))
    cost = None
    if not {"status", "asked-late"} & set(found):
        cost = cost_after(now, request.event, cost_of, others)
        if not cost.within:
            found.append("above-cap")
    return ExtensionAnswer(tuple(found), cost, None if found else request.event)


def _obstacles(
    now: Account, request: ExtensionRequest, consented: bool, rule: ExtensionRule
) -> Sequence[ExtensionObstacle]:
    found: list[ExtensionObstacle] = []
    try:
        next_loan_status(now.status, "extend")
    except AccountError:
        found.append("status")
    if now.past_due_ungraced:
        found.append("overdue")
    ahead = [row.due for row in now.rows if _asks_later(row, now.day)]
    if not ahead or any(row.due == now.day and row.open for row in now.rows):
        found.append("asked-late")
    if not consented:
        found.append("no-consent")
    if now.contract.term_days > rule.term_days:
        found.append("law-silent")
    elif now.extended_days + request.days > rule.share * now.contract.term_days:
        found.append("too-long")
    return found


def _asks_later(row: DueRow, day: date) -> bool:
    return row.due > day and bool(row.principal.open or row.base)


def cost_after(
    account: Account, change: LoanEvent, cost_of: CostOf, others: Sequence[Flow] = ()
) -> Cost:
    """What the whole life costs if this is booked: an extension, a fee or another plan. None of
    them may lift it above the cap of its day."""
    return cost_of(tuple(sorted((*life(account, change), *others))))


def life(account: Account, change: LoanEvent) -> tuple[Flow, ...]:
    """The cash flows of the whole life, as the borrower sees them: those that were, without
    penalties, and those to come if this is booked and from then on everything is paid on its day.

    A penalty is owed for being late, not for the loan: no cap of the cost counts it, and the
    disclosure table names it apart (个人贷款业务明示综合融资成本规定, 2026).
    """
    contract = account.contract
    flows: list[Flow] = [(contract.starts, contract.principal)]
    spent = 0
    for then in stages(account, change):
        flows.append((then.day, spent - _spent(then)))
        spent = _spent(then)
    return tuple(flow for flow in flows if flow[1])


def cash_of_life(account: Account, change: LoanEvent) -> tuple[CashFlow, ...]:
    """As :func:`life`, with what of each payment was principal."""
    contract = account.contract
    flows = [CashFlow(contract.starts, received=contract.principal)]
    spent, repaid = 0, 0
    for then in stages(account, change):
        principal = then.paid.principal - repaid
        flows.append(CashFlow(then.day, 0, principal, _spent(then) - spent - principal))
        spent, repaid = _spent(then), then.paid.principal
    return tuple(flows)


def stages(account: Account, change: LoanEvent) -> Iterator[Account]:
    """The loan on each day on which money moved or will, if this is booked and from then on
    everything is paid on its day."""
    events = happened(account.events)
    for day in sorted({one.day for one in events}):
        yield state(account.contract, events, day)
    ahead = resume(replace(account, events=tuple(events)), [change], change.day)
    stops = sorted({row.due for row in ahead.rows if row.due > change.day})
    for number, day in enumerate([change.day, *stops]):
        ahead = resume(ahead, (), day)
        if ahead.due.total and ahead.status is not LoanStatus.SETTLED:
            ahead = resume(
                ahead,
                [Repaid(id=f"{_PROJECTED}-{number}", day=day, amount=ahead.due.total)],
                day,
            )
        yield ahead


def _spent(account: Account) -> int:
    return account.received - account.refunded - account.paid.penalty
