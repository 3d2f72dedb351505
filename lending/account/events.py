"""A loan contract, and what can happen to it: frozen events, each known by its id. Pure.

Balances are whole fen, rates parts per million a day, days calendar days at the lender.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import ClassVar, Literal, Protocol, get_args

from lending.account.allocation import (
    COMPONENTS,
    STANDARD,
    THIRD_PARTIES,
    Component,
    Head,
    Order,
    Others,
    Payee,
)
from lending.account.states import LoanStep
from lending.days import LENGTH, DayCount
from lending.errors import AccountError
from lending.money import whole

Payer = Literal["borrower", "guarantor", "insurer", "lender"]
"""Whose money it is: only the borrower's stops the contractual clock. The lender's own is that of a
new loan which repays this one."""


BEYOND = date(9000, 1, 1)


class ChargedFee(Protocol):
    """A fee, and who gets it."""

    @property
    def payee(self) -> Payee: ...
    @property
    def amount(self) -> int: ...


class ScheduledDue(Protocol):
    """What falls due on one day, as a schedule has it."""

    @property
    def day(self) -> date: ...
    @property
    def principal(self) -> int: ...
    @property
    def interest(self) -> int: ...
    @property
    def charges(self) -> Sequence[ChargedFee]: ...


def head_of(payee: Payee) -> Head:
    """As which a fee is owed to them."""
    return "fees" if payee == "lender" else payee


def by_payee(charges: Iterable[ChargedFee]) -> tuple[int, Others]:
    """What of these fees is the lender's, and what everybody else's."""
    found = Counter[Payee]()
    for one in charges:
        found[one.payee] += one.amount
    return found["lender"], tuple((who, found[who]) for who in THIRD_PARTIES if found[who])


@dataclass(frozen=True, slots=True)
class ContractDue:
    """A due of a contract, as it is kept."""

    day: date
    principal: int
    interest: int
    fees: int = 0
    """The lender's."""
    others: Others = ()

    @classmethod
    def of(cls, one: ScheduledDue) -> ContractDue:
        return cls(one.day, one.principal, one.interest, *by_payee(one.charges))


def _known(value: object, names: tuple[str, ...], what: str) -> None:
    if value not in names:
        raise AccountError(f"{value!r} is no {what}: {', '.join(names)} are")


def _in_reach(day: date, what: str) -> None:
    """So that grace, and more time, still have a day."""
    if day >= BEYOND:
        raise AccountError(f"{what} is on {day}: nothing is put off beyond {BEYOND}")


def _owed_to_others(others: Others, what: str) -> None:
    named = [payee for payee, _ in others]
    for payee, amount in others:
        _known(payee, THIRD_PARTIES, f"third party of {what}")
        if not whole(amount, f"what the {payee} gets of {what}"):
            raise AccountError(f"{what} names the {payee}, who gets nothing of it: leave it out")
    if named != [payee for payee in THIRD_PARTIES if payee in named]:
        raise AccountError(f"{what} names each third party once, in the order {THIRD_PARTIES}")


def _checked(dues: Sequence[ContractDue], after: date, principal: int, what: str) -> None:
    for one in dues:
        for name in ("principal", "interest", "fees"):
            whole(getattr(one, name), f"{name} of the due of {one.day} in {what}")
        _in_reach(one.day, f"a due of {what}")
        _owed_to_others(one.others, f"the due of {one.day} in {what}")
    days = [after, *(one.day for one in dues)]
    if not dues or any(later <= earlier for earlier, later in pairwise(days)):
        raise AccountError(
            f"{what} needs dues after {after}, one a day, in the order of their days"
        )
    total = sum(one.principal for one in dues)
    if total != principal or not dues[-1].principal:
        raise AccountError(
            f"the dues of {what} repay {total} fen, the last {dues[-1].principal}: they must repay "
            f"{principal} fen, a part of it last"
        )


