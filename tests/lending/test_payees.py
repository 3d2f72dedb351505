"""What a guarantor, an insurer or a platform charges: collected by the lender, never the lender's, and never lost."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.effort import effort
from support.loan_histories import contract, day, disbursed, histories, paid
from support.loans import TODAY, asked, fee, once

from desk.api.amendments import PlannedDue
from desk.api.loans import loan_view
from lending.account.allocation import COMPONENTS, HEADS, THIRD_PARTIES
from lending.account.balances import Account
from lending.account.default import Definition, label
from lending.account.events import (
    ChargedOff,
    ContractDue,
    Corrected,
    Disbursed,
    Extended,
    FeeCharged,
    LoanEvent,
    Recovered,
    Refunded,
    Repaid,
    Restructured,
    SettledEarly,
    Waived,
    by_payee,
)
from lending.account.extension import life
from lending.account.fold import happened, state
from lending.account.records import event_from, record_of
from lending.account.rows import Balances
from lending.account.states import LoanStatus
from lending.errors import AccountError, MoneyError
from lending.policy.pricing import Extending, ProductPricing
from lending.portfolio.losses import stage
from lending.portfolio.vintages import seasoned
from lending.terms.cost import flows_of
from lending.terms.schedule import schedule

LOAN = contract((30, 100_000, 1_000, 50, (("guarantor", 300), ("insurer", 200))))


def at(number: int, *events: LoanEvent) -> Account:
    return state(LOAN, [disbursed(LOAN), *events], day(number))


def test_a_due_is_owed_to_whom_it_is_owed():
    found = at(30).due
    assert found == Balances(fees=50, interest=1_000, principal=100_000, guarantor=300, insurer=200)
    assert (found.lender, found.others, found.total) == (101_050, 500, 101_550)


def test_a_payment_meets_the_lenders_fee_first_then_the_others_then_the_rest():
    for amount, met in (
        (40, Balances(fees=40)),
        (60, Balances(fees=50, guarantor=10)),
        (551, Balances(fees=50, guarantor=300, insurer=200, interest=1)),
    ):
        assert at(30, paid(30, amount)).paid == met


def test_who_paid_the_lender_is_not_late_though_the_insurer_waits():
    """Nor bad: the contract that is labelled is the lender's."""
    short = at(200, paid(30, 550), Waived(id="w", day=day(30), amount=1_000, component="interest"),
               paid(30, 100_000))  # fmt: skip
    assert (short.status, short.settled_on, short.dpd) == (LoanStatus.SETTLED, day(30), 0)
    order = contract((30, 1_000, 0, 0, (("insurer", 200),)), order=LOAN.order.alike(COMPONENTS[::-1]))
    owing = state(order, [disbursed(order), paid(30, 1_000)], day(200))
    assert (owing.status, owing.outstanding) == (LoanStatus.SETTLED, Balances(insurer=200))
    assert (owing.dpd, owing.past_due, owing.worst_dpd, stage(owing)) == (0, 0, 0, None)
    assert label(owing, Definition(120), day(200)).performance == "good" and seasoned(owing).bad_on is None
    done = state(order, [disbursed(order), paid(30, 1_000), paid(50, 230)], day(200))
    assert (done.paid, done.held) == (Balances(principal=1_000, insurer=200), 30), "it is still collected"


def test_a_guarantor_answers_for_the_lenders_claims_alone():
    found = at(45, Repaid(id="g", day=day(40), amount=101_050, payer="guarantor"))
    assert found.paid.others == 0 and found.outstanding.others == 500
    with pytest.raises(AccountError, match="cannot overpay"):
        at(45, Repaid(id="g", day=day(40), amount=at(40).outstanding.lender + 1, payer="insurer"))
    taken_over = at(45, Repaid(id="l", day=day(40), amount=at(40).outstanding.total, payer="lender"))
    assert taken_over.outstanding.total == 0


