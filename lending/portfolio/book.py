"""A portfolio: how loans move between arrears, how they were decided, and for whom. Pure.

Counts are of loans or decisions. A ratio between groups is a measurement, not a verdict: which duty
follows is a matter of the law of the place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from lending.account.balances import Account
from lending.account.default import BAD_DPD
from lending.account.states import LoanStatus
from lending.cases import Outcome
from lending.errors import PortfolioError
from lending.intervals import Estimate, Share, difference, ratio, wilson

ArrearsBucket = Literal["0", "1-30", "31-60", "61-89", "90+", "charged-off", "settled"]
ARREARS_BUCKETS: tuple[ArrearsBucket, ...] = (
    "0",
    "1-30",
    "31-60",
    "61-89",
    "90+",
    "charged-off",
    "settled",
)
"""M0, M1, M2, M3 and M3+, which begins where bad does; then the two that nothing leaves but a
recovery."""
_UPPER = (0, 30, 60, BAD_DPD - 1)
FOUR_FIFTHS = 0.8
"""29 CFR 1607.4(D), of employment; by custom of lending too [know]."""


def bucket_on(account: Account, day: date) -> ArrearsBucket | None:
    """Where a loan was at the end of a day, by contractual DPD; None before it was paid out."""
    if day < account.contract.starts or account.status is LoanStatus.AGREED:
        return None
    if account.day < day:
        raise PortfolioError(f"loan {account.contract.id} is not known as of {day}: fold it on")
    if account.settled_on is not None and account.settled_on <= day:
        return "settled"
    if any(mark == "charged-off" and since <= day for since, mark in account.marks):
        return "charged-off"
    return ARREARS_BUCKETS[sum(account.dpd_on(day) > one for one in _UPPER)]


@dataclass(frozen=True)
class RollRates:
    """How many loans moved from which bucket (row) to which (column) in one period."""

    counts: NDArray[np.int64]

    def rate(self, before: ArrearsBucket, after: ArrearsBucket) -> Estimate | None:
        """Of those in ``before``, the share in ``after`` a period later; None if there were
        none."""
        row = self.counts[ARREARS_BUCKETS.index(before)]
        if not row.sum():
            return None
        return wilson(Share(int(row[ARREARS_BUCKETS.index(after)]), int(row.sum())))

    def rolls(self) -> Iterator[Roll]:
        """All moves that there were, and staying where one is."""
        for at, before in enumerate(ARREARS_BUCKETS):
            for to, after in enumerate(ARREARS_BUCKETS):
                found = self.rate(before, after)
                if found is not None and self.counts[at, to]:
                    yield Roll(before, after, int(self.counts[at, to]), found)


@dataclass(frozen=True, slots=True)
class Roll:
    """Of the loans in one bucket, those that are in another a period later."""

    before: ArrearsBucket
    after: ArrearsBucket
    loans: int
    rate: Estimate


def roll_rates(accounts: Iterable[Account], days: Sequence[date]) -> RollRates:
    """Moves between consecutive ones of these days, usually ends of months."""
    counts = np.zeros((len(ARREARS_BUCKETS), len(ARREARS_BUCKETS)), dtype=np.int64)
    for account in accounts:
        for before, after in pairwise(bucket_on(account, day) for day in days):
            if before is not None and after is not None:
                counts[ARREARS_BUCKETS.index(before), ARREARS_BUCKETS.index(after)] += 1
    return RollRates(counts)


# --- decisions


@dataclass(frozen=True, slots=True)
class DecidedCase:
    """What the machine said, what was done in the end, and of whom."""

    machine: Outcome
    final: Outcome
    thin: bool = False
    """Without any bureau history (信用白户)."""


@dataclass(frozen=True, slots=True)
class DecisionRates:
    """Shares of all applications, through the door; overrides as Siddiqi 2006 names them."""

    applications: int
    approved: Estimate
    reviewed: Estimate
    low_side: Estimate | None
    """Of those that the machine declined, those that a person approved."""
    high_side: Estimate | None
    """Of those that the machine approved, those that a person declined."""


class HasFile(Protocol):
    """Somebody of whom it is known whether they have a bureau file."""

    @property
    def thin(self) -> bool: ...


Filed = TypeVar("Filed", bound=HasFile)
EVERYBODY = "everybody"


def files_apart(them: Iterable[Filed]) -> dict[str, list[Filed]]:
    """Everybody, and thin and thick files apart, whose figures a common one would hide; without
    the groups that nobody is in."""
    all_of_them = list(them)
    groups = {
        EVERYBODY: all_of_them,
        "thin file": [one for one in all_of_them if one.thin],
        "thick file": [one for one in all_of_them if not one.thin],
    }
    return {name: group for name, group in groups.items() if group}


def decision_rates(decided: Iterable[DecidedCase]) -> Mapping[str, DecisionRates]:
    """Of everybody, and of thin and thick files apart."""
    return {name: _rates(group) for name, group in files_apart(decided).items()}


_TAKEN: frozenset[Outcome] = frozenset({"approve", "counter"})


def _rates(decided: Sequence[DecidedCase]) -> DecisionRates:
    count = len(decided)
    yes = [one for one in decided if one.machine in _TAKEN]
    no = [one for one in decided if one.machine == "decline"]
    approved = sum(one.final in _TAKEN for one in decided)
    reviewed = sum(one.machine == "review" for one in decided)
    return DecisionRates(
        count,
        wilson(Share(approved, count)),
        wilson(Share(reviewed, count)),
        wilson(Share(sum(one.final in _TAKEN for one in no), len(no))) if no else None,
        wilson(Share(sum(one.final == "decline" for one in yes), len(yes))) if yes else None,
    )


# --- groups


@dataclass(frozen=True, slots=True)
class Impact:
    """How one group fares beside the reference group."""

    ratio: Estimate
    """Adverse impact ratio: of approval rates, or of whatever was counted."""
    difference: Estimate
    below_four_fifths: bool
    """And beyond chance: the whole interval is."""


def impact(groups: Mapping[str, Share], reference: str) -> Mapping[str, Impact]:
    """Each group beside the reference. Counted may be approvals of all applicants (demographic
    parity), or of those who turned out good (equal opportunity).

    Raises:
        PortfolioError: there is no such reference.
    """
    if reference not in groups:
        raise PortfolioError(f"no group is called {reference!r}: choose one of {sorted(groups)}")
    found = {}
    for name, share in groups.items():
        if name != reference:
            beside = ratio(share, groups[reference])
            apart = difference(share, groups[reference])
            found[name] = Impact(beside, apart, beside.high < FOUR_FIFTHS)
    return found
