"""How a desk's loans do, whichever model or person decided them: what becomes of those who are
late, vintages and their first payments, what is expected to be lost. Figures with their intervals;
nobody is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import accumulate, repeat

from sqlalchemy import select

from crypto.errors import SealError
from desk.accounts import account_of
from desk.office import Desk
from desk.records import opened_case
from desk.storage.tables import applications, decisions, loans
from lending.account.balances import Account
from lending.account.default import INDETERMINATE_DPD, Definition, label
from lending.intervals import Estimate, Share, wilson
from lending.portfolio.book import Roll, roll_rates
from lending.portfolio.losses import AtRisk, ExpectedLoss, losses, stage
from lending.portfolio.vintages import (
    FirstPayments,
    Vintage,
    first_payments,
    seasoned,
    vintages,
)

MONTHS = 12
"""Of moves between buckets, so many months back."""


@dataclass(frozen=True)
class PortfolioSeen:
    """All loans as of a day.

    Args:
        rolls: moves from one end of a month to the next, of the last twelve.
        late_turned_bad: of the mature loans that were ever thirty days late, those that are bad.
        expected: None where nobody said what is lost of a loan that goes bad.
    """

    loans: int
    rolls: tuple[Roll, ...]
    first_payments: tuple[FirstPayments, ...]
    vintages: tuple[Vintage, ...]
    late_turned_bad: Estimate | None
    expected: ExpectedLoss | None


def portfolio(
    desk: Desk, definition: Definition, as_of: date, loss_given_default: Decimal | None = None
) -> PortfolioSeen:
    """All loans that were paid out by a day.

    Args:
        loss_given_default: the share of what is owed that is lost of a loan that goes bad.
    """
    them = list(_loans(desk, as_of))
    accounts = [account for account, _ in them]
    late = _late_turned_bad(accounts, definition, as_of)
    expected = None
    if loss_given_default is not None:
        expected = losses(_at_risk(them, late), loss_given_default)
    return PortfolioSeen(
        loans=len(them),
        rolls=tuple(roll_rates(accounts, _ends_of_months(as_of)).rolls()),
        first_payments=first_payments(accounts, as_of),
        vintages=vintages((seasoned(one, definition.bad_dpd) for one in accounts), as_of),
        late_turned_bad=late,
        expected=expected,
    )


def _loans(desk: Desk, as_of: date) -> Iterator[tuple[Account, float | None]]:
    """With what the model said of each, where it is still known."""
    statement = (
        select(loans, applications.c.wrapped_key, decisions.c.sealed)
        .join(applications, applications.c.id == loans.c.application)
        .join(decisions, decisions.c.id == loans.c.application)
        .where(loans.c.disbursed_on <= as_of)
        .order_by(loans.c.number)
    )
    with desk.reading() as hand:
        for row in hand.connection.execute(statement).all():
            account = account_of(hand.connection, row, as_of)
            try:
                key = desk.at_rest.of(row.application, row.wrapped_key)
                scored = opened_case(row.sealed, key).scored
            except SealError:  # forgotten, so settled long ago
                scored = None
            yield account, None if scored is None else scored.probability


def _ends_of_months(as_of: date) -> Sequence[date]:
    """The last :data:`MONTHS` ends of months that are over, and the one before; the oldest
    first."""
    first_of_month = (as_of + timedelta(days=1)).replace(day=1)
    ends = accumulate(
        repeat(timedelta(days=1), MONTHS + 1),
        lambda end, day: end.replace(day=1) - day,
        initial=first_of_month,
    )
    return sorted(ends)[:-1]


def _late_turned_bad(
    accounts: Sequence[Account], definition: Definition, as_of: date
) -> Estimate | None:
    late = [one for one in accounts if one.worst_dpd >= INDETERMINATE_DPD]
    labels = [label(one, definition, as_of).performance for one in late]
    mature = [one for one in labels if one != "immature"]
    return wilson(Share(mature.count("bad"), len(mature))) if mature else None


def _at_risk(
    them: Sequence[tuple[Account, float | None]], late: Estimate | None
) -> Iterator[AtRisk]:
    """In stage 2, and where no model said anything, as likely as those who were late turned bad;
    while none of them is mature, certainly."""
    observed = 1.0 if late is None else late.value
    for account, scored in them:
        found = stage(account)
        if found is not None:
            chance = 1.0 if found == 3 else observed if found == 2 or scored is None else scored
            yield AtRisk(found, account.outstanding.lender, chance)
