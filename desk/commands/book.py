"""How what was lent stands: arrears at the ends of months, and vintages. Counts of loans and whole
fen; nobody is named.

Arrears are by the contractual clock, bad is what a label and monitoring call bad. Two vintages are
compared at one age, or not at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import select

from desk.accounts import account_of
from desk.office import Desk
from desk.storage.tables import loans
from lending.account.balances import Account
from lending.account.default import BAD_DPD
from lending.portfolio.book import ARREARS_BUCKETS, ArrearsBucket, bucket_on
from lending.portfolio.vintages import Age, Vintage, VintagePoint, at_age, seasoned, vintages
from protocol.errors import Malformed

ONE = timedelta(days=1)


@dataclass(frozen=True)
class BookStanding:
    """The loans of a desk at the end of a day, as it was known then."""

    as_of: date
    by: Age
    """What vintages count their age in."""
    loans: int
    lent: int
    outstanding: int
    """Principal."""
    arrears: Mapping[date, Mapping[ArrearsBucket, int]]
    """Loans by bucket at the end of each month since the first, and of ``as_of``."""
    vintages: tuple[Vintage, ...]

    def at(self, age: int) -> dict[date, VintagePoint]:
        """Those that have come so far, at one age."""
        return at_age(self.vintages, age)

    def figures(self, at: int | None = None) -> dict[str, Any]:
        """Ready for JSON; with vintages at one age, if one is named."""
        found: dict[str, Any] = {
            "as_of": self.as_of.isoformat(),
            "by": self.by,
            "loans": self.loans,
            "lent": self.lent,
            "outstanding": self.outstanding,
            "arrears": {day.isoformat(): dict(of) for day, of in self.arrears.items()},
            "vintages": [
                {
                    "month": f"{one.month:%Y-%m}",
                    "loans": one.loans,
                    "amount": one.amount,
                    "bad": [point.bad for point in one.curve],
                    "bad_amount": [point.bad_amount for point in one.curve],
                }
                for one in self.vintages
            ],
        }
        if at is not None:
            found["at"] = {
                "age": at,
                "vintages": {
                    f"{month:%Y-%m}": {"bad": point.bad, **asdict(point.rate)}
                    for month, point in self.at(at).items()
                },
            }
        return found


def book_standing(
    desk: Desk, as_of: date, by: Age = "months", bad_dpd: int = BAD_DPD
) -> BookStanding:
    """All loans that were paid out by a day.

    Raises:
        Malformed: the day is to come.
    """
    statement = select(loans).where(loans.c.disbursed_on <= as_of).order_by(loans.c.number)
    with desk.reading() as hand:
        if as_of > desk.day(hand.moment):
            raise Malformed(f"{as_of} is still to come")
        rows = hand.connection.execute(statement).all()
        accounts = [account_of(hand.connection, row, as_of) for row in rows]
    return standing_of(accounts, as_of, by, bad_dpd)


def standing_of(
    accounts: Sequence[Account], as_of: date, by: Age = "months", bad_dpd: int = BAD_DPD
) -> BookStanding:
    """Of accounts that are known as of that day."""
    first = min((one.contract.starts for one in accounts), default=None)
    days = [] if first is None else [*ends_of_months(first, as_of), as_of]
    return BookStanding(
        as_of=as_of,
        by=by,
        loans=len(accounts),
        lent=sum(one.contract.principal for one in accounts),
        outstanding=sum(one.outstanding.principal for one in accounts),
        arrears={day: _arrears(accounts, day) for day in days},
        vintages=vintages((seasoned(one, bad_dpd) for one in accounts), as_of, by),
    )


def _arrears(accounts: Sequence[Account], day: date) -> dict[ArrearsBucket, int]:
    found = Counter(bucket_on(one, day) for one in accounts)
    return {bucket: found[bucket] for bucket in ARREARS_BUCKETS}


def ends_of_months(since: date, until: date) -> list[date]:
    """The last days of months from a day to a day, both counted.

    >>> [str(day) for day in ends_of_months(date(2027, 12, 31), date(2028, 2, 29))]
    ['2027-12-31', '2028-01-31', '2028-02-29']
    """
    found = []
    day = since
    while (end := (day.replace(day=28) + timedelta(days=4)).replace(day=1) - ONE) <= until:
        found.append(end)
        day = end + ONE
    return found