def test_the_lender_writes_off_and_waives_what_is_its_own():
    owed = at(200).outstanding
    gone = at(200, ChargedOff(id="c", day=day(200)))
    assert gone.written_off == owed.lender and gone.outstanding == owed
    back = at(210, ChargedOff(id="c", day=day(200)), Recovered(id="r", day=day(210), amount=owed.total))
    assert back.outstanding.total == 0 and back.paid == owed
    with pytest.raises(AccountError, match="only 50 are owed"):
        at(30, Waived(id="w", day=day(30), amount=51, component="fees"))
    let_go = Waived(id="w", day=day(30), amount=200, component="fees", payee="insurer")
    assert at(30, let_go).outstanding == Balances(fees=50, interest=1_000, principal=100_000, guarantor=300)
    assert at(30, let_go).marks == ()
    with pytest.raises(AccountError, match="only fees"):
        Waived(id="w", day=day(30), amount=200, component="interest", payee="insurer")


def test_another_plan_keeps_apart_what_is_owed_to_whom():
    plan = (ContractDue(day(60), 100_000, 10, 3, (("platform", 9),)),)
    found = at(60, Restructured(id="r", day=day(40), amount=100_000, dues=plan)).due
    assert (found.guarantor, found.insurer, found.platform, found.fees) == (300, 200, 9, 53)


def test_who_repays_before_the_due_owes_nobody_its_fees():
    assert at(40, Repaid(id="p", day=day(9), amount=100_300, prepays=True)).outstanding.total == 0


ODD = [
    ((("lender", 5),), "third party"), ((("insurer", 0),), "leave it out"), ((("insurer", 5),) * 2, "once"),
    ((("insurer", 5), ("guarantor", 5)), "once, in the order"), ((("insurer", 5.0),), "whole fen"),
    ((("insurer", -1),), "below 0"),
]  # fmt: skip


@pytest.mark.parametrize("others, sentence", ODD)
def test_shares_that_are_none_are_refused(others, sentence):
    for make in (
        lambda: contract((30, 100, 1, 0, others)),
        lambda: Extended(id="x", day=day(1), days=3, others=others),
    ):
        with pytest.raises((AccountError, MoneyError), match=sentence):
            make()


def test_whose_fee_it_is_is_stored():
    for event in (
        FeeCharged(id="f", day=day(1), amount=5, payee="platform"),
        Extended(id="x", day=day(1), days=3, others=(("guarantor", 5), ("platform", 2))),
        Waived(id="w", day=day(1), amount=5, component="fees", payee="insurer"),
    ):
        assert event_from(record_of(event)) == event
    with pytest.raises(AccountError, match="payee"):
        event_from({**record_of(FeeCharged(id="f", day=day(1))), "payee": "aunt"})


def test_an_extension_is_charged_by_whom_the_product_says():
    fees = [fee("extend", when="extension", payee="lender"), fee("cover", when="extension", payee="insurer", value=500)]
    here = ProductPricing({"small": once(fees=fees, extension={"times": 1, "days": 30})})
    loan = contract((30, 100_000, 1_000, 0))
    loan = type(loan)(loan.id, loan.principal, TODAY, (ContractDue(TODAY + timedelta(days=30), 100_000, 900),), 300, 0)
    lent = state(loan, [Disbursed(id="out", day=TODAY, amount=100_000)], TODAY + timedelta(days=5))
    found = here.extension(here.product("small"), lent, Extending("x", TODAY + timedelta(days=20), 30))
    assert isinstance(found.event, Extended)
    assert (found.event.amount, found.event.others) == (100, (("insurer", 50),))
    assert found.cost is not None and found.cost.total == 900 + 900 + 100 + 50, "the cost counts everybody"


def test_a_penalty_of_somebody_else_is_no_product():
    with pytest.raises(ValueError, match="write payee = 'lender'"):
        once(fees=[fee("late", when="late", method="of-overdue-a-day", payee="guarantor")])


