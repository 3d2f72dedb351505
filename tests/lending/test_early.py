"""What repays a loan before its end: for the actual days, with no more charged than product, law and cap allow."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.loans import asked, fee, once, product

from lending.account.allocation import HEADS
from lending.account.balances import Account
from lending.account.early import EarlySettlement, interest_to_come
from lending.account.events import (
    ChargedOff,
    Corrected,
    Disbursed,
    Extended,
    FeeCharged,
    LoanEvent,
    Repaid,
    SettledEarly,
)
from lending.account.extension import life
from lending.account.fold import resume, state
from lending.account.records import event_from, record_of
from lending.account.rows import Balances
from lending.account.states import LoanStatus
from lending.cases import Cost, LoanOffer
from lending.errors import AccountError
from lending.law.rows import LAWS, Laws
from lending.policy.pricing import ProductPricing
from lending.terms.cost import CashFlow, xirr
from lending.terms.products import Product

START = date(2026, 11, 27)
NO_COST = Cost(Decimal(0), Decimal(0), None, "", 0)
ABROAD = {"jurisdiction": "EU", "lender_kind": "creditor"}
EARLY = {"when": "early", "method": "of-balance", "payee": "lender"}


def lent(
    made: Product, rate: int = 500, term: int = 360, principal: int = 1_000_000, start: date = START, laws: Laws = LAWS
) -> Account:
    """A loan on the day on which it is paid out."""
    until = datetime.combine(start, time(), UTC)
    offer = LoanOffer(made.name, principal, term, rate, principal, NO_COST, until)
    agreed = ProductPricing({made.name: made}, laws).agreed(offer, "loan-1", principal, start)
    events: list[LoanEvent] = [Disbursed(id="out", day=start, amount=principal)]
    if agreed.upfront:
        events.append(FeeCharged(id="out/start", day=start, amount=agreed.upfront))
        events.append(Repaid(id="out/paid", day=start, amount=agreed.upfront))
    return state(agreed.contract, events, start)


def settles(made: Product, account: Account, days: int, laws: Laws = LAWS) -> EarlySettlement:
    """So many days after payout, if nothing happens until then."""
    return ProductPricing({made.name: made}, laws).settlement(made, resume(account, (), account.day + timedelta(days)))


def test_what_settles_a_loan_by_hand():
    made = once(fees=[fee("early", value=5_000, **EARLY)])
    loan = lent(made)
    found = settles(made, loan, 160)
    assert found.owed == Balances(interest=80_000, principal=1_000_000)
    assert [(one.code, one.agreed, one.amount) for one in found.charges] == [("early", 5_000, 5_000)]
    assert (found.held, found.rebate, found.to_pay) == (0, 0, 1_085_000)
    assert found.saved == 200 * 500 - 5_000
    assert found.cost is not None and found.cost.within and found.cost.total == 85_000
    assert "民法典 677" in found.sources
    over = resume(loan, [found.event("last", found.to_pay)], found.on)
    assert (over.status, over.settled_on, over.held) == (LoanStatus.SETTLED, found.on, 0)
    assert (over.paid.fees, over.paid.interest, over.received) == (5_000, 80_000, 1_085_000)
    later = resume(over, (), loan.contract.matures + timedelta(30))
    assert (later.outstanding.total, later.worst_dpd) == (0, 0)


def test_what_is_late_is_repaid_with_it_and_penalties_too():
    made = product(fees=[fee("penalty", when="late", method="of-overdue-a-day", value=750, payee="lender")])
    loan = lent(made)
    found = settles(made, loan, 60)
    late = resume(loan, (), found.on)
    assert late.dpd == 30 and found.owed.penalty > 0
    assert found.to_pay == late.outstanding.total
    over = resume(loan, [found.event("last", found.to_pay)], found.on)
    assert (over.status, over.dpd, over.worst_dpd) == (LoanStatus.SETTLED, 0, 30)


def test_what_others_charge_for_it_stays_theirs_and_what_they_charge_later_is_not_charged():
    charged = [fee("guarantee", value=1_000, method="of-balance"),
               fee("early", value=300, method="amount", when="early", payee="guarantor")]  # fmt: skip
    made = product(fees=charged)
    loan = lent(made)
    found = settles(made, loan, 10)
    over = resume(loan, [found.event("last", found.to_pay)], loan.contract.matures)
    assert (over.paid.fees, over.paid.guarantor, over.outstanding.total) == (0, 300, 0)


def test_what_is_held_is_counted_and_what_is_too_much_is_held():
    made = once()
    loan = lent(made)
    ahead = resume(loan, [Repaid(id="p-1", day=START, amount=300_000)], START)
    found = settles(made, ahead, 40)
    assert (found.held, found.to_pay) == (300_000, 720_000)
    over = resume(ahead, [found.event("last", found.to_pay + 7)], found.on)
    assert (over.status, over.held) == (LoanStatus.SETTLED, 7)
    everything = resume(loan, [Repaid(id="p-1", day=START, amount=1_100_000)], START)
    none = settles(made, everything, 40)
    assert none.to_pay == 0
    assert resume(everything, [none.event("last", 0)], none.on).held == 80_000


def test_less_than_settles_it_settles_nothing():
    made = once(fees=[fee("early", value=5_000, **EARLY)])
    loan = lent(made)
    found = settles(made, loan, 160)
    with pytest.raises(AccountError, match="brings 1084999 fen, but 1085000 settle loan"):
        resume(loan, [found.event("last", found.to_pay - 1)], found.on)


@pytest.mark.parametrize("days", [360, 400])
def test_at_its_end_and_after_it_nothing_is_repaid_early(days):
    made = once()
    loan = lent(made)
    with pytest.raises(AccountError, match="nothing of loan loan-1 falls due"):
        settles(made, loan, days)


def test_a_debt_that_was_written_off_is_recovered_and_one_that_is_settled_over():
    made = once()
    loan = lent(made)
    gone = resume(loan, [ChargedOff(id="off", day=START)], START)
    with pytest.raises(AccountError, match="charged-off cannot be changed by 'repay'"):
        settles(made, gone, 5)
    over = resume(loan, [SettledEarly(id="all", day=START, amount=1_000_000)], START)
    assert over.status is LoanStatus.SETTLED
    with pytest.raises(AccountError, match="nothing of loan loan-1 falls due"):
        settles(made, over, 5)


def test_what_is_charged_for_it_never_lifts_the_life_above_the_cap_of_the_day():
    """3% of what is outstanding, after a hundred days at 21% a year: above 27% a year."""
    made = product(fees=[fee("early", value=30_000, **EARLY)])
    loan = lent(made, rate=580)
    found = settles(made, loan, 100)
    (charge,) = found.charges
    assert 0 < charge.amount < charge.agreed
    assert found.cost is not None and found.cost.within
    one_more = CashFlow(found.on, charges=1)
    flows = [CashFlow(*one) for one in life(resume(loan, (), found.on), found.event("last", found.to_pay))]
    assert xirr(flows) == found.cost.compound
    assert xirr([*flows, one_more]) > LAWS.at("CN", "cap.microloan", found.on).number


def test_a_life_that_is_dearer_without_it_is_charged_nothing_for_it():
    """What a guarantor took on the first day is dear for ten days."""
    made = once(fees=[fee("guarantee", when="start", value=20_000), fee("early", value=5_000, **EARLY)])
    found = settles(made, lent(made), 10)
    assert found.charged == 0 and found.cost is not None and not found.cost.within


def test_money_that_goes_back_on_the_day_on_which_it_came_has_no_cost():
    made = once(fees=[fee("early", value=5_000, **EARLY)])
    found = settles(made, lent(made), 0)
    assert (found.to_pay, found.charged, found.cost) == (1_000_000, 0, None)


def test_where_the_law_is_silent_nothing_is_charged_for_it():
    made = once(fees=[fee("early", value=5_000, **EARLY)])
    loan = lent(made, start=date(2027, 6, 1))
    found = settles(made, loan, 230)  # in 2028 the cap is a multiple of an LPR that nobody has published
    assert (found.charged, found.cost) == (0, None)
    assert found.to_pay == 1_000_000 + 230 * 500
    none = Laws({**LAWS.rows, "CN": tuple(row for row in LAWS.rows["CN"] if row.key != "early-repayment")})
    assert settles(made, lent(made), 40, none).charged == 0


@pytest.mark.parametrize(("term", "days", "most"), [(360, 40, 5_000), (1080, 40, 10_000), (1080, 1000, 5_000)])
def test_in_the_union_a_share_of_what_is_repaid_early_is_the_most(term, days, most):
    made = once(fees=[fee("early", value=40_000, **EARLY)], terms=[360, 1080], **ABROAD)
    found = settles(made, lent(made, term=term), days)
    assert (found.charges[0].agreed, found.charged) == (40_000, most)


def test_in_the_union_it_is_no_more_than_the_interest_to_come():
    made = once(fees=[fee("early", value=40_000, **EARLY)], **ABROAD)
    loan = lent(made, rate=500)
    assert interest_to_come(resume(loan, (), START + timedelta(355))) == 5 * 500
    assert settles(made, loan, 355).charged == 2_500


def test_in_the_union_costs_of_the_first_day_go_back_for_the_time_that_is_left():
    made = once(fees=[fee("opening", when="start", value=12_000, payee="lender")], **ABROAD)
    loan = lent(made)
    found = settles(made, loan, 90)
    assert (loan.paid.fees, found.rebate) == (12_000, 9_000)
    assert found.to_pay == 1_000_000 + 90 * 500 - 9_000
    over = resume(loan, [found.event("last", found.to_pay)], found.on)
    assert (over.status, over.held, over.paid.fees) == (LoanStatus.SETTLED, 0, 3_000)
    assert over.received == over.paid.total
    with pytest.raises(AccountError, match="less was charged"):
        resume(loan, [SettledEarly(id="x", day=found.on, amount=2_000_000, rebate=12_001)], found.on)


def test_two_charges_share_what_may_be_charged_in_the_products_order():
    made = once(fees=[fee("early", value=3_000, **EARLY), fee("other", value=9_000, **EARLY | {"payee": "platform"})],
                **ABROAD)  # fmt: skip
    found = settles(made, lent(made), 40)
    assert [one.amount for one in found.charges] == [3_000, 2_000]
    event = found.event("last", found.to_pay)
    assert (event.fees, event.others) == (3_000, (("platform", 2_000),))


def test_it_is_asked_by_the_term_that_the_loan_would_have_had():
    """A month stays at 24% a year when what is longer is at four times LPR: one that is repaid soon is no month's."""
    row = 'key = "lpr-1y"\nvalue = "0.030"\nfrom = 2027-12-20\narticle = "1Y LPR"\nsource = "a test"\nverified = true'
    laws = LAWS.with_rows("CN", f"[[row]]\n{row}")
    made = once(fees=[fee("early", value=5_000, **EARLY)])
    found = settles(made, lent(made, rate=330, start=date(2028, 2, 1), laws=laws), 20, laws)
    assert found.cost is not None and found.cost.cap == Decimal("0.120")
    assert found.charged == 0