@dataclass(frozen=True, slots=True)
class LoanContract:
    """The contract as it was signed: nothing that happens later changes it, and its dues are what
    the contractual clock counts from.

    Interest of a period (from one due to the next) is the schedule's, spread over its days as the
    day count has them, on the principal that the schedule has outstanding; on less, where less is
    outstanding, in proportion. ``rate_ppm_day`` is for days that the schedule does not have
    (an extension). Principal that is past due bears ``penalty_ppm_day`` instead, and nothing in its
    grace.

    Raises:
        AccountError, MoneyError: it does not add up.
    """

    id: str
    principal: int
    starts: date
    dues: tuple[ContractDue, ...]
    rate_ppm_day: int
    penalty_ppm_day: int
    grace_days: int = 0
    """After a due day, without penalty and not past due; the contractual clock runs."""
    day_count: DayCount = "ACT/365F"
    """By which a period's interest spreads over its days."""
    order: Order = STANDARD
    refinances: tuple[str, ...] = ()
    """Contracts that this loan's money repaid."""

    def __post_init__(self) -> None:
        whole(self.principal, f"the principal of loan {self.id}")
        for name in ("rate_ppm_day", "penalty_ppm_day", "grace_days"):
            whole(getattr(self, name), f"{name} of loan {self.id}")
        _known(self.day_count, tuple(LENGTH), "day count")
        _checked(self.dues, self.starts, self.principal, f"loan {self.id}")

    @property
    def matures(self) -> date:
        return self.dues[-1].day

    @property
    def term_days(self) -> int:
        return (self.matures - self.starts).days


@dataclass(frozen=True, slots=True, kw_only=True)
class LoanEvent:
    """Something that happened, on ``day``; ``amount`` in fen. Two events of one id are one.

    Raises:
        AccountError, MoneyError: it cannot be read.
    """

    id: str
    day: date
    amount: int = 0
    step: ClassVar[LoanStep]

    def __post_init__(self) -> None:
        if not self.id or isinstance(self.day, datetime):
            raise AccountError(f"event {self.id!r} of {self.day} needs an id and a day, not a time")
        whole(self.amount, f"the amount of event {self.id}")