@settings(max_examples=effort(60), deadline=None)
@given(asked())
def test_every_charge_of_a_schedule_is_in_the_contract_under_its_payee(case):
    loan = schedule(*case)
    for due in loan.dues:
        own, others = by_payee(due.charges)
        kept = ContractDue.of(due)
        assert (kept.fees, kept.others) == (own, others)
        assert kept.fees + sum(amount for _, amount in kept.others) == due.fees


def moved(account: Account) -> int:
    """The borrower's side: what came of anybody, and did not go back."""
    events = happened(account.events)
    came = sum(one.amount for one in events if isinstance(one, Repaid | Recovered | SettledEarly))
    return came - sum(one.amount for one in events if isinstance(one, Refunded))


@settings(max_examples=effort(120), deadline=None)
@given(histories)
def test_no_fen_is_lost_between_two_payees(history):
    """Whatever happens: of what each of them ever charged, all is paid to them, let go, or owed to them."""
    end = state(history.loan, history.events, history.last)
    assert moved(end) == end.paid.lender + end.paid.others + end.held
    events = happened(end.events)
    plans = [history.loan.dues, *(one.dues for one in events if isinstance(one, Restructured))]
    for who in THIRD_PARTIES:
        most = sum(dict(due.others).get(who, 0) for dues in plans for due in dues)
        most += sum(one.amount for one in events if isinstance(one, FeeCharged) and one.payee == who)
        most += sum(dict(one.others).get(who, 0) for one in events if isinstance(one, Extended | SettledEarly))
        charged = sum(getattr(row, who).whole for row in end.rows)
        waived = sum(one.amount for one in events if isinstance(one, Waived) and one.payee == who)
        assert getattr(end.waived, who) == waived
        assert charged == sum(getattr(each, who) for each in (end.paid, end.waived, end.outstanding)) <= most
    for before, event, after in history.steps:
        if isinstance(event, Repaid) and event.payer in {"guarantor", "insurer"}:
            assert after.paid.others == before.paid.others
        if not isinstance(event, Corrected):
            back = {"fees": event.rebate} if isinstance(event, SettledEarly) else {}
            assert all(getattr(after.paid, one) >= getattr(before.paid, one) - back.get(one, 0) for one in HEADS)


@settings(max_examples=effort(30), deadline=None)
@given(asked(), st.sampled_from(THIRD_PARTIES))
def test_the_life_of_a_loan_costs_the_same_whoever_gets_the_fees(case, who):
    product = case[0].model_copy(update={"fees": tuple(
        one.model_copy(update={"payee": who}) for one in case[0].fees if one.when != "start")})  # fmt: skip
    loan = schedule(product, *case[1:])
    flows = []
    for dues in (tuple(map(ContractDue.of, loan.dues)),
                 tuple(ContractDue(one.day, one.principal, one.interest, one.fees) for one in loan.dues)):  # fmt: skip
        made = type(LOAN)("l", loan.principal, loan.terms.start, dues, loan.terms.rate_ppm_day, 0,
                          day_count=loan.terms.day_count)  # fmt: skip
        lent = state(made, [Disbursed(id="out", day=made.starts, amount=made.principal)], made.starts)
        flows.append(life(lent, FeeCharged(id="none", day=made.starts)))
    assert flows[0] == flows[1]
    assert sum(one.charges for one in flows[0]) == sum(one.charges for one in flows_of(loan))


def test_the_desk_shows_whose_the_money_is():
    found = loan_view(at(30, paid(30, 60)))
    others = {"guarantor": 290, "insurer": 200, "platform": 0}
    assert found["owed"] == {
        "penalty": 0, "fees": 0, "interest": 1_000, "principal": 100_000, "others": others, "lender": 101_000,
        "total": 101_490}  # fmt: skip
    assert (found["paid"]["lender"], found["paid"]["others"]["guarantor"]) == (50, 10)
    assert found["schedule"][0]["others"] == {"guarantor": 300, "insurer": 200}
    due = PlannedDue(due=day(9), principal=5, interest=1, platform=2, guarantor=3)
    assert due.contractual == ContractDue(day(9), 5, 1, 0, (("guarantor", 3), ("platform", 2)))
