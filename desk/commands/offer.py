"""What is lent here, and what it would cost at most: before anybody applies, about nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from desk.commands.publish import released
from desk.errors import RulesMissing
from desk.office import Desk
from desk.principles import policy_of
from lending.cases import Cost
from lending.money import simple_year
from lending.policy.document import CreditPolicy
from lending.policy.offers import LoanTerms
from lending.policy.pricing import ProductPricing
from lending.terms.products import Product
from protocol.errors import Malformed, NotFound


@dataclass(frozen=True)
class DearestTerms:
    """The most that a loan of these terms would cost on a day: the product's highest rate, lowered
    to the cap of the day."""

    rate_ppm_day: int
    cost: Cost

    def payload(self) -> dict[str, Any]:
        """Annual figures first; decimal fractions as text."""
        cap = self.cost.cap
        return {
            "annual_cost": {
                "compound": str(self.cost.compound),
                "simple": str(self.cost.simple),
                "cap": None if cap is None else str(cap),
                "cap_source": self.cost.cap_source,
            },
            "rate_ppm_day": self.rate_ppm_day,
            "nominal_year": str(simple_year(self.rate_ppm_day)),
            "total_cost": self.cost.total,
        }


def offered(desk: Desk) -> list[dict[str, Any]]:
    """Every product for which a policy is in force today. Raises RulesMissing: nothing was
    released."""
    rules, day = released(desk), desk.now().date()
    return [
        _told(product, policy)
        for _, product in sorted(rules.pricing.products.items())
        if (policy := policy_of(rules, product.name, day)) is not None
    ]


def dearest(desk: Desk, product: str, amount: int, term_days: int) -> DearestTerms:
    """What these terms cost at most, if they were lent today.

    Raises:
        NotFound: no such product. Malformed: it has no such amount or term. RulesMissing: it cannot
        be lent within the law of the day.
    """
    rules, day = released(desk), desk.now().date()
    found = rules.pricing.products.get(product)
    if found is None or policy_of(rules, product, day) is None:
        raise NotFound("there is no such product")
    choices = rules.pricing.choices(product, day)
    if choices.floor(amount) != amount or term_days not in choices.terms:
        raise Malformed(
            f"{product} lends {choices.least} to {choices.most} fen in steps of {choices.step}, "
            f"for {', '.join(map(str, choices.terms))} days"
        )
    return _dearest(rules.pricing, found, LoanTerms(product, amount, term_days, day))


def _dearest(pricing: ProductPricing, product: Product, terms: LoanTerms) -> DearestTerms:
    priced = pricing.lawful_price(terms, product.rates.most)
    if priced is None:
        raise RulesMissing("these terms cannot be lent within what the law of the day allows")
    return DearestTerms(*priced)


def _told(product: Product, policy: CreditPolicy) -> dict[str, Any]:
    """``purposes``: what the policy tells apart of what a loan is for; empty where it asks for
    none of a list."""
    amounts, purpose = product.amounts, policy.document.facts.get("purpose")
    return {
        "product": product.name,
        "name": {"en": product.en, "zh": product.zh},
        "least": amounts.least,
        "most": amounts.most,
        "step": amounts.step,
        "terms": list(product.terms),
        "dues": product.dues,
        "purposes": [] if purpose is None else [str(one) for one in purpose.values],
    }
