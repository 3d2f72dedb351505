"""What is agreed when the money is there, and what more time costs then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.effort import effort
from support.loans import TODAY, fee, once

from lending.account.events import ContractDue, Disbursed, Extended, LoanEvent, Repaid, Restructured
from lending.account.fold import resume, state
from lending.account.states import LoanStatus
from lending.cases import Cost, LoanOffer
from lending.errors import AccountError, LawSilent, TermsError
from lending.law.rows import LAWS, Laws
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
    found = here.extension(here.product("small"), account, asked)
    flows = [CashFlow(TODAY, 100_000, 0, 500), CashFlow(TODAY + timedelta(days=60), 0, 100_000, 1_800)]
    assert found.cost is not None
    assert (found.cost.compound, found.cost.simple) == (xirr(flows), simple_rate(flows))
    assert isinstance(found.event, Extended)
    dear = pricing_of({**PREMIUM, "value": 20_000})
    assert dear.extension(dear.product("small"), account, asked).obstacles == ("above-cap",)
    own = pricing_of({**PREMIUM, "value": 20_000, "payee": "lender"})
    assert own.extension(own.product("small"), account, asked).obstacles == (), (
        "the account has what the lender charged"
    )


@settings(max_examples=effort(150), deadline=None)
@given(
    st.integers(0, 30), st.integers(0, 3_000), st.integers(0, 1_500),
    st.lists(st.tuples(st.integers(1, 90), st.integers(0, 4_000), st.integers(0, 900)), min_size=1, max_size=3),
)  # fmt: skip
def test_a_plan_that_is_kept_costs_what_was_said_and_the_clock_runs_on(day, premium, paid, plan):
    """As it really comes: what everybody was paid, the insurer too, until the last due of the plan."""
    here = pricing_of({**PREMIUM, "method": "amount", "value": premium})
    made = agreed(here)
    money = [Repaid(id="part", day=TODAY + timedelta(days=day), amount=paid, prepays=True)] if paid else []
    account = lent(made, *money, day=day)
    left, at, dues = account.outstanding.principal, account.day, []
    for number, (days, interest, fees) in enumerate(plan):
        at += timedelta(days=days)
        part = left if number == len(plan) - 1 else left // 2
        left -= part
        dues.append(ContractDue(at, part, interest, fees))
    event = Restructured(id="r", day=account.day, amount=sum(one.principal for one in dues), dues=tuple(dues))
    found = here.restructuring(here.product("small"), account, event)
    now = resume(account, [event], account.day)
    flows = [CashFlow(TODAY, 100_000, 0, premium), *(CashFlow(one.day, 0, 0, one.amount) for one in money)]
    for number, one in enumerate(dues):
        now = resume(now, (), one.day)
        flows.append(CashFlow(one.day, 0, 0, now.due.total))
        now = resume(now, [Repaid(id=f"kept-{number}", day=one.day, amount=now.due.total)], one.day)
    assert now.status is LoanStatus.SETTLED
    assert abs(xirr(flows) - found.compound) <= Decimal("1e-9")
    assert found.within == (max(found.compound, found.simple) <= Decimal("0.24"))
    due = made.contract.dues[0].day
    assert now.dpd == 0 and now.worst_dpd == max((at - due).days, 0), "of the contract's own due"


def test_an_extension_is_not_judged_as_of_before_what_is_known():
    here = pricing_of()
    account = lent(agreed(here), Extended(id="x", day=TODAY + timedelta(days=20), days=30), day=20)
    with pytest.raises(AccountError, match="cannot go back"):
        here.extension(here.product("small"), account, Extending("y", TODAY + timedelta(days=19), 1))


@given(st.integers(1, 200_000))
def test_the_principal_is_what_was_received_whatever_the_products_steps(received: int):
    """Civil Code 670: net of the bank's fee, 2,999.99 of 3,000."""
    amounts = {"least": 10_000, "most": 200_000, "step": 100}
    contract = agreed(pricing_of(amounts=amounts), received, 0).contract
    assert (contract.principal, sum(due.principal for due in contract.dues)) == (received, received)


def test_a_rate_that_the_product_does_not_have_is_still_refused():
    with pytest.raises(TermsError, match="ppm a day"):
        agreed(pricing_of(), rate=2_001)


def test_a_term_of_which_the_law_says_nothing_is_not_offered_and_the_others_are():
    """China's four times LPR ends on 2028-01-01; what lasts a month has a cap of its own until then."""
    here = ProductPricing({"small": once(terms=[30, 360])})
    assert here.choices("small", TODAY).terms == (30, 360)
    kind = once().lender_kind

    def without(*keys: str) -> ProductPricing:
        rows = tuple(row for row in LAWS.rows["CN"] if row.key not in keys)
        return ProductPricing(here.products, Laws({**LAWS.rows, "CN": rows}))

    assert without(f"cap.{kind}").choices("small", TODAY).terms == (30,), "of a month there is another row"
    with pytest.raises(LawSilent):
        without(f"cap.{kind}", f"cap.{kind}.one-month").choices("small", TODAY)
