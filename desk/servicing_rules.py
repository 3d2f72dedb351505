"""What a desk services loans by: the product that each was made under, and the law of a day.

A part of the seam of :mod:`desk.lending_rules`.
"""

from __future__ import annotations

from datetime import date
from typing import Protocol

from lending.account.balances import Account
from lending.account.early import EarlySettlement
from lending.account.events import Restructured
from lending.account.extension import ExtensionAnswer
from lending.cases import Cost, LoanOffer
from lending.policy.pricing import Agreed, Extending, ProductPricing
from lending.terms.disclosure import DisclosureTable
from lending.terms.products import Product


class ServicingRules(Protocol):
    """Pure: the same loan gets the same answer on the same day."""

    def agreed(self, offer: LoanOffer, loan: str, principal: int, starts: date) -> Agreed:
        """What is owed when, and what it costs by the law of the day on which the money came."""
        ...

    def extension(self, product: Product, account: Account, request: Extending) -> ExtensionAnswer:
        """Whether a loan's end may be put off, by its own product and the law of the day."""
        ...

    def restructuring(self, product: Product, account: Account, event: Restructured) -> Cost:
        """What a loan's whole life costs with another plan, beside the cap of the day."""
        ...

    def settlement(self, product: Product, account: Account) -> EarlySettlement:
        """What repays a loan before its end, at the end of the account's day. Raises
        AccountError."""
        ...

    def disclosure(self, offer: LoanOffer, day: date) -> DisclosureTable:
        """What the borrower is shown of an offer of that day, and confirms."""
        ...


class PricedServicing:
    """By these prices."""

    pricing: ProductPricing

    def agreed(self, offer: LoanOffer, loan: str, principal: int, starts: date) -> Agreed:
        return self.pricing.agreed(offer, loan, principal, starts)

    def extension(self, product: Product, account: Account, request: Extending) -> ExtensionAnswer:
        return self.pricing.extension(product, account, request)

    def restructuring(self, product: Product, account: Account, event: Restructured) -> Cost:
        return self.pricing.restructuring(product, account, event)

    def settlement(self, product: Product, account: Account) -> EarlySettlement:
        return self.pricing.settlement(product, account)

    def disclosure(self, offer: LoanOffer, day: date) -> DisclosureTable:
        return self.pricing.disclosure(offer, day)