def test_an_extended_loan_is_settled_before_its_new_end():
    made = once()
    loan = lent(made, term=30)
    longer = resume(loan, [Extended(id="x", day=START + timedelta(20), days=20)], START + timedelta(40))
    found = settles(made, longer, 0)
    assert found.owed.principal == 1_000_000
    assert resume(longer, [found.event("last", found.to_pay)], found.on).status is LoanStatus.SETTLED


def test_it_is_taken_back_whole():
    made = once(fees=[fee("early", value=5_000, **EARLY)])
    loan = lent(made)
    found = settles(made, loan, 40)
    over = resume(loan, [found.event("last", found.to_pay)], found.on)
    back = Corrected(id="c-1", day=found.on, corrects=("last",))
    assert resume(over, [back], found.on).outstanding == found.owed


def test_it_is_kept_as_it_was():
    event = SettledEarly(id="e", day=START, amount=5, fees=2, others=(("platform", 1),), rebate=3)
    assert event_from(record_of(event)) == event and record_of(event)["kind"] == "settled-early"
    for wrong in ({"fees": -1}, {"rebate": True}, {"others": (("lender", 1),)}, {"others": (("platform", 0),)}):
        with pytest.raises(Exception, match=r"event e|lender"):
            SettledEarly(**{"id": "e", "day": START, "amount": 5, **wrong})  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(asked(), st.data())
def test_whatever_the_product_no_fen_is_lost_and_the_cap_holds(case, data):
    made, principal, rate, start, term = case
    fees = [one.model_dump() for one in made.fees]
    fees.append(fee("early", method="of-balance", when="early", value=data.draw(st.integers(0, 60_000))))
    made = Product.model_validate(made.model_dump() | {"fees": fees})
    loan = lent(made, rate, term, principal, start)
    days = data.draw(st.integers(0, loan.contract.term_days - 1))
    found = settles(made, loan, days)
    over = resume(loan, [found.event("last", found.to_pay)], found.on)
    assert (over.status, over.held, over.outstanding.total) == (LoanStatus.SETTLED, 0, 0)
    assert over.received == over.paid.total
    assert over.paid.interest <= sum(due.interest for due in loan.contract.dues)
    assert all(getattr(over.paid, head) >= 0 for head in HEADS)
    if found.charged:
        assert found.cost is not None and found.cost.within
