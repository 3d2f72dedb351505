"""What is agreed when the money is there, and what more time costs then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.loans import TODAY, fee, once

from lending.account.events import Disbursed, Extended, LoanEvent
from lending.account.fold import state
from lending.cases import Cost, LoanOffer
from lending.errors import AccountError, TermsError
from lending.policy.pricing import Agreed, Extending, ProductPricing
from lending.terms.cost import CashFlow, simple_rate, xirr

PREMIUM = fee("premium", when="start", value=5_000, payee="insurer")
RULES = {"times": 2, "days": 30}


def agreed(pricing: ProductPricing, principal: int = 100_000, rate: int = 300) -> Agreed:
    cost = Cost(Decimal("0.2"), Decimal("0.2"), Decimal("0.24"), "a cap", 900)
    offer = LoanOffer("small", 200_000, 30, rate, 200_000, cost, datetime(2026, 12, 1, tzinfo=UTC))
    return pricing.agreed(offer, "loan-1", principal, TODAY)


def pricing_of(*fees: dict, **more) -> ProductPricing:
    return ProductPricing({"small": once(fees=list(fees), extension=RULES, **more)})


def lent(made: Agreed, *events: LoanEvent, day: int = 5):
    out = Disbursed(id="out", day=TODAY, amount=made.contract.principal)
    return state(made.contract, [out, *events], TODAY + timedelta(days=day))


def test_what_others_are_paid_on_the_first_day_is_not_owed_to_the_lender():
    """Who paid the insurer directly would be past due with the lender for good."""
    made = agreed(pricing_of(PREMIUM))
    assert made.upfront == 0
    assert made.cost.total == 500 + 900, "it is a part of what the loan costs"


@pytest.mark.parametrize("payee, owed", [("lender", 500), ("guarantor", 0), ("platform", 0)])
def test_only_what_the_lender_charges_is_booked_beside_the_principal(payee: str, owed: int):
    here = pricing_of({**PREMIUM, "payee": payee}, jurisdiction="EU", lender_kind="creditor")
    assert agreed(here).upfront == owed


def test_what_others_were_paid_counts_when_a_loan_is_extended():
    here, asked = pricing_of(PREMIUM), Extending("x", TODAY + timedelta(days=20), 30)
    account = lent(agreed(here), day=20)
    found = here.extension("small", account, asked)
    flows = [CashFlow(TODAY, 100_000, 0, 500), CashFlow(TODAY + timedelta(days=60), 0, 100_000, 1_800)]
    assert found.cost is not None
    assert (found.cost.compound, found.cost.simple) == (xirr(flows), simple_rate(flows))
    assert isinstance(found.event, Extended)
    dear = pricing_of({**PREMIUM, "value": 20_000})
    assert dear.extension("small", account, asked).obstacles == ("above-cap",)
    own = pricing_of({**PREMIUM, "value": 20_000, "payee": "lender"})
    assert own.extension("small", account, asked).obstacles == (), "the account has what the lender charged"


def test_an_extension_is_not_judged_as_of_before_what_is_known():
    here = pricing_of()
    account = lent(agreed(here), Extended(id="x", day=TODAY + timedelta(days=20), days=30), day=20)
    with pytest.raises(AccountError, match="cannot go back"):
        here.extension("small", account, Extending("y", TODAY + timedelta(days=19), 1))


@given(st.integers(1, 200_000))
def test_the_principal_is_what_was_received_whatever_the_products_steps(received: int):
    """Civil Code 670: net of the bank's fee, 2,999.99 of 3,000."""
    amounts = {"least": 10_000, "most": 200_000, "step": 100}
    contract = agreed(pricing_of(amounts=amounts), received, 0).contract
    assert (contract.principal, sum(due.principal for due in contract.dues)) == (received, received)


def test_a_rate_that_the_product_does_not_have_is_still_refused():
    with pytest.raises(TermsError, match="ppm a day"):
        agreed(pricing_of(), rate=2_001)
