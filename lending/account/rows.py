"""The rows of an account: what each due still asks for, exactly. Pure.

A row keeps the contractual day of its due (``origin``) whatever happens to its present one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction
from itertools import accumulate
from typing import Any

from lending.account.allocation import COMPONENTS, HEADS, THIRD_PARTIES, Head, Others
from lending.account.events import ContractDue, LoanContract
from lending.days import DayCount, counted
from lending.money import PPM, rounded

BY_CALENDAR = frozenset({"ACT/365F", "ACT/360"})


@dataclass(frozen=True, slots=True)
class Balances:
    """Whole fen: the lender's by component, then what goes to each of the others."""

    penalty: int = 0
    fees: int = 0
    interest: int = 0
    principal: int = 0
    guarantor: int = 0
    insurer: int = 0
    platform: int = 0

    @property
    def lender(self) -> int:
        return self.penalty + self.fees + self.interest + self.principal

    @property
    def others(self) -> int:
        return self.guarantor + self.insurer + self.platform

    @property
    def total(self) -> int:
        """Everybody's."""
        return self.lender + self.others

    def __add__(self, other: Balances) -> Balances:
        return Balances(*(getattr(self, head) + getattr(other, head) for head in HEADS))

    def plus(self, head: Head, amount: int) -> Balances:
        return replace(self, **{head: getattr(self, head) + amount})


NOTHING = Balances()


@dataclass(frozen=True, slots=True)
class Claim:
    """One component of a due: what is owed so far, exactly, and what of it was settled.

    ``met`` is the part that the contractual clock accepts as paid: never more than was settled.
    """

    owed: Fraction | int = 0
    settled: int = 0
    met: int = 0

    @property
    def whole(self) -> int:
        return self.owed if isinstance(self.owed, int) else rounded(self.owed)

    @property
    def open(self) -> int:
        return self.whole - self.settled

    @property
    def unmet(self) -> int:
        return self.whole - self.met

    def grown(self, more: Fraction | int) -> Claim:
        return Claim(self.owed + more, self.settled, self.met)

    def settle(self, amount: int, counts: bool) -> Claim:
        return Claim(self.owed, self.settled + amount, self.met + amount * counts)


