"""Put off the end of a loan (展期): asked for before it falls due, agreed to by the lender, within
what its own product and the law of the day allow, and never above the cap over the whole life. The
contractual clock runs on.

What it costs is what the product said when the loan was made, whatever the lender sells today.
"""

from __future__ import annotations

from dataclasses import asdict

from crypto.documents import document_hash
from desk.accounts import held_loan
from desk.commands.repay import Booking, happen
from desk.errors import AboveCap, PriceChanged
from desk.office import Desk
from desk.rulebook import Rulebook
from lending.account.balances import Account
from lending.account.events import LoanEvent
from lending.account.extension import ExtensionAnswer
from lending.policy.pricing import Extending
from lending.terms.products import Product
from protocol.errors import Conflict

_WHY = {
    "status": "a loan that stands so is not extended",
    "overdue": "something is past due",
    "asked-late": "it was asked for too short before what it puts off falls due",
    "no-consent": "the lender has not agreed",
    "too-often": "it may not be extended so often",
    "law-silent": "the law says nothing of extending such a loan",
    "too-long": "all extensions together would be longer than product and law allow",
    "above-cap": "the whole life of the loan would cost more than the law of the day allows",
}


def terms_sha256(found: ExtensionAnswer) -> str:
    """Names what an extension of so many days on this day costs, and the whole loan with it."""
    event, cost = found.event, found.cost
    return document_hash(
        {
            "event": None if event is None else {**asdict(event), "id": "", "day": str(event.day)},
            "cost": None
            if cost is None
            else [str(cost.compound), str(cost.simple), str(cost.cap), cost.total],
        }
    )


def extend(
    desk: Desk, loan: str, asked: Extending, booking: Booking, shown: str | None = None
) -> bool:
    """Extend a loan; returns whether that is new.

    Args:
        shown: :func:`terms_sha256` of what the borrower was shown, if it is the borrower who asks.

    Raises:
        PriceChanged: it costs something else by now.
        NotFound, PreconditionFailed, Malformed: as of :func:`desk.commands.repay.happen`.
        Conflict: it may not be extended; AboveCap: it would cost too much. NotKept: the product
        that it was made under cannot be read.
    """
    product = contracted(desk, loan)

    def granted(account: Account) -> LoanEvent:
        earlier = next((one for one in account.events if one.id == asked.id), None)
        if earlier is not None:  # a retry: it is booked already
            return earlier
        found = desk.lending.extension(product, account, asked)
        if found.event is not None:
            if shown is not None and terms_sha256(found) != shown:
                raise PriceChanged("more time costs something else than was shown; look again")
            return found.event
        why = "; ".join(_WHY[one] for one in found.obstacles)
        refused = AboveCap if found.obstacles == ("above-cap",) else Conflict
        raise refused(f"the loan is not extended: {why}")

    return happen(desk, loan, asked.asked_on, granted, booking)


def contracted(desk: Desk, loan: str) -> Product:
    """The product that a loan was made under. Raises NotFound, NotKept."""
    with desk.reading() as hand:
        row = held_loan(hand.connection, loan)
    return Rulebook(desk.transactions.database, desk.at_rest).product(row.product_hash)
