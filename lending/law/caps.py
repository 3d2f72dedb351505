"""What a loan made on a day may cost a year, everything counted.

China, microloan companies (小额贷款公司综合融资成本管理工作指引, part 2): 24%; four times
the one-year LPR of the day for what is made from 2028-01-01; loans of at most one month stay at
24%. A month is a calendar month: 30 days from 1 February are more than one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from law.packs import Jurisdiction
from lending.days import later, months_later
from lending.law.rows import LAWS, LawRow, Laws
from lending.money import EXACT

LenderKind = Literal["microloan", "bank", "consumer-finance", "creditor"]
"""The first three in China, the last elsewhere."""
FREE = "none"
"""The value of a row that says that there is no cap."""


@dataclass(frozen=True, slots=True)
class Cap:
    """The most that a loan may cost a year, as a decimal fraction; None where the law has no cap,
    which a row must say."""

    rate: Decimal | None
    rows: tuple[LawRow, ...]
    """What it follows from."""

    @property
    def source(self) -> str:
        """The articles, for a person; what nobody has verified says so."""
        return " × ".join(
            row.article if row.verified else f"{row.article} [not verified]" for row in self.rows
        )


def cap(
    day: date,
    jurisdiction: Jurisdiction,
    term_days: int,
    lender_kind: LenderKind,
    laws: Laws = LAWS,
) -> Cap:
    """The cap of a loan made (or extended, or charged a fee) on ``day``.

    Raises:
        LawSilent: the tables say nothing of this day and kind of lender, or of the rate that the
            cap is a multiple of.
    """
    key = f"cap.{lender_kind}"
    if later(day, term_days) <= months_later(day, 1):
        short = laws.find(jurisdiction, f"{key}.one-month", day)
        if short is not None:
            return Cap(short.number, (short,))
    row = laws.at(jurisdiction, key, day)
    if row.value == FREE:
        return Cap(None, (row,))
    if not row.times:
        return Cap(row.number, (row,))
    base = laws.at(jurisdiction, row.times, day)
    return Cap(EXACT.multiply(row.number, base.number), (row, base))


def longest_extension(
    day: date, jurisdiction: Jurisdiction, term_days: int, laws: Laws = LAWS
) -> int:
    """For how many days, all extensions together, a loan of this original term may be extended on
    ``day``. Raises LawSilent: the law of the place says nothing, so nothing is extended."""
    short = laws.at(jurisdiction, "extension.short-days", day)
    if term_days <= short.number:
        share = laws.at(jurisdiction, "extension.short-share", day)
    else:
        share = laws.at(jurisdiction, "extension.medium-share", day)
    return int(EXACT.multiply(share.number, Decimal(term_days)))
