"""A loan lived through day by day, with a pencil: what the account folds in one go must be the same every evening.

Ordinary repayments, prepayments, fees, extensions and grace; the standard allocation order; no rounding but at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from math import floor

from lending.account.events import Extended, FeeCharged, GraceGranted, LoanContract, LoanEvent, Repaid

ONE = timedelta(days=1)
OTHERS = ("guarantor", "insurer", "platform")
ORDER = ("penalty", "fees", *OTHERS, "interest", "principal")


@dataclass
class Line:
    """One due, as a table in a branch office would have it."""

    contractual: date | None
    due: date
    begins: date
    grace: date
    scheduled: int
    length: int
    base: int
    later_fees: dict[str, int]
    owed: dict[str, Fraction]
    paid: dict[str, int]
    asked: dict[str, int] | None = None

    def left(self, what: str) -> int:
        return floor(self.owed[what] + Fraction(1, 2)) - self.paid[what]


def nothing() -> dict[str, Fraction]:
    return dict.fromkeys(ORDER, Fraction(0))


class NaiveLoan:
    def __init__(self, loan: LoanContract) -> None:
        self.loan, self.today, self.purse, self.lines = loan, loan.starts, 0, []
        before = loan.starts
        for at, one in enumerate(loan.dues):
            owed = nothing() | {"principal": Fraction(one.principal)}
            base = sum(later.principal for later in loan.dues[at:])
            grace = one.day + timedelta(days=loan.grace_days)
            days = (one.day - before).days
            paid, fees = dict.fromkeys(ORDER, 0), {"fees": one.fees, **dict(one.others)}
            self.lines.append(Line(one.day, one.day, before, grace, one.interest, days, base, fees, owed, paid))
            before = one.day

    def night(self) -> None:
        """From this evening to the next day."""
        for line in self.lines:
            if line.base and line.begins <= self.today < line.due:
                debt = sum(one.left("principal") for one in self.lines if one.due > self.today)
                if (self.today - line.begins).days < line.length:
                    line.owed["interest"] += Fraction(line.scheduled, line.length) * Fraction(debt, line.base)
                else:
                    line.owed["interest"] += Fraction(debt * self.loan.rate_ppm_day, 1_000_000)
            if line.grace <= self.today:
                line.owed["penalty"] += Fraction(line.left("principal") * self.loan.penalty_ppm_day, 1_000_000)
        self.today += ONE
        asking = [line for line in self.lines if line.contractual == self.today]
        debt = any(line.left("principal") for line in self.lines if line.due >= self.today)
        for line in asking:
            for who, fee in line.later_fees.items():
                line.owed[who] += fee * debt
            line.asked = {what: line.left(what) + line.paid[what] for what in ("principal", "interest", "fees")}
        if asking or any(line.due == self.today for line in self.lines):
            self.pay(ahead=False)

    def pay(self, ahead: bool) -> None:
        def asks(line: Line) -> date:
            return line.contractual or line.due

        late = [line for line in self.lines if line.due < self.today]
        now = [line for line in self.lines if line.due >= self.today and asks(line) <= self.today]
        soon = [line for line in self.lines if asks(line) > self.today]
        for line in (*late, *now, *(soon if ahead else ())):
            for what in ORDER:
                part = min(self.purse, line.left(what))
                line.paid[what] += part
                self.purse -= part

    def happens(self, event: LoanEvent) -> None:
        match event:
            case Repaid():
                debt = sum(self.outstanding().values())
                kept = self.purse if event.prepays and self.purse + event.amount < debt else 0
                self.purse += event.amount - kept
                self.pay(ahead=event.prepays)
                self.purse += kept
            case FeeCharged():
                self.fee({"fees" if event.payee == "lender" else event.payee: event.amount})
            case GraceGranted():
                for line in self.lines:
                    if line.due <= event.until:
                        line.grace = max(line.grace, event.until)
            case Extended():
                more, first = timedelta(days=event.days), True
                for line in self.lines:
                    if line.contractual and line.due >= self.today:
                        line.due, line.grace = line.due + more, line.grace + more
                        line.begins, first = line.begins if first else line.begins + more, False
                self.lines.sort(key=lambda line: line.due)
                if event.amount or event.others:
                    self.fee({"fees": event.amount, **dict(event.others)})

    def fee(self, amounts: dict[str, int]) -> None:
        day = self.today
        owed = nothing() | {who: Fraction(amount) for who, amount in amounts.items()}
        self.lines.append(Line(None, day, day, day, 0, 0, 0, {}, owed, dict.fromkeys(ORDER, 0)))
        self.lines.sort(key=lambda line: line.due)
        self.pay(ahead=False)

    def outstanding(self) -> dict[str, int]:
        return {what: sum(line.left(what) for line in self.lines) for what in ORDER}

    def dpd(self) -> int:
        """From the earliest due of the contract of which a part of the lender's was not paid."""
        if not any(owed for what, owed in self.outstanding().items() if what not in OTHERS):
            return 0
        short = [
            line.contractual
            for line in self.lines
            if line.contractual
            and line.contractual < self.today
            and any(line.paid[what] < asked for what, asked in (line.asked or {}).items())
        ]
        return (self.today - min(short)).days if short else 0