def _yes_or_no(event: LoanEvent, *names: str) -> None:
    for name in names:
        if not isinstance(getattr(event, name), bool):
            raise AccountError(f"{name} of event {event.id} is yes or no, as a truth value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Disbursed(LoanEvent):
    """The borrower received the principal, whole, on the day from which the schedule counts (Civil
    Code 670)."""

    step: ClassVar[LoanStep] = "disburse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaid(LoanEvent):
    """Money came. It meets what is due; what is left is held for the next due, unless it
    ``prepays``, as a borrower may ask: then it shortens the loan, and interest stops."""

    payer: Payer = "borrower"
    prepays: bool = False
    step: ClassVar[LoanStep] = "repay"

    def __post_init__(self) -> None:
        LoanEvent.__post_init__(self)
        _known(self.payer, get_args(Payer), "payer")
        _yes_or_no(self, "prepays")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledEarly(LoanEvent):
    """The borrower's money repaid the whole loan before its end: ``amount`` came, and is no less
    than all that is owed on the day with what is charged for it."""

    fees: int = 0
    """What the lender charges for it."""
    others: Others = ()
    rebate: int = 0
    """What the lender gives back of its fees of the first day, for the time that is left."""
    step: ClassVar[LoanStep] = "repay"

    def __post_init__(self) -> None:
        LoanEvent.__post_init__(self)
        for name in ("fees", "rebate"):
            whole(getattr(self, name), f"{name} of event {self.id}")
        _owed_to_others(self.others, f"event {self.id}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeCharged(LoanEvent):
    """Due at once."""

    payee: Payee = "lender"
    step: ClassVar[LoanStep] = "charge"

    def __post_init__(self) -> None:
        LoanEvent.__post_init__(self)
        _known(self.payee, get_args(Payee), "payee")


@dataclass(frozen=True, slots=True, kw_only=True)
class GraceGranted(LoanEvent):
    """What falls due up to ``until`` bears no penalty and is not past due up to that day."""

    until: date
    in_difficulty: bool = False
    step: ClassVar[LoanStep] = "grant"

    def __post_init__(self) -> None:
        LoanEvent.__post_init__(self)
        _yes_or_no(self, "in_difficulty")
        if self.until < self.day:
            raise AccountError(f"grace {self.id} ends on {self.until}, before it is granted")
        _in_reach(self.until, f"the end of grace {self.id}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended(LoanEvent):
    """Every due from today on is so many days later (展期); ``amount`` is the lender's fee."""

    days: int
    in_difficulty: bool = False
    others: Others = ()
    step: ClassVar[LoanStep] = "extend"

    def __post_init__(self) -> None:
        LoanEvent.__post_init__(self)
        _yes_or_no(self, "in_difficulty")
        _owed_to_others(self.others, f"extension {self.id}")
        if whole(self.days, f"the days of extension {self.id}") < 1:
            raise AccountError(f"extension {self.id} is of no day: say of how many")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restructured(LoanEvent):
    """Another plan for the principal that is outstanding (重组); ``amount`` is that principal. What
    else is unpaid falls due with the plan's first due."""

    dues: tuple[ContractDue, ...]
    in_difficulty: bool = True
    step: ClassVar[LoanStep] = "restructure"

    def __post_init__(self) -> None:
        LoanEvent.__post_init__(self)
        _yes_or_no(self, "in_difficulty")
        _checked(self.dues, self.day, self.amount, f"restructuring {self.id}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waived(LoanEvent):
    """The lender lets go of what is owed to it, or tells that another let go of their fees; the
    oldest first. Nothing that is not owed yet."""

    component: Component
    in_difficulty: bool = False
    payee: Payee = "lender"
    step: ClassVar[LoanStep] = "waive"

    def __post_init__(self) -> None:
        LoanEvent.__post_init__(self)
        _known(self.component, COMPONENTS, "component")
        _known(self.payee, get_args(Payee), "payee")
        _yes_or_no(self, "in_difficulty")
        if self.payee != "lender" and self.component != "fees":
            raise AccountError(
                f"waiver {self.id} is of {self.component} of the {self.payee}: only fees are owed "
                "to others than the lender"
            )

    @property
    def head(self) -> Head:
        return self.component if self.payee == "lender" else self.payee


Concession = GraceGranted | Extended | Restructured | Waived
"""What the lender grants, on the day on which it is booked: granted "as of" an earlier day it would
undo that somebody was late, or that another was granted before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargedOff(LoanEvent):
    """Written off as an asset: nothing accrues any more, everything stays owed (核销)."""

    step: ClassVar[LoanStep] = "charge-off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered(LoanEvent):
    """Money came for a debt that was charged off."""

    payer: Payer = "borrower"
    step: ClassVar[LoanStep] = "recover"

    def __post_init__(self) -> None:
        LoanEvent.__post_init__(self)
        _known(self.payer, get_args(Payer), "payer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunded(LoanEvent):
    """Money that was held went back to who paid it."""

    step: ClassVar[LoanStep] = "refund"


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected(LoanEvent):
    """What was booked wrongly, or late: from this day on, the loan is as if the events ``corrects``
    had not been and ``instead`` had, each on its own day. What was known before stays known: the
    state as of an earlier day does not change.

    The one way in which anything is booked back in time. Money may have come, or not, on an earlier
    day than was known; a concession is granted when it is booked, and never put back.
    """

    corrects: tuple[str, ...] = ()
    instead: tuple[LoanEvent, ...] = ()

    def __post_init__(self) -> None:
        LoanEvent.__post_init__(self)
        for one in self.instead:
            if isinstance(one, Corrected | Disbursed) or one.day > self.day:
                raise AccountError(
                    f"correction {self.id} puts {type(one).__name__} {one.id} of {one.day} in "
                    "place: neither a correction, a disbursement nor a later day can be"
                )
            if isinstance(one, Concession) and one.day < self.day:
                raise AccountError(
                    f"correction {self.id} of {self.day} puts {type(one).__name__} {one.id} back "
                    f"to {one.day}: a concession is granted on the day on which it is booked"
                )