@dataclass(frozen=True, slots=True)
class DueRow:
    """What falls due on one day, and in which period its interest accrues.

    Of ``base``, the principal that the plan has outstanding in the period, the plan's interest is
    ``planned_interest`` over ``days`` days from ``start``; a row without a period has no base.
    """

    origin: date | None
    """The contractual due day; None of a charge that no schedule has."""
    due: date
    grace_until: date
    start: date
    principal: Claim = Claim()
    interest: Claim = Claim()
    fees: Claim = Claim()
    penalty: Claim = Claim()
    guarantor: Claim = Claim()
    insurer: Claim = Claim()
    platform: Claim = Claim()
    base: int = 0
    days: int = 0
    planned_interest: int = 0
    planned_fees: int = 0
    """Not charged yet: on its day, if there still is a loan."""
    planned_others: Others = ()
    """The same, of others than the lender."""
    asked: int | None = None
    """The interest that was owed on the contractual day, once that is past: the contract asked for
    no more on it, whatever an extension adds."""

    def settle(self, head: Head, amount: int, counts: bool) -> DueRow:
        claim: Claim = getattr(self, head)
        settled: dict[str, Any] = {head: claim.settle(amount, counts)}
        return replace(self, **settled)

    @property
    def open(self) -> int:
        """To whomever it is owed."""
        others: int = sum(getattr(self, who).open for who in THIRD_PARTIES)
        return self.lenders + others

    @property
    def lenders(self) -> int:
        """What is open of the lender's own claims."""
        return sum(getattr(self, what).open for what in COMPONENTS)

    @property
    def asks_on(self) -> date:
        """When the contract asks for it, or another plan that asks for it earlier."""
        return min(self.origin or self.due, self.due)

    @property
    def unmet(self) -> bool:
        """Of what the lender's contract asked for on its day, something is."""
        if self.principal.unmet or self.fees.unmet:
            return True
        asked = self.interest.whole if self.asked is None else self.asked
        return asked > self.interest.met

    def reached(self, alive: bool) -> DueRow:
        """On its contractual day: what it asks for is fixed, and its fees are charged if there
        still is a loan."""
        charged: dict[str, Any] = {
            who: getattr(self, who).grown(amount * alive) for who, amount in self.planned_others
        }
        return replace(
            self,
            asked=self.interest.whole,
            fees=self.fees.grown(self.planned_fees * alive),
            planned_fees=0,
            planned_others=(),
            **charged,
        )

    def earned(self, first: date, last: date, outstanding: int, contract: LoanContract) -> Fraction:
        """Interest from the end of ``first`` to the end of the day before ``last``: the plan's as
        far as its period goes, by the day beyond it."""
        end = self.start + timedelta(days=self.days)
        begun, done = max(first, self.start), min(last, self.due)
        owed = Fraction(0)
        if begun < end:
            share = _share(self.start, min(done, end), end, contract.day_count)
            share -= _share(self.start, begun, end, contract.day_count)
            owed += Fraction(self.planned_interest * outstanding, self.base) * share
        if beyond := max((done - max(begun, end)).days, 0):
            owed += Fraction(outstanding * contract.rate_ppm_day * beyond, PPM)
        return owed

    def penalised(self, first: date, last: date, ppm_day: int) -> Fraction:
        """Penalty on the principal that is past due and beyond its grace."""
        days = (last - max(first, self.grace_until)).days
        return Fraction(self.principal.open * ppm_day * days, PPM) if days > 0 else Fraction(0)


def _share(start: date, day: date, end: date, basis: DayCount) -> Fraction:
    """Of a period's interest, what is earned by a day. A period of no day (30/360: from the 30th to
    the 31st) is counted by the calendar."""
    if basis in BY_CALENDAR or not counted(start, end, basis):
        return Fraction((day - start).days, (end - start).days)
    return counted(start, day, basis) / counted(start, end, basis)


def planned(
    dues: Sequence[ContractDue], start: date, grace_days: int
) -> Iterator[tuple[ContractDue, DueRow]]:
    """For each due of a plan its period: a row without principal or contractual day."""
    before = [0, *accumulate(one.principal for one in dues)]
    for one, repaid in zip(dues, before, strict=False):
        yield (
            one,
            DueRow(
                origin=None,
                due=one.day,
                grace_until=one.day + timedelta(days=grace_days),
                start=start,
                base=before[-1] - repaid,
                days=(one.day - start).days,
                planned_interest=one.interest,
                planned_fees=one.fees,
                planned_others=one.others,
            ),
        )
        start = one.day


def rows_of(contract: LoanContract) -> tuple[DueRow, ...]:
    """The rows of a contract on the day of disbursement."""
    return tuple(
        replace(row, origin=one.day, principal=Claim(one.principal))
        for one, row in planned(contract.dues, contract.starts, contract.grace_days)
    )


def accrued(
    rows: Sequence[DueRow], contract: LoanContract, first: date, last: date
) -> tuple[DueRow, ...]:
    """The rows once the days from ``first`` to before ``last`` have passed; no due lies between."""
    grown = []
    later = 0
    for row in reversed(rows):  # by due day: what is not due is behind
        later += row.principal.open
        interest, penalty = row.interest, row.penalty
        if row.base and row.start < last and first < row.due and later:
            interest = interest.grown(row.earned(first, last, later, contract))
        if row.grace_until < last and row.principal.open:
            penalty = penalty.grown(row.penalised(first, last, contract.penalty_ppm_day))
        same = interest is row.interest and penalty is row.penalty
        grown.append(row if same else replace(row, interest=interest, penalty=penalty))
    return tuple(reversed(grown))
