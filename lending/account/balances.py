"""The account of a loan: balances and two arrears clocks, as :mod:`lending.account.fold` makes them
of its events. Pure.

The *contractual* clock counts days past due (DPD) from the earliest due of the original contract
that the borrower's own money has not met in full, as far as it is owed to the lender: fees of a
guarantor, an insurer or a platform are collected, told apart, and make nobody late. No grace,
extension, restructuring, waiver or claim on a guarantor moves it: dues keep their contractual day
through all of them. What was waived before it was contractually due was never due; what is waived
later does not count as paid. The clock stops when the debt is settled. The other clock counts from
the plan as it is now, and only what is beyond its grace: grace is never subtracted from days.

State is exact between events (fractions), so that asking for a day in between changes nothing;
amounts become whole once per component of each due, half a fen upwards. A day's interest is of what
is outstanding when the day ends. Who pays on day D what was due on day D-5 was five days late.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Literal

from lending.account.allocation import HEADS, Component
from lending.account.events import LoanContract, LoanEvent
from lending.account.rows import NOTHING, Balances, DueRow
from lending.account.states import LoanStatus

WATCH_DAYS = 365
"""A restructured loan is watched for a year at least (商业银行金融资产风险分类办法, 2023 no. 1)."""
DIFFICULTY_DPD = 30
"""A concession to somebody later than this is one in difficulty, whatever it is called."""
Mark = Literal["forborne", "claimed", "refinanced", "charged-off"]
_LATE: tuple[Component, ...] = ("principal", "interest", "fees")
"""What makes a loan late; a penalty is a consequence of that."""


@dataclass(frozen=True, slots=True)
class Spell:
    """A time in arrears: the due that DPD counted from, and the day on which it was met."""

    since: date
    until: date | None = None

    def days(self, day: date) -> int:
        """The longest it was late, as of ``day``."""
        return (min(self.until or day, day) - self.since).days


@dataclass(frozen=True)
class Account:
    """A loan at the end of ``day``, as it was known then."""

    contract: LoanContract
    day: date
    status: LoanStatus = LoanStatus.AGREED
    rows: tuple[DueRow, ...] = ()
    held: int = 0
    """Paid, and owed to nobody yet: it meets the next due, or goes back."""
    received: int = 0
    refunded: int = 0
    paid: Balances = NOTHING
    """Which claims the money met: what of it is the lender's, and what is passed on to whom."""
    waived: Balances = NOTHING
    written_off: int = 0
    """Of the lender's own claims: nobody else's are its to write off."""
    arrears: tuple[Spell, ...] = ()
    marks: tuple[tuple[date, Mark], ...] = ()
    restructured_on: date | None = None
    settled_on: date | None = None
    events: tuple[LoanEvent, ...] = ()

    @cached_property
    def due(self) -> Balances:
        """Owed by ``day``."""
        return _open(row for row in self.rows if row.due <= self.day)

    @cached_property
    def not_due(self) -> Balances:
        """Outstanding, but due later: principal, and interest so far."""
        return _open(row for row in self.rows if row.due > self.day)

    @property
    def outstanding(self) -> Balances:
        return self.due + self.not_due

    @property
    def dpd(self) -> int:
        """Contractual days past due."""
        last = self.arrears[-1:]
        return last[0].days(self.day) if last and last[0].until is None else 0

    @property
    def worst_dpd(self) -> int:
        return max((one.days(self.day) for one in self.arrears), default=0)

    @property
    def past_due(self) -> int:
        """Days since the earliest present due that is unpaid and beyond its grace."""
        return self._late(graced=True)

    @property
    def past_due_ungraced(self) -> int:
        """Days since the earliest present due that is unpaid."""
        return self._late(graced=False)

    def _late(self, graced: bool) -> int:
        late = [
            row.due
            for row in self.rows
            if (row.grace_until if graced else row.due) < self.day
            and any(getattr(row, what).open for what in _LATE)
        ]
        return (self.day - min(late)).days if late else 0

    @property
    def watched(self) -> bool:
        """Restructured or forborne less than a year ago, or since and late."""
        days = [day for day, mark in self.marks if mark == "forborne"]
        days += [self.restructured_on] if self.restructured_on else []
        if not days or self.status is LoanStatus.SETTLED:
            return False
        return (self.day - max(days)).days < WATCH_DAYS or self.past_due > 0

    def dpd_on(self, day: date) -> int:
        """Contractual DPD at the end of an earlier day, as it is known now."""
        for one in self.arrears:
            if one.until is None or day < one.until:
                return max((day - one.since).days, 0)
        return 0


def _open(rows: Iterable[DueRow]) -> Balances:
    them = tuple(rows)
    return Balances(*(sum(getattr(row, head).open for row in them) for head in HEADS))
