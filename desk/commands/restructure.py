"""Another plan for what is outstanding, with a borrower in difficulty (重组).

The whole life of the loan stays under the cap of the day, with what the product that it was made
under took at its start; it is forborne and watched, and its contractual clock runs on. Who is not
in difficulty is given more time by an extension, which product and law limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from desk.commands.extend import contracted
from desk.commands.repay import Booking, happen
from desk.errors import AboveCap
from desk.office import Desk
from lending.account.balances import Account
from lending.account.events import ContractDue, LoanEvent, Restructured
from lending.money import percent


@dataclass(frozen=True)
class Plan:
    """``dues``: together all principal that is outstanding, and what they ask for beside it."""

    id: str
    on: date
    dues: tuple[ContractDue, ...]


def restructure(desk: Desk, loan: str, plan: Plan, booking: Booking) -> bool:
    """Replace a loan's plan; returns whether that is new.

    Raises:
        NotFound, PreconditionFailed, Malformed, Conflict: as of
        :func:`desk.commands.repay.happen`. AboveCap: the whole life would cost too much. NotKept:
        the product that it was made under cannot be read.
        AccountError: the plan does not add up, or the loan does not stand so.
    """
    product = contracted(desk, loan)

    def agreed(account: Account) -> LoanEvent:
        event = Restructured(
            id=plan.id,
            day=plan.on,
            amount=sum(one.principal for one in plan.dues),
            dues=plan.dues,
        )
        if any(one.id == plan.id for one in account.events):  # a retry: it is booked already
            return event
        cost = desk.lending.restructuring(product, account, event)
        if not cost.within:
            most = percent(cost.cap) if cost.cap is not None else ""
            raise AboveCap(
                "the loan is not restructured: its whole life would cost "
                f"{percent(max(cost.compound, cost.simple))} a year, above {most} "
                f"({cost.cap_source}); ask for less"
            )
        return event

    return happen(desk, loan, plan.on, agreed, booking)
