"""Early repayment: what repays a whole loan on a day, part by part. Pure.

A borrower may repay at any time. Interest is owed for the actual days (Civil Code 677; 15 USC 1615;
CCD2 29); what is charged for it is no more than the product said, than the law of the day allows,
and than keeps the cost of the life that the loan really had within the cap of that day: where it
would not, less is charged, for the right to repay does not wait for a price.

This is engineering, not legal advice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction

from lending.account.allocation import Payee
from lending.account.balances import Account
from lending.account.events import FeeCharged, SettledEarly, by_payee
from lending.account.extension import CostOf, LifeFlow, life
from lending.account.rows import Balances
from lending.cases import Cost
from lending.errors import CostError
from lending.money import rounded

ASKED = "settlement"
"""In place of the id of an event that is only asked about."""


@dataclass(frozen=True, slots=True)
class EarlyCharge:
    """What the product says is charged for repaying early, and what of it may be; fen."""

    code: str
    payee: Payee
    agreed: int
    amount: int


@dataclass(frozen=True, slots=True)
class EarlyLimits:
    """What law says of it: ``most`` may be charged, in all, and why not more; ``cost_of`` knows the
    cap of the day, and is None where the tables are silent, and nothing is charged."""

    most: int | None
    cost_of: CostOf | None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EarlySettlement:
    """What repays a loan on a day, if nothing else happens to it until then; fen."""

    on: date
    owed: Balances
    """By component and payee, interest for the days until then."""
    charges: tuple[EarlyCharge, ...]
    rebate: int
    held: int
    saved: int
    """What would be paid beyond the principal if the plan were kept from now on, less what is paid
    so; below 0 where repaying early costs more."""
    cost: Cost | None
    """Of the life that the loan then had; None where it has none, or no cap is known."""
    sources: tuple[str, ...]
    """The articles."""

    @property
    def charged(self) -> int:
        return sum(one.amount for one in self.charges)

    @property
    def to_pay(self) -> int:
        return max(self.owed.total + self.charged - self.rebate - self.held, 0)

    def event(self, name: str, amount: int) -> SettledEarly:
        """To book, of what came."""
        fees, others = by_payee(self.charges)
        return SettledEarly(
            id=name, day=self.on, amount=amount, fees=fees, others=others, rebate=self.rebate
        )


def early_settlement(
    account: Account,
    charges: Sequence[EarlyCharge],
    limits: EarlyLimits,
    rebate: int = 0,
    others: Iterable[LifeFlow] = (),
) -> EarlySettlement:
    """What repays the loan at the end of ``account.day``.

    Args:
        charges: as agreed, none limited yet.
        rebate: of the lender's fees of the first day; no more is given back than was charged.
        others: what the borrower paid for this loan that its account does not have.

    Raises:
        AccountError: nothing of it falls due later, or it cannot be repaid any more.
    """
    back = min(rebate, account.paid.fees + account.outstanding.fees)
    plain = EarlySettlement(
        on=account.day,
        owed=account.outstanding,
        charges=tuple(replace(one, amount=0) for one in charges),
        rebate=back,
        held=account.held,
        saved=0,
        cost=None,
        sources=limits.sources,
    )
    flows = (*life(account, plain.event(ASKED, plain.to_pay)), *others)
    kept = life(account, FeeCharged(id=ASKED, day=account.day))
    agreed = sum(one.agreed for one in charges)
    lawful = agreed if limits.most is None else min(agreed, limits.most)
    most = _affordable(flows, account.day, lawful, limits)
    found = replace(plain, charges=_limited(charges, most))
    saved = _beyond(kept) - _beyond(life(account, found.event(ASKED, found.to_pay)))
    return replace(found, saved=saved, cost=_cost(flows, account.day, most, limits))


def _affordable(flows: Sequence[LifeFlow], day: date, most: int, limits: EarlyLimits) -> int:
    """The most of ``most`` that keeps the life within the cap; 0 if that is above it anyway."""

    def within(charge: int) -> bool:
        cost = _cost(flows, day, charge, limits)
        return cost is not None and cost.within

    if not most or within(most):
        return most
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if within(middle) else (low, middle)
    return low


def _cost(flows: Sequence[LifeFlow], day: date, charge: int, limits: EarlyLimits) -> Cost | None:
    """Of the life with so much charged on its last day; None of one that has no annual cost, such
    as of a loan that goes back on the day on which it came."""
    if limits.cost_of is None:
        return None
    try:
        return limits.cost_of(sorted((*flows, LifeFlow(day, charges=charge))))
    except CostError:
        return None


def _limited(charges: Sequence[EarlyCharge], most: int) -> tuple[EarlyCharge, ...]:
    """What is left of each: in the product's order, as far as it goes."""
    found = []
    for one in charges:
        part = min(one.agreed, most)
        found.append(replace(one, amount=part))
        most -= part
    return tuple(found)


def _beyond(flows: Iterable[LifeFlow]) -> int:
    return sum(one.charges for one in flows)


def interest_to_come(account: Account) -> int:
    """What the plan's interest would be from the account's day on, if it were kept; fen."""
    outstanding, found = 0, Fraction(0)
    for row in reversed(account.rows):  # by due day: what is not due is behind
        outstanding += row.principal.open
        if row.base and row.due > account.day:
            found += row.earned(account.day, row.due, outstanding, account.contract)
    return rounded(found)
