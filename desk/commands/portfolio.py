"""How a desk's loans do, whichever model or person decided them: what becomes of those who are
late, vintages and their first payments, what is expected to be lost. Figures with their intervals;
nobody is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from desk.accounts import LentCase, lent_by
from desk.commands.book import BookStanding, ends_of_months, standing_of
from desk.office import Desk
from lending.account.balances import Account
from lending.account.default import INDETERMINATE_DPD, Definition, label
from lending.intervals import Estimate, Share, wilson
from lending.portfolio.book import Roll, roll_rates
from lending.portfolio.losses import AtRisk, ExpectedLoss, losses, stage
from lending.portfolio.vintages import FirstPayments, first_payments

MONTHS = 12
"""Of moves between buckets, so many months back."""


@dataclass(frozen=True)
class PortfolioSeen:
    """All loans as of a day.

    Args:
        book: what ``desk book`` tells, by months.
        rolls: moves from one end of a month to the next, of the last twelve.
        late_turned_bad: of the mature loans that were ever thirty days late, those that are bad.
        expected: None where nobody said what is lost of a loan that goes bad.
    """

    book: BookStanding
    rolls: tuple[Roll, ...]
    first_payments: tuple[FirstPayments, ...]
    late_turned_bad: Estimate | None
    expected: ExpectedLoss | None


def portfolio(
    desk: Desk, definition: Definition, as_of: date, loss_given_default: Decimal | None = None
) -> PortfolioSeen:
    """All loans that were paid out by a day.

    Args:
        loss_given_default: the share of what is owed that is lost of a loan that goes bad.
    """
    them = list(lent_by(desk, as_of))
    accounts = [one.account for one in them]
    late = _late_turned_bad(accounts, definition, as_of)
    expected = None
    if loss_given_default is not None:
        expected = losses(_at_risk(them, late), loss_given_default)
    return PortfolioSeen(
        book=standing_of(accounts, as_of, bad_dpd=definition.bad_dpd),
        rolls=tuple(roll_rates(accounts, _ends(as_of)).rolls()),
        first_payments=first_payments(accounts, as_of),
        late_turned_bad=late,
        expected=expected,
    )


def _ends(as_of: date) -> list[date]:
    """The last :data:`MONTHS` ends of months that are over, and the one before; the oldest
    first."""
    return ends_of_months(as_of - timedelta(days=31 * (MONTHS + 1)), as_of)[-MONTHS - 1 :]


def _late_turned_bad(
    accounts: Sequence[Account], definition: Definition, as_of: date
) -> Estimate | None:
    late = [one for one in accounts if one.worst_dpd >= INDETERMINATE_DPD]
    labels = [label(one, definition, as_of).performance for one in late]
    mature = [one for one in labels if one != "immature"]
    return wilson(Share(mature.count("bad"), len(mature))) if mature else None


def _at_risk(them: Sequence[LentCase], late: Estimate | None) -> Iterator[AtRisk]:
    """In stage 2, and where no model said anything, as likely as those who were late turned bad;
    while none of them is mature, certainly."""
    observed = 1.0 if late is None else late.value
    for _, account, case in them:
        found, scored = stage(account), None if case is None else case.scored
        if found is not None:
            chance = observed if found == 2 or scored is None else scored.probability
            yield AtRisk(found, account.outstanding.lender, 1.0 if found == 3 else chance)
